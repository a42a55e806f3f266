"""Statistics of correlated time series."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, optimize

Array = NDArray[np.float64]


def autocorrelation(series: ArrayLike) -> Array:
    """Normalised autocorrelation function, <da(t) da(t + lag)> / <da^2> with da = a - <a>.

    Each lag is averaged over the pairs there are. The paper's formula has the square of Rg^2 in place of the observable;
    the observable itself is the usual choice, and decays as fast to within the statistical error.

    Parameters
    ----------
    series : array, shape (n,)

    Returns
    -------
    array, shape (n,)
        One at lag zero; NaN throughout if the series is constant.
    """
    values = np.asarray(series, dtype=np.float64)
    n = len(values)
    deviations = values - values.mean()
    variance = float(deviations @ deviations) / n
    if not variance > 1e-300:
        return np.full(n, np.nan)
    spectrum = fft.rfft(deviations, fft.next_fast_len(2 * n))
    raw = fft.irfft(spectrum * spectrum.conj(), fft.next_fast_len(2 * n))[:n]
    return raw / (variance * np.arange(n, 0, -1))


@dataclass(frozen=True)
class Relaxation:
    """Relaxation of a time series.

    Attributes
    ----------
    time : float
        Time in which the fitted exponential falls to 1/e; NaN if it cannot be told.
    reason : str
        Why not; empty otherwise.
    """

    time: float
    reason: str = ""


MINIMUM_DECAYS = 10
"""A series shorter than this many relaxation times says nothing reliable about them."""


def relaxation_time(series: ArrayLike, interval: float) -> Relaxation:
    """Relaxation time from an exponential fit to the autocorrelation (paper, Methods).

    exp(-t / tau) is fitted by least squares to the autocorrelation from lag zero to where it first falls below 0.1 (or
    zero crossing, if that comes first): beyond, it is noise.

    Parameters
    ----------
    series : array, shape (n,)
    interval : float
        Time between values.
    """
    correlation = autocorrelation(series)
    if len(correlation) < 4:
        return Relaxation(math.nan, "fewer than 4 values")
    if np.isnan(correlation[0]):
        return Relaxation(math.nan, "the series is constant")
    below = np.flatnonzero(correlation < 0.1)
    if len(below) == 0:
        return Relaxation(math.nan, "the autocorrelation does not decay within the series")
    last = max(int(below[0]), 2)
    lags = np.arange(last + 1) * interval
    decay = correlation[: last + 1]
    guess = max(last * interval / 2.3, 0.1 * interval)
    fitted, _ = optimize.curve_fit(
        lambda t, tau: np.exp(-t / tau), lags, decay, p0=[guess], bounds=(1e-3 * interval, np.inf)
    )
    time = float(fitted[0])
    if time * MINIMUM_DECAYS > len(correlation) * interval:
        return Relaxation(math.nan, f"the series is shorter than {MINIMUM_DECAYS} relaxation times")
    return Relaxation(time)


def integrated_autocorrelation_time(series: ArrayLike) -> float:
    """Sum of the autocorrelation over all lags of both signs, in steps, with Sokal's automatic window.

    Independent values give 1; the number of effective samples is the length over it. NaN if the series is constant.
    """
    correlation = autocorrelation(series)
    if np.isnan(correlation[0]):
        return math.nan
    times = 2 * np.cumsum(correlation) - 1
    # the window grows until it is five times the estimate: wide enough for the decay, too narrow for the noise
    enough = np.flatnonzero(np.arange(len(times)) >= 5 * times)
    return max(float(times[enough[0] if len(enough) else -1]), 1.0)


def standard_error(series: ArrayLike) -> float:
    """Standard error of the mean of a correlated series, from the integrated autocorrelation time."""
    values = np.asarray(series, dtype=np.float64)
    time = integrated_autocorrelation_time(values)
    return 0.0 if math.isnan(time) else float(values.std() * math.sqrt(time / len(values)))


def block_standard_error(series: ArrayLike) -> float:
    """Standard error of the mean by block averaging (Flyvbjerg and Petersen, J. Chem. Phys. 91, 461, 1989).

    Blocks are doubled until at least 8 are left; the largest estimate is given, since each is a lower bound within its error.
    """
    values = np.asarray(series, dtype=np.float64)
    estimates = [0.0]
    while len(values) >= 8:
        estimates.append(float(values.std(ddof=1)) / math.sqrt(len(values)))
        half = len(values) // 2
        values = 0.5 * (values[: 2 * half : 2] + values[1 : 2 * half : 2])
    return max(estimates)
