"""What the sections of a data file hold, and how they become one object, in the order of atom ids."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .data_header import KINDS, TOPOLOGY, DataHeader
from .data_tables import Table, first_repeat, known
from .errors import LammpsFormatError
from .lammps_data import ATOM_STYLES, FloatArray, IntArray, LammpsData


@dataclass
class DataSections:
    """Sections as they were read, each right by itself.

    Attributes
    ----------
    tables : dict
        Name of a section of numbers (``Atoms``, ``Velocities``, ``Bonds``, ...) to its rows, as the file has them.
    masses : dict
        Number of an atom type to its mass.
    labels : dict
        Kind of type (``atom``, ``bond``, ...) to the labels of its numbers.
    coefficients, coefficient_styles : dict
        Name of a section of coefficients to its rows, and to the style that its comment names.
    """

    tables: dict[str, Table] = field(default_factory=dict)
    masses: dict[int, float] = field(default_factory=dict)
    labels: dict[str, dict[int, str]] = field(default_factory=dict)
    coefficients: dict[str, list[str]] = field(default_factory=dict)
    coefficient_styles: dict[str, str] = field(default_factory=dict)


def assemble(path: Path, header: DataHeader, sections: DataSections, atom_style: str, units: str | None) -> LammpsData:
    """Put the sections of a file together.

    Parameters
    ----------
    path : Path
        For messages.
    header : DataHeader
    sections : DataSections
    atom_style : str
    units : str or None
        What the title says.

    Raises
    ------
    LammpsFormatError
        If sections do not fit each other: a bond or velocity of an atom that is not there, an atom twice in a bond, a bond that
        is there twice, a position that image flags make too large.
    """
    box = header.box()
    atoms = sections.tables.get("Atoms")
    if atoms is None:
        leading = (*ATOM_STYLES[atom_style], "x", "y", "z")
        atoms = Table({name: np.zeros(0) for name in leading}, np.zeros(0, dtype=np.int64))
    ids = atoms.integers("id")[:, 0]
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    positions = atoms.numbers("x", "y", "z")[order]
    images = np.zeros((len(ids), 3), dtype=np.int64)
    if "ix" in atoms.values:
        images = atoms.integers("ix", "iy", "iz")[order]
        with np.errstate(over="ignore", invalid="ignore"):
            positions += images @ box.vectors
        if len(bad := np.flatnonzero(~np.isfinite(positions).all(axis=1))):
            raise LammpsFormatError(path, int(atoms.lines[order[bad[0]]]), "the unwrapped position is too large")
    molecules, charges = atoms.values.get("molecule"), atoms.values.get("charge")
    n_types = {kind: header.counts.get(f"{kind} types", 0) for kind in KINDS}
    tables = sections.tables
    return LammpsData(
        ids=ids,
        types=atoms.integers("type")[order, 0],
        molecules=None if molecules is None else molecules[order].astype(np.int64),
        charges=None if charges is None else charges[order],
        positions=positions,
        images=images,
        velocities=_velocities(path, tables.get("Velocities"), ids),
        masses=dict(sorted(sections.masses.items())),
        bonds=_topology(path, "bond", tables.get("Bonds"), ids),
        angles=_topology(path, "angle", tables.get("Angles"), ids),
        dihedrals=_topology(path, "dihedral", tables.get("Dihedrals"), ids),
        impropers=_topology(path, "improper", tables.get("Impropers"), ids),
        box=box,
        atom_style=atom_style,
        units=units,
        type_labels=sections.labels,
        coefficients=sections.coefficients,
        coefficient_styles=sections.coefficient_styles,
        n_types={kind: n for kind, n in n_types.items() if n},
    )


def _velocities(path: Path, table: Table | None, ids: IntArray) -> FloatArray | None:
    """Velocities in the order of sorted ids."""
    if table is None:
        return None
    own = table.integers("id")[:, 0]
    if len(bad := np.flatnonzero(~known(own, ids))):
        raise LammpsFormatError(path, int(table.lines[bad[0]]), f"atom {own[bad[0]]} is not in the section Atoms")
    velocities = np.empty((len(ids), 3))
    velocities[np.searchsorted(ids, own)] = table.numbers("vx", "vy", "vz")
    return velocities


def _topology(path: Path, kind: str, table: Table | None, ids: IntArray) -> IntArray:
    """Type and atom ids of each bond, angle, ..., shape (n_rows, 1 + number of atoms)."""
    n = TOPOLOGY[kind]
    if table is None:
        return np.empty((0, 1 + n), dtype=np.int64)
    rows = table.integers("type", *(f"atom{k}" for k in range(1, 1 + n)))
    atoms = rows[:, 1:]
    unknown = ~known(atoms, ids)
    ordered = np.sort(atoms, axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
    if len(bad := np.flatnonzero(unknown.any(axis=1) | twice)):
        row = bad[0]
        line = int(table.lines[row])
        if unknown[row].any():
            raise LammpsFormatError(path, line, f"atom {atoms[row][unknown[row]][0]} is not in the section Atoms")
        raise LammpsFormatError(path, line, f"the {kind} has an atom twice")
    if kind == "bond":
        repeat = first_repeat(np.column_stack([rows[:, 0], ordered]))
        if repeat is not None:
            row, before = repeat
            raise LammpsFormatError(
                path, int(table.lines[row]), f"the bond was there before, in line {table.lines[before]}"
            )
    return rows
