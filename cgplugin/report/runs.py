"""The report's part on learned simulations."""

from pathlib import Path

from cgplugin.errors import UserError
from cgplugin.files import read_json

from .columns import Columns
from .content import Plot, Section, Table
from .figures import color, line, single, symbol

ROWS = 200
"""Runs in the table."""

CURVES = 12
"""Runs whose series are shown."""

_KEYS = ("model", "seed", "units", "length_unit", "time_unit", "time", "n_beads", "rg2_mean", "longest_bond")


def run_sections(folders: dict[str, Path]) -> list[Section]:
    """Sections of what ``cgplugin simulate`` wrote.

    Parameters
    ----------
    folders : dict
        Name to folder of a run, which holds ``summary.json``.

    Raises
    ------
    UserError
        If a summary lacks what the command writes.
    """
    runs = {name: read_json(folder / "summary.json") for name, folder in folders.items()}
    for name, run in runs.items():
        if missing := [key for key in _KEYS if key not in run]:
            raise UserError(f"{folders[name] / 'summary.json'}: has no '{missing[0]}': simulate again")
    first = next(iter(runs.values()))
    length, time = symbol(first["length_unit"]), symbol(first["time_unit"])
    header = ["run", "model", "seed", f"time ({time})", "beads", f"⟨Rg²⟩ ({length}²)", f"longest bond ({length})"]
    header += ["stretched steps", "ms per step"]
    rows = [
        [
            name,
            Path(run["model"]).name,
            str(run["seed"]),
            f"{run['time']:g}",
            str(run["n_beads"]),
            f"{run['rg2_mean']:.4g}",
            f"{run['longest_bond']:.3g}",
            str(run.get("stretched_steps", "-")),
            f"{1e3 * run['seconds_per_step']:.2f}" if "seconds_per_step" in run else "-",
        ]
        for name, run in runs.items()
    ]
    note = f"The first {ROWS} of {len(rows)}. " if len(rows) > ROWS else ""
    note += "A step is stretched where a CG bond is longer than 1.5 times any in the training data."
    plots = []
    with_series = {name: path for name, path in folders.items() if (path / "properties.csv").is_file()}
    if with_series:
        plots.append(_series(dict(list(with_series.items())[:CURVES]), len(with_series), length, time))
    return [Section("Learned simulations", (), [Table(header, rows[:ROWS], "Runs", note)], plots)]


def _series(folders: dict[str, Path], n: int, length: str, time: str) -> Plot:
    figure = single(f"time ({time})", f"Rg² ({length}²)", height=360)
    for number, (name, folder) in enumerate(folders.items()):
        table = Columns(folder / "properties.csv")
        figure.add_trace(line(table.numbers("time"), table.numbers("rg2"), name, color(number), width=1))
    caption = "Of the fine molecules, as the model predicts it at every step; long series are thinned."
    if n > len(folders):
        caption += f" The first {len(folders)} of {n} runs."
    return Plot("Rg² against time", figure, caption, wide=True)
