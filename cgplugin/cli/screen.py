"""``cgplugin screen``: rank candidates by a property, from their structure alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .dask_option import dask_option
from .data_options import STARTS, conventions_from
from .options import compile_option, config_option, device_option, notice, show_progress
from .report import finish_with_report

if TYPE_CHECKING:
    from cgplugin.screening.ranking import Ranking

_SHOWN = 10
"""Candidates in the printed table, at least."""


class _Property(click.Choice):
    """Names of properties, with hyphens or underscores."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(super().convert(str(value).replace("-", "_"), param, ctx))


@click.command("screen")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("candidates", nargs=-1, required=True, metavar="CANDIDATE...")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the ranking and the runs.")
@click.option(
    "--property",
    "what",
    type=_Property(["rg2", "relaxation_time", "end_to_end"]),
    default="rg2",
    show_default=True,
    help="What to rank by.",
)
@click.option("--ascending", is_flag=True, help="The smallest value is the best; otherwise the largest.")
@click.option("--top", type=int, help="Size of the top, for probabilities.  [a tenth of the candidates, 1 to 10]")
@click.option(
    "--time",
    "duration",
    help="Time to simulate, in the unit of the model's data, or with a unit: 10ns.  [25000tau: 100 times the usual training "
    "runs; 5000 learned steps where units are not reduced]",
)
@click.option("--discard", help="Time at the beginning of each run to leave out.  [a twentieth of --time]")
@click.option("--replicas", type=int, default=4, show_default=True, help="Independent runs of each candidate.")
@click.option(
    "--batch",
    type=int,
    default=100,
    show_default=True,
    help="Systems, replicas included, that go through the network together; each batch is a run of its own.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of start velocities, noise and bootstrap.")
@click.option("--skip-bad", is_flag=True, help="Leave out candidates that cannot be simulated, instead of giving up.")
@click.option("--resume", is_flag=True, help="Go on with the screening in --out, extend it, or rank it anew.")
@click.option("--checkpoint-interval", type=int, default=500, show_default=True, help="Learned steps between them.")
@click.option(
    "--start",
    type=click.Choice(STARTS),
    default="auto",
    show_default=True,
    help="First frames: by a short OpenMM run, or by learned steps from the structure at rest; auto: the latter where it is a "
    "box of bead-spring molecules in equilibrium.",
)
@click.option("--force-field", help="Of the MD at the start, where neither structure nor model knows one.")
@click.option("--lammps-units", type=click.Choice(["lj", "real", "metal", "si"]), help="Unit style of LAMMPS files.")
@click.option("--platform", help="OpenMM platform of the short MD; by default the fastest that works here.")
@click.option("--workers", type=int, help="Processes that work on batches side by side; by default one per core.")
@dask_option
@device_option
@compile_option
@click.option("--threads", type=int, default=1, show_default=True, help="Threads of each of them.")
@config_option
def command(
    model: Path,
    candidates: tuple[str, ...],
    out: Path,
    what: str,
    ascending: bool,
    top: int | None,
    duration: str | None,
    discard: str | None,
    replicas: int,
    batch: int,
    seed: int,
    skip_bad: bool,
    resume: bool,
    checkpoint_interval: int,
    start: Any,
    force_field: str | None,
    lammps_units: str | None,
    platform: str | None,
    workers: int | None,
    dask: str | None,
    device: str,
    compiled: bool,
    threads: int,
) -> None:
    """Rank each CANDIDATE by a property that the trained MODEL predicts, with its uncertainty.

    CANDIDATE is a structure as "cgplugin simulate" takes it (LAMMPS data file, PDB file with system.json beside it, or a folder
    that holds one), or a YAML or JSON file as "cgplugin generate" takes it, whose polymers are built. A learned
    simulation starts from each, many candidates in a batch; a short MD relaxes those that need it.

    Written to --out: ranking.csv, ranking.json (all properties, and what each candidate cost) and ranking.png. A
    candidate whose run left the physical region, or whose property is not known, is listed apart and has no rank.
    """
    from cgplugin.errors import UserError
    from cgplugin.learned.learned_model import LearnedModel
    from cgplugin.screening.ranking import check_property
    from cgplugin.units import parse_time
    from openmm_integration.runs.candidates import load_candidates
    from openmm_integration.runs.screen import DEFAULT_STEPS, DEFAULT_TIME_LJ, ScreenSettings, screen

    learned = LearnedModel.load(model, compiled=compiled, report=notice)
    if duration is not None:
        time = parse_time(duration, learned.units)
    else:
        time = DEFAULT_TIME_LJ if learned.units == "lj" else DEFAULT_STEPS * learned.time_step
    settings = ScreenSettings(
        max(1, round(time / learned.time_step)), replicas, batch, seed, checkpoint_interval, start
    )
    left_out = None
    if discard is not None:
        left_out = 0.0 if _is_zero(discard) else parse_time(discard, learned.units)
    conventions = conventions_from(lammps_units, None, force_field)

    def skip(reason: str) -> None:
        click.echo(f"skipped: {reason}", err=True)

    structures = load_candidates(
        candidates,
        learned,
        conventions=conventions,
        force_field=conventions.force_field,
        on_bad=skip if skip_bad else None,
    )
    if top is not None and top > len(structures):
        raise UserError(f"top is {top}, but there are {len(structures)} candidates")
    ranking = screen(
        learned,
        structures,
        out,
        settings,
        what=check_property(what),
        discard=left_out,
        top=top,
        ascending=ascending,
        skip_bad=skip_bad,
        force_field=conventions.force_field,
        platform=platform,
        device=device,
        threads=threads,
        workers=workers,
        dask=dask,
        resume=resume,
        progress=show_progress(),
        report=click.echo,
    )
    for line in ranking_lines(ranking):
        click.echo(line)
    for result in ranking.apart:
        click.echo(f"warning: not ranked: {result.name}: {result.remark(ranking.what)}", err=True)
    click.echo(f"written to {out}: ranking.csv, ranking.json, ranking.png; and the runs, in {out / 'runs'}")
    finish_with_report(out, learned)


def ranking_lines(ranking: "Ranking") -> list[str]:
    """Table of the best for the terminal, and what the screening cost."""
    from cgplugin.observables.statistics import value_and_error
    from cgplugin.screening.ranking import RANK_INTERVAL
    from cgplugin.tables import aligned_text

    rows = []
    for place in ranking.places[: max(ranking.top, _SHOWN)]:
        value, error = value_and_error(place.estimate.value, place.estimate.standard_error)
        bound = ">" if place.estimate.error_is_lower_bound else ""
        rows.append(
            [
                f"{place.rank}",
                place.result.name,
                f"{value} +- {bound}{error}",
                f"{100 * place.probability_in_top:.0f} %",
                f"{place.rank_low} to {place.rank_high}",
            ]
        )
    percent = RANK_INTERVAL[1] - RANK_INTERVAL[0]
    header = ["rank", "name", f"{ranking.what} ({ranking.unit})", f"in top {ranking.top}", f"true rank ({percent} %)"]
    lines = aligned_text(header, rows)
    hidden = len(ranking.places) - len(rows)
    if hidden:
        lines.append(f"and {hidden} more")
    if any(place.estimate.error_is_lower_bound for place in ranking.places):
        lines.append("errors with > are lower bounds: the runs are too short for their correlation")
    n = len(ranking.places) + len(ranking.apart)
    lines.append(f"{n} candidates, {ranking.core_seconds:.3g} core-seconds, {ranking.core_seconds / n:.3g} each")
    return lines


def _is_zero(text: str) -> bool:
    try:
        return float(text) == 0
    except ValueError:
        return False
