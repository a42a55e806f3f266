"""How well predictions for several systems agree with a reference, and how certain that is."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from cgplugin.tables import or_dash

Array = NDArray[np.float64]

MINIMUM_SYSTEMS = 3
"""Fewer systems give no interval: resampling two or one says nothing."""

RESAMPLES = 9999


@dataclass(frozen=True)
class Estimate:
    """A number with its bootstrap interval; NaN where it is not known."""

    value: float
    low: float = math.nan
    high: float = math.nan

    def text(self, pattern: str, interval: bool) -> str:
        """The number in a format, with its interval in brackets where that is wanted and known; a dash for NaN."""
        number = or_dash(self.value, pattern)
        if not interval or not math.isfinite(self.low):
            return number
        return f"{number} ({pattern.format(self.low)} to {pattern.format(self.high)})"


def r2(truth: ArrayLike, prediction: ArrayLike, axis: int = -1) -> NDArray[np.float64]:
    """Coefficient of determination, 1 - sum (y - p)^2 / sum (y - <y>)^2 (paper, Table 1).

    Not the square of the correlation: a wrong mean or slope counts, and it may be negative. NaN where all true values are
    equal.

    Parameters
    ----------
    truth, prediction : array, shape (..., n)
    axis : int
        Of the systems.
    """
    y, p = np.asarray(truth, dtype=np.float64), np.asarray(prediction, dtype=np.float64)
    spread = ((y - y.mean(axis=axis, keepdims=True)) ** 2).sum(axis=axis)
    error = ((y - p) ** 2).sum(axis=axis)
    return 1 - np.divide(error, spread, out=np.full_like(spread, np.nan), where=spread > 0)


def mean_absolute_error(truth: ArrayLike, prediction: ArrayLike, axis: int = -1) -> NDArray[np.float64]:
    """Mean of abs(y - p) (paper, Table 1)."""
    return np.abs(np.asarray(truth, dtype=np.float64) - np.asarray(prediction, dtype=np.float64)).mean(axis=axis)


def correlation(truth: ArrayLike, prediction: ArrayLike, axis: int = -1) -> NDArray[np.float64]:
    """Pearson's correlation coefficient; NaN where either does not vary."""
    y, p = np.asarray(truth, dtype=np.float64), np.asarray(prediction, dtype=np.float64)
    y = y - y.mean(axis=axis, keepdims=True)
    p = p - p.mean(axis=axis, keepdims=True)
    scale = np.sqrt((y**2).sum(axis=axis) * (p**2).sum(axis=axis))
    return np.divide((y * p).sum(axis=axis), scale, out=np.full_like(scale, np.nan), where=scale > 0)


def relative_deviation_of_mean(truth: ArrayLike, prediction: ArrayLike, axis: int = -1) -> NDArray[np.float64]:
    """<p> / <y> - 1: how far predictions are off on average."""
    return np.asarray(prediction, dtype=np.float64).mean(axis=axis) / np.asarray(truth).mean(axis=axis) - 1


def mean_ratio(truth: ArrayLike, prediction: ArrayLike, axis: int = -1) -> NDArray[np.float64]:
    """Mean of p / y."""
    return (np.asarray(prediction, dtype=np.float64) / np.asarray(truth)).mean(axis=axis)


def relative_error(truth: ArrayLike, prediction: ArrayLike, axis: int = -1) -> NDArray[np.float64]:
    """Mean of abs(p / y - 1)."""
    return np.abs(np.asarray(prediction, dtype=np.float64) / np.asarray(truth) - 1).mean(axis=axis)


def log_error(truth: ArrayLike, prediction: ArrayLike, axis: int = -1) -> NDArray[np.float64]:
    """Mean of abs(log10 p / y): the error of diffusivities in the paper (Fig. 5), in decades."""
    return mean_absolute_error(np.log10(truth), np.log10(prediction), axis)


def log_r2(truth: ArrayLike, prediction: ArrayLike, axis: int = -1) -> NDArray[np.float64]:
    """`r2` of the decimal logarithms."""
    return r2(np.log10(truth), np.log10(prediction), axis)


def spearman(truth: ArrayLike, prediction: ArrayLike, axis: int = -1) -> NDArray[np.float64]:
    """Spearman's rank correlation: that of the ranks, of equal values the mean; NaN where either does not vary."""
    return correlation(stats.rankdata(truth, axis=axis), stats.rankdata(prediction, axis=axis), axis)


def estimate(
    statistic: Callable[..., NDArray[np.float64]], *values: ArrayLike, level: float = 0.95, seed: int = 0
) -> Estimate:
    """Give a statistic over systems with a bootstrap interval: systems are drawn anew, with replacement.

    The interval is that of percentiles. It covers the choice of systems and whatever noise each system's numbers have; for a
    handful of systems it is known to be somewhat too narrow. Systems of which a value is not known (NaN) are left out.

    Parameters
    ----------
    statistic : callable
        Of one or more arrays and ``axis``, vectorised: `r2`, `mean_absolute_error`, `numpy.mean`, ...
    *values : array, shape (n,)
        The arrays, resampled together.
    level : float
        Of confidence.
    seed : int
        Of the resampling.
    """
    arrays = [np.asarray(value, dtype=np.float64) for value in values]
    known = np.all([np.isfinite(array) for array in arrays], axis=0)
    arrays = [array[known] for array in arrays]
    n = int(known.sum())
    if n == 0:
        return Estimate(math.nan)
    value = float(statistic(*arrays, axis=-1))
    if n < MINIMUM_SYSTEMS or not math.isfinite(value):
        return Estimate(value)
    # equal values for all systems have an interval, of no width
    with warnings.catch_warnings(action="ignore", category=stats.DegenerateDataWarning):
        drawn = stats.bootstrap(
            arrays,
            statistic,
            paired=True,
            vectorized=True,
            n_resamples=RESAMPLES,
            confidence_level=level,
            method="percentile",
            rng=np.random.default_rng(seed),
        ).bootstrap_distribution
    # one system drawn n times has no spread, and no r2
    low, high = np.nanpercentile(drawn, [50 * (1 - level), 50 * (1 + level)])
    return Estimate(value, float(low), float(high))
