"""LAMMPS data and dump files as systems and trajectories: names of types, and units."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from cgplugin.coarse_graining.coarse_trajectory import FrameBlock
from cgplugin.errors import UserError
from lammps_reader import LammpsData, UnitStyle, open_dump, read_data, unit_style
from lammps_reader.text import bare_suffix

from .force_field import BeadSpringForceField, built_in
from .molecular_system import MolecularSystem
from .periodic import reduce_box_vectors
from .trajectory_files import frames_per_block

DATA_SUFFIXES = (".data",)
DUMP_SUFFIXES = (".lammpstrj", ".dump")

RECOGNISED = ("polymer", "electrolyte")
"""Force fields of the package that are known from a data file alone."""


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


@dataclass(frozen=True)
class LammpsSystem:
    """A data file as a system, and what its dumps are read with.

    Attributes
    ----------
    system : MolecularSystem
    positions : array, shape (n_atoms, 3)
        nm, unwrapped.
    box_vectors : array, shape (3, 3), or None
        nm; None for a single molecule, whose box a data file has only because LAMMPS wants one.
    style : UnitStyle
    time_step : float or None
        MD time step in ps, where it is known.
    data : LammpsData
        The file itself.
    """

    system: MolecularSystem
    positions: NDArray[np.float64] = field(repr=False)
    box_vectors: NDArray[np.float64] | None
    style: UnitStyle
    time_step: float | None
    data: LammpsData = field(repr=False)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], name: str, conventions: LammpsConventions = LammpsConventions()
    ) -> "LammpsSystem":
        """Read a data file.

        Atom types are named by the file's type labels, else by the force field, else by their numbers. Where the conventions
        have neither a force field nor a time step, a file without labels that fits one of the package's is taken to be of it:
        the masses of exactly its atom types, one type of bonds, the angles that act, and on each atom the charge of its type.
        Chains in implicit solvent (``polymer``) have no charges in the file; an electrolyte is told from anything else by its
        ions (``electrolyte``), so that one without salt needs its force field named.

        Raises
        ------
        lammps_reader.LammpsFormatError
            If the file is damaged.
        UserError
            If its units are not known, or an atom's type has no mass.
        """
        data = read_data(path)
        conventions = _complete(data, conventions, str(path))
        style = _style(conventions.units or "", str(path))
        force_field = conventions.force_field
        names = data.type_labels.get("atom") or (force_field.lammps_type_names() if force_field else {})
        masses = dict(data.masses)
        for number in sorted(set(data.types.tolist())):
            if number not in masses and force_field is not None and number in names:
                masses[number] = force_field.atom_types[names[number]].mass
            if number not in masses:
                raise UserError(f"{path}: atom type {number} has no mass: add a section Masses")
        system = _system(data, name, style, names, masses)
        if force_field is not None and not data.type_labels:
            system = replace(system, force_field=force_field.raw)
        time_step = conventions.time_step
        if time_step is not None:
            time_step *= style.time
        elif force_field is not None:
            time_step = force_field.dynamics.time_step
        # one molecule without charges in a box of LAMMPS' making is a chain in implicit solvent
        alone = int(system.molecules.max()) == 0
        box = None if alone else reduce_box_vectors(data.box.vectors * style.length)
        return cls(system, data.positions * style.length, box, style, time_step, data)

    def open_dump(self, path: str | os.PathLike[str], interval: float | None = None) -> "DumpTrajectory":
        """Open a dump of this system; `interval` in ps overrides what the dump says."""
        return DumpTrajectory(path, self, interval)


class DumpTrajectory:
    """A text dump as a trajectory in OpenMM's units, atoms in the order of their ids.

    Raises
    ------
    UserError, lammps_reader.LammpsFormatError
        If the dump is damaged, has other atoms than the system, or nothing tells the time between its frames.
    """

    unwrapped = True

    def __init__(self, path: str | os.PathLike[str], lammps: LammpsSystem, interval: float | None = None) -> None:
        self.source = str(path)
        self._lammps = lammps
        # a run that was restarted has written some steps again
        self._dump = open_dump(path, reference=lammps.data).without_repeats()
        self.n_frames = len(self._dump)
        found, expected = len(self._dump[0].ids), lammps.system.n_atoms
        if found != expected:
            raise UserError(f"{self.source}: has {found} atoms, but its data file has {expected}")
        self.interval = interval if interval is not None else self._interval()

    def _interval(self) -> float:
        steps = np.diff(self._dump.timesteps)
        if len(steps) == 0:
            raise UserError(f"{self.source}: has a single frame, expected a trajectory")
        if len(uneven := np.flatnonzero(steps != steps[0])) or steps[0] <= 0:
            frame = int(uneven[0]) + 1 if len(uneven) else 1
            raise UserError(
                f"{self.source}: frame {frame} (step {self._dump.timesteps[frame]}) is not followed at the interval of the "
                f"first two, {steps[0]} steps: dump at equal intervals"
            )
        times = [self._dump[n].time for n in (0, 1)]
        if times[0] is not None and times[1] is not None:
            return (times[1] - times[0]) * self._lammps.style.time
        if self._lammps.time_step is None:
            raise UserError(
                f"{self.source}: a dump counts steps, and nothing says the MD time step: give --md-time-step, or "
                "'dump_modify time yes' in LAMMPS"
            )
        return float(steps[0]) * self._lammps.time_step

    def blocks(self) -> Iterator[FrameBlock]:
        """Yield the frames in order, a limited number at a time."""
        n_atoms, style = self._lammps.system.n_atoms, self._lammps.style
        periodic = self._lammps.box_vectors is not None
        stored, start = iter(self._dump), 0
        while frames := list(islice(stored, frames_per_block(n_atoms))):
            for n, frame in enumerate(frames, start=start):
                if len(frame.ids) != n_atoms:
                    raise UserError(f"{self.source}: frame {n} has {len(frame.ids)} atoms, the first has {n_atoms}")
            start += len(frames)
            boxes = np.stack([frame.box.vectors for frame in frames]) * style.length
            yield FrameBlock(
                np.stack([frame.positions for frame in frames]) * style.length,
                reduce_box_vectors(boxes) if periodic else None,
            )


def _style(name: str, path: str) -> UnitStyle:
    try:
        return unit_style(name)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error


def _complete(data: LammpsData, conventions: LammpsConventions, path: str) -> LammpsConventions:
    """Fill in what can be told from the file; a force field of the package is recognised by what it would write."""
    force_field = conventions.force_field
    if force_field is None and conventions.units in (None, "lj") and conventions.time_step is None:
        force_field = next((known for known in map(built_in, RECOGNISED) if _is_made_of(data, known)), None)
    units = (
        conventions.units or data.units or (("lj" if force_field.units == "lj" else "real") if force_field else None)
    )
    if units is None:
        raise UserError(
            f"{path}: the file does not say its LAMMPS unit style: give --lammps-units (lj, real, metal or si), or a "
            "force field"
        )
    return LammpsConventions(units, conventions.time_step, force_field)


def _is_made_of(data: LammpsData, force_field: BeadSpringForceField) -> bool:
    """Whether a data file without labels has exactly the types, masses, charges, bonds and angles of a force field."""
    names = force_field.lammps_type_names()
    if data.type_labels or set(data.masses) != set(names):
        return False
    if any(data.masses[number] != force_field.atom_types[name].mass for number, name in names.items()):
        return False
    if set(data.bonds[:, 0].tolist()) - {1} or not set(data.types.tolist()) <= set(names):
        return False
    system = _system(data, "", unit_style("lj"), names, data.masses)
    if not _has_its_charges(system, force_field):
        return False
    angles = force_field.backbone_angles(system)
    index = {int(number): i for i, number in enumerate(data.ids)}
    bent = {(min(index[a], index[c]), index[b], max(index[a], index[c])) for _, a, b, c in data.angles.tolist()}
    # an angle without energy (K = 0) may be listed or not
    return {(min(i, k), j, max(i, k)) for i, j, k in angles.tolist()} <= bent and bool(len(data.angles))


def _has_its_charges(system: MolecularSystem, force_field: BeadSpringForceField) -> bool:
    """Whether there are the charges of the types: none where the force field has none, else some that are not zero."""
    if system.charges is None or force_field.coulomb is None:
        return system.charges is None and force_field.coulomb is None
    return bool(system.charges.any()) and np.allclose(system.charges, force_field.charges(system), rtol=0, atol=1e-6)


def _system(
    data: LammpsData, name: str, style: UnitStyle, names: dict[int, str], masses: dict[int, float]
) -> MolecularSystem:
    index = {number: i for i, number in enumerate(data.ids.tolist())}
    bond_names = data.type_labels.get("bond", {})
    charges = None if data.charges is None else data.charges * style.charge
    return MolecularSystem(
        atom_types=tuple(names.get(number, str(number)) for number in data.types.tolist()),
        masses=np.array([masses[number] for number in data.types.tolist()]) * style.mass,
        bonds=np.array([[index[i], index[j]] for _, i, j in data.bonds.tolist()], dtype=np.int64).reshape(-1, 2),
        bond_types=tuple(bond_names.get(number, str(number)) for number in data.bonds[:, 0].tolist()),
        charges=charges,
        units="lj" if style.name == "lj" else "openmm",
        name=name,
    )
