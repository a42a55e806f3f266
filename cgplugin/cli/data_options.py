"""Options of the commands that read systems and trajectories."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from cgplugin.systems.structure_files import Structure

Command = TypeVar("Command", bound=Callable[..., Any])


def lammps_options(function: Command) -> Command:
    """Add the options for what LAMMPS files leave out: units, MD time step, names of the types."""
    for option in (
        click.option(
            "--force-field",
            help="forcefield.json, or the name of one that comes with the package; names the atom types of LAMMPS files. "
            "By default a forcefield.json in the data's folder or above it.",
        ),
        click.option("--md-time-step", type=float, help="MD time step of LAMMPS dumps, in the unit of their style."),
        click.option(
            "--lammps-units",
            type=click.Choice(["lj", "real", "metal", "si"]),
            help="Unit style of LAMMPS files that do not say it.",
        ),
    ):
        function = option(function)
    return function


def conventions_from(lammps_units: str | None, md_time_step: float | None, force_field: str | None) -> Any:
    """`LammpsConventions` from the options."""
    from cgplugin.systems import force_field as force_fields
    from cgplugin.systems.lammps_files import LammpsConventions

    return LammpsConventions(
        lammps_units, md_time_step, None if force_field is None else force_fields.find(force_field)
    )


STARTS = ("auto", "md", "structure")
"""What `start_option` takes beside a trajectory."""

start_option = click.option(
    "--start",
    default="auto",
    show_default=True,
    metavar="[auto|md|structure|TRAJECTORY]",
    help="First frames: by a short OpenMM run (md), by learned steps from the structure at rest (structure; auto: where it is "
    "a box of bead-spring molecules in equilibrium), or the first ones of a trajectory of a single structure.",
)


def start_from(start: str, structure: "Structure", conventions: Any) -> Any:
    """What `openmm_integration.simulation.learned_simulation` takes, from `start_option`."""
    from cgplugin.systems.structure_files import open_trajectory

    return start if start in STARTS else open_trajectory(start, structure, conventions)
