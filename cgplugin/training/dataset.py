"""Training samples: windows of k + 2 frames of one system, at any phase of the stride."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from cgplugin.coarse_graining.coarse_trajectory import CoarseTrajectory
from cgplugin.coarse_graining.neighbours import BeadGraph, Edges, join
from cgplugin.coarse_graining.verlet_list import check_cutoff
from cgplugin.coarse_graining.vocabulary import FineGraph, Vocabulary, fine_graph, join_fine_graphs
from cgplugin.errors import UserError

from .processes import own_share, rank_and_number


@dataclass(frozen=True)
class Augmentation:
    """Changes that make other, equally valid samples.

    Attributes
    ----------
    rotate : bool
        Turn every sample at random; without effect on a rotation-equivariant network.
    time_reversal : bool
        Run half of the samples backwards: equilibrium dynamics is reversible.
    noise : float
        Standard deviation in nm of a random walk on the history, whose last, largest deviation is that of the present
        positions; the target is corrected such that the right step leads back to the true next positions.
    """

    rotate: bool = False
    time_reversal: bool = False
    noise: float = 0.0


class Request(NamedTuple):
    """Windows of one system: which, the present frame of each, and the seed of the augmentation."""

    system: int
    frames: NDArray[np.int64]
    seed: tuple[int, ...]


def random_numbers(request: Request) -> np.random.Generator:
    """Generator of what is random about the windows of a request, the same each time."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(request.seed)))


class NoisyTarget(NamedTuple):
    """What the Score GNN learns from: the true next positions with noise of one level for each window.

    Attributes
    ----------
    change : Tensor, shape (n_beads, 3)
        d_{t+1} - d_t with noise, nm.
    normal : Tensor, shape (n_beads, 3)
        The noise, in units of its level.
    sigma : Tensor, shape (n_beads,)
        The level, nm.
    edge_index, separations, edge_kinds : Tensor
        Edges of the noisy positions.
    """

    change: Tensor
    normal: Tensor
    sigma: Tensor
    edge_index: Tensor
    separations: Tensor
    edge_kinds: Tensor


class Sample(NamedTuple):
    """Windows of one system, as one graph."""

    system: int
    n_windows: int
    displacements: Tensor
    target: Tensor
    internal_rg2: Tensor
    edges: Edges
    noisy: NoisyTarget | None


class Batch(NamedTuple):
    """Windows of several systems, as one graph.

    Attributes
    ----------
    atom_types, atom_masses, bonds, bond_types, mapping
        The fine graph of the systems in the batch, each once; see `FineGraph`.
    n_embedded : int
        Number of beads in that fine graph.
    embedding_row : Tensor, shape (n_beads,)
        Row of each bead of the batch among the embedded beads.
    masses : Tensor, shape (n_beads,)
    molecules : Tensor, shape (n_beads,)
        Counted through the batch.
    displacements : Tensor, shape (n_beads, n_history, 3)
    target : Tensor, shape (n_beads, 3)
    internal_rg2 : Tensor, shape (n_beads,)
    edge_index, separations, edge_kinds : Tensor
    noisy : NoisyTarget or None
        For the Score GNN, where there is one.
    """

    atom_types: Tensor
    atom_masses: Tensor
    bonds: Tensor
    bond_types: Tensor
    mapping: Tensor
    n_embedded: int
    embedding_row: Tensor
    masses: Tensor
    molecules: Tensor
    displacements: Tensor
    target: Tensor
    internal_rg2: Tensor
    edge_index: Tensor
    separations: Tensor
    edge_kinds: Tensor
    noisy: NoisyTarget | None


class WindowDataset(Dataset[Batch]):
    """Windows of k + 2 frames, one learned time step apart, of all systems; indexed by lists of `Request`.

    Parameters
    ----------
    trajectories : sequence of CoarseTrajectory
    vocabulary : Vocabulary
    stride : int
        Frames per learned time step.
    n_history : int
        k, number of past displacements.
    cutoff : float
        nm.
    augmentation : Augmentation
    levels : sequence of float
        Noise levels of the Score GNN, nm; empty where there is none.
    score_cutoff : float, optional
        Of the Score GNN's edges, nm; by default ``cutoff``.
    ion_cutoff : float, optional
        Of the edges between ions, nm; by default they are like all others.
    score_ion_cutoff : float, optional
        Of the Score GNN's edges between ions, nm; by default ``ion_cutoff``.

    Raises
    ------
    UserError
        If a trajectory is shorter than one window, or has a type that the vocabulary lacks; if a box is too small for a cutoff.
    """

    def __init__(
        self,
        trajectories: Sequence[CoarseTrajectory],
        vocabulary: Vocabulary,
        *,
        stride: int,
        n_history: int,
        cutoff: float,
        augmentation: Augmentation = Augmentation(),
        levels: Sequence[float] = (),
        score_cutoff: float | None = None,
        ion_cutoff: float | None = None,
        score_ion_cutoff: float | None = None,
    ) -> None:
        self.trajectories = list(trajectories)
        self.stride, self.n_history, self.augmentation = stride, n_history, augmentation
        self.levels = np.array(levels)
        self.cutoffs = (cutoff, ion_cutoff)
        self.score_cutoffs = (score_cutoff or cutoff, score_ion_cutoff or ion_cutoff)
        needed = (n_history + 1) * stride + 1
        for trajectory in self.trajectories:
            if trajectory.n_frames < needed:
                raise UserError(
                    f"{trajectory.source}: has {trajectory.n_frames} frames, but one sample takes {needed} (a time step is "
                    f"{stride} frames, times history + 1): use a shorter time step or a longer trajectory"
                )
        used = [self.cutoffs, self.score_cutoffs] if len(self.levels) else [self.cutoffs]
        for trajectory in self.trajectories:
            if trajectory.box_vectors is not None:
                try:
                    for of_all, of_ions in used:
                        check_cutoff(of_all, trajectory.box_vectors, of_ions)
                except UserError as error:
                    raise UserError(f"{trajectory.source}: {error}, or a shorter cutoff") from error
        self.n_windows = np.array([trajectory.n_frames - needed + 1 for trajectory in self.trajectories])
        self.graphs = [BeadGraph.of(trajectory.cg) for trajectory in self.trajectories]
        self.fine_graphs: list[FineGraph] = [fine_graph(t.cg, vocabulary) for t in self.trajectories]

    def __len__(self) -> int:
        return int(self.n_windows.sum())

    def __getitem__(self, requests: Sequence[Request]) -> Batch:
        """Read the windows, augment them, find their edges and join them."""
        return self._join([self._sample(request) for request in requests])

    def frames(self, request: Request, random: np.random.Generator) -> NDArray[np.int64]:
        """Frames of the windows, shape (n_windows, k + 2): those of k displacements, the present, the target."""
        frames = request.frames[:, None] + np.arange(self.n_history + 2) * self.stride
        if self.augmentation.time_reversal:
            backwards = random.random(len(frames)) < 0.5
            frames[backwards] = frames[backwards, ::-1]
        return frames

    def _sample(self, request: Request) -> Sample:
        trajectory = self.trajectories[request.system]
        random = random_numbers(request)
        frames = self.frames(request, random)
        windows = np.asarray(trajectory.positions[frames.reshape(-1)], dtype=np.float64)
        windows = windows.reshape(*frames.shape, *windows.shape[1:])
        if self.augmentation.noise:
            kicks = random.standard_normal(windows[:, :-1].shape) * self.augmentation.noise
            windows[:, :-1] += kicks.cumsum(axis=1) / np.sqrt(self.n_history + 1)
        moved = np.diff(windows, axis=1)
        displacements = np.ascontiguousarray(moved[:, -2::-1].transpose(0, 2, 1, 3))
        target = moved[:, -1] - moved[:, -2]
        present, future = frames[:, -2], frames[:, -1]
        n_windows, _, n_beads, _ = windows.shape
        vectors, graphs = {"target": target}, [self.edges(request.system, windows[:, -2], present, *self.cutoffs)]
        if len(self.levels):
            normal = random.standard_normal(target.shape)
            sigma = random.choice(self.levels, size=n_windows)
            noise = sigma[:, None, None] * normal
            vectors |= {"change": target + noise, "normal": normal}
            noisy = windows[:, -1] + noise
            graphs.append(self.edges(request.system, noisy, future, *self.score_cutoffs))
            level = torch.tensor(sigma.repeat(n_beads), dtype=torch.float32)
        if self.augmentation.rotate:
            turns = Rotation.random(n_windows, rng=random).as_matrix()
            displacements = np.einsum("wab,wnkb->wnka", turns, displacements)
            vectors = {name: np.einsum("wab,wnb->wna", turns, value) for name, value in vectors.items()}
            graphs = [_turned(edges, turns, n_beads) for edges in graphs]
        tensors = {name: torch.tensor(value.reshape(-1, 3), dtype=torch.float32) for name, value in vectors.items()}
        target_of_score = (
            NoisyTarget(tensors["change"], tensors["normal"], level, *graphs[1]) if len(self.levels) else None
        )
        return Sample(
            request.system,
            n_windows,
            torch.tensor(displacements.reshape(-1, self.n_history, 3), dtype=torch.float32),
            tensors["target"],
            torch.tensor(trajectory.internal_rg2[future].reshape(-1), dtype=torch.float32),
            graphs[0],
            target_of_score,
        )

    def edges(
        self,
        system: int,
        positions: NDArray[np.float64],
        frames: NDArray[np.int64],
        cutoff: float,
        ion_cutoff: float | None = None,
    ) -> Edges:
        """Edges of several configurations of a system, positions (n_frames, n_beads, 3), in the boxes of these frames."""
        graph, boxes = self.graphs[system], self.trajectories[system].box_vectors
        if graph.is_small:
            of_frames = None if boxes is None else torch.from_numpy(boxes[frames])
            return graph.edges_of_frames(torch.from_numpy(positions), cutoff, of_frames, ion_cutoff)
        parts = [
            graph.edges(
                torch.from_numpy(own),
                cutoff,
                None if boxes is None else torch.from_numpy(boxes[frame]),
                ion_cutoff=ion_cutoff,
            )
            for own, frame in zip(positions, frames, strict=True)
        ]
        return join(parts, [graph.n_beads] * len(parts))

    def _join(self, samples: Sequence[Sample]) -> Batch:
        systems = sorted({sample.system for sample in samples})
        sizes = [self.graphs[system].n_beads for system in systems]
        first_row = dict(zip(systems, np.cumsum([0, *sizes[:-1]]).tolist(), strict=True))
        fine = join_fine_graphs(self.fine_graphs[system] for system in systems)
        rows, masses, molecules = [], [], []
        n_molecules = 0
        for sample in samples:
            cg = self.trajectories[sample.system].cg
            own = torch.arange(cg.n_beads) + first_row[sample.system]
            rows.append(own.repeat(sample.n_windows))
            masses.append(torch.tensor(cg.masses, dtype=torch.float32).repeat(sample.n_windows))
            per_window = int(cg.molecules.max()) + 1
            windows = torch.arange(sample.n_windows).repeat_interleave(cg.n_beads) * per_window
            molecules.append(torch.tensor(cg.molecules).repeat(sample.n_windows) + windows + n_molecules)
            n_molecules += per_window * sample.n_windows
        n_beads = [len(sample.target) for sample in samples]
        edges = join([sample.edges for sample in samples], n_beads)
        return Batch(
            *fine[:5],
            fine.n_beads,
            torch.cat(rows),
            torch.cat(masses),
            torch.cat(molecules),
            torch.cat([sample.displacements for sample in samples]),
            torch.cat([sample.target for sample in samples]),
            torch.cat([sample.internal_rg2 for sample in samples]),
            *edges,
            _join_noisy([sample.noisy for sample in samples if sample.noisy is not None], n_beads),
        )


def _turned(edges: Edges, turns: NDArray[np.float64], n_beads: int) -> Edges:
    """Edges of windows of ``n_beads`` beads, each window turned by its own rotation."""
    of_edge = torch.from_numpy(turns).to(torch.float32)[edges.pairs[1] // n_beads]
    return edges._replace(separations=torch.einsum("eab,eb->ea", of_edge, edges.separations))


def _join_noisy(parts: Sequence[NoisyTarget], n_beads: Sequence[int]) -> NoisyTarget | None:
    if not parts:
        return None
    edges = join([Edges(part.edge_index, part.separations, part.edge_kinds) for part in parts], n_beads)
    change, normal, sigma = (torch.cat([part[i] for part in parts]) for i in range(3))
    return NoisyTarget(change, normal, sigma, *edges)


@dataclass
class WindowSampler(Sampler[list[Request]]):
    """Random batches: a few systems, several windows of each, so that few fine graphs are embedded per batch.

    Batch b of epoch e is drawn from a generator seeded by (seed, e, b): a resumed training sees what an uninterrupted
    one would have seen. With ``distinct`` no batch has a system twice.
    Several processes share the systems of each batch, so that their number changes nothing in it.
    """

    n_windows: NDArray[np.int64] = field(repr=False)
    batches: int
    systems_per_batch: int
    windows_per_system: int
    seed: int
    distinct: bool = False
    epoch: int = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[Request]]:
        weights = self.n_windows / self.n_windows.sum()
        for batch in range(self.batches):
            key = (self.seed, self.epoch, batch)
            random = np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))
            number = min(self.systems_per_batch, len(weights)) if self.distinct else self.systems_per_batch
            systems = random.choice(len(weights), size=number, replace=not self.distinct, p=weights)
            requests = [
                Request(int(system), random.integers(self.n_windows[system], size=self.windows_per_system), (*key, n))
                for n, system in enumerate(systems)
            ]
            yield list(own_share(requests))


@dataclass
class FixedSampler(Sampler[list[Request]]):
    """Batches for validation, shared by several processes; each has them all where there are fewer batches than processes."""

    batches: Sequence[list[Request]] = field(repr=False)

    @property
    def own(self) -> Sequence[list[Request]]:
        """Batches of this process."""
        # of losses that are equal on all processes the mean over these is the same
        return own_share(self.batches) if len(self.batches) >= rank_and_number()[1] else self.batches

    def __len__(self) -> int:
        return len(self.own)

    def __iter__(self) -> Iterator[list[Request]]:
        return iter(self.own)


def fixed_batches(dataset: WindowDataset, windows_per_system: int, systems_per_batch: int) -> list[list[Request]]:
    """Batches for validation: the same windows every time, spread evenly over each trajectory."""
    requests = [
        Request(system, np.unique(np.linspace(0, n - 1, windows_per_system).astype(np.int64)), (0, 0, system))
        for system, n in enumerate(dataset.n_windows)
    ]
    return [requests[i : i + systems_per_batch] for i in range(0, len(requests), systems_per_batch)]
