"""Plots of electrolytes: radial distribution functions, mean squared displacements, collisions."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cgplugin.observables.electrolyte import ElectrolyteObservables
from cgplugin.observables.statistics import value_and_error

from .plots import BLUE, GREEN, GREY, ORANGE, STYLE, save, symbols

if TYPE_CHECKING:
    from .system_analysis import SystemAnalysis

COLORS = (BLUE, ORANGE, GREEN, "#8a5a9e", "#c9a227", "#5fa3c7")
"""Of species or of pairs, in their order."""

MOST_PARTS, COLLISIONS_PER_PART = 60, 10
"""Parts of a run over which collisions are averaged: at most as many, and fewer where collisions are rare."""


def plot_electrolyte(result: "SystemAnalysis", folder: Path) -> None:
    """Write ``rdf.png``, ``msd.png`` and ``collisions.png`` of a trajectory that has an electrolyte."""
    assert result.electrolyte is not None
    length, time = symbols(result.units)
    with mpl.rc_context(STYLE):
        plot_rdf(result.electrolyte, result.name, length, folder / "rdf.png")
        plot_displacements(result.electrolyte, result.name, length, time, folder / "msd.png")
        plot_collisions(result, time, folder / "collisions.png")


def plot_rdf(observed: ElectrolyteObservables, name: str, length: str, path: Path) -> None:
    """A panel per pair of species: g(r), its first peak, and the running coordination number on a second axis."""
    pairs = observed.rdf.kinds.pairs
    columns = min(3, len(pairs))
    rows = math.ceil(len(pairs) / columns)
    figure = Figure(figsize=(3.1 * columns + 0.4, 2.3 * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for n, (axes, (centre, neighbour)) in enumerate(zip(panels.flat, pairs, strict=False)):
        _plot_pair(axes, observed, centre, neighbour, n % columns == columns - 1)
        axes.set_title(f"{centre} – {neighbour}", loc="left", fontsize=9)
    for axes in panels.flat[len(pairs) :]:
        axes.set_visible(False)
    for axes in panels[-1]:
        axes.set_xlabel(f"distance ({length})")
    for row in panels:
        row[0].set_ylabel("g(r)", color=BLUE)
    figure.suptitle(name, fontsize=10)
    save(figure, path)


def _plot_pair(axes: Axes, observed: ElectrolyteObservables, centre: str, neighbour: str, last: bool) -> None:
    rdf = observed.rdf
    g, shell = rdf.g(centre, neighbour), rdf.first_shell(centre, neighbour)
    axes.axhline(1, color=GREY, linewidth=0.6, linestyle=":")
    smooth = rdf.smooth(centre, neighbour)
    # at short distances a single pair makes a large g
    shown = np.isfinite(smooth) | (g == 0)
    axes.plot(rdf.centres, np.where(shown, g, np.nan), color=BLUE, linewidth=0.7, alpha=0.45)
    axes.plot(rdf.centres, smooth, color=BLUE, linewidth=1.3)
    top = float(np.max(g[np.isfinite(smooth)], initial=1.0))
    if math.isfinite(shell.height):
        axes.plot(shell.position, shell.height, "o", color=BLUE, markersize=4)
        height = "±".join(value_and_error(shell.height, shell.height_error))
        place = f"{shell.position:.2g}"
        if math.isfinite(shell.position_error):
            place = "±".join(value_and_error(shell.position, shell.position_error))
        axes.set_title(f"{height} at {place}", loc="right", fontsize=8, color=GREY)
    axes.set_ylim(0, 1.15 * top)
    axes.set_xlim(0, rdf.edges[-1])
    second = axes.twinx()
    second.set_ylabel("coordination" if last else "", color=ORANGE)
    second.spines["right"].set_visible(True)
    second.spines["right"].set_color(ORANGE)
    coordination = rdf.coordination(centre, neighbour)
    second.plot(rdf.edges[1:], coordination, color=ORANGE, linewidth=1, linestyle="--")
    if math.isfinite(shell.end):
        second.plot(shell.end, shell.coordination, "o", color=ORANGE, markersize=3.5)
    second.set_ylim(0, 1.15 * max(float(coordination[-1]), 1e-3))
    second.yaxis.set_major_locator(MaxNLocator(4))
    second.tick_params(colors=ORANGE, labelsize=8)


def plot_displacements(observed: ElectrolyteObservables, name: str, length: str, time: str, path: Path) -> None:
    """Mean squared displacements with their fits, and the apparent diffusivity, which levels off where particles diffuse."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    displacements, apparent = figure.subplots(1, 2)
    msd = observed.msd
    for species, color in zip(observed.species, _colors(len(observed.species)), strict=True):
        values, errors, fit = msd.values(species), msd.errors(species), observed.diffusivities[species]
        known = np.isfinite(errors)
        label = species
        if math.isfinite(fit.value):
            label += "  D = " + " ± ".join(value_and_error(fit.value, fit.error)) + f" {length}²/{time}"
            lags = np.array([fit.first_lag, fit.last_lag])
            displacements.plot(lags, 6 * fit.value * lags + fit.intercept, color=color, linewidth=4, alpha=0.35)
            apparent.axhspan(fit.value - fit.error, fit.value + fit.error, color=color, alpha=0.2, linewidth=0)
        displacements.plot(msd.times, values, "o", color=color, markersize=2.5, label=label)
        scale = 1 / (6 * msd.times)
        apparent.errorbar(
            msd.times[known],
            (values * scale)[known],
            yerr=(errors * scale)[known],
            fmt="o",
            color=color,
            markersize=2.5,
            elinewidth=0.8,
        )
        apparent.plot(
            msd.times[~known], (values * scale)[~known], "o", color=color, markersize=2.5, markerfacecolor="w"
        )
    for axes in (displacements, apparent):
        axes.set(xscale="log", yscale="log", xlabel=f"lag ({time})")
        axes.grid(color="#ececec", linewidth=0.6)
        axes.set_axisbelow(True)
    displacements.set_ylabel(f"mean squared displacement ({length}²)")
    apparent.set_ylabel(f"MSD / 6t ({length}²/{time})")
    # room for the legend
    low, high = displacements.get_ylim()
    displacements.set_ylim(low, high * (high / low) ** 0.35)
    displacements.legend(loc="upper left")
    apparent.set_title("bands: fitted D; hollow: error not known", loc="right", fontsize=8, color=GREY)
    figure.suptitle(name, fontsize=10)
    save(figure, path)


def plot_collisions(result: "SystemAnalysis", time: str, path: Path) -> None:
    """Collisions per frame against time, averaged over parts of the run, the kinds of pairs on top of each other."""
    assert result.electrolyte is not None
    collisions, times = result.electrolyte.collisions, result.frame_times
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    axes = figure.subplots()
    # parts that hold enough collisions for their number to mean something
    wanted = int(np.clip(collisions.total.sum() // COLLISIONS_PER_PART, 8, MOST_PARTS))
    parts = np.array_split(np.arange(len(times)), min(wanted, len(times)))
    starts = [float(times[part[0]]) for part in parts]
    widths = np.diff([*starts, float(times[-1])])
    below = np.zeros(len(parts))
    colliding = [n for n in range(len(collisions.kinds.pairs)) if collisions.counts[:, n].any()]
    for n, color in zip(colliding, _colors(len(colliding)), strict=True):
        (a, b), distance = collisions.kinds.pairs[n], collisions.distances[n]
        means = np.array([collisions.counts[part, n].mean() for part in parts])
        label = f"{a} – {b} below {distance:.3g}"
        axes.bar(starts, means, widths, below, align="edge", color=color, alpha=0.75, linewidth=0, label=label)
        below += means
    average = float(collisions.total.mean())
    axes.axhline(average, color="#333333", linewidth=1, label=f"mean: {average:.3g} per frame")
    axes.set(xlabel=f"time ({time})", ylabel="collisions per frame")
    axes.set_xlim(times[0], times[-1])
    axes.set_ylim(0, max(1.05 * float(below.max()), 1e-3))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), reverse=True)
    figure.suptitle(result.name, fontsize=10)
    save(figure, path)


def _colors(n: int) -> list[str]:
    """Distinct colours, as many as needed."""
    return [COLORS[i] if i < len(COLORS) else f"C{i}" for i in range(n)]
