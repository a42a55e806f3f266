"""Edges of the bead graph: CG bonds, their next-nearest neighbours, and all pairs within the cutoff."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
import vesin
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from torch import Tensor

from cgplugin.errors import UserError

from .coarsening import CoarseGraining

ALL_PAIRS_LIMIT = 128
"""Up to this many beads, a system without a box is searched pair by pair: cheaper than building cells."""

WITHIN_CUTOFF, BONDED, NEXT_NEAREST = 0, 1, 2
"""Edge kinds; see `cgplugin.networks.dynamics.DynamicsGNN`."""


class Edges(NamedTuple):
    """Directed edges of a bead graph, both directions of every pair.

    Attributes
    ----------
    pairs : Tensor of int64, shape (2, n_edges)
        Sender j and receiver i.
    separations : Tensor, shape (..., n_edges, 3)
        x_i - x_j, nm, float32.
    kinds : Tensor of int64, shape (n_edges,)
    """

    pairs: Tensor
    separations: Tensor
    kinds: Tensor


@dataclass(frozen=True)
class BeadGraph:
    """What the edges of one system need that does not change: pairs close along the CG bonds, and candidate pairs.

    Attributes
    ----------
    n_beads : int
    bonded : Tensor, shape (2, n)
        Both directions of all pairs one or two CG bonds apart.
    bonded_kinds : Tensor, shape (n,)
    others : Tensor, shape (2, m)
        Both directions of all other pairs, where the system is small; empty otherwise.
    """

    n_beads: int
    bonded: Tensor = field(repr=False)
    bonded_kinds: Tensor = field(repr=False)
    others: Tensor = field(repr=False)
    _bonded_keys: NDArray[np.int64] = field(repr=False)

    @classmethod
    def of(cls, cg: CoarseGraining) -> "BeadGraph":
        """Find the pairs one and two CG bonds apart."""
        n, (i, j) = cg.n_beads, cg.bonds.T
        ones = np.ones(2 * len(i), dtype=np.int32)
        joined = coo_matrix((ones, (np.r_[i, j], np.r_[j, i])), shape=(n, n)).tocsr()
        second = (joined @ joined).tolil()
        second.setdiag(0)
        second[joined.nonzero()] = 0
        pairs = [np.array(matrix.nonzero(), dtype=np.int64) for matrix in (joined, second.tocsr())]
        bonded = np.concatenate(pairs, axis=1)
        kinds = np.repeat([BONDED, NEXT_NEAREST], [pairs[0].shape[1], pairs[1].shape[1]])
        keys = np.sort(bonded[0] * n + bonded[1])
        others = np.empty((2, 0), dtype=np.int64)
        if n <= ALL_PAIRS_LIMIT:  # as in is_small
            free = np.ones((n, n), dtype=bool)
            np.fill_diagonal(free, False)
            free[bonded[0], bonded[1]] = False
            others = np.array(free.nonzero(), dtype=np.int64)
        return cls(n, torch.from_numpy(bonded), torch.from_numpy(kinds), torch.from_numpy(others), keys)

    @property
    def is_small(self) -> bool:
        """Whether all pairs are candidates."""
        return self.n_beads <= ALL_PAIRS_LIMIT

    def edges_of_frames(self, positions: Tensor, cutoff: float) -> Edges:
        """Edges of many configurations of a small system without a box, as one graph.

        Parameters
        ----------
        positions : Tensor, shape (n_frames, n_beads, 3)
            nm.
        cutoff : float
            nm.
        """
        pairs = torch.cat([self.bonded, self.others], dim=1)
        kinds = torch.cat([self.bonded_kinds, torch.zeros(self.others.shape[1], dtype=torch.int64)])
        separations = positions[:, pairs[1]] - positions[:, pairs[0]]
        frame, pair = torch.nonzero((separations.square().sum(dim=2) < cutoff**2) | (kinds > 0), as_tuple=True)
        index = pairs[:, pair] + frame * self.n_beads
        return Edges(index, separations[frame, pair].to(torch.float32), kinds[pair])

    def edges(self, positions: Tensor, cutoff: float, box_vectors: Tensor | None = None) -> Edges:
        """Edges of one configuration.

        Parameters
        ----------
        positions : Tensor, shape (n_beads, 3)
            nm, unwrapped, so that beads of one molecule are close to each other.
        cutoff : float
            nm.
        box_vectors : Tensor, shape (3, 3), optional
            nm, rows.

        Raises
        ------
        UserError
            If the cutoff exceeds half the smallest height of the box.
        """
        if box_vectors is None and self.is_small:
            separations = positions[self.others[1]] - positions[self.others[0]]
            near = separations.square().sum(dim=1) < cutoff**2
            others, separations = self.others[:, near], separations[near]
        else:
            others, separations = self._search(positions, cutoff, box_vectors)
        bonded = positions[self.bonded[1]] - positions[self.bonded[0]]
        return Edges(
            torch.cat([self.bonded, others], dim=1),
            torch.cat([bonded, separations]).to(torch.float32),
            torch.cat([self.bonded_kinds, torch.full((others.shape[1],), WITHIN_CUTOFF)]),
        )

    def _search(self, positions: Tensor, cutoff: float, box_vectors: Tensor | None) -> tuple[Tensor, Tensor]:
        periodic = box_vectors is not None
        box = np.zeros((3, 3)) if box_vectors is None else box_vectors.numpy().astype(np.float64)
        if periodic and cutoff > 0.5 * (height := box_heights(box).min()):
            raise UserError(
                f"the cutoff of {cutoff:g} nm exceeds half of the smallest box height ({height:g} nm): use a larger box"
            )
        points = positions.numpy().astype(np.float64)
        search = vesin.NeighborList(cutoff=cutoff, full_list=True)
        sender, receiver, vectors, shifts = search.compute(points, box, periodic, quantities="ijDS")
        sender, receiver = sender.astype(np.int64), receiver.astype(np.int64)
        direct = (shifts == 0).all(axis=1)
        keep = ~(direct & np.isin(sender * self.n_beads + receiver, self._bonded_keys))
        return torch.from_numpy(np.stack([sender[keep], receiver[keep]])), torch.from_numpy(vectors[keep])


def box_heights(box_vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distances between opposite faces of the box, shape (3,)."""
    return 1.0 / np.linalg.norm(np.linalg.inv(box_vectors), axis=0)


def join(parts: Sequence[Edges], n_beads: Sequence[int]) -> Edges:
    """Edges of several systems as one graph; the beads of a system follow those of the system before."""
    offsets = np.cumsum([0, *n_beads[:-1]])
    return Edges(
        torch.cat([part.pairs + int(offset) for part, offset in zip(parts, offsets, strict=True)], dim=1),
        torch.cat([part.separations for part in parts]),
        torch.cat([part.kinds for part in parts]),
    )


class BatchedGraph:
    """Edges of many systems at once, as one graph.

    Small systems without a box are searched together in one vectorised pass; others one by one.

    Parameters
    ----------
    graphs : sequence of BeadGraph
    cutoff : float
        nm.
    box_vectors : sequence of Tensor or None
        Box of each system, nm.
    """

    def __init__(
        self, graphs: Sequence[BeadGraph], cutoff: float, box_vectors: Sequence[Tensor | None] | None = None
    ) -> None:
        self.graphs = list(graphs)
        self.cutoff = cutoff
        self.boxes = list(box_vectors) if box_vectors is not None else [None] * len(self.graphs)
        self.sizes = [graph.n_beads for graph in self.graphs]
        self._together = all(box is None for box in self.boxes) and all(graph.is_small for graph in self.graphs)
        if self._together:
            offsets = np.cumsum([0, *self.sizes[:-1]]).tolist()
            shifted = list(zip(self.graphs, offsets, strict=True))
            self._bonded = torch.cat([graph.bonded + offset for graph, offset in shifted], dim=1)
            self._others = torch.cat([graph.others + offset for graph, offset in shifted], dim=1)
            self._kinds = torch.cat(
                [*(graph.bonded_kinds for graph in self.graphs), torch.zeros(self._others.shape[1], dtype=torch.int64)]
            )
            self._all = torch.cat([self._bonded, self._others], dim=1)
            self._always = self._kinds > 0

    def edges(self, positions: Tensor, cutoff: float | None = None) -> Edges:
        """Edges of the joined system; positions (n_beads in all, 3) in nm; within another cutoff than the graph's, if given."""
        cutoff = self.cutoff if cutoff is None else cutoff
        if self._together:
            separations = positions.index_select(0, self._all[1]) - positions.index_select(0, self._all[0])
            near = (separations.square().sum(dim=1) < cutoff**2) | self._always
            keep = near.nonzero().squeeze(1)
            return Edges(
                self._all.index_select(1, keep),
                separations.index_select(0, keep).to(torch.float32),
                self._kinds.index_select(0, keep),
            )
        parts = [
            graph.edges(own, cutoff, box)
            for graph, own, box in zip(self.graphs, positions.split(self.sizes), self.boxes, strict=True)
        ]
        return join(parts, self.sizes)
