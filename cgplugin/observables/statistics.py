"""Statistics of correlated time series: autocorrelation, relaxation, errors of means, distributions."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, optimize, stats

Array = NDArray[np.float64]

MINIMUM_RELAXATIONS = 25
"""A series shorter than this many of its apparent relaxation times says nothing about them: the mean that is taken off
is that of the series itself, so that even a random walk seems to relax, mostly within 1/4 to 1/17 of its length."""

MINIMUM_SAMPLES = 20
"""With fewer effective samples than this an estimated error of the mean is only a lower bound."""

MINIMUM_BLOCKS = 16
"""Blocks in the error by block averaging; fewer make it too uncertain, more make them shorter than need be."""

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
        <Rg^2(t)^2 Rg^2(t + y)^2>: it is that of Rg^4, ``power=2`` for a series of Rg^2. The default is the series
        itself, the usual definition; it is what reproduces the relaxation times of the reference data (see
        `relaxation_time`).

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

    The paper fits exp(-t / tau) and then speaks of the time "when the ACF decays to 1/e". For an exponential decay the
    two agree; for the reference polymers they differ by up to 15 %. ``time`` is the crossing itself, interpolated
    between lags: it has no range of fitting to choose, and it is what the reference times are. Of 40 polymers these go
    from 66 to 340 tau with mean 132. Of the ten of them that can be checked, the fastest has 65.6 tau by the crossing,
    at most 62.6 by a fit to any range, and at most 61.9 for Rg^4; their means are 141, 132 to 147, and 121 to 136.

    ``error`` follows from Bartlett's formula for the variance of an estimated autocorrelation, which for an exponential
    decay is (1 - 3 / e^2) tau / T at lag tau for a series of length T; over the slope 1 / (e tau) this gives
    2.1 tau sqrt(tau / T).

    Too short a series would give too short a time: all is NaN unless the series is `MINIMUM_RELAXATIONS` times as long
    as both the crossing and the fit and holds `MINIMUM_SAMPLES` independent values. Of exponential processes recorded
    for one to three relaxation times, about one in fifty passes all the same.

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
    fitted = _fitted_time(correlation, interval, time)
    length = n * interval
    if max(time, fitted) * MINIMUM_RELAXATIONS > length:
        return Relaxation.unknown(f"the series is shorter than {MINIMUM_RELAXATIONS} relaxation times")
    if n < MINIMUM_SAMPLES * _sum_in_window(correlation):
        return Relaxation.unknown(f"the series has less than {MINIMUM_SAMPLES} independent values")
    error = time * math.e * math.sqrt((1 - 3 / math.e**2) * time / length)
    return Relaxation(time, error, fitted)


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
    """Give the number of successive values that are worth one independent value, 1 + 2 sum of the autocorrelation.

    The sum is cut off by Sokal's automatic window (A. D. Sokal, Monte Carlo methods in statistical mechanics, 1989): at
    the first lag that is five times the correlation time found so far, wide enough for the decay and too narrow for the
    noise.

    Returns
    -------
    float
        At least 1; NaN if the series is constant.
    """
    correlation = autocorrelation(series)
    return math.nan if np.isnan(correlation[0]) else max(_sum_in_window(correlation), 1.0)


def _sum_in_window(correlation: Array) -> float:
    """Sum of the autocorrelation over lags of both signs, in Sokal's window."""
    sums = 2 * np.cumsum(correlation) - 1
    enough = np.flatnonzero(np.arange(len(sums)) >= 2.5 * sums)
    return float(sums[enough[0] if len(enough) else -1])


def integrated_autocorrelation_time(series: ArrayLike, interval: float = 1.0) -> float:
    """Integral of the autocorrelation over positive lags; for an exponential decay its time constant.

    By the trapezoidal rule this is half the statistical inefficiency times the interval. NaN if the series is constant.
    """
    return 0.5 * interval * statistical_inefficiency(series)


def effective_sample_size(series: ArrayLike) -> float:
    """Give the number of independent values whose mean has the same error; NaN if the series is constant."""
    return len(np.asarray(series)) / statistical_inefficiency(series)


def standard_error(series: ArrayLike) -> float:
    """Estimate the error of the mean of a correlated series, sqrt(variance / effective samples); 0 if constant."""
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
        Values per block (1, 2, 4, ...), standard error of the mean as if blocks were independent, and its own error. It
        rises to a plateau as blocks become longer than the correlation.
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
    """Estimate the error of the mean by block averaging, from blocks as long as their number allows.

    A level that is fixed beforehand is unbiased once blocks are much longer than the correlation; the largest estimate,
    or the first that looks like a plateau, is not. With 16 to 31 blocks it is certain to 18 to 13 %; for an exponential
    decay it is too low by about half the ratio of relaxation time to block length.

    Returns
    -------
    float
        NaN if there are fewer than `MINIMUM_BLOCKS` values.
    """
    enough = [error for _, error, _ in blocking(series)[: _levels_with_blocks(len(np.asarray(series)))]]
    return float(enough[-1]) if enough else math.nan


def _levels_with_blocks(n: int) -> int:
    """How often n values can be halved, from no time on, with `MINIMUM_BLOCKS` blocks left."""
    return (n // MINIMUM_BLOCKS).bit_length()


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

    Bins are as wide as the rule of Freedman and Diaconis wants, 2 IQR / n^(1/3), with the number of independent values
    for n where it is known: correlated values are many, and would give bins that show noise. There are 10 to 60.
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


def value_and_error(value: float, error: float) -> tuple[str, str]:
    """Write a value and its error with as many decimals as give the error two digits."""
    if not (math.isfinite(error) and error > 0):
        return f"{value:.4g}", f"{error:.2g}"
    decimals = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{decimals}f}", f"{error:.{decimals}f}"
