"""The report's part on an evaluation of chains without a box."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

from cgplugin.errors import UserError, one_line
from cgplugin.evaluation.chain_curves import AUTOCORRELATIONS, DISTRIBUTIONS, SURFACES
from cgplugin.evaluation.chain_report import COLUMNS
from cgplugin.evaluation.row_names import MD
from cgplugin.tables import or_dash

from .columns import Columns
from .content import Plot, Section, Table
from .figures import GREY, color, diagonal, label, line, panels, place, points, single, spread, symbol

PANELS = 12
"""Systems with a panel of their own; of more, the first."""

SHOWN_SURFACES = 4
"""Systems whose free-energy surfaces are shown."""

HIGHEST = 6.0
"""Free energy in kT at which the colours end."""


def chain_sections(folder: Path, content: dict[str, Any]) -> list[Section]:
    """Sections of what ``cgplugin evaluate`` wrote, ``content`` being its ``evaluation.json``.

    Raises
    ------
    UserError
        If a file is damaged.
    """
    length, time = symbol(content["length_unit"]), symbol(content["time_unit"])
    systems = Columns(folder / "systems.csv")
    methods = list(dict.fromkeys(systems.texts("method")))
    plots = [
        _parity(systems, methods, "mean", f"⟨Rg²⟩ ({length}²)", "Mean squared radius of gyration"),
        _parity(systems, methods, "relaxation", f"relaxation time ({time})", "Relaxation time of Rg²"),
    ]
    curves = (
        (DISTRIBUTIONS, "rg2", "density", f"Rg² ({length}²)", "probability density", "Distribution of Rg²"),
        (AUTOCORRELATIONS, "lag", "autocorrelation", f"lag ({time})", "autocorrelation", "Autocorrelation of Rg²"),
    )
    for file, x, y, x_title, y_title, title in curves:
        if (folder / file).is_file():
            plots.append(_curves(Columns(folder / file), x, y, x_title, y_title, title))
    if (folder / SURFACES).is_file():
        plots.append(_surfaces(folder / SURFACES, length))
    tables = [_methods(content, length), _systems(systems, length, time)]
    return [Section("Against reference MD", content.get("remarks", ()), tables, [plot for plot in plots if plot])]


def _methods(content: dict[str, Any], length: str) -> Table:
    header = ["method", *(symbol(heading) for heading, _ in COLUMNS.values()), "stretched runs", "core-s per system"]
    rows = []
    for method in content["methods"]:
        cells = [method["name"]]
        cells += [_with_interval(method[key], pattern) for key, (_, pattern) in COLUMNS.items()]
        simulated = method["n_runs"] > 0
        cells.append(f"{method['n_stretched']} of {method['n_runs']}" if simulated else "-")
        cells.append(or_dash(_number(method["core_seconds_per_system"]), "{:.3g}"))
        rows.append(cells)
    note = (
        f"Rg² in {length}²: r2, mean absolute error and correlation of its mean over systems, earth mover's distance (EMD) of "
        "its distribution. Relaxation: time in which its autocorrelation falls to 1/e. Surface JS: Jensen-Shannon divergence "
        "of the free-energy surfaces, bits. In brackets: 95 % interval from drawing systems anew."
    )
    return Table(header, rows, "Methods", note)


def _with_interval(estimate: dict[str, Any], pattern: str) -> str:
    text = or_dash(_number(estimate["value"]), pattern)
    low, high = _number(estimate["low"]), _number(estimate["high"])
    return f"{text} [{pattern.format(low)}, {pattern.format(high)}]" if math.isfinite(low + high) else text


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _systems(systems: Columns, length: str, time: str) -> Table:
    columns = {
        "true_mean": (f"MD ⟨Rg²⟩ ({length}²)", "{:.1f}"),
        "mean": ("learned", "{:.1f}"),
        "emd": ("EMD", "{:.2f}"),
        "true_relaxation": (f"MD relaxation ({time})", "{:.0f}"),
        "relaxation": ("learned", "{:.0f}"),
        "surface_divergence": ("surface JS", "{:.3f}"),
        "longest_bond": (f"longest bond ({length})", "{:.2f}"),
        "n_stretched": ("stretched runs", "{:.0f}"),
    }
    numbers = {name: systems.numbers(name) for name in columns}
    names = systems.texts("system")
    rows = [
        [names[row], *(or_dash(float(numbers[key][row]), pattern) for key, (_, pattern) in columns.items())]
        for row, method in enumerate(systems.texts("method"))
        if method == "learned"
    ]
    return Table(["system", *(heading for heading, _ in columns.values())], rows, "Systems")


def _parity(systems: Columns, methods: list[str], quantity: str, axis: str, title: str) -> Plot | None:
    truth, predicted = systems.numbers(f"true_{quantity}"), systems.numbers(quantity)
    known = np.isfinite(truth) & np.isfinite(predicted)
    if not known.any():
        return None
    names, of = np.array(systems.texts("system")), np.array(systems.texts("method"))
    figure = single(f"MD {axis}", f"predicted {axis}", height=400)
    diagonal(figure, *spread([truth[known], predicted[known]]))
    for number, method in enumerate(methods):
        own = known & (of == method)
        if own.any():
            figure.add_trace(points(truth[own], predicted[own], names[own].tolist(), method, color(number)))
    return Plot(title, figure, "A point per system; the line is equality. Click a name to hide its points.")


def _curves(table: Columns, x: str, y: str, x_title: str, y_title: str, title: str) -> Plot:
    names = list(dict.fromkeys(table.texts("system")))
    shown = names[:PANELS]
    figure = panels(shown, x_title, y_title)
    xs, ys, seen = table.numbers(x), table.numbers(y), set()
    for (system, method), rows in table.groups("system", "method"):
        if system in shown:
            tint = GREY if method == MD else color(0)
            curve = line(xs[rows], ys[rows], method, tint, legend=method not in seen, width=3 if method == MD else 1.8)
            figure.add_trace(curve, **place(shown.index(system), min(3, len(shown))))
            seen.add(method)
    left_out = "" if len(shown) == len(names) else f"The first {len(shown)} of {len(names)} systems."
    return Plot(title, figure, left_out, wide=True)


def _surfaces(path: Path, length: str) -> Plot:
    """Free-energy surfaces, a row per method and a column per system."""
    try:
        with np.load(path, allow_pickle=False) as file:
            systems, methods, x, y, energy = (file[key] for key in ("systems", "methods", "x", "y", "free_energy"))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: cannot be read ({one_line(error)}): evaluate again") from error
    n = min(len(systems), SHOWN_SURFACES)
    titles = [f"{system}: {method}" for method in methods.tolist() for system in systems[:n].tolist()]
    figure = panels(titles, f"first component ({length})", f"second component ({length})", columns=n, height=300)
    for row in range(len(methods)):
        for column in range(n):
            # where nothing was sampled there is no colour
            shown = np.where(energy[column, row] <= HIGHEST, energy[column, row], np.nan)
            figure.add_trace(
                go.Contour(
                    x=x[column],
                    y=y[column],
                    z=shown.T,
                    contours={"start": 0, "end": HIGHEST, "size": 0.5},
                    line={"width": 0.3, "color": "white"},
                    colorscale="Viridis",
                    zmin=0,
                    zmax=HIGHEST,
                    showscale=row + column == 0,
                    colorbar={"title": {"text": "F (kT)"}, "thickness": 14},
                    hovertemplate="%{x:.3g}, %{y:.3g}: %{z:.2f} kT<extra>" + label(str(methods[row])) + "</extra>",
                ),
                row=row + 1,
                col=column + 1,
            )
    caption = (
        "-kT ln p on two principal components of the bead-bead distances of the reference; one smoothing for both."
    )
    return Plot("Free-energy surfaces", figure, caption, wide=True)
