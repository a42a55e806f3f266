"""The first peak of a radial distribution function, where it ends, and how many neighbours are that close.

Between beads these functions are soft: a first peak may be 5 % high and lie beside single pairs at short distances whose
g is larger. What is a peak and what is noise is therefore decided by the errors: those of counting, g / n for the
variance with n the number of pairs that an ideal gas would have shown, and those between blocks of frames, which are larger
where the same pairs stay together for many frames.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

MINIMUM_BINS = 8
"""With fewer bins nothing can be said about a peak."""

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


MINIMUM_BLOCKS = 8
"""With fewer blocks of frames errors are those of counting alone."""


@dataclass(frozen=True)
class FirstShell:
    """First coordination shell; NaN where g has no such feature within its range.

    Attributes
    ----------
    position, height : float
        Of the first peak of g, nm and 1.
    position_error, height_error : float
        Standard errors, by leaving out each block of frames in turn (jackknife). The place of a peak that is too flat has
        none.
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


def find_first_shell(
    edges: Array, counts: Array, expected: Array, block_counts: Array, block_expected: Array, coordination: Array
) -> FirstShell:
    """Find the first shell of a radial distribution function, g = counts / expected, that has noise.

    g is smoothed with local parabolas, which keep the height and the place of a peak, over a kernel as narrow as the noise
    allows (`NOISE`). The first peak is the first maximum that stands out by `SIGNIFICANCE` standard errors; its place and
    height are those of a parabola fitted to g itself in the upper part of the peak (`TOP`), or, where it is too flat for
    that, of the smoothed g. The shell ends at the first minimum of the smoothed g that stands out as much, or, if there is none,
    where it has fallen to 1.

    Parameters
    ----------
    edges : array, shape (n_bins + 1,)
        nm.
    counts, expected : array, shape (n_bins,)
        Pairs seen, and those of an ideal gas.
    block_counts, block_expected : array, shape (n_blocks, n_bins)
        The same in blocks of frames.
    coordination : array, shape (n_bins,)
        Running coordination number at the upper edges.
    """
    if len(counts) < MINIMUM_BINS or not expected.all() or not counts.any():
        return FirstShell()
    centres = 0.5 * (edges[1:] + edges[:-1])
    smooth = _Smooth.of(centres, counts, expected, block_counts, block_expected)
    if len(smooth.peaks) == 0:
        return FirstShell()
    g, peak = smooth.g, int(smooth.peaks[0])
    near = np.abs(centres - centres[peak]) <= smooth.bandwidth * centres[peak]
    fitted = _around(near | (g >= g[peak] - TOP * smooth.prominences[0]), peak)
    weights = expected[fitted] / np.maximum(g[fitted], 0.1 * g[peak])
    position, height = _top(centres[fitted], counts[fitted] / expected[fitted], weights)
    without = [
        _top(centres[fitted], (counts - own)[fitted] / (expected - ideal)[fitted], weights)
        for own, ideal in zip(block_counts, block_expected, strict=True)
    ]
    position_error, height_error = _jackknife(np.array(without))
    if not math.isfinite(position + height_error):
        # too flat or too lopsided for a parabola
        position, height, height_error = float(centres[peak]), float(g[peak]), float(smooth.error[peak])
    found = (position, height, position_error, height_error)
    minima, _ = find_peaks(-g[peak:], prominence=SIGNIFICANCE * smooth.error[peak:])
    ends = minima if len(minima) else np.flatnonzero(g[peak:] <= 1)
    if ends.size == 0 or ends[0] == 0:
        # the end may lie beyond the range
        return FirstShell(*found)
    end = float(centres[peak + ends[0]])
    return FirstShell(*found, end, float(np.interp(end, edges[1:], coordination)))


def smooth_rdf(edges: Array, counts: Array, expected: Array, block_counts: Array, block_expected: Array) -> Array:
    """Smoothed g, as `find_first_shell` looks at it, shape (n_bins,); NaN at distances with hardly any pair."""
    if len(counts) < MINIMUM_BINS:
        return counts / expected
    smooth = _Smooth.of(0.5 * (edges[1:] + edges[:-1]), counts, expected, block_counts, block_expected)
    return np.where(np.arange(len(counts)) < smooth.start, np.nan, smooth.g)


def standard_errors(
    smoother: Array, counts: Array, expected: Array, block_counts: Array, block_expected: Array
) -> Array:
    """Standard errors of smoother @ (counts / expected): those of counting, or those between blocks where larger.

    Parameters
    ----------
    smoother : array, shape (n, n_bins)
    counts, expected, block_counts, block_expected
        See `find_first_shell`.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        counting = np.sqrt(smoother**2 @ (counts / expected**2))
        blocks = (block_counts / block_expected) @ smoother.T
    if len(blocks) < MINIMUM_BLOCKS:
        return counting
    return np.maximum(counting, blocks.std(axis=0, ddof=1) / math.sqrt(len(blocks)))


@dataclass(frozen=True)
class _Smooth:
    """Smoothed g with its errors and peaks.

    Attributes
    ----------
    g, error : array, shape (n_bins,)
    start : int
        First bin from which on there are enough pairs to speak of either.
    bandwidth : float
        Width of the kernel as a share of the distance.
    peaks : array of int, shape (n_peaks,)
    prominences : array, shape (n_peaks,)
    """

    g: Array
    error: Array
    start: int
    bandwidth: float
    peaks: Integers
    prominences: Array

    @classmethod
    def of(
        cls, centres: Array, counts: Array, expected: Array, block_counts: Array, block_expected: Array
    ) -> "_Smooth":
        """Smooth over the narrowest kernel that leaves little noise at the first peak, or the widest."""
        for bandwidth in BANDWIDTHS:
            smoother = _local_parabolas(centres, expected, bandwidth)
            g = smoother @ (counts / expected)
            error = standard_errors(smoother, counts, expected, block_counts, block_expected)
            sparse = np.flatnonzero((smoother**2) @ (1 / expected) > SPARSE**2)
            start = int(sparse[-1]) + 1 if len(sparse) else 0
            peaks, found = find_peaks(g[start:], prominence=SIGNIFICANCE * error[start:])
            smooth = cls(g, error, start, bandwidth, start + peaks, found["prominences"])
            if len(peaks) and error[start + peaks[0]] <= NOISE * g[start + peaks[0]]:
                break
        return smooth


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


def _top(centres: Array, g: Array, weights: Array) -> tuple[float, float]:
    """Place and height of the parabola through a peak; NaN if it has no maximum there."""
    middle = float(centres.mean())
    offsets = centres - middle
    a, b, c = np.polyfit(offsets, g, 2, w=np.sqrt(weights))
    if not a < 0 or not offsets[0] <= -b / (2 * a) <= offsets[-1]:
        return math.nan, math.nan
    return float(middle - b / (2 * a)), float(c - b**2 / (4 * a))


def _jackknife(without: Array) -> tuple[float, float]:
    """Standard errors of place and height from their values without each block, shape (n_blocks, 2)."""
    n = len(without)
    if n < MINIMUM_BLOCKS:
        return math.nan, math.nan
    position, height = np.sqrt((n - 1) * without.var(axis=0))
    return float(position), float(height)
