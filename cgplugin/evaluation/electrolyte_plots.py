"""Plots of an evaluation of periodic systems: parity of diffusivities, RDF, mean squared displacements, and what may drift."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from cgplugin.analysis.plots import BLUE, GREEN, GREY, ORANGE, STYLE, save, symbols

from .electrolyte_comparison import ElectrolyteMethod
from .electrolyte_curves import followed, mean_displacement
from .electrolytes import ElectrolyteEvaluation, SystemSamples
from .row_names import LEARNED, UNREFINED

Array = NDArray[np.float64]

SYSTEMS = 4
"""Systems shown in a figure of a column per system; of more, the first and others at equal distances in the list."""

_COLORS = (BLUE, ORANGE, GREEN, "#8a4f9e", "#b03a48", "#8a7a2f")
_MARKERS = "osD^vP"
_OF_METHODS = {LEARNED: BLUE, UNREFINED: ORANGE}


def write_plots(evaluation: ElectrolyteEvaluation, out: Path) -> list[Path]:
    """Write all plots as PNG and give their names."""
    figures = {
        "diffusivity.png": _parity,
        "rdf.png": _distributions,
        "displacements.png": _displacements,
        "over_time.png": _over_time,
    }
    with mpl.rc_context(STYLE):
        for name, draw in figures.items():
            save(draw(evaluation), out / name)
    return [out / name for name in figures]


def _shown(evaluation: ElectrolyteEvaluation) -> list[SystemSamples]:
    chosen = np.unique(np.linspace(0, len(evaluation.systems) - 1, SYSTEMS).round().astype(int))
    return [evaluation.systems[number] for number in chosen]


def _grid(rows: int, columns: int, size: tuple[float, float], **sharing: Any) -> tuple[Figure, NDArray[np.object_]]:
    """Figure with rows times columns panels, with room for a legend above."""
    figure = Figure(figsize=(size[0] * columns + 0.6, size[1] * rows + 0.6), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **sharing)


def _legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    figure.legend(handles=list(handles), loc="outside upper center", ncols=len(handles))


def _line(label: str, color: str, **style: Any) -> Line2D:
    return Line2D([], [], color=color, label=label, **style)


def _species(evaluation: ElectrolyteEvaluation) -> list[str]:
    """Species of all systems, ions first."""
    return list(dict.fromkeys(name for system in evaluation.systems for name in system.reference.species))


def _parity(evaluation: ElectrolyteEvaluation) -> Figure:
    """Diffusivities by both definitions against those of the reference, a column per method."""
    length, time = symbols(evaluation.units)
    quantities = {"diffusivity": "end to end", "fitted diffusivity": "fit"}
    figure, grid = _grid(2, len(evaluation.methods), (2.3, 2.3), sharex="row", sharey="row")
    species = _species(evaluation)
    for row, (quantity, name) in zip(grid, quantities.items(), strict=True):
        span = _span([v for m in evaluation.methods for own in species for v in m.values(quantity, own)])
        for axes, method in zip(row, evaluation.methods, strict=True):
            if axes in grid[0]:
                axes.set_title(method.name, fontsize=9)
            points = {own: _with_errors(method, quantity, own) for own in species}
            if not any(x.size for x, *_ in points.values()):
                axes.set_axis_off()
                continue
            axes.plot(span, span, color=GREY, linewidth=0.8, zorder=0)
            # within a factor of 1.25
            axes.fill_between(span, np.array(span) / 1.25, np.array(span) * 1.25, color=GREY, alpha=0.2, linewidth=0)
            for number, (x, y, xerr, yerr) in enumerate(points.values()):
                axes.errorbar(
                    x, y, xerr=xerr, yerr=yerr, fmt=_MARKERS[number % len(_MARKERS)], color=_COLORS[number % len(_COLORS)],
                    markersize=4, linewidth=0.8,
                )  # fmt: skip
            axes.set(xscale="log", yscale="log", xlim=span, ylim=span, aspect="equal")
            axes.set_xlabel(f"MD $D$, {name} ({length}$^2$/{time})")
        row[0].set_ylabel(f"predicted $D$, {name} ({length}$^2$/{time})")
    _legend(
        figure,
        [
            _line(own, _COLORS[n % len(_COLORS)], marker=_MARKERS[n % len(_MARKERS)], linestyle="", markersize=4)
            for n, own in enumerate(species)
        ],
    )
    return figure


def _span(values: Sequence[Array]) -> tuple[float, float]:
    known = np.concatenate(values)
    known = known[np.isfinite(known) & (known > 0)]
    if len(known) == 0:
        return 0.1, 10.0
    return float(known.min()) / 1.6, float(known.max()) * 1.6


def _with_errors(method: ElectrolyteMethod, quantity: str, subject: str) -> list[Array]:
    """True and predicted values and the errors of both, of all systems that have them."""
    found = [
        (c.truth.value, c.prediction.value, c.truth.error, c.prediction.error)
        for own in method.systems
        for c in own or ()
        if (c.quantity, c.subject) == (quantity, subject) and c.truth.value > 0 and c.prediction.value > 0
    ]
    return list(np.nan_to_num(np.array(found, dtype=np.float64).reshape(-1, 4)).T)


def _distributions(evaluation: ElectrolyteEvaluation) -> Figure:
    """RDF of every shown pair of species, a column per system."""
    length, _ = symbols(evaluation.units)
    systems = _shown(evaluation)
    pairs = list(dict.fromkeys(pair for system in systems for pair in system.shown_pairs))
    figure, grid = _grid(len(pairs), len(systems), (2.5, 1.5), sharex="col", sharey="row")
    for column, system in zip(grid.T, systems, strict=True):
        for axes, pair in zip(column, pairs, strict=True):
            if pair not in system.shown_pairs:
                axes.remove()
                continue
            rdf = system.reference.coarse_rdf
            g, error = rdf.g(*pair), rdf.error(*pair)
            axes.fill_between(rdf.centres, g - error, g + error, color=GREY, alpha=0.4, linewidth=0)
            axes.plot(rdf.centres, g, color=GREY, linewidth=1)
            for name, sample in system.samples.items():
                own = sample.coarse_rdf
                axes.plot(own.centres, own.g(*pair), color=_OF_METHODS[name], linewidth=1.2)
            axes.axhline(1, color=GREY, linewidth=0.5, linestyle=":")
            axes.set_ylim(0, 1.7 * float(np.nanmax(g)))
            axes.set_xlim(0, float(rdf.edges[-1]))
        column[0].set_title(system.name, fontsize=9)
        column[-1].set_xlabel(f"$r$ ({length})")
    for axes, pair in zip(grid[:, 0], pairs, strict=True):
        axes.set_ylabel(f"$g(r)$\n{'–'.join(pair)}")
    _legend(figure, [_line("MD", GREY, linewidth=2), *_learned_lines(evaluation)])
    return figure


def _learned_lines(evaluation: ElectrolyteEvaluation) -> list[Line2D]:
    names = [method.name for method in evaluation.methods]
    return [_line(name, color) for name, color in _OF_METHODS.items() if name in names]


def _displacements(evaluation: ElectrolyteEvaluation) -> Figure:
    """Mean squared displacement against time, a panel per system and a colour per species."""
    length, time = symbols(evaluation.units)
    systems, species = _shown(evaluation), _species(evaluation)
    figure, grid = _grid(1, len(systems), (2.7, 2.7), sharey="row")
    styles = {LEARNED: "--", UNREFINED: ":"}
    for axes, system in zip(grid[0], systems, strict=True):
        for number, own in enumerate(species):
            color = _COLORS[number % len(_COLORS)]
            if own not in system.reference.species:
                continue
            axes.plot(*mean_displacement(system.reference, own), color=color, linewidth=2.5, alpha=0.45)
            for name, sample in system.samples.items():
                axes.plot(*mean_displacement(sample, own), color=color, linewidth=1.2, linestyle=styles[name])
        axes.set(xscale="log", yscale="log")
        axes.set_title(system.name, fontsize=9)
        axes.set_xlabel(f"time ({time})")
    grid[0, 0].set_ylabel(f"mean squared displacement ({length}$^2$)")
    names = [method.name for method in evaluation.methods]
    _legend(
        figure,
        [
            *(_line(own, _COLORS[n % len(_COLORS)]) for n, own in enumerate(species)),
            _line("MD", GREY, linewidth=2.5, alpha=0.45),
            *(_line(name, GREY, linestyle=style) for name, style in styles.items() if name in names),
        ],
    )
    return figure


def _over_time(evaluation: ElectrolyteEvaluation) -> Figure:
    """Collisions and what must not drift against time, a column per system, averaged over replicas and stretches of time."""
    length, time = symbols(evaluation.units)
    systems = _shown(evaluation)
    labels = {
        "collisions": "collisions\nper bead",
        "displacement": f"displacement$^2$\nper step ({length}$^2$)",
        "contacts": "contacts\nper bead",
        "chain size": f"chain $R_\\mathrm{{g}}^2$\n({length}$^2$)",
    }
    figure, grid = _grid(len(labels), len(systems), (2.7, 1.4), sharex="col", sharey="row")
    for column, system in zip(grid.T, systems, strict=True):
        for axes, name in zip(column, labels, strict=True):
            axes.plot(*followed(system, system.reference, name), color=GREY, linewidth=1)
            for method, sample in system.samples.items():
                axes.plot(*followed(system, sample, name), color=_OF_METHODS[method], linewidth=1.2)
        column[0].set_title(system.name, fontsize=9)
        column[-1].set_xlabel(f"time ({time})")
    for row, label in zip(grid, labels.values(), strict=True):
        row[0].set_ylabel(label)
        highest = max((float(np.max(line.get_ydata())) for axes in row for line in axes.get_lines()), default=0.0)
        row[0].set_ylim(0, 1.05 * highest or 1.0)
    _legend(figure, [_line("MD", GREY), *_learned_lines(evaluation)])
    return figure
