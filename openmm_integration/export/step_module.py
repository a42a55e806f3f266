"""A learned step of one system as a torch module that needs nothing but the positions of the particles (`layout`)."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cgplugin.coarse_graining.coarsening import CoarseGraining
from cgplugin.coarse_graining.neighbours import BONDED, NEXT_NEAREST, BeadGraph
from cgplugin.errors import UserError
from cgplugin.learned import torchscript
from cgplugin.learned.learned_model import LearnedModel
from cgplugin.learned.refinement import Refinement, flow_levels

from .layout import Layout
from .neighbour_search import BeadEdges


class LearnedStep(nn.Module):
    """What `cgplugin.learned.simulator.LearnedSimulator` does in a step, with all that it needs as buffers.

    Parameters
    ----------
    networks : ScriptModule
        Of the model file, which brings its own code.
    embedding : Tensor, shape (n_beads, n_embedding)
    masses : Tensor of float32, shape (n_beads,)
        g/mol.
    graph : BeadGraph
    layout : Layout
    cutoff : float
        nm.
    ion_cutoff : float or None
        Of the edges between ions, nm.
    box_vectors : Tensor of float64, shape (3, 3), or None
        nm, rows.
    stochastic : bool
        Whether the step is drawn from the predicted distribution, or is its mean.
    """

    embedding: Tensor
    masses: Tensor
    box: Tensor | None

    def __init__(
        self,
        networks: Any,
        embedding: Tensor,
        masses: Tensor,
        graph: BeadGraph,
        layout: Layout,
        cutoff: float,
        ion_cutoff: float | None,
        box_vectors: Tensor | None,
        stochastic: bool,
    ) -> None:
        super().__init__()
        self.networks = networks
        self.edges = BeadEdges(graph, cutoff, box_vectors, ion_cutoff)
        self.n_beads, self.n_frames = layout.n_beads, layout.n_history + 1
        self.stochastic = stochastic
        self.bonded, self.next_nearest = BONDED, NEXT_NEAREST
        self.register_buffer("embedding", embedding)
        self.register_buffer("masses", masses)
        self.register_buffer("box", box_vectors)

    def forward(self, positions: Tensor, box_vectors: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Energy, which is zero, and move of every particle in one step.

        Parameters
        ----------
        positions : Tensor, shape (n_particles, 3)
            nm, unwrapped.
        box_vectors : Tensor, shape (3, 3), optional
            Of the Context, nm.

        Returns
        -------
        energy : Tensor, shape ()
        moves : Tensor, shape (n_particles, 3)
            nm.

        Raises
        ------
        RuntimeError
            If a position is not finite, or the box is not that of the export.
        """
        frames, normal = self.state(positions, box_vectors)
        displacements = (frames[:-1] - frames[1:]).transpose(0, 1).to(torch.float32)
        pairs, separations, kinds = self.edges(frames[0])
        prediction = self.networks(self.embedding, self.masses, displacements, pairs, separations, kinds)
        change = prediction.mean + self.noise(prediction.scale, prediction.mixing, pairs, kinds, normal[0])
        return self.moves(positions, frames, change)

    def state(self, positions: Tensor, box_vectors: Tensor | None) -> tuple[Tensor, Tensor]:
        """Frames, float64, (n_history + 1, n_beads, 3), the latest first, and normal numbers, float32, (n_normal, n_beads, 3)."""
        if not bool(torch.isfinite(positions.sum())):
            raise RuntimeError("learned step: a position is not finite: the simulation has left what the model knows")
        box = self.box
        # TorchScript wants to see that it is a box before it compares
        if box is not None and box_vectors is not None:  # noqa: SIM102
            if not torch.allclose(box_vectors.to(box.dtype), box, 1e-5, 1e-5):
                raise RuntimeError("learned step: the box was changed, but a learned simulation has a constant one")
        copies = positions.reshape(-1, self.n_beads, 3)
        return copies[: self.n_frames].to(torch.float64), copies[self.n_frames :].to(torch.float32)

    def noise(self, scale: Tensor, mixing: Tensor, pairs: Tensor, kinds: Tensor, normal: Tensor) -> Tensor:
        """F xi, shape (n_beads, 3); see `cgplugin.networks.dynamics.Prediction`."""
        if not self.stochastic:
            return torch.zeros_like(scale)
        mixed = ((kinds == self.bonded) | (kinds == self.next_nearest)).nonzero().squeeze(1)
        sender, receiver = pairs[0].index_select(0, mixed), pairs[1].index_select(0, mixed)
        weights = mixing.index_select(0, mixed).unsqueeze(1)
        return scale * normal.index_add(0, receiver, weights * normal.index_select(0, sender))

    def moves(self, positions: Tensor, frames: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
        """Energy and moves: of the beads d + change, of older frames to the next younger, of normal numbers none."""
        shifts = frames[:-1] - frames[1:]
        moves = torch.zeros_like(positions)
        moves[: self.n_beads] = (shifts[0] + change).to(positions.dtype)
        moves[self.n_beads : self.n_frames * self.n_beads] = shifts.reshape(-1, 3).to(positions.dtype)
        return torch.zeros_like(positions[0, 0]), moves


class RefinedStep(LearnedStep):
    """A learned step that is refined by the probability flow of a Score GNN; see `cgplugin.learned.refinement`.

    The flow is written out once more here: TorchScript knows no functions as arguments, and the prediction cannot be passed
    on, since its type is known to the model file alone. A test compares the two.

    Parameters
    ----------
    levels : list of float
        Noise levels of the flow, nm, descending.
    reuse : bool
        Whether the first step's second evaluation serves the second step.
    score_cutoff : float
        Of the Score GNN's edges, nm.
    score_ion_cutoff : float or None
        Of those between ions, nm.
    **kwargs
        See `LearnedStep`.
    """

    def __init__(
        self,
        *,
        levels: list[float],
        reuse: bool,
        score_cutoff: float,
        score_ion_cutoff: float | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.levels = [*levels, 0.0]
        self.reuse = reuse
        self.next_edges = BeadEdges(kwargs["graph"], score_cutoff, kwargs["box_vectors"], score_ion_cutoff)

    def forward(self, positions: Tensor, box_vectors: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See `LearnedStep.forward`."""
        frames, normal = self.state(positions, box_vectors)
        displacements = (frames[:-1] - frames[1:]).transpose(0, 1).to(torch.float32)
        pairs, separations, kinds = self.edges(frames[0])
        prediction = self.networks(self.embedding, self.masses, displacements, pairs, separations, kinds)
        mean, scale = prediction.mean, prediction.scale
        noise = self.noise(scale, prediction.mixing, pairs, kinds, normal[0])
        moved_on = 2 * frames[0] - frames[1]
        highest = self.levels[0]
        u = (noise + highest * normal[1]) / (scale.square() + highest**2).sqrt()
        last, ahead = torch.zeros_like(u), torch.zeros_like(u)
        for n in range(len(self.levels) - 1):
            sigma, lower = self.levels[n], self.levels[n + 1]
            point, level = u, sigma
            slope, now = torch.zeros_like(u), torch.zeros_like(u)
            # Heun's method starts, Adams-Bashforth goes on
            n_stages = 2 if n == 0 and lower > 0 else 1
            if n == 1 and self.reuse:
                n_stages, now = 0, ahead
            for stage in range(n_stages):
                width = (scale.square() + level**2).sqrt()
                tentative = mean + width * point
                pairs, separations, kinds = self.next_edges(moved_on + tentative.to(torch.float64))
                levels = torch.full_like(self.masses, level)
                z = self.networks.estimate_noise(prediction, tentative, pairs, separations, kinds, levels)
                slope_here = z / width - level * point / width.square()
                if stage == 0:
                    now = slope_here
                slope = slope + slope_here / n_stages
                point, level = u + (lower - sigma) * slope_here, lower
                ahead = slope_here
            if n > 0:
                slope = now + 0.5 * (lower - sigma) / (sigma - self.levels[n - 1]) * (now - last)
            u = u + (lower - sigma) * slope
            last = now
        return self.moves(positions, frames, mean + scale * u)


def learned_step(
    model: LearnedModel,
    cg: CoarseGraining,
    layout: Layout,
    box_vectors: NDArray[np.float64] | None,
    refinement: Refinement,
) -> Any:
    """Script the learned step of one system, which fits the model (`cgplugin.learned.simulator.LearnedSimulator` checks it).

    Parameters
    ----------
    model : LearnedModel
        Read from a file, which is read again.
    cg : CoarseGraining
    layout : Layout
    box_vectors : array, shape (3, 3), or None
        nm, rows.
    refinement : Refinement

    Returns
    -------
    ScriptModule
        See `LearnedStep.forward`.

    Raises
    ------
    UserError
        If the model's file is gone, or the refinement cannot be exported.
    """
    description = model.description
    # not as they are in memory: frozen to constants, which cannot move to a GPU
    networks, _ = torchscript.load(model.source)
    for parameter in networks.parameters():
        parameter.requires_grad_(False)
    step: dict[str, Any] = {
        "networks": networks,
        "embedding": model.embed(cg).clone(),
        "masses": torch.tensor(cg.masses, dtype=torch.float32),
        "graph": BeadGraph.of(cg),
        "layout": layout,
        "cutoff": description.cutoff,
        "ion_cutoff": description.ion_cutoff,
        "box_vectors": None if box_vectors is None else torch.tensor(box_vectors, dtype=torch.float64),
        "stochastic": description.networks.get("stochastic", True),
    }
    if not refinement.levels:
        return torchscript.compiled(LearnedStep(**step))
    levels = _flow_levels(model, refinement)
    score_cutoff, score_ion_cutoff = description.score_cutoffs
    return torchscript.compiled(
        RefinedStep(
            levels=levels,
            reuse=refinement.reuse,
            score_cutoff=score_cutoff,
            score_ion_cutoff=score_ion_cutoff,
            **step,
        )
    )


def _flow_levels(model: LearnedModel, refinement: Refinement) -> list[float]:
    """Noise levels that the flow goes through; see `cgplugin.learned.refinement.refine`."""
    if refinement.sampler != "flow":
        raise UserError(
            f"{model.source}: a step refined by {refinement.sampler!r} cannot be exported: choose the sampler 'flow', or 0 levels"
        )
    return flow_levels(model.description.noise_levels, refinement)
