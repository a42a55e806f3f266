"""Mean squared displacements per species, accumulated frame by frame, and the diffusivities that follow."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cgplugin.errors import UserError

from .multiple_tau import MultipleTauBuffer

Array = NDArray[np.float64]

LONGEST_LAG = 0.1
"""Longest lag of the fit as a share of the run: there are then nine independent displacements for the error."""

SHORTEST_LAG = 0.25
"""Shortest lag of the fit as a share of the longest."""

MINIMUM_BLOCKS, MAXIMUM_BLOCKS = 4, 16
"""Blocks of time origins in an error; with fewer it is not known."""


@dataclass(frozen=True)
class Diffusivity:
    """Diffusion coefficient from the slope of a mean squared displacement, 6 D t + constant.

    Attributes
    ----------
    value, error : float
        nm^2/ps, and its standard error from blocks of time origins; NaN where the run is too short.
    intercept : float
        Constant of the fit, nm^2: what rattles without going anywhere.
    exponent : float
        Of the power of time that the displacement follows within the range of the fit: 1 for diffusion; below, the
        particles are still held by what surrounds them, and the value is an upper bound.
    first_lag, last_lag : float
        Range of the fit, ps.
    n_blocks : int
    """

    value: float = math.nan
    error: float = math.nan
    intercept: float = math.nan
    exponent: float = math.nan
    first_lag: float = math.nan
    last_lag: float = math.nan
    n_blocks: int = 0


@dataclass(frozen=True)
class MeanSquaredDisplacements:
    """Mean squared displacements of the species of a run.

    Attributes
    ----------
    species : tuple of str
    n_points : tuple of int
        Points (molecules) of each species.
    interval : float
        Time between frames, ps.
    n_frames : int
    lags : array of int, shape (n_lags,)
        In frames.
    series : tuple of arrays, each of shape (n_origins, n_species)
        For each lag, the squared displacement that starts at each time origin, averaged over the points, nm^2.
    end_to_end : array, shape (n_species,)
        |x_T - x_0|^2 between the last frame and the first, averaged over the points, nm^2.
    end_to_end_error : array, shape (n_species,)
        Its standard error from the spread over the points.
    """

    species: tuple[str, ...]
    n_points: tuple[int, ...]
    interval: float
    n_frames: int
    lags: NDArray[np.int64] = field(repr=False)
    series: tuple[Array, ...] = field(repr=False)
    end_to_end: Array = field(repr=False)
    end_to_end_error: Array = field(repr=False)

    @property
    def times(self) -> Array:
        """Lags in ps."""
        return self.interval * self.lags.astype(np.float64)

    @property
    def duration(self) -> float:
        """Time from the first frame to the last, ps."""
        return self.interval * (self.n_frames - 1)

    def values(self, species: str) -> Array:
        """Mean squared displacement at every lag, nm^2."""
        n = self._index(species)
        return np.array([series[:, n].mean() for series in self.series])

    def errors(self, species: str) -> Array:
        """Standard errors of `values` from blocks of time origins; NaN at lags too long for `MINIMUM_BLOCKS` of them."""
        n = self._index(species)
        errors = []
        for lag, series in zip(self.lags.tolist(), self.series, strict=True):
            blocks = self._n_blocks(lag)
            means = np.array([part.mean() for part in np.array_split(series[:, n], blocks)]) if blocks else np.empty(0)
            errors.append(self._error_of_mean(means, lag))
        return np.array(errors)

    def apparent_diffusivity(self, species: str) -> Array:
        """Mean squared displacement over 6 t at every lag, nm^2/ps: the curve whose decay the paper's Fig. 5a shows."""
        return self.values(species) / (6 * self.times)

    def end_to_end_diffusivity(self, species: str) -> tuple[float, float]:
        """|x_T - x_0|^2 / 6T of the whole run, averaged over the species (paper, Methods), and its standard error, nm^2/ps.

        One displacement per particle: the error is that from their spread, as if they moved independently.
        """
        n = self._index(species)
        scale = 1 / (6 * self.duration)
        return float(self.end_to_end[n]) * scale, float(self.end_to_end_error[n]) * scale

    def diffusivity(self, species: str, first_lag: float | None = None, last_lag: float | None = None) -> Diffusivity:
        """Fit a line to the mean squared displacement over a range of lags.

        Weights are 1/t^2, as errors grow about in proportion to the displacement. The line is fitted to every block of
        time origins as well, and the standard error is that of the mean of these slopes. Blocks as long as the longest
        lag t are not quite independent: displacements from two origins that are u < t apart share a part of the path, and
        the squares of Gaussian ones correlate as (1 - u/t)^2. Means over blocks of length b then have 1 - t/4b of the
        variance that independent ones would need to give the variance of the whole, which is corrected for.

        Parameters
        ----------
        species : str
        first_lag, last_lag : float, optional
            ps; by default the last is `LONGEST_LAG` of the run, and the first `SHORTEST_LAG` of that.

        Returns
        -------
        Diffusivity
            NaN throughout if there are less than three lags in the range.
        """
        n = self._index(species)
        last = LONGEST_LAG * self.duration if last_lag is None else last_lag
        available = self.times[self.times <= last * (1 + 1e-9)]
        if len(available) == 0:
            return Diffusivity()
        first = SHORTEST_LAG * float(available[-1]) if first_lag is None else first_lag
        chosen = np.flatnonzero((self.times >= first * (1 - 1e-9)) & (self.times <= last * (1 + 1e-9)))
        if len(chosen) < 3:
            return Diffusivity()
        times, longest = self.times[chosen], int(self.lags[chosen[-1]])
        displacements = np.array([self.series[lag][:, n].mean() for lag in chosen])
        slope, intercept = np.polyfit(times, displacements, 1, w=1 / times)
        exponent = np.polyfit(np.log(times), np.log(displacements), 1)[0] if displacements.all() else math.nan
        n_blocks = self._n_blocks(longest)
        means = [[part.mean() for part in np.array_split(self.series[lag][:, n], max(n_blocks, 1))] for lag in chosen]
        slopes = np.polyfit(times, np.array(means), 1, w=1 / times)[0]
        return Diffusivity(
            float(slope) / 6,
            self._error_of_mean(slopes[:n_blocks], longest) / 6,
            float(intercept),
            float(exponent),
            float(times[0]),
            float(times[-1]),
            n_blocks,
        )

    def _n_blocks(self, lag: int) -> int:
        """Blocks of time origins that are as long as the lag; 0 if there are too few."""
        n_blocks = min((self.n_frames - lag) // lag, MAXIMUM_BLOCKS)
        return n_blocks if n_blocks >= MINIMUM_BLOCKS else 0

    def _error_of_mean(self, blocks: Array, lag: int) -> float:
        """Standard error of the mean over blocks of time origins, see `diffusivity`."""
        n = len(blocks)
        if n < MINIMUM_BLOCKS:
            return math.nan
        overlap = lag * n / (self.n_frames - lag)
        return float(blocks.std(ddof=1)) / math.sqrt(n * (1 - overlap / 4))

    def _index(self, species: str) -> int:
        if species not in self.species:
            raise UserError(f"there is no species {species!r}: there are {', '.join(self.species)}")
        return self.species.index(species)


class DisplacementAccumulator:
    """Squared displacements per species at lags from one frame to the whole run, from a stream of frames.

    Memory: some tens of frames and a number per lag, species and time origin; see `MultipleTauBuffer`.

    Parameters
    ----------
    names : sequence of str, length n
        Species of each point.
    interval : float
        Time between frames, ps.
    """

    def __init__(self, names: Sequence[str], interval: float) -> None:
        self._species = tuple(dict.fromkeys(names))
        self._owner = np.array([self._species.index(name) for name in names], dtype=np.int64)
        self._counts = np.bincount(self._owner)
        self._interval = interval
        self._buffer: MultipleTauBuffer[Array] = MultipleTauBuffer()
        self._series: defaultdict[int, list[Array]] = defaultdict(list)
        self._first = self._last = np.empty((0, 3))
        self._n_frames = 0

    def update(self, positions: Array) -> None:
        """Add a frame: unwrapped positions (n, 3) in nm, without the drift of the system."""
        frame = np.array(positions, dtype=np.float64)
        if self._n_frames == 0:
            self._first = frame
        for lag, earlier in self._buffer.push(frame):
            self._series[lag].append(self._mean(_squared_distances(frame, earlier)))
        self._last = frame
        self._n_frames += 1

    def result(self) -> MeanSquaredDisplacements:
        """What was seen so far."""
        lags = sorted(self._series)
        whole = _squared_distances(self._last, self._first)
        mean = self._mean(whole)
        with np.errstate(invalid="ignore", divide="ignore"):
            # NaN for a lone molecule, whose spread is not known
            variance = np.bincount(self._owner, weights=(whole - mean[self._owner]) ** 2) / (self._counts - 1)
            error = np.sqrt(variance / self._counts)
        return MeanSquaredDisplacements(
            self._species,
            tuple(self._counts.tolist()),
            self._interval,
            self._n_frames,
            np.array(lags, dtype=np.int64),
            tuple(np.array(self._series[lag]) for lag in lags),
            mean,
            error,
        )

    def _mean(self, values: Array) -> Array:
        means: Array = np.bincount(self._owner, weights=values) / self._counts
        return means


def _squared_distances(first: Array, second: Array) -> Array:
    difference = first - second
    squared: Array = np.einsum("nd,nd->n", difference, difference)
    return squared


def transference_number(
    diffusivities: dict[str, Diffusivity], n_ions: dict[str, int], charges: dict[str, float]
) -> tuple[float, float]:
    """Cation transference number after Nernst and Einstein, and its standard error.

    t+ = sum_cations N z^2 D / sum_ions N z^2 D; for a salt of two ions of equal charge D+ / (D+ + D-). Correlations between
    ions are neglected, which is what the approximation means.

    Parameters
    ----------
    diffusivities : dict of Diffusivity
        Of every ionic species.
    n_ions : dict of int
        Ions of each.
    charges : dict of float
        Net charge of each, of any unit.
    """
    weight = {name: n_ions[name] * charges[name] ** 2 for name in diffusivities}
    cations = sum(weight[name] * d.value for name, d in diffusivities.items() if charges[name] > 0)
    anions = sum(weight[name] * d.value for name, d in diffusivities.items() if charges[name] < 0)
    total = cations + anions
    if not total > 0:
        return math.nan, math.nan
    # dt+ = (anions dC - cations dA) / total^2, with independent errors
    variance = sum(
        ((anions if charges[name] > 0 else cations) * weight[name] * d.error) ** 2 for name, d in diffusivities.items()
    )
    return cations / total, math.sqrt(variance) / total**2
