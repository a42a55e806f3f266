"""``cgplugin coarsen``: the beads of a system."""

from collections import Counter
from pathlib import Path
from typing import Any

import click

from .data_options import conventions_from, lammps_options
from .options import config_option, show_progress


@click.command("coarsen")
@click.argument("structures", nargs=-1, required=True, metavar="STRUCTURE...")
@click.option("--atoms-per-bead", type=int, default=10, show_default=True, help="Size of a bead.")
@click.option("--partition-seed", type=int, default=0, show_default=True, help="Seed of the partition.")
@click.option("--out", type=click.Path(path_type=Path), help="Write DIR/NAME/topology.pdb and mapping.json.")
@click.option(
    "--trajectory",
    type=click.Path(),
    help="Coarse-grain this trajectory too, to DIR/NAME/trajectory.dcd (one structure).",
)
@lammps_options
@config_option
def command(
    structures: tuple[str, ...],
    atoms_per_bead: int,
    partition_seed: int,
    out: Path | None,
    trajectory: str | None,
    **lammps: Any,
) -> None:
    """Partition every molecule of STRUCTURE into connected beads of about --atoms-per-bead atoms (METIS).

    STRUCTURE is a LAMMPS data file, a PDB file with system.json beside it, or a folder that holds one.
    """
    from cgplugin.coarse_graining.coarsening import coarsen
    from cgplugin.errors import UserError
    from cgplugin.systems.structure_files import load_structure, open_trajectory
    from cgplugin.training.data import with_force_field_nearby

    if trajectory is not None and (out is None or len(structures) != 1):
        raise UserError("--trajectory needs --out and a single structure")
    for path in structures:
        conventions = with_force_field_nearby(conventions_from(**lammps), Path(path))
        structure = load_structure(path, conventions)
        cg = coarsen(structure.system, atoms_per_bead, partition_seed)
        sizes = Counter(len(atoms) for atoms in cg.beads)
        click.echo(
            f"{structure.system.name}: {structure.system.n_atoms} atoms in {int(cg.molecules.max()) + 1} molecule(s) -> "
            f"{cg.n_beads} beads, {len(cg.bonds)} CG bonds; atoms per bead: "
            + ", ".join(f"{size} ({n}x)" for size, n in sorted(sizes.items()))
        )
        if out is None:
            continue
        from openmm_integration.runs.coarse_files import write_coarse_structure, write_coarse_trajectory

        folder = out / structure.system.name
        write_coarse_structure(folder, cg, structure)
        if trajectory is not None:
            opened = open_trajectory(trajectory, structure, conventions)
            write_coarse_trajectory(folder, cg, opened, progress=show_progress())
        click.echo(f"  written to {folder}")
