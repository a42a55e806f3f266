"""The report's part on learned simulations."""

from pathlib import Path
from typing import Any

from cgplugin.files import read_json
from cgplugin.units import check_units, length_unit, time_unit

from .columns import Columns
from .content import Plot, Section, Table
from .figures import color, line, single, symbol

ROWS = 200
"""Runs in the table."""

CURVES = 12
"""Runs whose series are shown."""


def run_sections(folders: dict[str, Path]) -> list[Section]:
    """Sections of what ``cgplugin simulate`` wrote; what a summary does not say, as that of an old run, is a dash.

    Parameters
    ----------
    folders : dict
        Name to folder of a run, which holds ``summary.json``.

    Raises
    ------
    UserError
        If a file is damaged.
    """
    runs = {name: read_json(folder / "summary.json") for name, folder in folders.items()}
    units = check_units(next(iter(runs.values())).get("units", "openmm"))
    length, time = symbol(length_unit(units)), symbol(time_unit(units))
    columns = {
        "seed": ("seed", "{}"),
        "time": (f"time ({time})", "{:g}"),
        "n_beads": ("beads", "{}"),
        "rg2_mean": (f"⟨Rg²⟩ ({length}²)", "{:.4g}"),
        "longest_bond": (f"longest bond ({length})", "{:.3g}"),
        "stretched_steps": ("stretched steps", "{}"),
        "seconds_per_step": ("s per step", "{:.3g}"),
    }
    rows = [
        [name, Path(run.get("model", "-")).name, *(_cell(run, key, pattern) for key, (_, pattern) in columns.items())]
        for name, run in runs.items()
    ]
    note = f"The first {ROWS} of {len(rows)}. " if len(rows) > ROWS else ""
    note += "A step is stretched where a CG bond is longer than 1.5 times any in the training data."
    header = ["run", "model", *(heading for heading, _ in columns.values())]
    with_series = {name: path for name, path in folders.items() if (path / "properties.csv").is_file()}
    plots = [_series(dict(list(with_series.items())[:CURVES]), len(with_series), length, time)] if with_series else []
    return [Section("Learned simulations", (), [Table(header, rows[:ROWS], "Runs", note)], plots)]


def _cell(run: dict[str, Any], key: str, pattern: str) -> str:
    value = run.get(key)
    return pattern.format(value) if isinstance(value, int | float) else "-"


def _series(folders: dict[str, Path], n: int, length: str, time: str) -> Plot:
    figure = single(f"time ({time})", f"Rg² ({length}²)", height=360)
    for number, (name, folder) in enumerate(folders.items()):
        table = Columns(folder / "properties.csv")
        figure.add_trace(line(table.numbers("time"), table.numbers("rg2"), name, color(number), width=1))
    caption = "Of the fine molecules, as the model predicts it at every step; long series are thinned."
    if n > len(folders):
        caption += f" The first {len(folders)} of {n} runs."
    return Plot("Rg² against time", figure, caption, wide=True)
