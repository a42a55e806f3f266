"""``cgplugin analyze``: properties of trajectories."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cgplugin.units import length_unit, time_unit

from .options import config_option, show_progress
from .report import finish_with_report

if TYPE_CHECKING:
    from cgplugin.analysis.system_analysis import SystemAnalysis
    from cgplugin.observables.statistics import SeriesStatistics


_DIFFUSIVE = 0.9
"""Exponents of time below this are no diffusion yet."""

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
@click.option(
    "--contacts",
    type=click.Path(path_type=Path),
    help="contacts.json of a reference, as this command writes it: what counts as a collision and as an ion pair.",
)
@click.option(
    "--collision-distance",
    type=float,
    help="Any two beads closer than this collide, nm or sigma, in place of --contacts.",
)
@config_option
def command(
    directory: Path,
    out: Path | None,
    discard: str,
    stride: int,
    interval: float | None,
    paper_acf: bool,
    contacts: Path | None,
    collision_distance: float | None,
) -> None:
    """Analyse every trajectory below DIRECTORY, as "cgplugin simulate" or "cgplugin generate" wrote them.

    Squared radius of gyration with its distribution, mean and standard error, autocorrelation and relaxation time;
    end-to-end distance. Of several molecules in a periodic box also radial distribution functions and coordination
    numbers, diffusivities, collisions over time, ion-pair lifetime and transference number. Written as CSV, JSON and plots
    beside each trajectory and, for all together, into DIRECTORY.
    """
    from cgplugin.analysis.analyze import analyze
    from cgplugin.errors import UserError
    from cgplugin.observables.electrolyte import FROM_FIRST_FRAMES, ContactDistances

    if interval is not None and not interval > 0:
        raise UserError(f"--interval {interval:g}: expected a positive time")
    try:
        number = float(discard)
    except ValueError:
        number = None
    if number is not None and not number >= 0:
        raise UserError(f"--discard {discard}: expected a time that is not negative")
    if contacts is not None and collision_distance is not None:
        raise UserError("--contacts and --collision-distance: give one of the two")
    if collision_distance is not None and not collision_distance > 0:
        raise UserError(f"--collision-distance {collision_distance:g}: expected a positive distance")
    distances: ContactDistances | float = FROM_FIRST_FRAMES
    if contacts is not None:
        distances = ContactDistances.load(contacts)
    elif collision_distance is not None:
        distances = collision_distance
    results = analyze(
        directory,
        discard=discard if number is None else number,
        stride=stride,
        interval=interval,
        rg2_power=2 if paper_acf else 1,
        out=out,
        distances=distances,
        progress=show_progress(),
    )
    click.echo(summary_table(results))
    electrolytes = [result for result in results if result.electrolyte is not None]
    if electrolytes:
        click.echo("\n" + electrolyte_table(electrolytes) + "\n")
    click.echo(
        f"written to {out or directory}: analysis.csv, analysis.json, analysis.png; "
        "and per system, with frames.csv, distribution.csv, autocorrelation.csv"
        + (", rdf, msd and collisions as CSV and PNG" if electrolytes else "")
    )
    finish_with_report(out or directory, trajectories=directory, interval=interval)


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


def electrolyte_table(results: "list[SystemAnalysis]") -> str:
    """Table of the species of all electrolytes for the terminal: diffusivity, first shell around the cations, collisions."""
    from cgplugin.observables.first_shell import FirstShell
    from cgplugin.tables import aligned_text

    length, time = length_unit(results[0].units), time_unit(results[0].units)
    rows, remarks = [], []
    for r in results:
        observed = r.electrolyte
        assert observed is not None
        for name in observed.species:
            fit = observed.diffusivities[name]
            slow = fit.exponent < _DIFFUSIVE
            cells = [r.name, name, str(observed.particles.n_molecules(name))]
            cells.append(_value(fit.value, fit.error) + ("*" if slow else ""))
            cells.append(_value(*observed.msd.end_to_end_diffusivity(name)))
            shell = FirstShell()
            for centre in observed.particles.with_role("cation")[:1]:
                shell = observed.rdf.first_shell(centre, name)
            cells += [_value(shell.height, shell.height_error), _value(shell.position, shell.position_error)]
            rows.append(cells)
            if slow:
                remarks.append("* slower than diffusion within the range of the fit: the value is an upper bound")
        facts = [f"{observed.collisions.total.mean():.3g} collisions per frame"]
        number, error = observed.transference_number
        if math.isfinite(number):
            facts.append(f"cation transference number {_value(number, error)}")
        if observed.ion_pairs is not None and math.isfinite(observed.ion_pairs.lifetime):
            facts.append(f"ion-pair lifetime {observed.ion_pairs.lifetime:.3g} {time}")
        remarks.append(f"{r.name}: " + ", ".join(facts))
    header = ["system", "species", "molecules", f"D ({length}^2/{time})", "x_T^2/6T", "peak of g with cation"]
    header.append(f"at ({length})")
    return "\n".join([*aligned_text(header, rows), *dict.fromkeys(remarks)])


def _value(value: float, error: float) -> str:
    from cgplugin.observables.statistics import value_and_error

    if not math.isfinite(value):
        return "-"
    return " +- ".join(value_and_error(value, error)) if math.isfinite(error) else f"{value:.3g}"


def _with_error(statistics: "SeriesStatistics") -> str:
    from cgplugin.observables.statistics import value_and_error

    bound = ">" if statistics.error_is_lower_bound else ""
    mean, error = value_and_error(statistics.mean, statistics.standard_error)
    return f"{mean} +- {bound}{error}"
