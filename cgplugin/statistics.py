"""Statistics of correlated time series: autocorrelation, relaxation, errors of means, distributions."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, optimize, stats

Array = NDArray[np.float64]

MINIMUM_RELAXATIONS = 25
"""A series shorter than this many of its apparent relaxation times says nothing about them: the mean that is taken off
is that of the series itself, so that even a random walk seems to relax, within 1/4 to 1/17 of its length."""

MINIMUM_SAMPLES = 20
"""With fewer effective samples than this an estimated error of the mean is only a lower bound."""

FIT_RANGE = 0.1
"""The exponential is fitted to where the autocorrelation first falls below this: beyond, it is mostly noise."""


def autocorrelation(series: ArrayLike, power: int = 1) -> Array:
    """Normalised autocorrelation function, <da(t) da(t + lag)> / <da^2> with da = a - <a>.

    Every lag is averaged over the pairs that there are ("unbiased"), so that the noise grows with the lag.

    Parameters
    ----------
    series : array, shape (n,)
    power : int
        The observable is the series to this power. The formula in the paper (Methods, relaxation of Rg^2) has
        <Rg^2(t)^2 Rg^2(t + y)^2>: it is that of Rg^4, ``power=2`` for a series of Rg^2. The default is the series itself, the
        usual definition; it is what reproduces the relaxation times of the reference data (see `relaxation_time`).

    Returns
    -------
    array, shape (n,)
        One at lag zero; NaN throughout if the series is constant.
    """
    values = np.asarray(series, dtype=np.float64) ** power
    n = len(values)
    deviations = values - values.mean()
    variance = float(deviations @ deviations) / n
    # what rounding makes of equal values is no fluctuation
    if math.sqrt(variance) <= 8 * np.finfo(np.float64).eps * float(np.abs(values).max()):
        return np.full(n, np.nan)
    size = fft.next_fast_len(2 * n, real=True)
    spectrum = fft.rfft(deviations, size)
    raw = fft.irfft(spectrum * spectrum.conj(), size)[:n]
    return raw / (variance * np.arange(n, 0, -1))


@dataclass(frozen=True)
class Relaxation:
    """Relaxation of a time series.

    Attributes
    ----------
    time : float
        Time in which the autocorrelation falls to 1/e; NaN if it cannot be told.
    error : float
        Its standard error, as of an exponential decay.
    fitted_time : float
        Time in which the exponential that is fitted to the autocorrelation falls to 1/e.
    reason : str
        Why the times are unknown; empty otherwise.
    """

    time: float
    error: float
    fitted_time: float
    reason: str = ""

    @classmethod
    def unknown(cls, reason: str) -> "Relaxation":
        """No time can be told."""
        return cls(math.nan, math.nan, math.nan, reason)


def relaxation_time(series: ArrayLike, interval: float, power: int = 1) -> Relaxation:
    """Relaxation time: when the autocorrelation has decayed to 1/e, and from an exponential fit to it.

    The paper fits exp(-t / tau) and then speaks of the time "when the ACF decays to 1/e". For an exponential the two agree;
    for the reference polymers the fit gives times shorter by up to a tenth or longer by as much. ``time`` is the crossing
    itself, interpolated between lags, because it has no fitting range to choose; and because of the 40 reference polymers,
    whose shortest relaxation time is given as 66 tau, the fastest has 65.6 by this definition, at most 62.6 by a fit,
    and at most 61.9 with ``power=2``.

    ``error`` follows from Bartlett's formula for the variance of an estimated autocorrelation, which for an exponential decay
    at lag tau is (1 - 3 / e^2) tau / T over a length T; over the slope 1 / (e tau) this is 2.1 tau sqrt(tau / T).

    Parameters
    ----------
    series : array, shape (n,)
    interval : float
        Time between values.
    power : int
        See `autocorrelation`.
    """
    correlation = autocorrelation(series, power)
    n = len(correlation)
    if n < 4:
        return Relaxation.unknown("fewer than 4 values")
    if np.isnan(correlation[0]):
        return Relaxation.unknown("the series is constant")
    below = np.flatnonzero(correlation < math.exp(-1))
    if len(below) == 0:
        return Relaxation.unknown("the autocorrelation does not decay within the series")
    if below[0] == 1:
        return Relaxation.unknown("it is shorter than the interval between values")
    time = interval * _crossing(correlation, int(below[0]))
    length = n * interval
    if time * MINIMUM_RELAXATIONS > length:
        return Relaxation.unknown(f"the series is shorter than {MINIMUM_RELAXATIONS} relaxation times")
    error = time * math.e * math.sqrt((1 - 3 / math.e**2) * time / length)
    return Relaxation(time, error, _fitted_time(correlation, interval, time))


def _crossing(correlation: Array, after: int) -> float:
    """Lag, in steps, at which the correlation passes 1/e just before lag ``after``, on a logarithmic scale."""
    high, low = float(correlation[after - 1]), float(correlation[after])
    if low <= 0:
        return after - 1 + (high - math.exp(-1)) / (high - low)
    return after - 1 + (math.log(high) + 1) / math.log(high / low)


def _fitted_time(correlation: Array, interval: float, guess: float) -> float:
    """Least-squares fit of exp(-t / tau) to the decay from lag zero to `FIT_RANGE`."""
    below = np.flatnonzero(correlation < FIT_RANGE)
    decay = correlation[: int(below[0]) + 1 if len(below) else None]
    lags = np.arange(len(decay)) * interval
    fitted, _ = optimize.curve_fit(
        lambda t, tau: np.exp(-t / tau), lags, decay, p0=[guess], bounds=(1e-3 * interval, np.inf)
    )
    return float(fitted[0])


def statistical_inefficiency(series: ArrayLike) -> float:
    """Number of successive values that are worth one independent value, 1 + 2 sum of the autocorrelation.

    The sum is cut off by Sokal's automatic window (A. D. Sokal, Monte Carlo methods in statistical mechanics, 1989): at the
    first lag that is five times the correlation time found so far, wide enough for the decay and too narrow for the noise.

    Returns
    -------
    float
        At least 1; NaN if the series is constant.
    """
    correlation = autocorrelation(series)
    if np.isnan(correlation[0]):
        return math.nan
    inefficiency = 2 * np.cumsum(correlation) - 1
    enough = np.flatnonzero(np.arange(len(inefficiency)) >= 2.5 * inefficiency)
    return max(float(inefficiency[enough[0] if len(enough) else -1]), 1.0)


def integrated_autocorrelation_time(series: ArrayLike, interval: float = 1.0) -> float:
    """Integral of the autocorrelation over positive lags; for an exponential decay its time constant.

    By the trapezoidal rule this is half the statistical inefficiency times the interval. NaN if the series is constant.
    """
    return 0.5 * interval * statistical_inefficiency(series)


def effective_sample_size(series: ArrayLike) -> float:
    """Number of independent values whose mean has the same error; NaN if the series is constant."""
    return len(np.asarray(series)) / statistical_inefficiency(series)


def standard_error(series: ArrayLike) -> float:
    """Standard error of the mean of a correlated series, sqrt(variance / effective samples); 0 if it is constant."""
    values = np.asarray(series, dtype=np.float64)
    if len(values) < 2:
        return math.nan
    samples = effective_sample_size(values)
    return 0.0 if math.isnan(samples) else float(values.std(ddof=1)) / math.sqrt(samples)


def blocking(series: ArrayLike) -> Array:
    """Error of the mean against the length of blocks (Flyvbjerg and Petersen, J. Chem. Phys. 91, 461, 1989).

    Returns
    -------
    array, shape (n_levels, 3)
        Values per block (1, 2, 4, ...), standard error of the mean as if blocks were independent, and its own error. It rises to
        a plateau as blocks become longer than the correlation.
    """
    values = np.asarray(series, dtype=np.float64)
    levels = []
    length = 1
    while len(values) >= 2:
        error = float(values.std(ddof=1)) / math.sqrt(len(values))
        levels.append((length, error, error / math.sqrt(2 * (len(values) - 1))))
        half = len(values) // 2
        values = 0.5 * (values[: 2 * half : 2] + values[1 : 2 * half : 2])
        length *= 2
    return np.array(levels, dtype=np.float64).reshape(-1, 3)


def block_standard_error(series: ArrayLike) -> float:
    """Standard error of the mean by block averaging.

    Of the levels of `blocking` that one is taken at which what correlation between blocks still hides equals the noise of
    the estimate: the shortest block length B with B^3 > 2 n g^2, g the statistical inefficiency at that level (U. Wolff,
    Comput. Phys. Commun. 156, 143, 2004; R. M. Lee et al., Phys. Rev. E 83, 066706, 2011).

    Returns
    -------
    float
        NaN if the series is too short: less than 8 blocks of that length.
    """
    levels = blocking(series)
    if len(levels) == 0:
        return math.nan
    n, first = len(np.asarray(series)), levels[0, 1]
    if first == 0:
        return 0.0
    for length, error, _ in levels:
        if length**3 > 2 * n * (error / first) ** 4:
            return float(error) if n // int(length) >= 8 else math.nan
    return math.nan


@dataclass(frozen=True)
class SeriesStatistics:
    """Mean of a correlated series, how certain it is, and how far the values spread.

    Attributes
    ----------
    mean, standard_deviation : float
    standard_error, block_standard_error : float
        Of the mean: from the autocorrelation, and by block averaging (NaN if the series is too short for that).
    integrated_autocorrelation_time : float
        NaN if the series is constant.
    effective_samples : float
        NaN if the series is constant.
    error_is_lower_bound : bool
        Whether the series is too short, in terms of its own correlation, for its error to be known.
    """

    mean: float
    standard_deviation: float
    standard_error: float
    block_standard_error: float
    integrated_autocorrelation_time: float
    effective_samples: float
    error_is_lower_bound: bool

    @classmethod
    def of(cls, series: ArrayLike, interval: float) -> "SeriesStatistics":
        """Describe a series.

        Parameters
        ----------
        series : array, shape (n,), n at least 2
        interval : float
            Time between values.
        """
        values = np.asarray(series, dtype=np.float64)
        samples = effective_sample_size(values)
        return cls(
            float(values.mean()),
            float(values.std(ddof=1)),
            standard_error(values),
            block_standard_error(values),
            integrated_autocorrelation_time(values, interval),
            samples,
            samples < MINIMUM_SAMPLES,
        )


def density(values: ArrayLike, effective_samples: float = math.nan) -> tuple[Array, Array]:
    """Centres and heights of a histogram whose integral is one.

    Bins are as wide as the rule of Freedman and Diaconis wants, 2 IQR / n^(1/3), with the number of independent values for
    n where it is known: correlated values are many, and would give bins that show noise. There are 10 to 60.
    """
    data = np.asarray(values, dtype=np.float64).ravel()
    n = effective_samples if math.isfinite(effective_samples) else len(data)
    width = 2 * float(stats.iqr(data)) / max(n, 1.0) ** (1 / 3)
    wanted = float(np.ptp(data)) / width if width > 0 else 10
    heights, edges = np.histogram(data, bins=int(np.clip(math.ceil(wanted), 10, 60)), density=True)
    return 0.5 * (edges[1:] + edges[:-1]), heights


def earth_movers_distance(first: ArrayLike, second: ArrayLike) -> float:
    """Earth mover's (1-Wasserstein) distance of two samples: the area between their cumulative distributions."""
    return float(stats.wasserstein_distance(np.asarray(first).ravel(), np.asarray(second).ravel()))
