"""``cgplugin simulate``: a trained model as an OpenMM simulation."""

from pathlib import Path

import click

from .data_options import conventions_from, start_from, start_option
from .options import (
    compile_option,
    config_option,
    device_option,
    notice,
    refinement_from,
    refinement_options,
    show_progress,
)
from .report import record_running_command

ONE_THREAD_LIMIT = 2000
"""Up to this many beads a network call is too short to be shared: threads would wait for each other most of the time."""


@click.command("simulate")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("structures", nargs=-1, required=True, metavar="STRUCTURE...")
@click.option(
    "--time", "duration", required=True, help="Time to simulate, in the unit of the model's data, or with a unit: 10ns."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the results.")
@click.option("--replicas", type=int, default=1, show_default=True, help="Independent runs of each structure.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of start velocities and noise.")
@click.option("--report-interval", type=int, default=10, show_default=True, help="Learned steps between frames.")
@click.option("--checkpoint-interval", type=int, help="Learned steps between checkpoints. [about 500]")
@click.option("--wrap", is_flag=True, help="Write molecules wrapped into the box, for pictures.")
@start_option
@click.option("--force-field", help="Of the MD at the start, where neither structure nor model knows one.")
@click.option("--md-time-step", type=float, help="MD time step of LAMMPS dumps, in the unit of their style.")
@click.option("--lammps-units", type=click.Choice(["lj", "real", "metal", "si"]), help="Unit style of LAMMPS files.")
@refinement_options
@click.option("--platform", help="OpenMM platform; by default the fastest that works here.")
@click.option(
    "--threads",
    type=int,
    help="Threads of torch and of OpenMM's CPU platform; by default as many as the size is worth.",
)
@device_option
@compile_option
@click.option("--resume", is_flag=True, help="Go on with an interrupted run in --out (or extend a finished one).")
@config_option
def command(
    model: Path,
    structures: tuple[str, ...],
    duration: str,
    out: Path,
    replicas: int,
    seed: int,
    report_interval: int,
    checkpoint_interval: int | None,
    wrap: bool,
    start: str,
    force_field: str | None,
    refinement_levels: int | None,
    refinement_steps: int | None,
    refinement_sampler: str | None,
    md_time_step: float | None,
    lammps_units: str | None,
    platform: str | None,
    threads: int | None,
    device: str,
    compiled: bool,
    resume: bool,
) -> None:
    """Simulate each STRUCTURE with the trained MODEL for --time and write DIR/NAME below --out.

    STRUCTURE is a LAMMPS data file, a PDB file with system.json beside it, or a folder that holds one. All structures (and
    replicas) go through the network in one batch; in periodic boxes, equal or not, as well.
    """
    from dataclasses import replace

    import torch

    from cgplugin.errors import UserError
    from cgplugin.learned.learned_model import LearnedModel
    from cgplugin.systems.structure_files import load_structure
    from cgplugin.units import parse_time
    from openmm_integration.runs.resumable_run import ResumableRun, RunSettings, replica_folders
    from openmm_integration.simulation import learned_simulation

    if threads is not None:
        if threads < 1:
            raise UserError(f"threads is {threads}, expected at least 1")
        torch.set_num_threads(threads)
    learned = LearnedModel.load(model, compiled=compiled, report=notice)
    refinement = refinement_from(learned.refinement, refinement_levels, refinement_steps, refinement_sampler)
    n_steps = max(1, round(parse_time(duration, learned.units) / learned.time_step))
    settings = RunSettings(
        n_steps,
        report_interval,
        checkpoint_interval or report_interval * max(1, 500 // max(report_interval, 1)),
        seed,
        replicas,
        wrap,
    )
    conventions = conventions_from(lammps_units, md_time_step, force_field)
    given = conventions.force_field
    if given is None:
        conventions = replace(conventions, force_field=learned.force_field)
    loaded = [load_structure(path, conventions) for path in structures]
    names = [structure.system.name for structure in loaded]
    replica_folders(out, names, replicas)
    simulation = learned_simulation(
        learned,
        loaded,
        seed=seed,
        replicas=replicas,
        start=start_from(start, loaded[0], conventions),
        force_field=given,
        platform=platform,
        threads=threads,
        refinement=refinement,
        device=device,
    )
    if threads is None and simulation.system.getNumParticles() <= ONE_THREAD_LIMIT:
        torch.set_num_threads(1)
    run = ResumableRun(simulation, learned, out, names, settings)
    for written in run.run(resume=resume, progress=show_progress()):
        click.echo(f"{written}: topology.pdb, trajectory.dcd, properties.csv, summary.json")
    record_running_command(out, learned)
    for line in run.stretched:
        click.echo(f"warning: {line}", err=True)
    click.echo(
        f"{settings.n_steps} steps of {len(run.outputs)} system(s), {1e3 * run.seconds_per_step:.2f} ms per step"
    )
