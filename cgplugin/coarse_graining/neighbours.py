"""Edges of the bead graph: CG bonds, their next-nearest neighbours, and all pairs within the cutoff."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import coo_matrix
from torch import Tensor

from .coarsening import CoarseGraining
from .verlet_list import VerletList, check_cutoff, lattice_shift, squared_length

ALL_PAIRS_LIMIT = 128
"""Up to this many beads, all pairs of a system are tried: cheaper than building cells, and many systems are tried at once."""

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
        All other pairs i < j, where the system is small; empty otherwise.
    """

    n_beads: int
    bonded: Tensor = field(repr=False)
    bonded_kinds: Tensor = field(repr=False)
    others: Tensor = field(repr=False)

    @classmethod
    def of(cls, cg: CoarseGraining) -> "BeadGraph":
        """Find the pairs one and two CG bonds apart."""
        n, (i, j) = cg.n_beads, cg.bonds.T
        ones = np.ones(2 * len(i), dtype=np.int32)
        joined = coo_matrix((ones, (np.r_[i, j], np.r_[j, i])), shape=(n, n)).tocsr()
        apart = (joined @ joined).tocoo()
        keys = apart.row.astype(np.int64) * n + apart.col
        first = np.array(joined.nonzero(), dtype=np.int64)
        second = keys[(apart.row != apart.col) & ~np.isin(keys, first[0] * n + first[1])]
        bonded = np.concatenate([first, np.stack(np.divmod(np.sort(second), n))], axis=1)
        kinds = np.repeat([BONDED, NEXT_NEAREST], [first.shape[1], len(second)])
        others = np.empty((2, 0), dtype=np.int64)
        if n <= ALL_PAIRS_LIMIT:  # as in is_small
            free = np.triu(np.ones((n, n), dtype=bool), k=1)
            free[bonded[0], bonded[1]] = False
            others = np.array(free.nonzero(), dtype=np.int64)
        return cls(n, torch.from_numpy(bonded), torch.from_numpy(kinds), torch.from_numpy(others))

    @property
    def is_small(self) -> bool:
        """Whether all pairs are candidates."""
        return self.n_beads <= ALL_PAIRS_LIMIT

    def verlet_list(self, cutoff: float, box_vectors: Tensor | None = None, skin: float | None = None) -> VerletList:
        """A neighbour list of the pairs that are not close along the CG bonds; see `VerletList`."""
        i, j = self.bonded.numpy()
        return VerletList(self.n_beads, cutoff, box_vectors, np.sort((i * self.n_beads + j)[i < j]), skin)

    def edges_of_frames(self, positions: Tensor, cutoff: float, box_vectors: Tensor | None = None) -> Edges:
        """Edges of many configurations of a small system, as one graph.

        Parameters
        ----------
        positions : Tensor of float64, shape (n_frames, n_beads, 3)
            nm, unwrapped, so that beads of one molecule are close to each other.
        cutoff : float
            nm.
        box_vectors : Tensor of float64, shape (n_frames, 3, 3), optional
            nm, rows.

        Raises
        ------
        UserError
            If the cutoff exceeds half the smallest height of a box.
        """
        boxes = None
        if box_vectors is not None:
            check_cutoff(cutoff, box_vectors.numpy())
            boxes = list(box_vectors)
        candidates = _AllPairs.of([self] * len(positions), boxes)
        return candidates.edges(positions.reshape(-1, 3), cutoff)

    def edges(
        self,
        positions: Tensor,
        cutoff: float,
        box_vectors: Tensor | None = None,
        neighbours: VerletList | None = None,
    ) -> Edges:
        """Edges of one configuration.

        Parameters
        ----------
        positions : Tensor of float64, shape (n_beads, 3)
            nm, unwrapped, so that beads of one molecule are close to each other.
        cutoff : float
            nm.
        box_vectors : Tensor of float64, shape (3, 3), optional
            nm, rows.
        neighbours : VerletList, optional
            To go on with, of a system that is not small; see `verlet_list`.

        Raises
        ------
        UserError
            If the cutoff exceeds half the smallest height of the box.
        """
        if self.is_small:
            boxes = None if box_vectors is None else box_vectors.unsqueeze(0)
            return self.edges_of_frames(positions.unsqueeze(0), cutoff, boxes)
        if neighbours is None:
            # a single configuration: no bead moves after it
            neighbours = self.verlet_list(cutoff, box_vectors, skin=0.0)
        pairs, separations = neighbours.find(positions)
        separations = separations.to(torch.float32)
        bonded = positions.index_select(0, self.bonded[1]) - positions.index_select(0, self.bonded[0])
        return Edges(
            torch.cat([self.bonded, pairs, pairs.flip(0)], dim=1),
            torch.cat([bonded.to(torch.float32), separations, -separations]),
            torch.cat([self.bonded_kinds, torch.full((2 * pairs.shape[1],), WITHIN_CUTOFF)]),
        )


@dataclass(frozen=True)
class _AllPairs:
    """All pairs of one or several small systems as candidates for edges.

    Attributes
    ----------
    bonded : Tensor, shape (2, n)
        Both directions of pairs close along the CG bonds, which always are edges.
    bonded_kinds : Tensor, shape (n,)
    free : Tensor, shape (2, m)
        All others, each once; in a box then those close along the bonds once more, since another image may be within the
        cutoff.
    n_others : int
        Free pairs that are not close along the bonds.
    boxes : _Boxes or None
        Of the free pairs.
    """

    bonded: Tensor
    bonded_kinds: Tensor
    free: Tensor
    n_others: int
    boxes: "_Boxes | None"

    @classmethod
    def of(cls, graphs: Sequence[BeadGraph], box_vectors: Sequence[Tensor] | None = None) -> "_AllPairs":
        """Candidates of systems whose beads follow each other, each in its own box or all without."""
        offsets = np.cumsum([0, *(graph.n_beads for graph in graphs[:-1])]).tolist()
        shifted = list(zip(graphs, offsets, strict=True))
        bonded = torch.cat([graph.bonded + offset for graph, offset in shifted], dim=1)
        others = torch.cat([graph.others + offset for graph, offset in shifted], dim=1)
        kinds = torch.cat([graph.bonded_kinds for graph in graphs])
        n_others = others.shape[1]
        if box_vectors is None:
            return cls(bonded, kinds, others, n_others, None)
        again = bonded[:, bonded[0] < bonded[1]]
        systems = torch.arange(len(graphs)).repeat_interleave(torch.tensor([graph.n_beads for graph in graphs]))
        free = torch.cat([others, again], dim=1)
        return cls(bonded, kinds, free, n_others, _Boxes.of(box_vectors, systems[free[0]]))

    def edges(self, positions: Tensor, cutoff: float) -> Edges:
        """Edges of the joined systems at positions (n_beads, 3), float64, nm."""
        separations = positions.index_select(0, self.free[1]) - positions.index_select(0, self.free[0])
        if self.boxes is None:
            near = squared_length(separations) < cutoff**2
        else:
            images = self.boxes.nearest_images(separations)
            separations -= self.boxes.shifts(images)
            near = squared_length(separations) < cutoff**2
            near[self.n_others :] &= images[self.n_others :].any(dim=-1)
        keep = near.nonzero().squeeze(1)
        pairs = self.free.index_select(1, keep)
        separations = separations.index_select(0, keep).to(torch.float32)
        bonded = positions.index_select(0, self.bonded[1]) - positions.index_select(0, self.bonded[0])
        within = torch.full((2 * pairs.shape[1],), WITHIN_CUTOFF)
        return Edges(
            torch.cat([self.bonded, pairs, pairs.flip(0)], dim=1),
            torch.cat([bonded.to(torch.float32), separations, -separations]),
            torch.cat([self.bonded_kinds, within]),
        )


@dataclass(frozen=True)
class _Boxes:
    """Boxes of many pairs, in the cheapest form.

    Attributes
    ----------
    vectors, inverse : Tensor of float64
        Lengths and their inverses, shape (1 or n, 3), where all boxes are orthorhombic; else matrices, shape (1 or n, 3, 3).
    """

    vectors: Tensor
    inverse: Tensor

    @classmethod
    def of(cls, box_vectors: Sequence[Tensor], system: Tensor) -> "_Boxes":
        """Boxes (3, 3) of the systems that the pairs are in."""
        matrices = torch.stack(list(box_vectors))
        lengths = torch.diagonal(matrices, dim1=-2, dim2=-1)
        orthorhombic = torch.equal(torch.diag_embed(lengths), matrices)
        vectors, inverse = (lengths, 1 / lengths) if orthorhombic else (matrices, torch.linalg.inv(matrices))
        if bool((matrices == matrices[0]).all()):
            return cls(vectors[:1], inverse[:1])
        return cls(vectors[system], inverse[system])

    def nearest_images(self, separations: Tensor) -> Tensor:
        """Images (n, 3) to take off separations (n, 3); exact up to half the smallest height."""
        if self.inverse.dim() == 2:
            return torch.round(separations * self.inverse)
        return torch.round(_times(separations, self.inverse))

    def shifts(self, images: Tensor) -> Tensor:
        """Lattice vectors (n, 3) of images, nm."""
        return images * self.vectors if self.vectors.dim() == 2 else _times(images, self.vectors)


def _times(rows: Tensor, matrices: Tensor) -> Tensor:
    """Products of rows (n, 3) and matrices (1 or n, 3, 3); see `lattice_shift`."""
    return lattice_shift(rows.unsqueeze(1), matrices).squeeze(1)


def join(parts: Sequence[Edges], n_beads: Sequence[int]) -> Edges:
    """Edges of several systems as one graph; the beads of a system follow those of the system before."""
    offsets = np.cumsum([0, *n_beads[:-1]])
    return Edges(
        torch.cat([part.pairs + int(offset) for part, offset in zip(parts, offsets, strict=True)], dim=1),
        torch.cat([part.separations for part in parts]),
        torch.cat([part.kinds for part in parts]),
    )


class BatchedGraph:
    """Edges of many systems at once, as one graph, in successive configurations.

    Small systems are tried together in one vectorised pass; others one by one, large ones with a neighbour list each.

    Parameters
    ----------
    graphs : sequence of BeadGraph
    cutoff : float
        nm.
    box_vectors : sequence of (Tensor of float64, shape (3, 3), or None), optional
        Box of each system, nm.

    Raises
    ------
    UserError
        If the cutoff exceeds half the smallest height of a box.
    """

    def __init__(
        self, graphs: Sequence[BeadGraph], cutoff: float, box_vectors: Sequence[Tensor | None] | None = None
    ) -> None:
        self.graphs = list(graphs)
        self.cutoff = cutoff
        self.boxes = list(box_vectors) if box_vectors is not None else [None] * len(self.graphs)
        self.sizes = [graph.n_beads for graph in self.graphs]
        for box in self.boxes:
            if box is not None:
                check_cutoff(cutoff, box.numpy())
        boxed = [box for box in self.boxes if box is not None]
        together = all(graph.is_small for graph in self.graphs) and len(boxed) in (0, len(self.boxes))
        self._candidates = _AllPairs.of(self.graphs, boxed or None) if together else None
        self._lists = [
            None if graph.is_small else graph.verlet_list(cutoff, box)
            for graph, box in zip(self.graphs, self.boxes, strict=True)
        ]

    def edges(self, positions: Tensor) -> Edges:
        """Edges of the joined system; positions (n_beads in all, 3) in nm."""
        if self._candidates is not None:
            return self._candidates.edges(positions, self.cutoff)
        own = zip(self.graphs, positions.split(self.sizes), self.boxes, self._lists, strict=True)
        return join([graph.edges(x, self.cutoff, box, neighbours) for graph, x, box, neighbours in own], self.sizes)
