"""Description of a bead-spring force field, as kept in ``forcefield.json``.

Only the description lives here, because training needs it too (names of the atom types, MD time step); the package
``openmm_integration`` builds an OpenMM System from it.
"""

import math
import os
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cgplugin.errors import UserError
from cgplugin.files import read_json
from cgplugin.units import BOLTZMANN, Units, check_units

from .molecular_system import MolecularSystem

FILE_NAME = "forcefield.json"


@dataclass(frozen=True)
class AtomType:
    """Mass (g/mol), Lennard-Jones sigma (nm) and epsilon (kJ/mol), charge (e) of one type of atom."""

    name: str
    mass: float
    sigma: float
    epsilon: float
    charge: float = 0.0


@dataclass(frozen=True)
class Dynamics:
    """Langevin dynamics of the force field: temperature in K, friction in 1/ps, MD time step in ps."""

    temperature: float
    friction: float
    time_step: float


@dataclass(frozen=True)
class BeadSpringForceField:
    """Bead-spring model: truncated Lennard-Jones, harmonic bonds, cosine angles on the backbone.

    Everything in OpenMM's units, into which reduced units map one to one; see `cgplugin.units`.

    Attributes
    ----------
    atom_types : dict
        Name to `AtomType`.
    lammps_type_ids : dict
        Name of an atom type to the integer that LAMMPS files use for it.
    cutoff : float
        Pair cutoff in nm; the potential is shifted to zero there. Pairs joined by a bond do not interact.
    bond_k, bond_r0 : float
        LAMMPS' convention, E = k (r - r0)^2: kJ/mol/nm^2 and nm.
    angle_k : dict
        Name of the middle atom's type to K of E = K (1 + cos theta), kJ/mol; zero where a type is missing.
    constitutional_units : tuple
        Units that chains are built of: tuples of type names, the backbone bead first, the rest its side chain.
    dynamics : Dynamics
        How it is simulated.
    units : str
        ``lj`` or ``openmm``.
    raw : dict
        The JSON it was read from, which is what models and systems carry along.
    source : str
        File, for messages.
    """

    atom_types: dict[str, AtomType]
    lammps_type_ids: dict[str, int]
    cutoff: float
    bond_k: float
    bond_r0: float
    angle_k: dict[str, float]
    constitutional_units: tuple[tuple[str, ...], ...]
    dynamics: Dynamics
    units: Units
    raw: dict[str, Any] = field(repr=False, compare=False)
    source: str = field(default="force field", compare=False)

    @classmethod
    def from_dict(cls, raw: dict[str, Any], source: str = "force field") -> "BeadSpringForceField":
        """Read the JSON description.

        Raises
        ------
        UserError
            If an entry is missing or makes no sense; the message names it.
        """
        try:
            units = check_units(raw["units"]["style"])
            types = {
                name: AtomType(
                    name,
                    float(entry["mass"]),
                    float(entry["sigma"]),
                    float(entry["epsilon"]),
                    float(entry.get("charge", 0.0)),
                )
                for name, entry in raw["bead_types"].items()
            }
            dynamics = raw["dynamics"]
            # reduced temperature T* is kT / epsilon, and epsilon = 1 kJ/mol
            kelvin = 1 / BOLTZMANN if units == "lj" else 1.0
            result = cls(
                atom_types=types,
                lammps_type_ids={name: int(i) for name, i in raw.get("lammps_type_ids", {}).items()},
                cutoff=float(raw["pair"]["cutoff"]) if "cutoff" in raw["pair"] else math.nan,
                bond_k=float(raw["bond"]["K"]),
                bond_r0=float(raw["bond"]["r0"]),
                angle_k={k: float(v) for k, v in raw["angle"].get("K_by_middle_bead", {}).items()},
                constitutional_units=tuple(tuple(unit) for unit in raw.get("constitutional_units", ())),
                dynamics=Dynamics(
                    float(dynamics["temperature"]) * kelvin,
                    float(dynamics["friction"]),
                    float(dynamics["timestep"]),
                ),
                units=units,
                raw=raw,
                source=source,
            )
        except KeyError as error:
            raise UserError(f"{source}: the entry {error} is missing") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{source}: {' '.join(str(error).split())}") from error
        result._check()
        return result

    def _check(self) -> None:
        known = ", ".join(self.atom_types)
        used = {name for unit in self.constitutional_units for name in unit}
        for name in sorted((used | set(self.angle_k) | set(self.lammps_type_ids)) - set(self.atom_types)):
            raise UserError(f"{self.source}: unknown bead type {name!r}, the bead types are {known}")
        for kind in self.atom_types.values():
            if not (kind.mass > 0 and kind.sigma > 0 and kind.epsilon >= 0):
                raise UserError(f"{self.source}: bead type {kind.name!r} needs mass > 0, sigma > 0 and epsilon >= 0")
        if not (self.dynamics.time_step > 0 and self.dynamics.temperature > 0 and self.dynamics.friction > 0):
            raise UserError(f"{self.source}: temperature, friction and timestep must be positive")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "BeadSpringForceField":
        """Read a ``forcefield.json``."""
        return cls.from_dict(read_json(path), source=str(path))

    def check_types(self, system: MolecularSystem) -> None:
        """Raise a `UserError` that names the first atom whose type this force field does not have."""
        for atom, name in enumerate(system.atom_types):
            if name not in self.atom_types:
                raise UserError(
                    f"{system.name}: atom {atom} has the unknown bead type {name!r}; {self.source} has "
                    f"{', '.join(self.atom_types)}"
                )

    def lammps_type_names(self) -> dict[int, str]:
        """LAMMPS type id to the name of the atom type."""
        return {number: name for name, number in self.lammps_type_ids.items()}

    def backbone_angles(self, system: MolecularSystem) -> NDArray[np.int64]:
        """Angles that act: consecutive backbone atoms i, j, k with K > 0 at the middle atom.

        The backbone is made of the atom types that carry an entry in ``angle_k`` (zero included); side chains have none.

        Returns
        -------
        array of int, shape (n_angles, 3)
        """
        self.check_types(system)
        backbone = [name in self.angle_k for name in system.atom_types]
        neighbours: dict[int, list[int]] = {}
        for i, j in system.bonds.tolist():
            if backbone[i] and backbone[j]:
                neighbours.setdefault(i, []).append(j)
                neighbours.setdefault(j, []).append(i)
        angles = [
            (first, middle, last)
            for middle, ends in sorted(neighbours.items())
            for n, first in enumerate(ends)
            for last in ends[n + 1 :]
            if self.angle_k[system.atom_types[middle]] > 0
        ]
        return np.array(angles, dtype=np.int64).reshape(-1, 3)


@cache
def built_in(name: str = "polymer") -> BeadSpringForceField:
    """Force field that the package brings.

    Raises
    ------
    UserError
        If there is none of that name; the message lists those there are.
    """
    folder = resources.files("cgplugin") / "force_fields"
    known = sorted(item.name.removesuffix(".json") for item in folder.iterdir() if item.name.endswith(".json"))
    if name not in known:
        raise UserError(f"unknown force field {name!r}: give a file or one of {', '.join(known)}")
    with resources.as_file(folder / f"{name}.json") as path:
        return BeadSpringForceField.from_dict(read_json(path), source=name)


def find(name_or_path: str) -> BeadSpringForceField:
    """Force field from a file or, where there is no such file, by the name of one that the package brings."""
    return (
        BeadSpringForceField.load(name_or_path)
        if Path(name_or_path).suffix or Path(name_or_path).exists()
        else built_in(name_or_path)
    )
