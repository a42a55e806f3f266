"""Systems and beads as LAMMPS data, and the commands that simulate them there."""

import os
import re

import numpy as np
from numpy.typing import NDArray

from cgplugin.coarse_graining.coarsening import CoarseGraining
from cgplugin.errors import UserError
from cgplugin.units import Units
from lammps_reader import Box, LammpsData, unit_style

from .force_field import COULOMB, BeadSpringForceField
from .molecular_system import MolecularSystem

PADDING = 1.0
"""Space in nm around a system without a box."""

KCAL = 4.184
"""kJ, for the unit style ``real``."""

CHARGED = "lj/cut/coul/long"  # codespell:ignore coul
"""Pair style of systems with charges."""

Array = NDArray[np.float64]


def system_to_lammps(
    system: MolecularSystem,
    positions: Array,
    *,
    box_vectors: Array | None = None,
    velocities: Array | None = None,
    force_field: BeadSpringForceField | None = None,
) -> LammpsData:
    """A system as LAMMPS data, to be written with `lammps_reader.write_data`.

    Reduced units stay as they are (``lj``), others become ``real``. With a force field the atom types have its numbers and
    charges, and pair, bond and angle coefficients are there; `lammps_commands` gives the commands that they belong to. Without,
    types are numbered in the order of their names, which become type labels where LAMMPS allows it.

    Parameters
    ----------
    system : MolecularSystem
    positions : array, shape (n_atoms, 3)
        nm, unwrapped.
    box_vectors : array, shape (3, 3), optional
        nm, reduced form; by default a box around the system, for non-periodic boundaries.
    velocities : array, shape (n_atoms, 3), optional
        nm/ps.
    force_field : BeadSpringForceField, optional

    Raises
    ------
    UserError
        If the arrays do not fit the system; if the force field does not have an atom type, or gives it another charge than
        the system; if there is a net charge, or there are charges of a force field without a box.
    """
    for name, values in (("positions", positions), ("velocities", velocities)):
        if values is not None and values.shape != (system.n_atoms, 3):
            raise UserError(f"{system.name}: {name} of shape {values.shape}, expected {(system.n_atoms, 3)}")
    style = "lj" if system.units == "lj" else "real"
    unit = unit_style(style)
    numbers, labels = _numbered(system.atom_types)
    charges = system.charges
    if force_field is not None:
        if force_field.units != system.units:
            raise UserError(f"{system.name}: is in {system.units} units, its force field in {force_field.units}")
        force_field.check_charges(system)
        if (expected := force_field.charges(system)).any():
            charges = expected
            if box_vectors is None:
                raise UserError(
                    f"{system.name}: has charges, which interact in a periodic box only: give its box vectors"
                )
        numbers, labels = _type_numbers(force_field), {}
    types = np.array([numbers[name] for name in system.atom_types], dtype=np.int64)
    bond_numbers, bond_labels = _numbered(system.bond_types)
    if force_field is not None:
        # it has a single kind of bond
        bond_numbers, bond_labels = dict.fromkeys(bond_numbers, 1), {}
    bond_types = np.array([bond_numbers[name] for name in system.bond_types], dtype=np.int64)
    return LammpsData(
        ids=np.arange(1, system.n_atoms + 1),
        types=types,
        molecules=system.molecules + 1,
        charges=None if charges is None else charges / unit.charge,
        positions=positions / unit.length,
        images=np.zeros((system.n_atoms, 3), dtype=np.int64),
        velocities=None if velocities is None else velocities * (unit.time / unit.length),
        masses=_masses(system, numbers, types, force_field, unit.mass),
        bonds=np.column_stack([bond_types, system.bonds + 1]),
        angles=_angles(system, force_field),
        dihedrals=np.empty((0, 5), dtype=np.int64),
        impropers=np.empty((0, 5), dtype=np.int64),
        box=_box(positions, box_vectors, unit.length),
        atom_style="molecular" if charges is None else "full",
        units=style,
        type_labels={kind: names for kind, names in (("atom", labels), ("bond", bond_labels)) if names},
        **({} if force_field is None else _coefficients(force_field, style, _pair_style(charges))),
    )


def beads_to_lammps(
    cg: CoarseGraining, positions: Array, *, box_vectors: Array | None = None, velocities: Array | None = None
) -> LammpsData:
    """The beads of a system as LAMMPS data, without a force field: beads made of the same atoms are of one type.

    Parameters
    ----------
    cg : CoarseGraining
    positions : array, shape (n_beads, 3)
        nm, unwrapped; see `CoarseGraining.positions`.
    box_vectors : array, shape (3, 3), optional
        nm, reduced form.
    velocities : array, shape (n_beads, 3), optional
        nm/ps.
    """
    kinds = []
    for atoms in cg.beads:
        names, counts = np.unique([cg.system.atom_types[atom] for atom in atoms], return_counts=True)
        kinds.append("_".join(f"{name}x{count}" for name, count in zip(names.tolist(), counts.tolist(), strict=True)))
    charges = cg.system.charges
    system = MolecularSystem(
        atom_types=tuple(kinds),
        masses=cg.masses,
        bonds=cg.bonds,
        bond_types=("cg",) * len(cg.bonds),
        charges=None if charges is None else np.bincount(cg.mapping, charges, cg.n_beads).astype(np.float64),
        units=cg.system.units,
        name=cg.system.name,
    )
    return system_to_lammps(system, positions, box_vectors=box_vectors, velocities=velocities)


def lammps_commands(force_field: BeadSpringForceField, data: LammpsData, path: str | os.PathLike[str]) -> list[str]:
    """LAMMPS commands that set up a system of this force field, ``read_data`` included; fixes and ``run`` may follow.

    Charges interact by PPPM. The force field's relative error of the forces is that of the force between two unit charges 1 nm
    apart; LAMMPS has them one of its units of length apart.

    Parameters
    ----------
    force_field : BeadSpringForceField
    data : LammpsData
        What `system_to_lammps` made with this force field.
    path : path
        Where it has been written.
    """
    unit = unit_style(_style(force_field.units))
    pair_style = _pair_style(data.charges)
    cutoffs = [force_field.cutoff]
    dielectric, special, solver = [], "lj", []
    if pair_style == CHARGED and (coulomb := force_field.coulomb) is not None:
        vacuum = 1.0 if unit.name == "lj" else COULOMB
        cutoffs.append(coulomb.cutoff)
        dielectric = [f"dielectric {vacuum / coulomb.constant!r}"]
        special = "lj/coul"  # codespell:ignore coul
        # after the box, whose tilt the solver has to know
        solver = [f"kspace_style pppm {coulomb.tolerance * unit.length**2!r}"]
    return [
        f"units {unit.name}",
        f"atom_style {data.atom_style}",
        f"boundary {' '.join('p' if periodic else 's' for periodic in data.box.periodic)}",
        *dielectric,
        f"pair_style {pair_style} {' '.join(repr(cutoff / unit.length) for cutoff in cutoffs)}",
        "pair_modify mix arithmetic shift yes",
        "bond_style harmonic",
        "angle_style cosine",
        f"special_bonds {special} 0 1 1",
        f"read_data {os.fspath(path)}",
        *solver,
    ]


def _pair_style(charges: Array | None) -> str:
    """LAMMPS refuses to sum over charges where there are none."""
    return "lj/cut" if charges is None or not charges.any() else CHARGED


def _style(units: Units) -> str:
    return "lj" if units == "lj" else "real"


def _type_numbers(force_field: BeadSpringForceField) -> dict[str, int]:
    """Its own numbers, if they are those of all atom types and leave none out."""
    own = force_field.lammps_type_ids
    if set(own) == set(force_field.atom_types) and sorted(own.values()) == list(range(1, len(own) + 1)):
        return own
    return {name: number for number, name in enumerate(force_field.atom_types, start=1)}


def _numbered(names: tuple[str, ...]) -> tuple[dict[str, int], dict[int, str]]:
    """Numbers of names, and type labels, which are not to begin with a digit, # or *; none if they all are just the numbers."""
    if all(re.fullmatch(r"[1-9][0-9]{0,2}", name) for name in names):
        return {name: int(name) for name in names}, {}
    numbers = {name: number for number, name in enumerate(sorted(set(names)), start=1)}
    labels = {number: re.sub(r"[\s#]", "_", name) for name, number in numbers.items()}
    labels = {number: label if re.match(r"[^\d*]", label) else f"t{label}" for number, label in labels.items()}
    # names that differ in forbidden characters only
    return numbers, labels if len(set(labels.values())) == len(labels) else {}


def _masses(
    system: MolecularSystem,
    numbers: dict[str, int],
    types: NDArray[np.int64],
    force_field: BeadSpringForceField | None,
    unit: float,
) -> dict[int, float]:
    if force_field is not None:
        return {number: force_field.atom_types[name].mass / unit for name, number in numbers.items()}
    masses: dict[int, float] = {}
    for atom, (number, mass) in enumerate(zip(types.tolist(), (system.masses / unit).tolist(), strict=True)):
        if abs(masses.setdefault(number, mass) - mass) > 1e-9 * mass:
            raise UserError(
                f"{system.name}: atom {atom} of type {system.atom_types[atom]!r} has mass {mass:g}, others {masses[number]:g}: "
                "LAMMPS has one mass per type"
            )
    # a type that no atom has needs one, too
    return {number: masses.get(number, 1.0) for number in range(1, max(masses) + 1)}


def _angle_numbers(force_field: BeadSpringForceField) -> dict[str, int]:
    """Number of the angle type of each middle atom's type."""
    acting = [name for name, k in force_field.angle_k.items() if k > 0]
    return {name: number for number, name in enumerate(acting, start=1)}


def _angles(system: MolecularSystem, force_field: BeadSpringForceField | None) -> NDArray[np.int64]:
    if force_field is None:
        return np.empty((0, 4), dtype=np.int64)
    numbers = _angle_numbers(force_field)
    rows = force_field.backbone_angles(system)
    kinds = np.array([numbers[system.atom_types[middle]] for middle in rows[:, 1].tolist()], dtype=np.int64)
    return np.column_stack([kinds, rows + 1])


def _coefficients(force_field: BeadSpringForceField, style: str, pair_style: str) -> dict[str, dict]:
    length = unit_style(style).length
    energy = 1.0 if style == "lj" else KCAL
    pairs = _pair_rows(force_field, length, energy)
    rows = {
        ("PairIJ Coeffs" if force_field.epsilon_overrides else "Pair Coeffs"): pairs,
        "Bond Coeffs": [f"1 {force_field.bond_k / energy * length**2!r} {force_field.bond_r0 / length!r}"],
        "Angle Coeffs": [
            f"{n} {force_field.angle_k[name] / energy!r}" for name, n in _angle_numbers(force_field).items()
        ],
    }
    styles = dict.fromkeys(("Pair Coeffs", "PairIJ Coeffs"), pair_style)
    styles |= {"Bond Coeffs": "harmonic", "Angle Coeffs": "cosine"}
    rows = {name: lines for name, lines in rows.items() if lines}
    n_types = {"atom": len(force_field.atom_types), "bond": 1, "angle": len(rows.get("Angle Coeffs", []))}
    return {
        "coefficients": rows,
        "coefficient_styles": {name: styles[name] for name in rows},
        "n_types": {kind: n for kind, n in n_types.items() if n},
    }


def _pair_rows(force_field: BeadSpringForceField, length: float, energy: float) -> list[str]:
    """Epsilon and sigma of each type, which LAMMPS mixes as we do, or of each pair of types where some have their own."""
    kinds = sorted((number, force_field.atom_types[name]) for name, number in _type_numbers(force_field).items())
    if not force_field.epsilon_overrides:
        return [f"{n} {kind.epsilon / energy!r} {kind.sigma / length!r}" for n, kind in kinds]
    return [
        f"{i} {j} {force_field.epsilon(a.name, b.name) / energy!r} {0.5 * (a.sigma + b.sigma) / length!r}"
        for i, a in kinds
        for j, b in kinds
        if i <= j
    ]


def _box(positions: Array, box_vectors: Array | None, length: float) -> Box:
    if box_vectors is None:
        lo, hi = positions.min(axis=0) - PADDING, positions.max(axis=0) + PADDING
        return Box(lo / length, hi / length, np.zeros(3), (False, False, False))
    vectors = np.asarray(box_vectors, dtype=np.float64) / length
    tilt = np.array([vectors[1, 0], vectors[2, 0], vectors[2, 1]])
    return Box(np.zeros(3), np.diag(vectors).copy(), tilt)
