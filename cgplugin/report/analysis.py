"""The report's part on analysed trajectories."""

import math
from pathlib import Path

import numpy as np
import plotly.graph_objects as go

from cgplugin.observables.statistics import value_and_error
from cgplugin.tables import or_dash

from .columns import Columns
from .content import Plot, Section, Table
from .figures import color, label, line, logarithmic, panels, place, single, symbol

CURVES = 12
"""Systems whose curves are shown."""

ROWS = 200
"""Systems in the table."""

PARTS = 100
"""Stretches of time that collisions are averaged over."""


def analysis_sections(folder: Path) -> list[Section]:
    """Sections of what ``cgplugin analyze`` wrote.

    Raises
    ------
    UserError
        If a file is damaged.
    """
    table = Columns(folder / "analysis.csv")
    names = table.texts("name")
    length, time = symbol(table.texts("length_unit")[0]), symbol(table.texts("time_unit")[0])
    tables = [_summary(table, length, time)]
    if (folder / "species.csv").is_file():
        tables.append(_species(Columns(folder / "species.csv"), length, time))
    # the folder of a single trajectory is analysed in place
    places = {name: folder / name if (folder / name).is_dir() else folder for name in names[:CURVES]}
    rg2 = f"Rg² ({length}²)"
    overlays = (
        ("frames.csv", "time", ("rg2", "rg2_beads"), f"time ({time})", rg2, "Rg² against time"),
        ("distribution.csv", "rg2", ("density",), rg2, "probability density", "Distribution of Rg²"),
        (
            "autocorrelation.csv",
            "lag",
            ("autocorrelation",),
            f"lag ({time})",
            "autocorrelation",
            "Autocorrelation of Rg²",
        ),
    )
    plots = [_overlay(places, *each) for each in overlays]
    if len(names) > 1:
        plots.insert(0, _means(table, names, length))
    remarks = [f"Curves of the first {CURVES} of {len(names)} systems are shown."] if len(names) > CURVES else []
    sections = [Section("Properties of the trajectories", remarks, tables, [plot for plot in plots if plot])]
    for name, own in places.items():
        if (own / "rdf.csv").is_file() and (own / "msd.csv").is_file():
            shown = [
                _distributions(Columns(own / "rdf.csv"), length),
                _displacements(Columns(own / "msd.csv"), length, time),
                _collisions(Columns(own / "collisions.csv"), time),
            ]
            sections.append(Section(f"Electrolyte {name}", (), (), shown))
    return sections


def _summary(table: Columns, length: str, time: str) -> Table:
    pairs = {
        "rg2_mean": (f"⟨Rg²⟩ ({length}²)", "rg2_standard_error"),
        "relaxation_time": (f"relaxation time ({time})", "relaxation_time_error"),
        "end_to_end_mean": (f"end-to-end ({length})", "end_to_end_standard_error"),
    }
    columns = [table.texts("name")]
    columns += [_with_errors(table.numbers(name), table.numbers(error)) for name, (_, error) in pairs.items()]
    columns += [[f"{value:.3g}" for value in table.numbers(name)] for name in ("longest_bond", "duration")]
    columns.append(table.texts("n_frames"))
    header = [
        "system",
        *(heading for heading, _ in pairs.values()),
        f"longest bond ({length})",
        f"time ({time})",
        "frames",
    ]
    rows = [list(row) for row in zip(*columns, strict=True)]
    note = f"The first {ROWS} of {len(rows)}; all are in analysis.csv." if len(rows) > ROWS else "With standard errors."
    return Table(header, rows[:ROWS], "Systems", note)


def _with_errors(values: np.ndarray, errors: np.ndarray) -> list[str]:
    return [_with_error(float(value), float(error)) for value, error in zip(values, errors, strict=True)]


def _with_error(value: float, error: float) -> str:
    if not math.isfinite(value):
        return "-"
    return " ± ".join(value_and_error(value, error)) if math.isfinite(error) else f"{value:.3g}"


def _species(table: Columns, length: str, time: str) -> Table:
    columns = [table.texts(name) for name in ("system", "species", "role", "molecules")]
    columns.append(_with_errors(table.numbers("diffusivity"), table.numbers("standard_error")))
    columns.append(_with_errors(table.numbers("end_to_end_diffusivity"), table.numbers("end_to_end_standard_error")))
    columns += [
        [or_dash(value, "{:.3g}") for value in table.numbers(name)] for name in ("exponent", "transference_number")
    ]
    header = [
        "system",
        "species",
        "role",
        "molecules",
        f"D ({length}²/{time})",
        "x_T²/6T",
        "exponent",
        "transference number",
    ]
    rows = [list(row) for row in zip(*columns, strict=True)]
    note = (
        "D from the slope of the mean squared displacement; below an exponent of time of 0.9 there is no diffusion yet."
    )
    return Table(header, rows[:ROWS], "Species", note)


def _means(table: Columns, names: list[str], length: str) -> Plot:
    figure = single("system", f"⟨Rg²⟩ ({length}²)")
    bars = go.Scatter(
        x=list(range(1, len(names) + 1)),
        y=table.numbers("rg2_mean"),
        error_y={"array": np.nan_to_num(table.numbers("rg2_standard_error")), "thickness": 1, "width": 3},
        mode="markers",
        marker={"color": color(0), "size": 7},
        text=[label(name) for name in names],
        hovertemplate="%{text}<br>%{y:.4g}<extra></extra>",
        showlegend=False,
    )
    figure.add_trace(bars)
    return Plot("Mean squared radius of gyration", figure, "In the order of the table, with standard errors.")


def _overlay(
    places: dict[str, Path], file: str, x: str, columns: tuple[str, ...], x_title: str, y_title: str, title: str
) -> Plot | None:
    """Curves of all systems over each other; of ``columns`` the first that a file has."""
    figure = single(x_title, y_title)
    for number, (name, folder) in enumerate(places.items()):
        if (folder / file).is_file():
            table = Columns(folder / file)
            y = next((column for column in columns if column in table.header), columns[0])
            figure.add_trace(line(table.numbers(x), table.numbers(y), name, color(number), width=1.2))
    return Plot(title, figure, "Click a name to hide its curve.") if figure.data else None


def _distributions(table: Columns, length: str) -> Plot:
    pairs = [name for name in table.header if name.startswith("g ")]
    figure = panels([name[2:].replace("-", " – ") for name in pairs], f"r ({length})", "g(r)", height=240)
    for number, name in enumerate(pairs):
        curve = line(table.numbers("r"), table.numbers(name), name, color(0), legend=False)
        figure.add_trace(curve, **place(number, min(3, len(pairs))))
    return Plot("Radial distribution functions", figure, "Coordination numbers are in rdf.csv.", wide=True)


def _displacements(table: Columns, length: str, time: str) -> Plot:
    figure = single(f"lag ({time})", f"mean squared displacement ({length}²)", height=380)
    lags = table.numbers("lag")
    for number, name in enumerate(name for name in table.header if name.startswith("msd ")):
        errors = np.nan_to_num(table.numbers(name.replace("msd ", "error ", 1)))
        curve = line(lags, table.numbers(name), name[4:], color(number))
        figure.add_trace(curve.update(mode="lines+markers", error_y={"array": errors, "thickness": 1, "width": 2}))
    logarithmic(figure)
    return Plot("Mean squared displacement", figure, "With standard errors where they are known.")


def _collisions(table: Columns, time: str) -> Plot:
    figure = single(f"time ({time})", "collisions per frame", height=380)
    times = table.numbers("time")
    parts = np.array_split(np.arange(len(times)), min(PARTS, len(times)))
    for number, name in enumerate(table.header[1:]):
        values = table.numbers(name)
        if name == "all" or values.any():
            means = [values[part].mean() for part in parts]
            figure.add_trace(line([times[part].mean() for part in parts], means, name, color(number)))
    figure.update_yaxes(rangemode="tozero")
    return Plot("Collisions against time", figure, f"Averages over {len(parts)} stretches of time.")
