"""Plots of analyses."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .files import replacing
from .statistics import autocorrelation
from .units import Units

if TYPE_CHECKING:
    from .analysis import SystemAnalysis

BLUE, ORANGE, GREY = "#2a5d9f", "#d9792b", "#777777"


def plot_system(result: "SystemAnalysis", path: Path) -> None:
    """Rg^2 against time, its distribution and autocorrelation, and the end-to-end distance."""
    from .analysis import distribution

    length, time = _symbols(result.units)
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots(2, 2)
    trace, histogram, correlation, ends = axes.flat

    thinned = slice(None, None, max(1, len(result.series) // 2000))
    trace.plot(result.times[thinned], result.series[thinned], color=BLUE, linewidth=0.6)
    trace.axhline(
        result.rg2.mean,
        color=ORANGE,
        linewidth=1.5,
        label=f"mean {result.rg2.mean:.2f} ± {result.rg2.standard_error:.2f}",
    )
    trace.set(xlabel=f"time [{time}]", ylabel=f"$R_g^2$ [{length}$^2$]")
    trace.legend(frameon=False, loc="upper right")

    centres, density = distribution(result.series)
    histogram.fill_between(centres, density, step="mid", color=BLUE, alpha=0.35)
    histogram.step(centres, density, where="mid", color=BLUE, linewidth=1)
    histogram.axvline(result.rg2.mean, color=ORANGE, linewidth=1.5)
    histogram.set(xlabel=f"$R_g^2$ [{length}$^2$]", ylabel="density", ylim=(0, None))

    _plot_autocorrelation(correlation, result, time)

    values, heights = distribution(result.distances)
    ends.fill_between(values, heights, step="mid", color=GREY, alpha=0.3)
    ends.step(values, heights, where="mid", color=GREY, linewidth=1)
    ends.set(xlabel=f"end-to-end distance [{length}]", ylabel="density", ylim=(0, None))

    _finish(figure, path, result.name)


def _plot_autocorrelation(axes: Axes, result: "SystemAnalysis", time: str) -> None:
    correlation = autocorrelation(result.series)
    known = math.isfinite(result.relaxation_time)
    span = 5 * result.relaxation_time if known else result.duration / 4
    n = min(max(int(span / result.interval), 10), len(correlation))
    lags = np.arange(n) * result.interval
    axes.axhline(0, color=GREY, linewidth=0.6)
    axes.axhline(math.exp(-1), color=GREY, linewidth=0.6, linestyle=":")
    axes.plot(lags, correlation[:n], color=BLUE, linewidth=1.2, label="autocorrelation")
    if known:
        label = f"exp(-t / {result.relaxation_time:.0f} {time})"
        axes.plot(
            lags, np.exp(-lags / result.relaxation_time), color=ORANGE, linestyle="--", linewidth=1.2, label=label
        )
    axes.set(xlabel=f"lag [{time}]", ylabel="autocorrelation of $R_g^2$")
    axes.legend(frameon=False)


def plot_overview(results: "list[SystemAnalysis]", path: Path) -> None:
    """Mean Rg^2 and relaxation time of all systems, with error bars."""
    length, time = _symbols(results[0].units)
    figure = Figure(figsize=(8, max(2.5, 1.2 + 0.28 * len(results))), layout="constrained")
    means, relaxations = figure.subplots(1, 2, sharey=True)
    rows = np.arange(len(results))[::-1]
    means.errorbar(
        [r.rg2.mean for r in results],
        rows,
        xerr=[r.rg2.standard_error for r in results],
        fmt="o",
        color=BLUE,
        markersize=4,
        capsize=2,
    )
    means.set(xlabel=f"mean $R_g^2$ [{length}$^2$]", yticks=rows, yticklabels=[r.name for r in results])
    relaxations.plot([r.relaxation_time for r in results], rows, "o", color=ORANGE, markersize=4)
    relaxations.set(xlabel=f"relaxation time [{time}]")
    relaxations.set_xlim(left=0)
    for axes in (means, relaxations):
        axes.grid(axis="y", color="#e5e5e5", linewidth=0.6)
        axes.set_axisbelow(True)
    _finish(figure, path)


def _symbols(units: Units) -> tuple[str, str]:
    return ("σ", "τ") if units == "lj" else ("nm", "ps")


def _finish(figure: Figure, path: Path, title: str = "") -> None:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    if title:
        figure.suptitle(title, fontsize=11)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
