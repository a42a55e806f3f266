"""``cgplugin analyze``: properties of trajectories."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cgplugin.units import length_unit, time_unit

from .options import config_option, show_progress

if TYPE_CHECKING:
    from cgplugin.analysis.analyze import SystemAnalysis
    from cgplugin.observables.statistics import SeriesStatistics


_NAMES = 4
"""Systems named in a remark; more are counted."""


@click.command("analyze")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the results; by default DIRECTORY.")
@click.option(
    "--discard",
    default="0",
    show_default=True,
    help="Time at the beginning to leave out (equilibration): in the unit of the data, or as in 2ns.",
)
@click.option("--stride", type=int, default=1, show_default=True, help="Use every n-th frame of the trajectories.")
@click.option(
    "--interval", type=float, help="Time between frames, ps or tau, where nothing beside the trajectory says it."
)
@click.option(
    "--paper-acf",
    is_flag=True,
    help="Relaxation time of Rg^4, as the paper's formula has it, in place of that of Rg^2.",
)
@config_option
def command(
    directory: Path, out: Path | None, discard: str, stride: int, interval: float | None, paper_acf: bool
) -> None:
    """Analyse every trajectory below DIRECTORY, as "cgplugin simulate" or "cgplugin generate" wrote them.

    Squared radius of gyration with its distribution, mean and standard error, autocorrelation and relaxation time;
    end-to-end distance. Written as CSV, JSON and plots beside each trajectory and, for all together, into DIRECTORY.
    """
    from cgplugin.analysis.analyze import analyze
    from cgplugin.errors import UserError

    if interval is not None and not interval > 0:
        raise UserError(f"--interval {interval:g}: expected a positive time")
    try:
        number = float(discard)
    except ValueError:
        number = None
    if number is not None and not number >= 0:
        raise UserError(f"--discard {discard}: expected a time that is not negative")
    results = analyze(
        directory,
        discard=discard if number is None else number,
        stride=stride,
        interval=interval,
        rg2_power=2 if paper_acf else 1,
        out=out,
        progress=show_progress(),
    )
    click.echo(summary_table(results))
    click.echo(
        f"written to {out or directory}: analysis.csv, analysis.json, analysis.png; "
        "and per system, with frames.csv, distribution.csv, autocorrelation.csv"
    )


def summary_table(results: "list[SystemAnalysis]") -> str:
    """Table of all systems for the terminal, with remarks below."""
    from cgplugin.observables.statistics import value_and_error
    from cgplugin.tables import aligned_text

    rows, remarks = [], []
    for r in results:
        length, time = length_unit(r.units), time_unit(r.units)
        relaxation = "-"
        if not r.relaxation.reason:
            relaxation = f"{' +- '.join(value_and_error(r.relaxation.time, r.relaxation.error))} {time}"
        rows.append(
            [
                r.name,
                f"{_with_error(r.rg2)} {length}^2",
                relaxation,
                f"{_with_error(r.end_to_end)} {length}",
                f"{r.longest_bond:.3g} {length}",
                f"{r.n_frames}",
                f"{r.duration:g} {time}",
            ]
        )
        if r.relaxation.reason:
            remarks.append((r.name, f"no relaxation time: {r.relaxation.reason}"))
        if r.rg2.error_is_lower_bound or r.end_to_end.error_is_lower_bound:
            remarks.append((r.name, "too short for its own correlation: errors (>) are lower bounds"))
        if not r.masses_known:
            remarks.append((r.name, "masses are unknown and taken as equal"))
    header = ["system", "Rg^2", "relaxation time", "end-to-end", "longest bond", "frames", "time"]
    lines = aligned_text(header, rows)
    for text in dict.fromkeys(text for _, text in remarks):
        names = [name for name, remark in remarks if remark == text]
        few = ", ".join(names) if len(names) <= _NAMES else f"{len(names)} of {len(results)} systems"
        lines.append(f"{few}: {text}")
    return "\n".join(lines)


def _with_error(statistics: "SeriesStatistics") -> str:
    from cgplugin.observables.statistics import value_and_error

    bound = ">" if statistics.error_is_lower_bound else ""
    mean, error = value_and_error(statistics.mean, statistics.standard_error)
    return f"{mean} +- {bound}{error}"
