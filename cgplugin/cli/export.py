"""``cgplugin export``: a learned simulation as files that any OpenMM program runs."""

from pathlib import Path
from typing import Any

import click

from .data_options import conventions_from, lammps_options, start_from, start_option
from .options import config_option, refinement_from, refinement_options


@click.command("export")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("structure", type=click.Path())
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the files.")
@click.option(
    "--engine",
    type=click.Choice(["python", "torch"]),
    default="python",
    show_default=True,
    help="python: OpenMM's PythonForce; torch: openmm-torch, which runs without Python.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of start velocities and noise, from 1.")
@start_option
@refinement_options
@lammps_options
@config_option
def command(
    model: Path,
    structure: str,
    out: Path,
    engine: Any,
    seed: int,
    start: str,
    refinement_levels: int | None,
    refinement_steps: int | None,
    refinement_sampler: str | None,
    **lammps: Any,
) -> None:
    """Write a learned simulation of STRUCTURE with the trained MODEL as stock OpenMM objects.

    DIR/system.xml, integrator.xml and state.xml are read by openmm.XmlSerializer; topology.pdb has the beads.
    """
    # openmm-torch needs torch to be there before openmm
    import torch  # noqa: F401, I001
    from dataclasses import replace

    from cgplugin.learned.learned_model import LearnedModel
    from cgplugin.systems.structure_files import load_structure
    from openmm_integration.export import export_simulation
    from openmm_integration.simulation import prepare

    learned = LearnedModel.load(model)
    refinement = refinement_from(learned.refinement, refinement_levels, refinement_steps, refinement_sampler)
    conventions = conventions_from(**lammps)
    given = conventions.force_field
    if given is None:
        conventions = replace(conventions, force_field=learned.force_field)
    loaded = load_structure(structure, conventions)
    cg = prepare(learned, [loaded], seed=seed, start=start_from(start, loaded, conventions), force_field=given)
    exported = export_simulation(learned, cg, engine=engine, seed=seed, refinement=refinement)
    exported.save(out)
    click.echo(f"{out}: system.xml, integrator.xml, state.xml, topology.pdb, step.pt")
    click.echo(f"particles 0 to {exported.layout.n_beads - 1} of {exported.layout.n_particles} are the beads")
