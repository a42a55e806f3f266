"""The first peak of a radial distribution function, where it ends, and how many neighbours are that close.

Between beads these functions are soft: a first peak may be 5 % high and lie beside single pairs at short distances whose
g is larger. What is a peak and what is noise is therefore decided by the number of pairs: g has the variance g / n of
counts, with n the number of pairs that an ideal gas would have shown.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks

Array = NDArray[np.float64]

BANDWIDTHS = (0.02, 0.03, 0.045, 0.07, 0.1, 0.15, 0.2)
"""Widths of the kernel that smooths g at a distance, as shares of the distance."""

NOISE = 0.015
"""The kernel is the narrowest that leaves this share of a peak's height as its standard error, or the widest."""

SPARSE = 0.2
"""Distances at which an ideal gas would have a larger standard error than this are left out: hardly any pair was there."""

SIGNIFICANCE = 4.0
"""Standard errors by which a peak stands out: it is compared with a minimum that has noise too, and looked for in many bins."""

TOP = 0.4
"""The parabola of a peak is fitted to this upper share of its prominence, and to no less than the kernel's width."""


@dataclass(frozen=True)
class FirstShell:
    """First coordination shell; NaN where g has no such feature within its range.

    Attributes
    ----------
    position, height : float
        Of the first peak of g, nm and 1.
    position_error, height_error : float
        Standard errors from the number of pairs, as if frames were independent.
    end : float
        Where the shell ends, nm: the first minimum behind the peak.
    coordination : float
        Neighbours up to there.
    """

    position: float = math.nan
    height: float = math.nan
    position_error: float = math.nan
    height_error: float = math.nan
    end: float = math.nan
    coordination: float = math.nan


def find_first_shell(edges: Array, counts: Array, expected: Array, coordination: Array) -> FirstShell:
    """Find the first shell of a radial distribution function, g = counts / expected, that has noise.

    g is smoothed with local parabolas, which keep the height and the place of a peak, over a kernel as narrow as the noise
    allows (`NOISE`). The first peak is the first maximum that stands out by `SIGNIFICANCE` standard errors; its place and
    height are those of a parabola fitted to g itself in the upper part of the peak (`TOP`). The shell ends at the
    lowest point of the smoothed g before the next peak, or, if there is none, where g has fallen to 1.

    Parameters
    ----------
    edges : array, shape (n_bins + 1,)
        nm.
    counts, expected : array, shape (n_bins,)
        Pairs seen, and those of an ideal gas.
    coordination : array, shape (n_bins,)
        Running coordination number at the upper edges.
    """
    if len(counts) < 8 or not expected.all() or not counts.any():
        return FirstShell()
    centres = 0.5 * (edges[1:] + edges[:-1])
    g = counts / expected
    for bandwidth in BANDWIDTHS:
        weights = _local_parabolas(centres, expected, bandwidth)
        smooth = weights @ g
        error = np.sqrt((weights**2) @ (g / expected))
        sparse = np.flatnonzero((weights**2) @ (1 / expected) > SPARSE**2)
        start = int(sparse[-1]) + 1 if len(sparse) else 0
        peaks, found = find_peaks(smooth[start:], prominence=SIGNIFICANCE * error[start:])
        peaks = start + peaks
        if len(peaks) and error[peaks[0]] <= NOISE * smooth[peaks[0]]:
            break
    if len(peaks) == 0:
        return FirstShell()
    peak = int(peaks[0])
    upper = smooth >= smooth[peak] - TOP * found["prominences"][0]
    fitted = _around(upper | (np.abs(centres - centres[peak]) <= bandwidth * centres[peak]), peak)
    position, height, position_error, height_error = _top(centres[fitted], g[fitted], expected[fitted], smooth[fitted])
    if not math.isfinite(height):
        # too lopsided for a parabola
        position, height, height_error = float(centres[peak]), float(smooth[peak]), float(error[peak])
    if len(peaks) > 1:
        lowest = peak + int(np.argmin(smooth[peak : peaks[1]]))
    else:
        bulk = np.flatnonzero(smooth[peak:] <= 1)
        if smooth[peak] <= 1 or len(bulk) == 0:
            # the minimum may lie beyond the range
            return FirstShell(position, height, position_error, height_error)
        lowest = peak + int(bulk[0])
    end = float(centres[lowest])
    inside = float(np.interp(end, edges[1:], coordination))
    return FirstShell(position, height, position_error, height_error, end, inside)


def _local_parabolas(centres: Array, expected: Array, bandwidth: float) -> Array:
    """Linear smoother, shape (n, n): value at each distance of the weighted least-squares parabola around it."""
    offsets = centres[None, :] - centres[:, None]
    # as wide as a bin at least, so that every parabola has its three points
    width = np.maximum(bandwidth * centres, np.gradient(centres))[:, None]
    kernel = np.exp(-0.5 * (offsets / width) ** 2) * expected
    powers = np.stack([np.ones_like(offsets), offsets / width, (offsets / width) ** 2])
    weighted = powers * kernel
    normal = np.einsum("ank,bnk->nab", weighted, powers)
    first_row = np.linalg.solve(normal, np.broadcast_to([1.0, 0.0, 0.0], (len(centres), 3))[..., None])[..., 0]
    smoother: Array = np.einsum("na,ank->nk", first_row, weighted)
    return smoother


def _around(chosen: NDArray[np.bool_], peak: int) -> slice:
    """The run of chosen bins that a peak lies in, at least five of them so that a sharp peak has a parabola too."""
    others = np.flatnonzero(~chosen)
    low = int(others[others < peak].max(initial=-1)) + 1
    high = int(others[others > peak].min(initial=len(chosen))) - 1
    return slice(max(0, min(low, peak - 2)), max(high, peak + 2) + 1)


def _top(centres: Array, g: Array, expected: Array, smooth: Array) -> tuple[float, float, float, float]:
    """Place and height of the parabola through a peak, and their standard errors; NaN if it has no maximum there."""
    middle = float(centres.mean())
    offsets = centres - middle
    # no bin without a pair is known exactly
    deviation = np.sqrt(np.maximum(smooth, 0.1 * smooth.max()) / expected)
    (a, b, c), covariance = np.polyfit(offsets, g, 2, w=1 / deviation, cov="unscaled")
    if not a < 0 or not offsets[0] <= -b / (2 * a) <= offsets[-1]:
        return math.nan, math.nan, math.nan, math.nan
    # first-order propagation through x = -b / 2a and h = c - b^2 / 4a
    of_place = np.array([b / (2 * a**2), -1 / (2 * a), 0.0])
    of_height = np.array([b**2 / (4 * a**2), -b / (2 * a), 1.0])
    return (
        float(middle - b / (2 * a)),
        float(c - b**2 / (4 * a)),
        math.sqrt(of_place @ covariance @ of_place),
        math.sqrt(of_height @ covariance @ of_height),
    )
