"""LAMMPS data and dump files as systems and trajectories: names of types, and units."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lammps_reader import LammpsData, open_dump, read_data

from .coarse_trajectory import FrameBlock
from .errors import UserError
from .force_field import BeadSpringForceField, built_in
from .molecular_system import MolecularSystem
from .periodic import reduce_box_vectors
from .trajectory_files import frames_per_block

DATA_SUFFIXES = (".data",)
DUMP_SUFFIXES = (".lammpstrj", ".dump")
COMPRESSIONS = (".gz", ".bz2", ".zst")


@dataclass(frozen=True)
class LammpsConventions:
    """What LAMMPS files leave out.

    Attributes
    ----------
    units : str or None
        LAMMPS unit style: ``lj``, ``real``, ``metal`` or ``si``.
    time_step : float or None
        MD time step in the unit of time of that style; dumps count steps.
    force_field : BeadSpringForceField or None
        Names of the atom types, where the files have none; also gives units and time step.
    """

    units: str | None = None
    time_step: float | None = None
    force_field: BeadSpringForceField | None = None


def is_data_file(path: str | os.PathLike[str]) -> bool:
    """Whether the name is that of a LAMMPS data file, compressed or not."""
    return bare_suffix(path) in DATA_SUFFIXES


def is_dump_file(path: str | os.PathLike[str]) -> bool:
    """Whether the name is that of a LAMMPS text dump, compressed or not."""
    return bare_suffix(path) in DUMP_SUFFIXES


def bare_suffix(path: str | os.PathLike[str]) -> str:
    """Suffix of a file's name, without that of its compression."""
    name = Path(path)
    return Path(name.stem).suffix if name.suffix in COMPRESSIONS else name.suffix


def conventions_of(data: LammpsData, conventions: LammpsConventions, path: str) -> LammpsConventions:
    """Fill in what can be told from the file.

    A force field that comes with the package is recognised by its types, masses, bonds and angles.
    """
    force_field = conventions.force_field
    if force_field is None and conventions.units in (None, "lj") and conventions.time_step is None:
        force_field = built_in("polymer") if _is_made_of(data, built_in("polymer")) else None
    if force_field is not None:
        units = "lj" if force_field.units == "lj" else "real"
        return LammpsConventions(conventions.units or units, conventions.time_step, force_field)
    units = conventions.units or data.units
    if units is None:
        raise UserError(
            f"{path}: the file does not say its LAMMPS unit style: give --lammps-units (lj, real, metal or si), or a "
            "force field"
        )
    return LammpsConventions(units, conventions.time_step, None)


def _is_made_of(data: LammpsData, force_field: BeadSpringForceField) -> bool:
    """Whether a data file without labels has exactly the types, masses, bonds and angles of a force field."""
    names = force_field.lammps_type_names()
    if data.type_labels or set(data.masses) != set(names) or data.charges is not None:
        return False
    if any(data.masses[number] != force_field.atom_types[name].mass for number, name in names.items()):
        return False
    if set(data.bonds[:, 0].tolist()) - {1} or not set(data.types.tolist()) <= set(names):
        return False
    angles = force_field.backbone_angles(_system(data, "", "lj", names))
    index = {int(number): i for i, number in enumerate(data.ids)}
    bent = {(min(index[a], index[c]), index[b], max(index[a], index[c])) for _, a, b, c in data.angles.tolist()}
    # an angle without energy (K = 0) may be listed or not
    return {(min(i, k), j, max(i, k)) for i, j, k in angles.tolist()} <= bent and bool(len(data.angles))


def _system(data: LammpsData, name: str, units: str, names: dict[int, str], mass_factor: float = 1.0) -> MolecularSystem:
    index = np.full(int(data.ids.max()) + 1, -1, dtype=np.int64)
    index[data.ids] = np.arange(len(data.ids))
    bonds = index[data.bonds[:, 1:3]]
    bond_names = data.type_labels.get("bond", {})
    return MolecularSystem(
        atom_types=tuple(names.get(number, str(number)) for number in data.types.tolist()),
        masses=np.array([data.masses[number] for number in data.types.tolist()]) * mass_factor,
        bonds=bonds,
        bond_types=tuple(bond_names.get(number, str(number)) for number in data.bonds[:, 0].tolist()),
        charges=data.charges,
        units="lj" if units == "lj" else "openmm",
        name=name,
    )
