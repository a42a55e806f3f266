"""Ion pairs: how long a cation stays with an anion."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .multiple_tau import MultipleTauBuffer
from .pairs import NearPairs

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class IonPairs:
    """Residence of cations and anions with each other.

    Attributes
    ----------
    radius : float
        Distance below which two ions are a pair, nm.
    n_pairs : float
        Mean number of pairs in a frame.
    times : array, shape (n_lags + 1,)
        ps, from 0.
    correlation : array, shape (n_lags + 1,)
        C(t): probability that two ions that are a pair are one a time t later, whatever they did in between.
    random : float
        What C(t) decays to: the probability that any cation and any anion are a pair.
    """

    radius: float
    n_pairs: float
    times: Array = field(repr=False)
    correlation: Array = field(repr=False)
    random: float

    @property
    def residence(self) -> Array:
        """(C(t) - random) / (1 - random), which goes from 1 to 0; NaN if all ions are pairs all the time."""
        scale = 1 - self.random
        return (self.correlation - self.random) / scale if scale > 0 else np.full(len(self.times), np.nan)

    @property
    def lifetime(self) -> float:
        """Time in which the residence correlation falls to 1/e, on a logarithmic scale between lags, ps.

        NaN if it does not within the run, or there were no pairs. If it has at the first lag, the frames are too far apart,
        and the value is an extrapolation from zero.
        """
        values = self.residence
        below = np.flatnonzero(values < math.exp(-1))
        if len(below) == 0:
            return math.nan
        after = int(below[0])
        low, high = float(values[after]), float(values[after - 1])
        # where noise has made the correlation negative there is no logarithm
        part = (math.log(high) + 1) / math.log(high / low) if low > 0 else (high - math.exp(-1)) / (high - low)
        return float(self.times[after - 1] + part * (self.times[after] - self.times[after - 1]))


class IonPairAccumulator:
    """Correlates the contacts of cations and anions, frame by frame.

    The correlation is the intermittent one (Rapaport, Mol. Phys. 50, 1151, 1983): a pair that parts and comes together again
    counts as one. The continuous one, which ends with the first parting, depends on how often frames were recorded, so
    that learned steps and MD could not be compared.

    Parameters
    ----------
    cations, anions : sequence of bool, length n
        Whether each particle is part of a cation, of an anion.
    molecules : array of int, shape (n,)
        Ions of several particles are in contact where any two particles are.
    radius : float
        Distance of contact, nm: where the first shell ends.
    interval : float
        Time between frames, ps.
    """

    def __init__(
        self, cations: Sequence[bool], anions: Sequence[bool], molecules: Integers, radius: float, interval: float
    ) -> None:
        self._cation, self._anion = np.asarray(cations, dtype=bool), np.asarray(anions, dtype=bool)
        self._molecules = np.asarray(molecules, dtype=np.int64)
        self._n_molecules = int(self._molecules.max()) + 1
        self.radius, self._interval = radius, interval
        self._buffer: MultipleTauBuffer[Integers] = MultipleTauBuffer()
        self._kept: defaultdict[int, int] = defaultdict(int)
        self._began: defaultdict[int, int] = defaultdict(int)
        self._n_pairs = self._n_frames = 0

    def update(self, pairs: NearPairs) -> None:
        """Add a frame; the pairs must reach up to the radius."""
        near = pairs.distances < self.radius
        first, second = pairs.first[near], pairs.second[near]
        forward, backward = self._cation[first] & self._anion[second], self._anion[first] & self._cation[second]
        cation = self._molecules[np.concatenate([first[forward], second[backward]])]
        anion = self._molecules[np.concatenate([second[forward], first[backward]])]
        contacts = np.unique(cation * self._n_molecules + anion)
        for lag, earlier in self._buffer.push(contacts):
            self._kept[lag] += len(np.intersect1d(earlier, contacts, assume_unique=True))
            self._began[lag] += len(earlier)
        self._n_pairs += len(contacts)
        self._n_frames += 1

    def result(self) -> IonPairs:
        """What was seen so far."""
        lags = [lag for lag in sorted(self._began) if self._began[lag]]
        possible = len(np.unique(self._molecules[self._cation])) * len(np.unique(self._molecules[self._anion]))
        return IonPairs(
            self.radius,
            self._n_pairs / max(self._n_frames, 1),
            self._interval * np.array([0, *lags]),
            np.array([1.0, *(self._kept[lag] / self._began[lag] for lag in lags)]),
            self._n_pairs / max(self._n_frames * possible, 1),
        )
