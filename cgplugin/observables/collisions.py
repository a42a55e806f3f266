"""Bead collisions: pairs of particles that are closer than they should be, counted frame by frame."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cgplugin.errors import UserError

from .pairs import NearPairs, PairKinds
from .radial_distribution import RadialDistributions

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

REFERENCE_RATE = 1e-3
"""Collisions per frame and particle of the rarer kind in reference data, which `collision_distances` is to leave."""


@dataclass(frozen=True)
class Collisions:
    """Collisions in every frame of a run.

    Attributes
    ----------
    kinds : PairKinds
    distances : array, shape (n_pair_kinds,)
        Below which two particles collide, nm; NaN for pairs of kinds that are not counted.
    counts : array of int, shape (n_frames, n_pair_kinds)
    """

    kinds: PairKinds
    distances: Array = field(repr=False)
    counts: Integers = field(repr=False)

    @property
    def total(self) -> Integers:
        """Collisions of all kinds in every frame, shape (n_frames,)."""
        return self.counts.sum(axis=1)

    def of(self, first: str, second: str) -> Integers:
        """Collisions of a pair of kinds in every frame, shape (n_frames,)."""
        return self.counts[:, self.kinds.index(first, second)]


class CollisionAccumulator:
    """Counts the pairs of particles closer than a distance that depends on their kinds; bonded pairs count as well.

    The paper counts any two beads closer than 0.1 nm (Fig. 4c). Beads of other size and softness need other distances, and
    each pair of kinds its own: see `collision_distances`.

    Parameters
    ----------
    kinds : PairKinds
    distances : mapping from pairs of kinds to float
        nm, in either order of the kinds. Pairs of kinds that are not in it are not counted.
    """

    def __init__(self, kinds: PairKinds, distances: Mapping[tuple[str, str], float]) -> None:
        self._kinds = kinds
        self._distances = np.full(len(kinds.pairs), np.nan)
        for (first, second), distance in distances.items():
            if not distance > 0:
                raise UserError(f"the collision distance of {first} and {second} is {distance}, expected more than 0")
            self._distances[kinds.index(first, second)] = distance
        self._counts: list[Integers] = []

    @property
    def cutoff(self) -> float:
        """Distance up to which pairs are needed, nm."""
        return float(np.nanmax(self._distances, initial=0.0))

    def update(self, pairs: NearPairs) -> None:
        """Add a frame; the pairs must reach up to `cutoff`."""
        near = pairs.distances < self.cutoff
        kind = self._kinds.of_pairs(pairs.first[near], pairs.second[near])
        colliding = kind[pairs.distances[near] < self._distances[kind]]
        self._counts.append(np.bincount(colliding, minlength=len(self._distances)))

    def result(self) -> Collisions:
        """What was counted so far."""
        counts = np.array(self._counts, dtype=np.int64).reshape(-1, len(self._distances))
        return Collisions(self._kinds, self._distances, counts)


def collision_distances(reference: RadialDistributions, rate: float = REFERENCE_RATE) -> dict[tuple[str, str], float]:
    """Distances that particles of reference data hardly ever come below, for each pair of kinds.

    A pair of kinds has on average ``rate`` collisions per frame and particle of its rarer kind, so that the reference has a
    small rate of collisions, which is known, and which a simulation can be compared with. The smallest distance seen would
    depend on how long one looks.

    Returns
    -------
    dict
        nm; without the pairs of kinds that do not come that close within the range of the reference.
    """
    kinds = reference.kinds
    number = dict(zip(kinds.kinds, kinds.counts.tolist(), strict=True))
    distances = {}
    for a, b in kinds.pairs:
        rarer, other = (a, b) if number[a] <= number[b] else (b, a)
        # each collision of equal particles is one of both
        coordination = 2 * rate if a == b else rate
        distance = reference.distance_at(coordination, rarer, other)
        if np.isfinite(distance):
            distances[a, b] = distance
    return distances
