"""Edges of the bead graph: CG bonds, their next-nearest neighbours, and all pairs within the cutoff."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import coo_matrix
from torch import Tensor

from .coarsening import CoarseGraining
from .pair_boxes import PairBoxes
from .verlet_list import VerletList, check_cutoff, sees_several_images, squared_length

ALL_PAIRS_LIMIT = 128
"""Up to this many beads, all pairs of a system are tried: cheaper than building cells, and many systems are tried at once."""

WITHIN_CUTOFF, BONDED, NEXT_NEAREST, BETWEEN_IONS = 0, 1, 2, 3
"""Edge kinds; see `cgplugin.networks.dynamics.DynamicsGNN`, and of the last `cgplugin.networks.score.ScoreGNN`."""


def along_bonds(kinds: Tensor) -> Tensor:
    """Which edges of these kinds join beads one or two CG bonds apart: those whose noise may be correlated."""
    return ((kinds == BONDED) | (kinds == NEXT_NEAREST)).nonzero().squeeze(1)


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
    ions : Tensor of bool, shape (n_beads,)
        Beads that are a molecule of their own.
    """

    n_beads: int
    bonded: Tensor = field(repr=False)
    bonded_kinds: Tensor = field(repr=False)
    others: Tensor = field(repr=False)
    ions: Tensor = field(repr=False)

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
        ions = (np.bincount(cg.molecules) == 1)[cg.molecules]
        return cls(n, *(torch.from_numpy(array) for array in (bonded, kinds, others, ions)))

    @property
    def is_small(self) -> bool:
        """Whether all pairs are candidates."""
        return self.n_beads <= ALL_PAIRS_LIMIT

    def verlet_list(self, cutoff: float, box_vectors: Tensor | None = None, skin: float | None = None) -> VerletList:
        """A neighbour list of the pairs that are not close along the CG bonds; see `VerletList`."""
        i, j = self.bonded.numpy()
        return VerletList(self.n_beads, cutoff, box_vectors, np.sort((i * self.n_beads + j)[i < j]), skin)

    def edges_of_frames(
        self,
        positions: Tensor,
        cutoff: float,
        box_vectors: Tensor | None = None,
        ion_cutoff: float | None = None,
    ) -> Edges:
        """Edges of many configurations of a small system, as one graph.

        Parameters
        ----------
        positions : Tensor of float64, shape (n_frames, n_beads, 3)
            nm, unwrapped, so that beads of one molecule are close to each other.
        cutoff : float
            nm.
        box_vectors : Tensor of float64, shape (n_frames, 3, 3), optional
            nm, rows.
        ion_cutoff : float, optional
            Of pairs of ions, nm; if given, their edges are of kind `BETWEEN_IONS`. In a box less than twice as wide, two ions
            have an edge for each image within the cutoff.

        Raises
        ------
        UserError
            If a box is too small for a cutoff; see `cgplugin.coarse_graining.verlet_list.check_cutoff`.
        """
        boxes = None
        if box_vectors is not None:
            check_cutoff(cutoff, box_vectors.numpy(), ion_cutoff)
            boxes = list(box_vectors)
        candidates = _AllPairs.of([self] * len(positions), cutoff, boxes, ion_cutoff)
        return candidates.edges(positions.reshape(-1, 3))

    def edges(
        self,
        positions: Tensor,
        cutoff: float,
        box_vectors: Tensor | None = None,
        neighbours: "NeighbourLists | None" = None,
        ion_cutoff: float | None = None,
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
        neighbours : NeighbourLists, optional
            To go on with, of a system that is not small, with the same cutoffs.
        ion_cutoff : float, optional
            See `edges_of_frames`.

        Raises
        ------
        UserError
            As `edges_of_frames`.
        """
        if self.is_small:
            boxes = None if box_vectors is None else box_vectors.unsqueeze(0)
            return self.edges_of_frames(positions.unsqueeze(0), cutoff, boxes, ion_cutoff)
        if neighbours is None:
            # a single configuration: no bead moves after it
            neighbours = NeighbourLists(self, cutoff, box_vectors, ion_cutoff, skin=0.0)
        pairs, separations, kinds = neighbours.find(positions)
        separations = separations.to(torch.float32)
        bonded = positions.index_select(0, self.bonded[1]) - positions.index_select(0, self.bonded[0])
        return Edges(
            torch.cat([self.bonded, pairs, pairs.flip(0)], dim=1),
            torch.cat([bonded.to(torch.float32), separations, -separations]),
            torch.cat([self.bonded_kinds, kinds, kinds]),
        )


class NeighbourLists:
    """Neighbour lists of a system that is not small: of all its beads, and of its ions where they have a cutoff of their own.

    Parameters
    ----------
    graph : BeadGraph
    cutoff : float
        nm.
    box_vectors : Tensor of float64, shape (3, 3), optional
        nm, rows.
    ion_cutoff : float, optional
        nm.
    skin : float, optional
        nm; see `VerletList`.

    Raises
    ------
    UserError
        If the box is too small for a cutoff; see `cgplugin.coarse_graining.verlet_list.check_cutoff`.
    """

    def __init__(
        self,
        graph: BeadGraph,
        cutoff: float,
        box_vectors: Tensor | None = None,
        ion_cutoff: float | None = None,
        skin: float | None = None,
    ) -> None:
        self._all = graph.verlet_list(cutoff, box_vectors, skin)
        self._are_ions = graph.ions
        self._ions = graph.ions.nonzero().squeeze(1)
        self._between_ions = (
            None
            if ion_cutoff is None
            else VerletList(len(self._ions), ion_cutoff, box_vectors, skin=skin, several_images=True)
        )

    def find(self, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pairs (2, n_pairs), separations (n_pairs, 3) and kinds (n_pairs,); see `VerletList.find`."""
        pairs, separations = self._all.find(positions)
        kinds = torch.full((pairs.shape[1],), WITHIN_CUTOFF)
        if self._between_ions is None or len(self._ions) < 2:
            return pairs, separations, kinds
        others = (~(self._are_ions[pairs[0]] & self._are_ions[pairs[1]])).nonzero().squeeze(1)
        of_ions, between = self._between_ions.find(positions.index_select(0, self._ions))
        return (
            torch.cat([pairs.index_select(1, others), self._ions[of_ions]], dim=1),
            torch.cat([separations.index_select(0, others), between]),
            torch.cat([kinds.index_select(0, others), torch.full((len(between),), BETWEEN_IONS)]),
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
    boxes : PairBoxes or None
        Of the free pairs.
    squared_cutoffs : Tensor, shape (m,) or ()
        Of the free pairs.
    free_kinds : Tensor, shape (m,)
        Of the edges that they may be.
    far : Tensor, shape (n,)
        Free pairs several images of which may be within their cutoff.
    far_boxes : PairBoxes or None
        Of these pairs, where there are any.
    ion_cutoff : float
        Of these pairs, nm.
    """

    bonded: Tensor
    bonded_kinds: Tensor
    free: Tensor
    n_others: int
    boxes: PairBoxes | None
    squared_cutoffs: Tensor
    free_kinds: Tensor
    far: Tensor
    far_boxes: PairBoxes | None
    ion_cutoff: float

    @classmethod
    def of(
        cls,
        graphs: Sequence[BeadGraph],
        cutoff: float,
        box_vectors: Sequence[Tensor] | None = None,
        ion_cutoff: float | None = None,
    ) -> "_AllPairs":
        """Candidates of systems whose beads follow each other, each in its own box or all without."""
        offsets = np.cumsum([0, *(graph.n_beads for graph in graphs[:-1])]).tolist()
        shifted = list(zip(graphs, offsets, strict=True))
        bonded = torch.cat([graph.bonded + offset for graph, offset in shifted], dim=1)
        others = torch.cat([graph.others + offset for graph, offset in shifted], dim=1)
        kinds = torch.cat([graph.bonded_kinds for graph in graphs])
        n_others = others.shape[1]
        free, boxes = others, None
        if box_vectors is not None:
            again = bonded[:, bonded[0] < bonded[1]]
            systems = torch.arange(len(graphs)).repeat_interleave(torch.tensor([graph.n_beads for graph in graphs]))
            free = torch.cat([others, again], dim=1)
            boxes = PairBoxes.of_systems(box_vectors, systems[free[0]])
        squared = torch.tensor(cutoff**2, dtype=torch.float64)
        free_kinds = torch.full((free.shape[1],), WITHIN_CUTOFF)
        if ion_cutoff is not None:
            ions = torch.cat([graph.ions for graph in graphs])
            between = ions[free[0]] & ions[free[1]]
            squared = torch.where(between, ion_cutoff**2, squared)
            free_kinds[between] = BETWEEN_IONS
        far, far_boxes = torch.empty(0, dtype=torch.int64), None
        reach = ion_cutoff or cutoff
        # without ions' own cutoff never: that of all beads is half a box at most
        if boxes is not None and any(sees_several_images(reach, box.numpy()) for box in box_vectors or ()):
            far = (free_kinds == BETWEEN_IONS).nonzero().squeeze(1)
            far_boxes = boxes.of(far)
        return cls(bonded, kinds, free, n_others, boxes, squared, free_kinds, far, far_boxes, reach)

    def edges(self, positions: Tensor) -> Edges:
        """Edges of the joined systems at positions (n_beads, 3), float64, nm."""
        separations = positions.index_select(0, self.free[1]) - positions.index_select(0, self.free[0])
        if self.boxes is None:
            near = squared_length(separations) < self.squared_cutoffs
        else:
            images = self.boxes.nearest_images(separations)
            separations -= self.boxes.shifts(images)
            near = squared_length(separations) < self.squared_cutoffs
            near[self.n_others :] &= images[self.n_others :].any(dim=-1)
        keep = near.nonzero().squeeze(1)
        kept = separations.index_select(0, keep)
        if self.far_boxes is not None:
            of_far, further = self.far_boxes.further_images(separations.index_select(0, self.far), self.ion_cutoff)
            keep, kept = torch.cat([keep, self.far.index_select(0, of_far)]), torch.cat([kept, further])
        separations = kept.to(torch.float32)
        pairs = self.free.index_select(1, keep)
        bonded = positions.index_select(0, self.bonded[1]) - positions.index_select(0, self.bonded[0])
        kinds = self.free_kinds.index_select(0, keep)
        return Edges(
            torch.cat([self.bonded, pairs, pairs.flip(0)], dim=1),
            torch.cat([bonded.to(torch.float32), separations, -separations]),
            torch.cat([self.bonded_kinds, kinds, kinds]),
        )


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
    ion_cutoff : float, optional
        Of pairs of ions, nm; if given, their edges are of kind `BETWEEN_IONS`.

    Raises
    ------
    UserError
        If a box is too small for a cutoff; see `cgplugin.coarse_graining.verlet_list.check_cutoff`.
    """

    def __init__(
        self,
        graphs: Sequence[BeadGraph],
        cutoff: float,
        box_vectors: Sequence[Tensor | None] | None = None,
        ion_cutoff: float | None = None,
    ) -> None:
        self.graphs = list(graphs)
        self.cutoff, self.ion_cutoff = cutoff, ion_cutoff
        self.boxes = list(box_vectors) if box_vectors is not None else [None] * len(self.graphs)
        self.sizes = [graph.n_beads for graph in self.graphs]
        for box in self.boxes:
            if box is not None:
                check_cutoff(cutoff, box.numpy(), ion_cutoff)
        boxed = [box for box in self.boxes if box is not None]
        together = all(graph.is_small for graph in self.graphs) and len(boxed) in (0, len(self.boxes))
        self._candidates = _AllPairs.of(self.graphs, cutoff, boxed or None, ion_cutoff) if together else None
        self._lists = [
            None if graph.is_small else NeighbourLists(graph, cutoff, box, ion_cutoff)
            for graph, box in zip(self.graphs, self.boxes, strict=True)
        ]

    def edges(self, positions: Tensor) -> Edges:
        """Edges of the joined system; positions (n_beads in all, 3) in nm."""
        if self._candidates is not None:
            return self._candidates.edges(positions)
        own = zip(self.graphs, positions.split(self.sizes), self.boxes, self._lists, strict=True)
        return join(
            [graph.edges(x, self.cutoff, box, lists, self.ion_cutoff) for graph, x, box, lists in own], self.sizes
        )
