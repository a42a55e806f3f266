"""The networks of a step on a whole bead graph at once, or piece by piece where it would not fit into memory."""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from cgplugin.coarse_graining.neighbours import Edges
from cgplugin.networks.dynamics import Prediction

from .learned_model import LearnedModel
from .pieces import GraphPieces, compact_groups


class Networks(Protocol):
    """What a step asks of the networks, for the edges of one configuration."""

    @property
    def edges(self) -> Edges:
        """The edges."""
        ...

    def predict(self, embedding: Tensor, masses: Tensor, displacements: Tensor) -> Prediction:
        """Distribution of the next step; see `cgplugin.networks.dynamics.DynamicsGNN.forward`."""
        ...

    def estimate_noise(self, prediction: Prediction, change: Tensor, sigma: float) -> Tensor:
        """Noise in a tentative change, for the edges that it leads to; see `cgplugin.networks.score.ScoreGNN.forward`."""
        ...


class WholeGraph:
    """All edges in one call."""

    def __init__(self, model: LearnedModel, edges: Edges) -> None:
        self._model, self.edges = model, edges

    def predict(self, embedding: Tensor, masses: Tensor, displacements: Tensor) -> Prediction:
        """See `Networks`."""
        return self._model.predict(embedding, masses, displacements, self.edges)

    def estimate_noise(self, prediction: Prediction, change: Tensor, sigma: float) -> Tensor:
        """See `Networks`."""
        return self._model.estimate_noise(prediction, change, self.edges, sigma)


class PieceByPiece:
    """A call per piece of the graph, halos included.

    Parameters
    ----------
    model : LearnedModel
    edges : Edges
    positions : Tensor, shape (n_beads, 3)
        nm; pieces are compact in space, so that their halos are small.
    box_vectors : Tensor, shape (3, 3), or None
        nm.
    size : int
        Beads of a piece at most, without halo.
    """

    def __init__(
        self, model: LearnedModel, edges: Edges, positions: Tensor, box_vectors: Tensor | None, size: int
    ) -> None:
        self._model, self.edges = model, edges
        points = positions.numpy()
        if box_vectors is not None:
            box = box_vectors.numpy()
            fractions = points @ np.linalg.inv(box)
            points = (fractions - np.floor(fractions)) @ box
        options = model.description.networks
        # layers of message passing; the edges into a bead are read in any case
        hops = max(1, options["layers"], options.get("score_layers", 0) if model.description.noise_levels else 0)
        self._pieces = GraphPieces(compact_groups(points, size), edges.pairs, len(points), hops)

    @torch.inference_mode()
    def predict(self, embedding: Tensor, masses: Tensor, displacements: Tensor) -> Prediction:
        """See `Networks`."""
        collected: dict[str, Tensor] = {}
        for piece in self._pieces:
            part = self._model.predict(
                embedding[piece.beads], masses[piece.beads], displacements[piece.beads], piece.edges_of(self.edges)
            )
            for name, values in part._asdict().items():
                of_edges = name == "mixing"
                rows, n_core = (piece.core_edges, piece.n_core_edges) if of_edges else (piece.core, piece.n_core)
                if name not in collected:
                    n = len(self.edges.kinds) if of_edges else len(masses)
                    collected[name] = values.new_empty((n, *values.shape[1:]))
                collected[name][rows] = values[:n_core]
        return Prediction(**collected)

    @torch.inference_mode()
    def estimate_noise(self, prediction: Prediction, change: Tensor, sigma: float) -> Tensor:
        """See `Networks`."""
        noise = torch.empty_like(change)
        for piece in self._pieces:
            own = Prediction(
                prediction.mean[piece.beads],
                prediction.scale[piece.beads],
                prediction.mixing[:0],  # of the edges of another configuration
                prediction.internal_rg2[piece.beads],
                prediction.latents[piece.beads],
            )
            edges = piece.edges_of(self.edges)
            noise[piece.core] = self._model.estimate_noise(own, change[piece.beads], edges, sigma)[: piece.n_core]
        return noise
