"""Neighbour list with a skin: pairs of beads within a cutoff, found in linear time and kept while they are sure to be all.

Periodic or not, orthorhombic or triclinic; the pairs of a large system come from cell lists (`vesin`).
"""

import math

import numpy as np
import torch
import vesin
from numpy.typing import NDArray
from torch import Tensor

from cgplugin.errors import UserError
from cgplugin.systems.periodic import box_heights

SEARCH_COST = 10.0
"""Finding and sorting a candidate pair takes this many times as long as filtering it (measured: benchmarks/scaling)."""

SKINS = (0.1, 0.2, 0.3, 0.5)
"""Skins to choose from, in units of the cutoff."""

MARGIN = 1e-9
"""Relative room for rounding in the search, so that a pair just at the rim cannot be missed."""


def sees_several_images(cutoff: float, box_vectors: NDArray[np.float64]) -> bool:
    """Whether, in a box of (..., 3, 3), a bead could be within the cutoff (nm) of two images of another."""
    return bool(cutoff > 0.5 * box_heights(box_vectors).min())


def check_cutoff(cutoff: float, box_vectors: NDArray[np.float64], ion_cutoff: float | None = None) -> None:
    """Check that boxes are wide enough.

    Parameters
    ----------
    cutoff : float
        nm; within it a bead must not see two images of another.
    box_vectors : array of shape (..., 3, 3)
        nm.
    ion_cutoff : float, optional
        nm; within it an ion may see several images of another, but none of itself.

    Raises
    ------
    UserError
        If the cutoff exceeds half the smallest height of a box, or the ion cutoff all of it.
    """
    height = box_heights(box_vectors).min()
    if sees_several_images(cutoff, box_vectors):
        raise UserError(
            f"the cutoff of {cutoff:g} nm exceeds half of the smallest box height ({height:g} nm): use a larger box"
        )
    if ion_cutoff is not None and ion_cutoff > height:
        raise UserError(
            f"the ion cutoff of {ion_cutoff:g} nm exceeds the smallest box height ({height:g} nm): use a larger box"
        )


def lattice_shift(images: Tensor, box_vectors: Tensor) -> Tensor:
    """Lattice vectors of integer images (..., n, 3) in boxes (..., 3, 3), nm.

    Not a matrix product: BLAS may round a row differently in another company of rows, and restarts would not be exact.
    """
    a, b, c = (images[..., k : k + 1] * box_vectors[..., k : k + 1, :] for k in range(3))
    return a + b + c


def squared_length(vectors: Tensor) -> Tensor:
    """Squared lengths of vectors (..., 3); each the same to the last bit in whatever company, see `lattice_shift`."""
    x, y, z = vectors.unbind(-1)
    return x * x + y * y + z * z


def choose_skin(cutoff: float, step: float) -> float:
    """Skin that makes neighbours cheapest when the fastest bead moves by ``step`` between calls; 0 if none pays off.

    A skin s multiplies the candidates by (1 + s / cutoff)^3, and lets a list serve 1 + floor(s / 2 step) calls.

    Parameters
    ----------
    cutoff, step : float
        nm.
    """

    def cost(skin: float) -> float:
        calls = 1 + skin // (2 * step) if step > 0 else math.inf
        return (1 + skin / cutoff) ** 3 * (SEARCH_COST / (calls if skin else 1) + 1)

    return min((0.0, *(fraction * cutoff for fraction in SKINS)), key=cost)


class VerletList:
    """Pairs within the cutoff in successive configurations of one system.

    Candidates within cutoff + skin are found by cell lists, and used again until a bead has moved by more than half the skin
    since. The skin adapts to how far beads move between calls (`choose_skin`); beads that move by a large part of the
    cutoff, as in long learned steps, have none. It never shows in the result: the pairs, their order and every bit of their
    separations are those of a fresh search.

    Parameters
    ----------
    n_beads : int
    cutoff : float
        nm.
    box_vectors : Tensor of float64, shape (3, 3), optional
        nm, rows.
    excluded : array of int64
        Sorted keys ``i * n_beads + j``, i < j, of pairs that are not wanted; other images of the same two beads are.
    skin : float, optional
        nm; fixed instead of adapted.
    several_images : bool
        Whether two beads may be a pair in several images; no bead ever is one with an image of its own.

    Raises
    ------
    UserError
        If the cutoff exceeds half the smallest height of the box; with several images, all of it.

    Notes
    -----
    Verlet, Phys. Rev. 159, 98 (1967); cell lists: `vesin`.
    """

    def __init__(
        self,
        n_beads: int,
        cutoff: float,
        box_vectors: Tensor | None = None,
        excluded: NDArray[np.int64] | None = None,
        skin: float | None = None,
        several_images: bool = False,
    ) -> None:
        if box_vectors is not None:
            within_half = 0.0 if several_images else cutoff
            check_cutoff(within_half, box_vectors.numpy(), ion_cutoff=cutoff)
        self.n_beads, self.cutoff, self.box_vectors = n_beads, cutoff, box_vectors
        self.n_builds = 0
        self.skin = skin or 0.0
        self._adapts = skin is None
        self._several_images = several_images
        self._excluded = np.empty(0, dtype=np.int64) if excluded is None else excluded
        self._at_build: Tensor | None = None
        self._last: Tensor | None = None
        self._pairs = torch.empty(2, 0, dtype=torch.int64)
        self._shifts: Tensor | None = None

    def find(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Pairs within the cutoff.

        Parameters
        ----------
        positions : Tensor of float64, shape (n_beads, 3)
            nm, unwrapped or not.

        Returns
        -------
        pairs : Tensor of int64, shape (2, n_pairs)
            i and j with i < j, each pair of images once, in ascending order.
        separations : Tensor of float64, shape (n_pairs, 3)
            x_j - x_i, nm, of these images.
        """
        if self._is_stale(positions):
            if self._adapts and self._last is not None:
                step = squared_length(positions - self._last).max().sqrt()
                self.skin = choose_skin(self.cutoff, float(step))
            self._build(positions)
        self._last = positions
        separations = positions.index_select(0, self._pairs[1]) - positions.index_select(0, self._pairs[0])
        if self._shifts is not None:
            separations += self._shifts
        near = (squared_length(separations) < self.cutoff**2).nonzero().squeeze(1)
        return self._pairs.index_select(1, near), separations.index_select(0, near)

    def _is_stale(self, positions: Tensor) -> bool:
        if self._at_build is None or self.skin == 0:
            return True
        moved = squared_length(positions - self._at_build).max()
        # not a number is not within the skin either
        return not bool(moved <= (0.5 * self.skin) ** 2)

    def _build(self, positions: Tensor) -> None:
        points = positions.numpy().astype(np.float64)
        images = np.zeros((self.n_beads, 3))
        box = np.zeros((3, 3))
        if self.box_vectors is not None:
            box = self.box_vectors.numpy()
            images = np.floor(points @ np.linalg.inv(box))
            points = points - lattice_shift(torch.from_numpy(images), self.box_vectors).numpy()
        reach = (self.cutoff + self.skin) * (1 + MARGIN)
        search = vesin.NeighborList(cutoff=reach, full_list=False)
        pairs, shifts = search.compute(points, box, self.box_vectors is not None, quantities="PS")
        first, second = pairs.astype(np.int64).T
        swapped = first > second
        first, second = np.where(swapped, second, first), np.where(swapped, first, second)
        keys = first * self.n_beads + second
        # a bead's own images are beyond the cutoff, and only a skin can reach them
        if self.box_vectors is None:
            order = np.argsort(keys, kind="stable")
            order = order[~_contains(self._excluded, keys[order])]
        else:
            shifts = np.where(swapped[:, None], -shifts, shifts) + images[first] - images[second]
            # with one image of each pair their keys are all that orders them, in less than half the time
            order = np.lexsort((*shifts.T, keys)) if self._several_images else np.argsort(keys, kind="stable")
            order = order[first[order] < second[order]]
            shifts = shifts[order]
            wanted = ~(_contains(self._excluded, keys[order]) & ~shifts.any(axis=1))
            order = order[wanted]
            self._shifts = lattice_shift(torch.from_numpy(shifts[wanted]), self.box_vectors)
        self._pairs = torch.from_numpy(np.stack([first[order], second[order]]))
        self._at_build = positions.clone()
        self.n_builds += 1


def _contains(sorted_keys: NDArray[np.int64], keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each key is among sorted ones; both in ascending order."""
    if not len(sorted_keys):
        return np.zeros(len(keys), dtype=bool)
    places = np.searchsorted(sorted_keys, keys)
    return np.asarray(sorted_keys[np.minimum(places, len(sorted_keys) - 1)] == keys)
