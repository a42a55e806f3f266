"""The report's part on an evaluation of periodic systems."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

from cgplugin.evaluation.electrolyte_curves import DISPLACEMENTS, OVER_TIME, RDF
from cgplugin.evaluation.row_names import MD
from cgplugin.observables.statistics import value_and_error

from .columns import Columns
from .content import Plot, Section, Table
from .figures import GREY, color, diagonal, line, logarithmic, panels, place, points, single, spread, symbol

SHOWN = 4
"""Systems whose curves are shown."""

_DASHES = ("solid", "dash", "dot", "dashdot")


def electrolyte_sections(folder: Path, content: dict[str, Any]) -> list[Section]:
    """Sections of what ``cgplugin evaluate`` wrote, ``content`` being its ``evaluation.json``.

    Raises
    ------
    UserError
        If a file is damaged.
    """
    length, time = symbol(content["length_unit"]), symbol(content["time_unit"])
    compared = Columns(folder / "comparisons.csv")
    plots = [
        _parity(compared, "diffusivity", "Diffusivity from end to end", f"|x_T − x_0|² / 6T ({length}²/{time})"),
        _parity(compared, "fitted diffusivity", "Diffusivity from the slope of the MSD", f"D ({length}²/{time})"),
    ]
    sections = [
        Section(
            "Against reference MD",
            content.get("remarks", ()),
            [_ratios(content), _systems(compared)],
            [plot for plot in plots if plot],
        )
    ]
    curves = [Columns(folder / name) for name in (RDF, DISPLACEMENTS, OVER_TIME) if (folder / name).is_file()]
    if len(curves) < 3:
        return sections
    names = list(dict.fromkeys(curves[0].texts("system")))
    colors = _colors(curves[0])
    for name in names[:SHOWN]:
        own = [
            _distributions(curves[0], name, length, colors),
            _displacements(curves[1], name, length, time, list(colors)),
            _over_time(curves[2], name, length, time, colors),
        ]
        left_out = (f"Curves of the first {SHOWN} of {len(names)} systems are shown.",) if len(names) > SHOWN else ()
        sections.append(Section(f"System {name}", left_out, (), own))
    return sections


def _colors(table: Columns) -> dict[str, str]:
    """Colour of each method."""
    methods = list(dict.fromkeys(table.texts("method")))
    return {name: GREY if name == MD else color(number - 1) for number, name in enumerate(methods)}


def _ratios(content: dict[str, Any]) -> Table:
    """Ratios of prediction to reference, averaged over systems: a row per quantity, a column per method."""
    methods = [method["name"] for method in content["methods"]]
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for method in content["methods"]:
        for item in method["statistics"]:
            estimate = item.get("ratio") or item.get("mean")
            if estimate is not None and estimate["value"] is not None:
                text = f"{estimate['value']:.3g}"
                if estimate["low"] is not None and estimate["high"] is not None:
                    text += f" [{estimate['low']:.3g}, {estimate['high']:.3g}]"
                cells.setdefault((item["quantity"], item["of"]), {})[method["name"]] = text
    rows = [[*key, *(row.get(name, "-") for name in methods)] for key, row in cells.items()]
    note = (
        "Prediction over reference, averaged over systems; of the RDF difference the value itself, of drifts the last third of "
        "a run over the first. In brackets: 95 % interval from drawing systems anew."
    )
    return Table(["quantity", "of", *methods], rows, "Ratios to the reference", note)


def _systems(compared: Columns) -> Table:
    """Every number of every system: reference and methods with standard errors."""
    methods = list(dict.fromkeys(compared.texts("method")))
    values, errors = compared.numbers("value"), compared.numbers("error")
    truths, truth_errors = compared.numbers("reference"), compared.numbers("reference_error")
    keys = zip(*(compared.texts(name) for name in ("system", "quantity", "of", "method")), strict=True)
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for number, (*key, method) in enumerate(keys):
        row = rows.setdefault(tuple(key), {MD: _with_error(truths[number], truth_errors[number])})
        row[method] = _with_error(values[number], errors[number])
    shown = [[*key, *(row.get(name, "-") for name in (MD, *methods))] for key, row in sorted(rows.items())]
    known = [row for row in shown if any(cell != "-" for cell in row[3:])]
    return Table(["system", "quantity", "of", MD, *methods], known, "Systems", "With standard errors.")


def _with_error(value: float, error: float) -> str:
    if not math.isfinite(value):
        return "-"
    return " ± ".join(value_and_error(value, error)) if math.isfinite(error) else f"{value:.3g}"


def _parity(compared: Columns, quantity: str, title: str, axis: str) -> Plot | None:
    """A column per method, a colour per species, both axes logarithmic."""
    truth, value, error = (compared.numbers(name) for name in ("reference", "value", "error"))
    known = np.array(compared.texts("quantity")) == quantity
    known &= (truth > 0) & (value > 0)
    if not known.any():
        return None
    of, species = np.array(compared.texts("method")), np.array(compared.texts("of"))
    names = np.array(compared.texts("system"))
    methods = list(dict.fromkeys(of[known].tolist()))
    figure = panels(methods, f"MD {axis}", f"predicted {axis}", height=330)
    low, high = spread([truth[known], value[known]], log=True)
    kinds = list(dict.fromkeys(species[known].tolist()))
    for column, method in enumerate(methods):
        diagonal(figure, low, high, **place(column, min(3, len(methods))))
        for number, kind in enumerate(kinds):
            own = known & (of == method) & (species == kind)
            if own.any():
                dots = points(
                    truth[own],
                    value[own],
                    names[own].tolist(),
                    kind,
                    color(number),
                    legend=column == 0,
                    error_y={"array": np.nan_to_num(error[own]), "thickness": 1, "width": 3},
                )
                figure.add_trace(dots, **place(column, min(3, len(methods))))
    span = [math.log10(low), math.log10(high)]
    logarithmic(figure)
    figure.update_xaxes(range=span)
    figure.update_yaxes(range=span)
    return Plot(title, figure, "A point per system; the line is equality.", wide=True)


def _distributions(table: Columns, system: str, length: str, colors: dict[str, str]) -> Plot:
    groups = [(key, rows) for key, rows in table.groups("system", "method", "centre", "neighbour") if key[0] == system]
    pairs = list(dict.fromkeys(f"{centre} – {neighbour}" for (_, _, centre, neighbour), _ in groups))
    figure = panels(pairs, f"r ({length})", "g(r)", height=240)
    r, g, error = (table.numbers(name) for name in ("r", "g", "error"))
    for (_, method, centre, neighbour), rows in groups:
        number = pairs.index(f"{centre} – {neighbour}")
        where = place(number, min(3, len(pairs)))
        if method == MD:
            # the band of one standard error
            x, low, high = r[rows], (g - error)[rows], (g + error)[rows]
            known = np.isfinite(low)
            band = go.Scatter(
                x=np.concatenate([x[known], x[known][::-1]]),
                y=np.concatenate([high[known], low[known][::-1]]),
                fill="toself",
                fillcolor="rgba(119, 119, 119, 0.3)",
                line={"width": 0},
                showlegend=False,
                hoverinfo="skip",
            )
            figure.add_trace(band, **where)
        figure.add_trace(line(r[rows], g[rows], method, colors[method], legend=number == 0), **where)
    return Plot("Radial distribution functions of beads", figure, "Band: standard error of the reference.", wide=True)


def _displacements(table: Columns, system: str, length: str, time: str, methods: list[str]) -> Plot:
    """A colour per species, a kind of line per method."""
    groups = [(key, rows) for key, rows in table.groups("system", "method", "species") if key[0] == system]
    species = list(dict.fromkeys(key[2] for key, _ in groups))
    figure = single(f"time ({time})", f"mean squared displacement ({length}²)", height=400)
    lag, msd = table.numbers("lag"), table.numbers("msd")
    for (_, method, own), rows in groups:
        dash = _DASHES[methods.index(method) % len(_DASHES)]
        width = 3.5 if method == MD else 1.8
        curve = line(lag[rows], msd[rows], f"{own}, {method}", color(species.index(own)), dash=dash, width=width)
        figure.add_trace(curve.update(opacity=0.5 if method == MD else 1.0))
    logarithmic(figure)
    return Plot(
        "Mean squared displacement", figure, "Of the molecules' centres, drift of the system removed.", wide=True
    )


def _over_time(table: Columns, system: str, length: str, time: str, colors: dict[str, str]) -> Plot:
    units = {"displacement": f"displacement² per step ({length}²)", "chain size": f"chain Rg² ({length}²)"}
    groups = [(key, rows) for key, rows in table.groups("system", "method", "quantity") if key[0] == system]
    quantities = list(dict.fromkeys(key[2] for key, _ in groups))
    names = [units.get(name, f"{name} per bead") for name in quantities]
    figure = panels([""] * len(quantities), f"time ({time})", names, columns=2, height=240)
    times, values = table.numbers("time"), table.numbers("value")
    for (_, method, quantity), rows in groups:
        number = quantities.index(quantity)
        curve = line(times[rows], values[rows], method, colors[method], legend=number == 0)
        figure.add_trace(curve, **place(number, min(2, len(quantities))))
    figure.update_yaxes(rangemode="tozero")
    caption = "Collisions and what must not drift, averaged over replicas and stretches of time."
    return Plot("Collisions and drift against time", figure, caption, wide=True)
