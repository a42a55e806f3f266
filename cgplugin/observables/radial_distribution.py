"""Radial distribution functions and coordination numbers per pair of kinds, accumulated frame by frame."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cgplugin.errors import UserError

from .first_shell import FirstShell, find_first_shell, smooth_rdf, standard_errors
from .pairs import NearPairs, PairKinds

Array = NDArray[np.float64]

BLOCKS = 16
"""Blocks of frames for errors: from this many to twice as many."""


@dataclass(frozen=True)
class RadialDistributions:
    """Radial distribution functions g(r) of all pairs of kinds.

    Attributes
    ----------
    kinds : PairKinds
    edges : array, shape (n_bins + 1,)
        Edges of the bins, nm.
    counts : array, shape (n_pair_kinds, n_bins)
        Pairs of particles seen, summed over frames.
    expected : array, shape (n_pair_kinds, n_bins)
        The same for an ideal gas of as many particles in the same boxes.
    n_frames : int
    block_counts, block_expected : array, shape (n_blocks, n_pair_kinds, n_bins)
        The same in equal, successive blocks of frames, which the errors are from; frames after the last are in none.
    """

    kinds: PairKinds
    edges: Array = field(repr=False)
    counts: Array = field(repr=False)
    expected: Array = field(repr=False)
    n_frames: int
    block_counts: Array = field(repr=False)
    block_expected: Array = field(repr=False)

    @property
    def centres(self) -> Array:
        """Centres of the bins, nm."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])

    def g(self, first: str, second: str) -> Array:
        """Density of ``second`` at a distance from ``first`` over its mean density, shape (n_bins,).

        NaN where there is no such pair of particles at all.
        """
        pair = self.kinds.index(first, second)
        if self.kinds.n_pairs[pair] == 0:
            return np.full(self.counts.shape[1], np.nan)
        return self.counts[pair] / self.expected[pair]

    def error(self, first: str, second: str) -> Array:
        """Standard error of `g`, shape (n_bins,): from blocks of frames, and at least that of counting pairs."""
        pair = self.kinds.index(first, second)
        return standard_errors(
            np.eye(self.counts.shape[1]),
            self.counts[pair],
            self.expected[pair],
            self.block_counts[:, pair],
            self.block_expected[:, pair],
        )

    def coordination(self, centre: str, neighbour: str) -> Array:
        """Running coordination number n(r): how many ``neighbour`` are within the upper edge of each bin of a ``centre``."""
        seen = np.cumsum(self.counts[self.kinds.index(centre, neighbour)]) * (2 if centre == neighbour else 1)
        return seen / (self.kinds.counts[self.kinds.kinds.index(centre)] * self.n_frames)

    def first_shell(self, centre: str, neighbour: str) -> FirstShell:
        """First peak, first minimum and the coordination number up to there; see `find_first_shell`."""
        pair = self.kinds.index(centre, neighbour)
        return find_first_shell(
            self.edges,
            self.counts[pair],
            self.expected[pair],
            self.block_counts[:, pair],
            self.block_expected[:, pair],
            self.coordination(centre, neighbour),
        )

    def smooth(self, first: str, second: str) -> Array:
        """Smoothed g, as `first_shell` looks at it, shape (n_bins,); NaN where hardly any pair was there."""
        pair = self.kinds.index(first, second)
        if not self.expected[pair].all():
            return np.full(self.counts.shape[1], np.nan)
        return smooth_rdf(
            self.edges,
            self.counts[pair],
            self.expected[pair],
            self.block_counts[:, pair],
            self.block_expected[:, pair],
        )

    def distance_at(self, coordination: float, centre: str, neighbour: str) -> float:
        """Distance at which n(r) reaches a value, interpolated within the bin; NaN if it never does, nm."""
        reached = np.concatenate([[0.0], self.coordination(centre, neighbour)])
        if not reached[-1] >= coordination:
            return float("nan")
        after = int(np.searchsorted(reached, coordination))
        low, high = reached[after - 1], reached[after]
        return float(self.edges[after - 1] + np.diff(self.edges)[after - 1] * (coordination - low) / (high - low))


class RadialDistributionAccumulator:
    """Counts pairs by distance, frame by frame; cost linear in the pairs.

    All pairs count, those within a molecule too, as in ``mdtraj.compute_rdf``. The normalisation is the ratio of pairs seen
    to those of an ideal gas, n_pairs * volume of the shell / volume of the box, both summed over frames.

    Parameters
    ----------
    kinds : PairKinds
    edges : array, shape (n_bins + 1,)
        Edges of the bins, nm, increasing from 0 or above; `NearPairs` must reach up to the last.
    """

    def __init__(self, kinds: PairKinds, edges: Array) -> None:
        edges = np.asarray(edges, dtype=np.float64)
        if edges.ndim != 1 or len(edges) < 2 or edges[0] < 0 or not (np.diff(edges) > 0).all():
            raise UserError("the edges of the bins of an RDF must be two or more distances that increase")
        self._kinds, self._edges = kinds, edges
        self._counts = np.zeros((len(kinds.pairs), len(edges) - 1))
        self._inverse_volume = 0.0
        self._n_frames = 0
        self._blocks: list[tuple[Array, float]] = []
        self._block_frames = 1

    def update(self, pairs: NearPairs) -> None:
        """Add a frame."""
        bins = np.searchsorted(self._edges, pairs.distances, side="right") - 1
        inside = (bins >= 0) & (bins < len(self._edges) - 1)
        cell = self._kinds.of_pairs(pairs.first[inside], pairs.second[inside]) * (len(self._edges) - 1) + bins[inside]
        self._counts += np.bincount(cell, minlength=self._counts.size).reshape(self._counts.shape)
        self._inverse_volume += 1 / pairs.volume
        self._n_frames += 1
        if self._n_frames % self._block_frames == 0:
            self._blocks.append((self._counts.copy(), self._inverse_volume))
            if len(self._blocks) == 2 * BLOCKS:
                # sums up to the end of every second block: blocks twice as long
                self._blocks = self._blocks[1::2]
                self._block_frames *= 2

    def result(self) -> RadialDistributions:
        """What was counted so far."""
        shells = 4 / 3 * np.pi * np.diff(self._edges**3)
        ideal = self._kinds.n_pairs[:, None] * shells
        sums = np.stack([np.zeros_like(self._counts), *(counts for counts, _ in self._blocks)])
        volumes = np.diff([0.0, *(inverse_volume for _, inverse_volume in self._blocks)])
        return RadialDistributions(
            self._kinds,
            self._edges,
            self._counts.copy(),
            ideal * self._inverse_volume,
            self._n_frames,
            np.diff(sums, axis=0),
            ideal * volumes[:, None, None],
        )
