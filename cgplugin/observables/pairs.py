"""Pairs of particles within a distance of each other, which several observables share."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import vesin
from numpy.typing import NDArray

from cgplugin.errors import UserError
from cgplugin.systems.periodic import box_heights

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class NearPairs:
    """Pairs of particles that are closer than a cutoff in one frame, each pair once.

    Attributes
    ----------
    first, second : array of int, shape (n_pairs,)
        Particles.
    distances : array, shape (n_pairs,)
        nm, of nearest images.
    volume : float
        Of the box, nm^3.
    """

    first: Integers = field(repr=False)
    second: Integers = field(repr=False)
    distances: Array = field(repr=False)
    volume: float


def near_pairs(positions: Array, box_vectors: Array, cutoff: float) -> NearPairs:
    """Find pairs by cell lists (vesin): cost linear in particles at given density and cutoff, for any triclinic box.

    Parameters
    ----------
    positions : array, shape (n, 3)
        nm, any images.
    box_vectors : array, shape (3, 3)
        nm, rows.
    cutoff : float
        nm, at most half the smallest height of the box.

    Raises
    ------
    UserError
        If the cutoff exceeds half the smallest height of the box, where a particle would meet two images of another.
    """
    half = 0.5 * float(box_heights(box_vectors).min())
    # boxes read from files in single precision
    if cutoff > half * (1 + 1e-6):
        raise UserError(f"the range of {cutoff:g} nm exceeds half of the smallest box height ({2 * half:g} nm)")
    search = vesin.NeighborList(cutoff=min(cutoff, half), full_list=False)
    first, second, distances = search.compute(positions, box_vectors, True, quantities="ijd")
    volume = abs(float(np.linalg.det(box_vectors)))
    return NearPairs(first.astype(np.int64), second.astype(np.int64), distances, volume)


@dataclass(frozen=True)
class PairKinds:
    """Unordered pairs of kinds of particles.

    Attributes
    ----------
    kinds : tuple of str
        Distinct, in the order in which they are shown.
    of_particles : array of int, shape (n,)
        Kind of each particle, an index into ``kinds``.
    """

    kinds: tuple[str, ...]
    of_particles: Integers = field(repr=False)

    @classmethod
    def of(cls, names: Sequence[str], order: Sequence[str] = ()) -> "PairKinds":
        """Kinds of particles from a name per particle; in the given order, or that of first appearance."""
        kinds = tuple(order) or tuple(dict.fromkeys(names))
        number = {kind: n for n, kind in enumerate(kinds)}
        return cls(kinds, np.array([number[name] for name in names], dtype=np.int64))

    @cached_property
    def counts(self) -> Integers:
        """Particles of each kind, shape (n_kinds,)."""
        return np.bincount(self.of_particles, minlength=len(self.kinds))

    @cached_property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Pairs of kinds, each once: (A, A), (A, B), ..., (B, B), ..."""
        return tuple((a, b) for n, a in enumerate(self.kinds) for b in self.kinds[n:])

    @cached_property
    def n_pairs(self) -> Array:
        """Pairs of different particles of each pair of kinds, shape (n_pair_kinds,)."""
        number = dict(zip(self.kinds, self.counts.tolist(), strict=True))
        return np.array(
            [number[a] * (number[a] - 1) / 2 if a == b else number[a] * number[b] for a, b in self.pairs], dtype=float
        )

    def index(self, first: str, second: str) -> int:
        """Index of a pair of kinds into ``pairs``, in either order.

        Raises
        ------
        UserError
            If a kind is not there.
        """
        for kind in (first, second):
            if kind not in self.kinds:
                raise UserError(f"there are no particles of kind {kind!r}: there are {', '.join(self.kinds)}")
        if self.kinds.index(first) > self.kinds.index(second):
            first, second = second, first
        return self.pairs.index((first, second))

    def of_pairs(self, first: Integers, second: Integers) -> Integers:
        """Index into ``pairs`` for each pair of particles, shape (n_pairs,)."""
        return self._table[self.of_particles[first], self.of_particles[second]]

    @cached_property
    def _table(self) -> Integers:
        n = len(self.kinds)
        table = np.zeros((n, n), dtype=np.int64)
        i, j = np.triu_indices(n)
        table[i, j] = table[j, i] = np.arange(len(i))
        return table
