"""``cgplugin evaluate``: a learned simulation against reference MD."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .dask_option import dask_option
from .data_options import STARTS, conventions_from, lammps_options
from .options import (
    compile_option,
    config_option,
    device_option,
    notice,
    refinement_from,
    refinement_options,
    show_progress,
)
from .report import finish_with_report

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cgplugin.baselines.diffusivity import DiffusivityBaseline
    from cgplugin.baselines.model_file import Baseline
    from cgplugin.baselines.structure_property import StructureBaseline
    from cgplugin.evaluation.reference import PeriodicReference
    from cgplugin.evaluation.reference_data import ReferenceSystem
    from cgplugin.learned.learned_model import LearnedModel
    from cgplugin.learned.refinement import Refinement
    from openmm_integration.runs.reference_runs import ReferenceRuns


@click.command("evaluate")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--reference", multiple=True, required=True, metavar="DIR", help="Reference systems; may be given several times."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the report and the runs.")
@click.option(
    "--time", "duration", help="Time to simulate, as in 25000 or 10ns; by default that of the longest reference."
)
@click.option("--replicas", type=int, default=1, show_default=True, help="Independent runs of each system.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of start velocities and noise.")
@click.option("--baseline", "baseline_files", multiple=True, metavar="FILE", help="What 'cgplugin baseline' wrote.")
@click.option(
    "--start",
    type=click.Choice([*STARTS, "reference"]),
    default="auto",
    show_default=True,
    help="First frames: by a short OpenMM run, by learned steps from the structure at rest (auto: where it is a box of "
    "bead-spring molecules in equilibrium), or those of the reference.",
)
@click.option(
    "--short",
    help="Length of the short MD to compare with.  [250; of periodic systems a tenth of the longest reference]",
)
@click.option(
    "--md-cost", type=float, help="Core-seconds of the reference MD per system and ps (tau), where it does not say it."
)
@click.option("--report-interval", type=int, help="Learned steps between frames.  [10; of periodic systems 1]")
@click.option("--interval", type=float, help="Time between frames of the reference, where its files do not say it.")
@click.option("--rg2-interval", type=float, help="Time between values of rg2.npy; by default found from the frames.")
@refinement_options
@click.option(
    "--without-refinement", is_flag=True, help="Simulate periodic systems without refinement as well, for comparison."
)
@click.option(
    "--batch",
    type=int,
    default=100,
    show_default=True,
    help="Systems, replicas included, that go through the network together; each batch is a run of its own.",
)
@click.option("--workers", type=int, help="Processes that work on batches side by side; by default one per core.")
@dask_option
@click.option("--platform", help="OpenMM platform; by default the fastest that works here.")
@device_option
@compile_option
@click.option("--threads", type=int, default=1, show_default=True, help="Threads of torch.")
@click.option("--resume", is_flag=True, help="Go on with an interrupted evaluation in --out.")
@lammps_options
@config_option
def command(
    model: Path,
    reference: tuple[str, ...],
    out: Path,
    duration: str | None,
    replicas: int,
    seed: int,
    baseline_files: tuple[str, ...],
    start: Any,
    short: str | None,
    md_cost: float | None,
    report_interval: int | None,
    interval: float | None,
    rg2_interval: float | None,
    refinement_levels: int | None,
    refinement_steps: int | None,
    refinement_sampler: str | None,
    without_refinement: bool,
    batch: int,
    workers: int | None,
    dask: str | None,
    platform: str | None,
    device: str,
    compiled: bool,
    threads: int,
    resume: bool,
    lammps_units: str | None,
    md_time_step: float | None,
    force_field: str | None,
) -> None:
    """Simulate the reference systems with MODEL, in batches, and compare: tables and plots in --out.

    DIR holds folders with a structure (LAMMPS data file, or topology.pdb with system.json), trajectories and, where there is
    one, rg2.npy: Rg^2 of the fine system at equal intervals since the start of the run.

    Of chains without a box are compared: mean and distribution of Rg^2, its relaxation time, free-energy surfaces and lengths of
    CG bonds. Of electrolytes in periodic boxes: diffusivities of all species, radial distribution functions, collisions, and
    whether anything drifts over the run. Beside the learned simulation stand the beginning of the MD (--short), one half of
    the MD against the other, and the baselines.
    """
    from dataclasses import replace

    import torch

    from cgplugin.baselines.diffusivity import DiffusivityBaseline
    from cgplugin.baselines.model_file import load as load_baseline
    from cgplugin.cluster.clusters import Workers
    from cgplugin.errors import UserError
    from cgplugin.evaluation.electrolytes import MINIMUM_RUN_FRAMES
    from cgplugin.evaluation.reference import PeriodicReference
    from cgplugin.evaluation.reference_data import ReferenceSystem, load_references
    from cgplugin.evaluation.row_names import LEARNED, UNREFINED
    from cgplugin.learned.learned_model import LearnedModel
    from cgplugin.units import parse_time
    from openmm_integration.runs.reference_runs import EverySystemDivergedError, ReferenceRuns, simulate_references
    from openmm_integration.runs.resumable_run import RunSettings

    for name, value in (("md-cost", md_cost), ("interval", interval), ("rg2-interval", rg2_interval)):
        if value is not None and not value > 0:
            raise UserError(f"--{name} {value:g}: expected a positive number")
    described = Workers(dask, workers, threads)
    torch.set_num_threads(threads)
    learned = LearnedModel.load(model, compiled=compiled, report=notice)
    rows = {Path(file).stem: load_baseline(file) for file in baseline_files}
    if len(rows) < len(baseline_files):
        raise UserError("two files of baselines have the same name: rename one")
    short_time = None if short is None else parse_time(short, learned.units)
    conventions = conventions_from(lammps_units, md_time_step, force_field)
    if conventions.force_field is None:
        conventions = replace(conventions, force_field=learned.force_field)
    references = load_references(
        reference,
        conventions=conventions,
        interval=interval,
        rg2_interval=rg2_interval,
        progress=show_progress(),
    )
    longest = max(item.duration for item in references)
    time = longest if duration is None else parse_time(duration, learned.units)
    chains = [item for item in references if isinstance(item, ReferenceSystem)]
    if report_interval is None:
        report_interval = 10 if chains else 1
    settings = RunSettings(
        max(1, round(time / learned.time_step)),
        report_interval,
        report_interval * max(1, 500 // max(report_interval, 1)),
        seed,
        replicas,
    )
    refinement = refinement_from(learned.refinement, refinement_levels, refinement_steps, refinement_sampler)

    def simulate(folder: Path, refined: "Refinement") -> "ReferenceRuns":
        return simulate_references(
            learned,
            references,
            folder,
            settings,
            start=start,
            refinement=refined,
            platform=platform,
            device=device,
            batch=batch,
            workers=described,
            resume=resume,
            progress=show_progress(),
            report=click.echo,
        )

    if chains:
        if without_refinement:
            raise UserError("--without-refinement is for periodic systems: give --refinement-levels 0")
        known = {name: baseline for name, baseline in rows.items() if not isinstance(baseline, DiffusivityBaseline)}
        _refuse_baselines(rows, known, "predicts diffusivities, but the reference systems have no periodic box")
        runs = simulate(out, refinement)
        written = _compare_chains(learned, chains, runs, out, short_time, md_cost, known)
    else:
        boxed = [item for item in references if isinstance(item, PeriodicReference)]
        for item in boxed:
            item.check_length()
        if rg2_interval is not None:
            raise UserError(f"--rg2-interval {rg2_interval:g}: periodic systems are not compared by Rg^2, leave it out")
        if without_refinement and refinement.levels == 0:
            raise UserError(f"--without-refinement: {model} has no refinement to leave out")
        if settings.n_steps < MINIMUM_RUN_FRAMES * report_interval:
            raise UserError(
                f"a learned run of {settings.n_steps} steps with a frame every {report_interval} has less than "
                f"{MINIMUM_RUN_FRAMES} frames: simulate longer (--time) or report more often (--report-interval)"
            )
        curves = {name: baseline for name, baseline in rows.items() if isinstance(baseline, DiffusivityBaseline)}
        _refuse_baselines(rows, curves, "predicts Rg^2 of a chain, but the reference systems have a periodic box")
        simulated = {LEARNED: simulate(out, refinement)}
        if without_refinement:
            folder = out / "without-refinement"
            try:
                simulated[UNREFINED] = simulate(folder, replace(refinement, levels=0))
            except EverySystemDivergedError as error:
                simulated[UNREFINED] = ReferenceRuns(folder, error.diverged, float("nan"))
        written = _compare_electrolytes(learned, boxed, simulated, out, short_time, md_cost, curves)
    click.echo(f"written to {out}: {', '.join(path.name for path in written)}; the runs are below it")
    finish_with_report(out, learned)


def _refuse_baselines(rows: "Mapping[str, Baseline]", known: "Mapping[str, Baseline]", why: str) -> None:
    from cgplugin.errors import UserError

    for name in rows:
        if name not in known:
            raise UserError(f"the baseline {name} {why}")


def _compare_chains(
    learned: "LearnedModel",
    references: "Sequence[ReferenceSystem]",
    runs: "ReferenceRuns",
    out: Path,
    short_time: float | None,
    md_cost: float | None,
    baselines: "Mapping[str, StructureBaseline]",
) -> list[Path]:
    """Compare, print, write, and give the files."""
    from cgplugin.evaluation.chain_report import terminal_text, write_report
    from cgplugin.evaluation.chains import evaluate
    from openmm_integration.runs.resumable_run import STRETCH_LIMIT

    evaluation = evaluate(
        learned,
        references,
        runs.folder,
        short_time=250.0 if short_time is None else short_time,
        stretch_limit=STRETCH_LIMIT * learned.description.longest_bond,
        core_seconds=runs.core_seconds,
        md_seconds_per_time=md_cost,
        diverged=runs.diverged,
        baselines=baselines,
        progress=show_progress(),
    )
    written = write_report(evaluation, out)
    click.echo(terminal_text(evaluation))
    return written


def _compare_electrolytes(
    learned: "LearnedModel",
    references: "Sequence[PeriodicReference]",
    simulated: "Mapping[str, ReferenceRuns]",
    out: Path,
    short_time: float | None,
    md_cost: float | None,
    baselines: "Mapping[str, DiffusivityBaseline]",
) -> list[Path]:
    """Compare, print, write, and give the files."""
    from cgplugin.evaluation.electrolyte_report import terminal_text, write_report
    from cgplugin.evaluation.electrolytes import evaluate_electrolytes
    from openmm_integration.runs.resumable_run import STRETCH_LIMIT

    longest = max(reference.duration for reference in references)
    evaluation = evaluate_electrolytes(
        learned,
        references,
        simulated,
        short_time=longest / 10 if short_time is None else short_time,
        stretch_limit=STRETCH_LIMIT * learned.description.longest_bond,
        md_seconds_per_time=md_cost,
        baselines=baselines,
        progress=show_progress(),
    )
    written = write_report(evaluation, out)
    click.echo(terminal_text(evaluation))
    return written
