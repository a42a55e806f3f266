"""Plots of analyses."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cgplugin.files import replacing
from cgplugin.observables.statistics import SeriesStatistics, autocorrelation, density, value_and_error
from cgplugin.units import Units

if TYPE_CHECKING:
    from .system_analysis import SystemAnalysis

BLUE, ORANGE, GREEN, GREY = "#2a5d9f", "#d9792b", "#3d8567", "#777777"

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.handlelength": 1.6,
    # ids in SVG files are random without it
    "svg.hashsalt": "cgplugin",
}
"""What all our figures have in common."""

_POINTS = 2000
"""Points of a line; more are not seen."""

_ROWS = 200
"""Systems whose names fit on a page."""


def plot_system(result: "SystemAnalysis", path: Path) -> None:
    """Rg^2 against time, its distribution and autocorrelation, and the end-to-end distance of one trajectory.

    Parameters
    ----------
    result : SystemAnalysis
    path : Path
        PNG, or what else the suffix says.
    """
    length, time = symbols(result.units)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 5.4), layout="constrained")
        panels = figure.subplot_mosaic([["trace", "trace", "rg2"], ["decay", "decay", "ends"]])
        panels["rg2"].sharey(panels["trace"])
        _plot_trace(panels["trace"], result, length, time)
        _plot_sideways(panels["rg2"], result.series, result.rg2)
        _plot_decay(panels["decay"], result, time)
        _plot_distances(panels["ends"], result, length)
        figure.suptitle(result.name, fontsize=10)
        save(figure, path)


def _plot_trace(axes: Axes, result: "SystemAnalysis", length: str, time: str) -> None:
    values = result.series
    every = max(1, len(values) // _POINTS)
    axes.plot(result.times[::every], values[::every], color=BLUE, linewidth=0.6)
    axes.axhline(result.rg2.mean, color=ORANGE, linewidth=1.3)
    axes.set_ylim(0, 1.05 * float(values.max()))
    axes.set_xlim(result.times[0], result.times[-1])
    title(axes, _mean_text(result.rg2))
    axes.set(xlabel=f"time ({time})", ylabel=f"$R_\\mathrm{{g}}^2$ ({length}$^2$)")


def _plot_sideways(axes: Axes, values: NDArray[np.float64], statistics: SeriesStatistics) -> None:
    """Distribution beside the trace, on the same axis."""
    centres, heights = density(values, statistics.effective_samples)
    _filled_steps(axes, centres, heights, BLUE, sideways=True)
    axes.axhline(statistics.mean, color=ORANGE, linewidth=1.3)
    axes.tick_params(labelleft=False)
    axes.set(xlabel="probability density", xlim=(0, None))


def _plot_decay(axes: Axes, result: "SystemAnalysis", time: str) -> None:
    correlation = autocorrelation(result.series, result.rg2_power)
    relaxation = result.relaxation
    known = not relaxation.reason
    span = 5 * relaxation.time if known else result.duration / 2
    n = min(max(math.ceil(span / result.interval), 10), len(correlation))
    lags = np.arange(n) * result.interval
    every = max(1, n // _POINTS)
    axes.axhline(0, color=GREY, linewidth=0.6)
    axes.axhline(math.exp(-1), color=GREY, linewidth=0.6, linestyle=":")
    axes.annotate("1/e", (1, math.exp(-1)), xycoords=("axes fraction", "data"), ha="right", va="bottom", color=GREY)
    axes.plot(lags[::every], correlation[:n:every], color=BLUE, linewidth=1.3, label="autocorrelation")
    if known:
        label = f"exp(−t / {value_and_error(relaxation.fitted_time, relaxation.error)[0]} {time})"
        axes.plot(
            lags, np.exp(-lags / relaxation.fitted_time), color=ORANGE, linestyle="--", linewidth=1.3, label=label
        )
        label = f"{' ± '.join(value_and_error(relaxation.time, relaxation.error))} {time}"
        axes.plot(relaxation.time, math.exp(-1), "o", color=GREEN, markersize=5, label=label)
    else:
        axes.text(0.99, 0.80, relaxation.reason, transform=axes.transAxes, ha="right", va="top", color=GREY)
    axes.set(xlabel=f"lag ({time})", ylabel=f"autocorrelation of $R_\\mathrm{{g}}^{2 * result.rg2_power}$")
    axes.set_xlim(0, lags[-1])
    axes.set_ylim(top=1.05)
    axes.legend(loc="upper right")


def _plot_distances(axes: Axes, result: "SystemAnalysis", length: str) -> None:
    centres, heights = density(result.frame_end_to_end, result.end_to_end.effective_samples)
    _filled_steps(axes, centres, heights, GREEN)
    axes.axvline(result.end_to_end.mean, color=ORANGE, linewidth=1.3)
    axes.set_ylim(0, 1.05 * float(heights.max()))
    axes.set_xlim(left=0)
    title(axes, _mean_text(result.end_to_end))
    axes.set(xlabel=f"end-to-end distance ({length})", ylabel="probability density")


def _filled_steps(
    axes: Axes, centres: NDArray[np.float64], heights: NDArray[np.float64], color: str, sideways: bool = False
) -> None:
    half = 0.5 * (centres[1] - centres[0])
    edges = np.append(centres - half, centres[-1] + half)
    axes.stairs(
        heights, edges, fill=True, color=color, alpha=0.25, orientation="horizontal" if sideways else "vertical"
    )
    axes.stairs(heights, edges, color=color, linewidth=1, orientation="horizontal" if sideways else "vertical")


def plot_overview(results: "Sequence[SystemAnalysis]", path: Path) -> None:
    """Mean Rg^2, relaxation time and end-to-end distance of all systems, with standard errors.

    Hollow symbols: the run is too short for its error to be known, and the bar is a lower bound.

    Parameters
    ----------
    results : sequence of SystemAnalysis
        At least one.
    path : Path
    """
    length, time = symbols(results[0].units)
    with mpl.rc_context(STYLE):
        labelled = len(results) <= _ROWS
        height = 1.1 + 0.24 * min(max(len(results), 3), _ROWS)
        figure = Figure(figsize=(8, height), layout="constrained")
        means, relaxations, distances = figure.subplots(1, 3, sharey=True)
        _plot_rows(means, [r.rg2 for r in results], BLUE)
        _plot_rows(distances, [r.end_to_end for r in results], GREEN)
        rows = np.arange(len(results))
        relaxations.errorbar(
            [r.relaxation.time for r in results],
            rows,
            xerr=[r.relaxation.error for r in results],
            fmt="o",
            color=ORANGE,
            markersize=4,
            elinewidth=1,
        )
        if all(r.relaxation.reason for r in results):
            relaxations.text(0.5, 0.5, "not known", transform=relaxations.transAxes, ha="center", color=GREY)
            relaxations.set_xticks([])
        else:
            relaxations.set_xlim(left=0)
        means.set(xlabel=f"mean $R_\\mathrm{{g}}^2$ ({length}$^2$)")
        relaxations.set(xlabel=f"relaxation time of $R_\\mathrm{{g}}^{2 * results[0].rg2_power}$ ({time})")
        distances.set(xlabel=f"mean end-to-end distance ({length})")
        means.set_yticks(rows if labelled else [], [r.name for r in results] if labelled else [])
        means.set_ylim(len(results) - 0.4, -0.6)
        for axes in (means, relaxations, distances):
            axes.grid(axis="y", color="#e8e8e8", linewidth=0.6)
            axes.set_axisbelow(True)
            axes.tick_params(axis="y", length=0)
        figure.align_xlabels()
        save(figure, path)


def _plot_rows(axes: Axes, statistics: Sequence[SeriesStatistics], color: str) -> None:
    for row, item in enumerate(statistics):
        face = "white" if item.error_is_lower_bound else color
        axes.errorbar(
            item.mean,
            row,
            xerr=item.standard_error,
            fmt="o",
            color=color,
            markerfacecolor=face,
            markersize=4,
            elinewidth=1,
        )


def symbols(units: Units) -> tuple[str, str]:
    """Short names of the units of length and time."""
    return ("σ", "τ") if units == "lj" else ("nm", "ps")


def _mean_text(statistics: SeriesStatistics) -> str:
    mean, error = value_and_error(statistics.mean, statistics.standard_error)
    return f"mean {mean}, error at least {error}" if statistics.error_is_lower_bound else f"mean {mean} ± {error}"


def title(axes: Axes, text: str) -> None:
    """Write a remark above the axes, where no curve can run through it."""
    axes.set_title(text, loc="right", fontsize=9, color=ORANGE)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as the suffix says, and as SVG beside it, each whole or not at all."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
    with replacing(path.with_suffix(".svg")) as temporary:
        # without the date, equal figures are equal files
        figure.savefig(temporary, metadata={"Date": None})
