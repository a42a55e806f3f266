"""Neighbour search in plain torch operations, so that an exported step needs no other library.

`cgplugin.coarse_graining.neighbours` finds the same edges faster, by cell lists of a library that a TorchScript file cannot
bring along.
"""

import itertools

import torch
from torch import Tensor, nn

from cgplugin.coarse_graining.neighbours import ALL_PAIRS_LIMIT, BETWEEN_IONS, WITHIN_CUTOFF, BeadGraph
from cgplugin.coarse_graining.verlet_list import sees_several_images

STENCIL = [cell for cell in itertools.product((-1, 0, 1), repeat=3) if cell >= (0, 0, 0)]
"""The own cell and one of each two opposite neighbours: every pair of cells once."""


class AllPairs(nn.Module):
    """Pairs within the cutoff out of all pairs: for small systems.

    Parameters
    ----------
    graph : BeadGraph
        A small one; see `BeadGraph.is_small`.
    cutoff : float
        nm, up to half the smallest height of the box.
    box_vectors : Tensor of float64, shape (3, 3), or None
        nm, rows.
    """

    candidates: Tensor
    bonded: Tensor
    box: Tensor | None
    inverse_box: Tensor | None

    def __init__(self, graph: BeadGraph, cutoff: float, box_vectors: Tensor | None) -> None:
        super().__init__()
        self.squared_cutoff = cutoff**2
        # in a box, another image of a pair that is close along the bonds may be within the cutoff as well
        again = graph.bonded[:, graph.bonded[0] < graph.bonded[1]]
        again = again if box_vectors is not None else again[:, :0]
        self.register_buffer("candidates", torch.cat([graph.others, again], dim=1))
        self.register_buffer("bonded", torch.arange(self.candidates.shape[1]) >= graph.others.shape[1])
        self.register_buffer("box", box_vectors)
        self.register_buffer("inverse_box", None if box_vectors is None else torch.linalg.inv(box_vectors))

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Pairs i, j (2, n_pairs) and separations x_j - x_i (n_pairs, 3) of beads at positions (n_beads, 3), nm.

        Pairs close along the bonds are left out, other images of the same two beads are not.
        """
        i, j = self.candidates[0], self.candidates[1]
        separations = positions.index_select(0, j) - positions.index_select(0, i)
        box, inverse_box = self.box, self.inverse_box
        if box is not None and inverse_box is not None:
            # exact up to half the smallest height of the box
            images = torch.round(separations @ inverse_box)
            separations = separations - images @ box
            wanted = ~(self.bonded & (images == 0).all(dim=1))
        else:
            wanted = ~self.bonded
        near = (wanted & (separations.square().sum(dim=1) < self.squared_cutoff)).nonzero().squeeze(1)
        return self.candidates.index_select(1, near), separations.index_select(0, near)


class CellList(nn.Module):
    """Pairs within the cutoff in linear time, by cells at least as wide as the cutoff; of two beads, all images within it.

    Without a box, one is put around the beads, so wide that none is within the cutoff of another's image.

    Parameters
    ----------
    graph : BeadGraph
    cutoff : float
        nm, up to the smallest height of the box.
    box_vectors : Tensor of float64, shape (3, 3), or None
        nm, rows.

    Notes
    -----
    Allen and Tildesley, Computer Simulation of Liquids, section 5.3.2; here for a box of any shape, and without a loop.
    """

    stencil: Tensor
    bonded_keys: Tensor
    box: Tensor | None

    def __init__(self, graph: BeadGraph, cutoff: float, box_vectors: Tensor | None) -> None:
        super().__init__()
        self.cutoff = cutoff
        # more cells than beads would cost memory and find nothing faster
        self.most_cells = int(graph.n_beads ** (1 / 3)) + 1
        self.register_buffer("stencil", torch.tensor(STENCIL))
        self.register_buffer("bonded_keys", graph.bonded[0] * graph.n_beads + graph.bonded[1])
        self.register_buffer("box", box_vectors)

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Pairs and separations; see `AllPairs.forward`."""
        n_beads, n_stencil = positions.size(0), self.stencil.size(0)
        origin = torch.zeros_like(positions[0])
        box = self.box
        if box is None:
            origin = positions.amin(dim=0)
            box = torch.diag(positions.amax(dim=0) - origin + self.cutoff)
        inverse_box = torch.linalg.inv(box)
        fractions = (positions - origin) @ inverse_box
        images = fractions.floor()
        heights = 1 / inverse_box.square().sum(dim=0).sqrt()
        n_cells = (heights / self.cutoff).floor().clamp(1, self.most_cells).to(torch.int64)
        # rounding can put a bead just below the upper face upon it
        cells = torch.minimum(((fractions - images) * n_cells).to(torch.int64), n_cells - 1)

        strides = torch.stack([n_cells[1] * n_cells[2], n_cells[2], torch.ones_like(n_cells[0])])
        keys = (cells * strides).sum(dim=1)
        order = keys.argsort()
        counts = torch.bincount(keys, minlength=int(n_cells.prod()))
        starts = counts.cumsum(0) - counts

        neighbours = (cells.unsqueeze(1) + self.stencil).reshape(-1, 3)
        shifts = torch.div(neighbours, n_cells, rounding_mode="floor")
        neighbour_keys = ((neighbours - shifts * n_cells) * strides).sum(dim=1)
        found = counts.index_select(0, neighbour_keys)
        # a row for each bead in each neighbouring cell of each bead
        rows = torch.repeat_interleave(found)
        rank = torch.arange(rows.size(0), device=rows.device) - (found.cumsum(0) - found).index_select(0, rows)
        i = torch.div(rows, n_stencil, rounding_mode="floor")
        j = order.index_select(0, starts.index_select(0, neighbour_keys.index_select(0, rows)) + rank)

        image = shifts.index_select(0, rows) + images.index_select(0, i) - images.index_select(0, j)
        separations = positions.index_select(0, j) - positions.index_select(0, i) + image @ box
        near = separations.square().sum(dim=1) < self.cutoff**2
        # in the own cell each pair is found twice, and every bead finds itself
        own_cell = (self.stencil == 0).all(dim=1).index_select(0, rows - i * n_stencil)
        near = (near & ~(own_cell & (i >= j))).nonzero().squeeze(1)
        i, j, separations = i.index_select(0, near), j.index_select(0, near), separations.index_select(0, near)
        direct = (image.index_select(0, near) == 0).all(dim=1)
        wanted = (~(direct & torch.isin(i * n_beads + j, self.bonded_keys))).nonzero().squeeze(1)
        pairs = torch.stack([i, j]).index_select(1, wanted)
        return pairs, separations.index_select(0, wanted)


class BeadEdges(nn.Module):
    """Edges of one system; what `BeadGraph.edges` gives, in another order.

    Parameters
    ----------
    graph : BeadGraph
    cutoff : float
        nm.
    box_vectors : Tensor of float64, shape (3, 3), or None
        nm, rows.
    ion_cutoff : float, optional
        Of pairs of ions, nm; if given, their edges are of kind `BETWEEN_IONS`.
    """

    bonded: Tensor
    bonded_kinds: Tensor
    are_ions: Tensor
    ions: Tensor

    def __init__(
        self, graph: BeadGraph, cutoff: float, box_vectors: Tensor | None, ion_cutoff: float | None = None
    ) -> None:
        super().__init__()
        self.search = _search(graph, cutoff, box_vectors)
        self.within_cutoff, self.between_ions = WITHIN_CUTOFF, BETWEEN_IONS
        ions = graph.ions.nonzero().squeeze(1)
        self.ions_apart = ion_cutoff is not None and len(ions) > 1
        self.ion_search = _search(_without_bonds(len(ions)), ion_cutoff or cutoff, box_vectors)
        self.register_buffer("are_ions", graph.ions)
        self.register_buffer("ions", ions)
        self.register_buffer("bonded", graph.bonded)
        self.register_buffer("bonded_kinds", graph.bonded_kinds)

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pairs, separations and kinds (see `cgplugin.coarse_graining.neighbours.Edges`) at positions (n_beads, 3), nm."""
        pairs, separations = self.search(positions)
        kinds = torch.full_like(pairs[0], self.within_cutoff)
        if self.ions_apart:
            both = self.are_ions.index_select(0, pairs[0]) & self.are_ions.index_select(0, pairs[1])
            others = (~both).nonzero().squeeze(1)
            of_ions, between = self.ion_search(positions.index_select(0, self.ions))
            own = torch.stack([self.ions.index_select(0, of_ions[0]), self.ions.index_select(0, of_ions[1])])
            pairs = torch.cat([pairs.index_select(1, others), own], dim=1)
            separations = torch.cat([separations.index_select(0, others), between])
            kinds = torch.cat([kinds.index_select(0, others), torch.full_like(own[0], self.between_ions)])
        separations = separations.to(torch.float32)
        bonded = positions.index_select(0, self.bonded[1]) - positions.index_select(0, self.bonded[0])
        return (
            torch.cat([self.bonded, pairs, pairs.flip(0)], dim=1),
            torch.cat([bonded.to(torch.float32), separations, -separations]),
            torch.cat([self.bonded_kinds, kinds, kinds]),
        )


def _search(graph: BeadGraph, cutoff: float, box_vectors: Tensor | None) -> AllPairs | CellList:
    several_images = box_vectors is not None and sees_several_images(cutoff, box_vectors.numpy())
    kind = AllPairs if graph.is_small and not several_images else CellList
    return kind(graph, cutoff, box_vectors)


def _without_bonds(n_beads: int) -> BeadGraph:
    """Graph of beads none of which are bonded."""
    small = n_beads <= ALL_PAIRS_LIMIT
    none = torch.empty(2, 0, dtype=torch.int64)
    pairs = torch.triu_indices(n_beads, n_beads, 1) if small else none
    return BeadGraph(n_beads, none, none[0], pairs, torch.ones(n_beads, dtype=torch.bool))
