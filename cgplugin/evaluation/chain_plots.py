"""Plots of an evaluation of chains: parity, distributions, autocorrelations, free-energy surfaces."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cgplugin.analysis.plots import BLUE, GREEN, GREY, ORANGE, STYLE, save, symbols
from cgplugin.observables.statistics import density, effective_sample_size

from .chain_curves import decays_of, span_of_decay
from .chains import Evaluation, SystemComparison
from .row_names import LEARNED, MD

if TYPE_CHECKING:
    from matplotlib.artist import Artist

PANELS = 12
"""Systems shown in a figure of one panel per system; of more, those spread evenly over mean Rg^2."""

SURFACES = 4
"""Systems whose free-energy surfaces are shown."""

HIGHEST = 6.0
"""Free energy in kT at which the colours of a surface end."""

_COLORS = (BLUE, ORANGE, GREEN, "#8a4f9e", "#b03a48", "#555555", "#8a7a2f")


def write_plots(evaluation: Evaluation, out: Path) -> list[Path]:
    """Write all plots as PNG and give their names."""
    paths = [out / f"{name}.png" for name in ("parity", "distributions", "autocorrelations")]
    with mpl.rc_context(STYLE):
        save(_parity(evaluation), paths[0])
        save(_panels(evaluation, PANELS, _distribution, "probability density"), paths[1])
        save(_panels(evaluation, PANELS, _autocorrelation, "autocorrelation"), paths[2])
        if any(comparison.surfaces for comparison in evaluation.systems):
            paths.append(out / "free_energy.png")
            save(_surfaces(evaluation), paths[-1])
    return paths


def _parity(evaluation: Evaluation) -> Figure:
    """Predicted against true mean Rg^2, a panel per method."""
    length, _ = symbols(evaluation.units)
    methods = evaluation.methods
    columns = min(3, len(methods))
    rows = math.ceil(len(methods) / columns)
    figure = Figure(figsize=(2.9 * columns, 2.9 * rows + 0.2), layout="constrained")
    values = np.concatenate([np.concatenate([m.values("true_mean"), m.values("mean")]) for m in methods])
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    # one chain that flew apart must not squeeze all others into a corner
    limit = 3 * max(float(comparison.reference.rg2.mean()) for comparison in evaluation.systems)
    margin = 0.05 * (min(high, limit) - low) or 1.0
    span = (low - margin, min(high, limit) + margin)
    for number, (method, axes) in enumerate(zip(methods, _grid(figure, rows, columns, len(methods)), strict=True)):
        numbers = method.estimates()
        truth, predicted = method.values("true_mean"), method.values("mean")
        axes.plot(span, span, color=GREY, linewidth=0.8)
        axes.plot(truth, predicted, "o", color=_COLORS[number % len(_COLORS)], markersize=4, alpha=0.8)
        beyond = int((predicted > span[1]).sum())
        text = f"$r^2$ = {numbers['rg2_r2'].value:.2f}   MAE = {numbers['rg2_mae'].value:.2f}"
        text += f"   {beyond} beyond the axes" if beyond else ""
        axes.set(xlim=span, ylim=span, aspect="equal")
        axes.set_title(f"{method.name}\n{text}", fontsize=8)
        if number % columns == 0:
            axes.set_ylabel(f"predicted $\\langle R_\\mathrm{{g}}^2\\rangle$ ({length}$^2$)")
        if number + columns >= len(methods):
            axes.set_xlabel(f"MD $\\langle R_\\mathrm{{g}}^2\\rangle$ ({length}$^2$)")
    return figure


def _grid(figure: Figure, rows: int, columns: int, used: int) -> list[Axes]:
    """Axes in reading order, those that are not used removed."""
    everything: list[Axes] = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for axes in everything[used:]:
        axes.remove()
    return everything[:used]


def _chosen(evaluation: Evaluation, most: int) -> list[SystemComparison]:
    """At most so many systems, spread evenly over mean Rg^2, in its order."""
    ordered = sorted(evaluation.systems, key=lambda item: float(item.reference.rg2.mean()))
    if len(ordered) <= most:
        return ordered
    return [ordered[i] for i in np.unique(np.linspace(0, len(ordered) - 1, most).round().astype(int))]


Panel = Callable[[Axes, SystemComparison, Evaluation], None]


def _panels(evaluation: Evaluation, most: int, draw: Panel, ylabel: str) -> Figure:
    """One panel per system, with a common legend."""
    chosen = _chosen(evaluation, most)
    columns = min(4, len(chosen))
    rows = math.ceil(len(chosen) / columns)
    figure = Figure(figsize=(2.4 * columns + 0.4, 1.9 * rows + 0.7), layout="constrained")
    for number, (comparison, axes) in enumerate(zip(chosen, _grid(figure, rows, columns, len(chosen)), strict=True)):
        draw(axes, comparison, evaluation)
        if number % columns == 0:
            axes.set_ylabel(ylabel)
        axes.set_title(comparison.reference.name, fontsize=9)
    handles: dict[str, Artist] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(list(handles.values()), list(handles), loc="outside upper center", ncols=len(handles))
    return figure


def _distribution(axes: Axes, comparison: SystemComparison, evaluation: Evaluation) -> None:
    length, _ = symbols(evaluation.units)
    reference = comparison.reference.rg2
    centres, heights = density(reference, effective_sample_size(reference))
    axes.fill_between(centres, heights, step="mid", color=GREY, alpha=0.35, linewidth=0, label="MD")
    axes.axvline(float(reference.mean()), color=GREY, linewidth=1, label="mean (MD)")
    if len(comparison.short) < len(reference):
        axes.axvline(float(comparison.short.mean()), color=ORANGE, linewidth=1, linestyle=":", label="short MD, mean")
    if comparison.learned is not None:
        values = np.concatenate(comparison.learned.series)
        axes.plot(*density(values, effective_sample_size(values)), color=BLUE, linewidth=1.4, label=LEARNED)
        axes.axvline(float(values.mean()), color=BLUE, linewidth=1, linestyle="--", label="mean (learned)")
    axes.set_xlim(0, 1.3 * float(reference.max()))
    axes.set_ylim(0, 1.4 * float(heights.max()))
    axes.set_yticks([])
    axes.set_xlabel(f"$R_\\mathrm{{g}}^2$ ({length}$^2$)")


def _autocorrelation(axes: Axes, comparison: SystemComparison, evaluation: Evaluation) -> None:
    _, time = symbols(evaluation.units)
    span = span_of_decay(comparison)
    axes.axhline(0, color=GREY, linewidth=0.5)
    axes.axhline(math.exp(-1), color=GREY, linewidth=0.5, linestyle=":")
    for method, lags, values in decays_of(comparison):
        color, width = (GREY, 2.0) if method == MD else (BLUE, 1.3)
        axes.plot(lags, values, color=color, linewidth=width, label=method)
    axes.set(xlim=(0, span), ylim=(-0.25, 1.05))
    axes.set_xlabel(f"lag ({time})")


def _surfaces(evaluation: Evaluation) -> Figure:
    """Free-energy surfaces of MD above those of the learned simulation."""
    length, _ = symbols(evaluation.units)
    with_surfaces = [name for name, item in zip(evaluation.names, evaluation.systems, strict=True) if item.surfaces]
    chosen = [item for item in _chosen(evaluation, len(evaluation.systems)) if item.reference.name in with_surfaces]
    if len(chosen) > SURFACES:
        chosen = [chosen[i] for i in np.linspace(0, len(chosen) - 1, SURFACES).round().astype(int)]
    figure = Figure(figsize=(2.3 * len(chosen) + 1.2, 5), layout="constrained")
    grid = figure.subplots(2, len(chosen), squeeze=False, sharex="col", sharey="col")
    levels = np.linspace(0, HIGHEST, 13)
    drawn = None
    for column, comparison in enumerate(chosen):
        for row, (surface, name) in enumerate(zip(comparison.surfaces, (MD, LEARNED), strict=True)):
            axes = grid[row, column]
            energy = np.ma.masked_greater(surface.free_energy, HIGHEST)
            drawn = axes.contourf(surface.x, surface.y, energy.T, levels=levels, cmap="viridis")
            axes.contour(surface.x, surface.y, energy.T, levels=levels[::2], colors="white", linewidths=0.4)
            if column == 0:
                axes.set_ylabel(f"{name}\nsecond component ({length})")
            if row == 0:
                axes.set_title(comparison.reference.name, fontsize=9)
            else:
                axes.set_xlabel(f"first component ({length})")
    if drawn is not None:
        figure.colorbar(drawn, ax=grid, label="free energy (kT)", shrink=0.8)
    return figure
