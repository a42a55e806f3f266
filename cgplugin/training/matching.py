"""Last stage of a training: the Score GNN learns to end its refinement with as many pairs at each distance as MD has."""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed
from torch.utils.data import Dataset

from cgplugin.coarse_graining.neighbours import Edges, join
from cgplugin.learned.devices import HOST
from cgplugin.learned.noise import bonded_noise
from cgplugin.learned.refinement import Refinement, refine
from cgplugin.networks.combined import LearnedNetworks
from cgplugin.networks.dynamics import Prediction

from .dataset import Batch, Request, WindowDataset, random_numbers
from .likelihood import ion_weights
from .options import TrainingOptions
from .pair_counts import PairBands
from .processes import rank_and_number, weight_of_share
from .training_module import adam_with_decay, loss_of_score, predict

MEMORY = 1000.0
"""Samples that the running mean of all systems' errors goes back over."""

OWN_MEMORY = 50.0
"""Samples that the running mean of one system's errors goes back over."""

RESTARTS = 0.05
"""Share of the windows that begin from their recorded frames, while others go on from where the last step of theirs ended."""

DOUBT = 10.0
"""Samples after which a system's own error counts as much as that of all systems."""

FLOOR = 0.005
"""Added to the expected pairs of a band and window, so that a single pair where MD has none does not decide."""


class StepBatch(NamedTuple):
    """Windows of several systems, and what a learned step from their present frames takes.

    Attributes
    ----------
    windows : Batch
    present : Tensor of float64, shape (n_beads, 3)
        Present positions, nm.
    normal : Tensor, shape (1 + n_normal, n_beads, 3)
        Standard normal numbers, of the prediction and of the refinement.
    systems : Tensor of int64, shape (n_samples,)
        System of each sample, all of whose windows are of it.
    frames : Tensor of int64, shape (n_samples, n_windows)
        Present frame of each window.
    begins : Tensor of bool, shape (n_samples, n_windows)
        Whether the step is to begin from the recorded frames in any case.
    """

    windows: Batch
    present: Tensor
    normal: Tensor
    systems: Tensor
    frames: Tensor
    begins: Tensor


class StepDataset(Dataset[StepBatch]):
    """Windows with what a learned step takes; requests must be of equally many windows each.

    Parameters
    ----------
    data : WindowDataset
        Not turned, and without noise on the history.
    n_normal : int
        Sets of normal numbers of the refinement.
    """

    def __init__(self, data: WindowDataset, n_normal: int) -> None:
        self.data, self.n_normal = data, n_normal

    @property
    def n_windows(self) -> NDArray[np.int64]:
        """Windows of each system."""
        return self.data.n_windows

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, requests: Sequence[Request]) -> StepBatch:
        """Read the windows, and draw the noise."""
        present, normal, frames, begins = [], [], [], []
        for request in requests:
            own = self.data.frames(request, random_numbers(request))[:, -2]
            positions = np.asarray(self.data.trajectories[request.system].positions[own], dtype=np.float64)
            random = random_numbers(request._replace(seed=(*request.seed, 1)))
            shape = (1 + self.n_normal, len(own) * positions.shape[1], 3)
            normal.append(torch.from_numpy(random.standard_normal(shape, dtype=np.float32)))
            present.append(torch.from_numpy(positions.reshape(-1, 3)))
            frames.append(torch.from_numpy(own))
            begins.append(torch.from_numpy(random.random(len(own)) < RESTARTS))
        return StepBatch(
            self.data[requests],
            torch.cat(present),
            torch.cat(normal, dim=1),
            torch.tensor([request.system for request in requests]),
            torch.stack(frames),
            torch.stack(begins),
        )


class MatchingModule(lightning.LightningModule):
    r"""The Score GNN, learning from where the refinement ends.

    Score matching makes the estimate of noise right on average, but no loss of it sees the few beads that come close to each
    other, and a refinement in few evaluations is not exact either. So the whole learned step is done as in a simulation, and the
    numbers of pairs n_b in bands of distance, by kind of pair and by how far apart the pair was before, are compared with
    those of MD. The loss is that of score matching plus weight times

    .. math:: \sum_b \frac{\langle n_b - n_b^\mathrm{MD} \rangle}{\langle n_b^\mathrm{MD} \rangle} n_b,

    whose gradient is that of half the squared error over the variance (that of a Poisson distribution) of each mean count. The
    means run over the last steps of the training, for one batch holds far too few rare pairs; those of all systems and of
    the sample's own are weighted by how often that was seen. The gradient goes through all evaluations of the Score GNN. The
    other networks stay as they are.

    A step begins where the last one of its system ended, and from a recorded frame now and then: what has to be right is
    a simulation, whose errors add up (as persistent contrastive divergence does it; Tieleman, 2008).

    Parameters
    ----------
    networks : LearnedNetworks
        With a Score GNN.
    options : TrainingOptions
    data : WindowDataset
        Of the requests' systems.
    bands : PairBands
    levels : sequence of float
        Noise levels, nm.
    refinement : Refinement
        That of simulations.
    """

    expected: Tensor
    of_all: Tensor
    of_systems: Tensor
    seen: Tensor
    positions: Tensor
    displacements: Tensor

    def __init__(
        self,
        networks: LearnedNetworks,
        options: TrainingOptions,
        data: WindowDataset,
        bands: PairBands,
        levels: Sequence[float],
        refinement: Refinement,
    ) -> None:
        super().__init__()
        assert networks.score is not None
        networks.requires_grad_(False)
        networks.score.requires_grad_(True)
        self.networks, self.options = networks, options
        self.data, self.bands, self.levels, self.refinement = data, bands, levels, refinement
        self.kinds = [bands.numbers(path) for path in data.trajectories]
        n_systems = len(data.trajectories)
        # running means are part of the state: a training that was killed goes on with them
        self.register_buffer("expected", torch.zeros(bands.n_features))
        self.register_buffer("of_all", torch.zeros(bands.n_features))
        self.register_buffer("of_systems", torch.zeros(n_systems, bands.n_features))
        self.register_buffer("seen", torch.zeros(n_systems))
        # so are the simulations: the windows of one system after those of the other
        rows = np.cumsum([0, *(options.windows_per_system * len(own) for own in self.kinds)])
        self.rows = [slice(int(a), int(b)) for a, b in itertools.pairwise(rows)]
        self.register_buffer("positions", torch.zeros(rows[-1], 3, dtype=torch.float64))
        self.register_buffer("displacements", torch.zeros(rows[-1], data.n_history, 3))
        # positions of one box have no place in another
        boxes = [path.box_vectors for path in data.trajectories]
        self.goes_on = torch.tensor([box is None or bool((box == box[0]).all()) for box in boxes])

    def predict(self, batch: Batch) -> Prediction:
        """What the Dynamics GNN, which learns no more, says of the windows."""
        with torch.no_grad():
            return predict(self.networks, batch)

    def started(self, batch: StepBatch) -> StepBatch:
        """The batch with its simulations' present in place of the recorded one, where these go on."""
        n_windows = batch.frames.shape[1]
        begins = batch.begins | ~((self.seen > 0) & self.goes_on.to(self.seen.device))[batch.systems, None]
        own = [self.rows[system] for system in batch.systems.tolist()]
        beads = torch.tensor([(rows.stop - rows.start) // n_windows for rows in own], device=begins.device)
        recorded = begins.flatten().repeat_interleave(beads.repeat_interleave(n_windows))
        present = torch.where(recorded[:, None], batch.present, torch.cat([self.positions[rows] for rows in own]))
        moved = torch.cat([self.displacements[rows] for rows in own])
        moved = torch.where(recorded[:, None, None], batch.windows.displacements, moved)
        # how displacements lead to the present frame does not matter to its edges
        windows = batch.windows._replace(displacements=torch.zeros_like(moved))
        still = batch._replace(present=present, windows=windows)
        edges = self.edges(still, torch.zeros_like(moved[:, 0]), *self.data.cutoffs)
        windows = windows._replace(
            displacements=moved, edge_index=edges.pairs, separations=edges.separations, edge_kinds=edges.kinds
        )
        return still._replace(windows=windows)

    def keep(self, batch: StepBatch, change: Tensor) -> None:
        """Let the simulations of the batch go on from where a step ended."""
        latest = batch.windows.displacements[:, 0] + change.detach()
        displacements = torch.cat([latest.unsqueeze(1), batch.windows.displacements[:, :-1]], dim=1)
        ended = (batch.systems.tolist(), batch.present + latest, displacements)
        of_processes = [ended]
        if (number := rank_and_number()[1]) > 1:
            of_processes = [ended] * number
            distributed.all_gather_object(of_processes, ended)
        for systems, positions, displacements in of_processes:
            rows = torch.cat([torch.arange(own.start, own.stop) for own in (self.rows[system] for system in systems)])
            self.positions[rows] = positions.to(self.positions.device)
            self.displacements[rows] = displacements.to(self.displacements.device)

    def edges(self, batch: StepBatch, change: Tensor, cutoff: float, ion_cutoff: float | None = None) -> Edges:
        """Edges after a change of displacement, differentiable with respect to it."""
        moved_on = batch.present + batch.windows.displacements[:, 0] + change.detach()
        parts, sizes = [], []
        per_sample = [batch.frames.shape[1] * len(self.kinds[system]) for system in batch.systems.tolist()]
        of_samples = zip(
            batch.systems.tolist(), batch.frames.cpu().numpy(), moved_on.to(HOST).split(per_sample), strict=True
        )
        for system, frames, positions in of_samples:
            configurations = positions.reshape(len(frames), -1, 3).numpy()
            parts.append(self.data.edges(system, configurations, frames, cutoff, ion_cutoff))
            sizes.append(len(positions))
        found = Edges(*(tensor.to(change.device) for tensor in join(parts, sizes)))
        relative = change.index_select(0, found.pairs[1]) - change.index_select(0, found.pairs[0])
        return found._replace(separations=found.separations + relative - relative.detach())

    def step(self, batch: StepBatch, prediction: Prediction) -> Tensor:
        """Change of displacement in a refined step, as `cgplugin.learned.simulator.LearnedSimulator` does it."""

        def estimate(tentative: Tensor, sigma: float) -> Tensor:
            edges = self.edges(batch, tentative, *self.data.score_cutoffs)
            level = tentative.new_full((len(tentative),), sigma)
            return self.networks.estimate_noise(prediction, tentative, *edges, level)

        present = Edges(batch.windows.edge_index, batch.windows.separations, batch.windows.edge_kinds)
        change = prediction.mean
        if self.networks.dynamics.stochastic:
            change = change + bonded_noise(prediction, present, batch.normal[0])
        return refine(change, prediction, estimate, self.levels, self.refinement, batch.normal[1:])

    def counts(self, batch: StepBatch, change: Tensor) -> Tensor:
        """Pairs of each window on average after a change of displacement, shape (n_samples, n_features)."""
        n_samples, n_windows = batch.frames.shape
        of_beads = [self.kinds[system].repeat(n_windows) for system in batch.systems.tolist()]
        kinds = torch.cat(of_beads).to(change.device)
        samples = torch.repeat_interleave(torch.tensor([len(own) for own in of_beads])).to(change.device)
        edges = self.edges(batch, change, self.bands.reach)
        moved = batch.windows.displacements[:, 0] + change
        return self.bands.counts(edges, moved, kinds, samples, n_samples) / n_windows

    def pair_loss(self, systems: Tensor, learned: Tensor, true: Tensor) -> Tensor:
        """Update the running means by the pairs of each sample, shapes (n_samples, n_features), and return the loss."""
        n_systems, n_features = self.of_systems.shape
        both = torch.cat([learned.detach() - true, true, torch.ones_like(true[:, :1])], dim=1)
        sums = both.new_zeros(n_systems, 2 * n_features + 1).index_add(0, systems, both)
        world = rank_and_number()[1]
        if world > 1:
            distributed.all_reduce(sums)
        errors, expected, number = sums[:, :n_features], sums[:, n_features:-1], sums[:, -1]
        before, in_all = float(self.seen.sum()), float(number.sum())
        self.seen += number
        share = max(in_all / (before + in_all), in_all / MEMORY)
        self.of_all.lerp_(errors.sum(dim=0) / in_all, share)
        self.expected.lerp_(expected.sum(dim=0) / in_all, share)
        now = number > 0
        own_share = torch.maximum(number / self.seen.clamp(min=1), number / OWN_MEMORY).clamp(max=1)[now, None]
        self.of_systems[now] = self.of_systems[now].lerp(errors[now] / number[now, None], own_share)
        trust = (self.seen / (self.seen + DOUBT))[systems, None]
        error = self.of_all + trust * (self.of_systems[systems] - self.of_all)
        # DDP takes the mean over processes, each of which has some of the samples
        return world * (error / (self.expected + FLOOR) * learned).sum() / in_all

    def training_step(self, batch: StepBatch) -> Tensor:
        """Loss of a training batch."""
        windows, noisy = batch.windows, batch.windows.noisy
        assert noisy is not None
        prediction = self.predict(windows)
        weights = ion_weights(windows.molecules, self.options.ion_weight)
        score = loss_of_score(self.networks, prediction, noisy, weights)
        score = weight_of_share(float(weights.sum()), self.device) * score
        with torch.no_grad():
            true = self.counts(batch, windows.target)
        simulated = self.started(batch)
        change = self.step(simulated, self.predict(simulated.windows))
        pairs = self.pair_loss(batch.systems, self.counts(simulated, change), true)
        self.keep(simulated, change)
        several = self.trainer.world_size > 1
        self.log("train_score", score, prog_bar=True, batch_size=1, sync_dist=several)
        self.log("train_pairs", self.mismatch, prog_bar=True, batch_size=1)
        return score + self.options.matching_weight * pairs

    @property
    def mismatch(self) -> Tensor:
        """Squared errors of the mean counts of all systems in units of a window's variance, summed over bands."""
        return (self.of_all.square() / (self.expected + FLOOR)).sum()

    def validation_step(self, batch: Batch) -> None:
        """Loss of score matching, which must not grow."""
        assert batch.noisy is not None
        loss = loss_of_score(self.networks, self.predict(batch), batch.noisy)
        self.log("val_score", loss, batch_size=len(batch.target), sync_dist=self.trainer.world_size > 1)

    def configure_optimizers(self) -> Any:
        """Adam with exponential decay of the learning rate by the same factor as before."""
        options = self.options
        score = self.networks.score
        assert score is not None
        return adam_with_decay(score.parameters(), options, options.matching_rate, options.matching_steps)
