"""Description of a bead-spring force field, as kept in ``forcefield.json``.

Only the description lives here, because training needs it too (names of the atom types, MD time step); the package
``openmm_integration`` builds an OpenMM System from it.
"""

import math
import os
import re
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

COULOMB = 138.93545764438198
"""Coulomb constant in kJ/mol nm/e^2 (1 / 4 pi eps_0, CODATA 2018)."""


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

    @property
    def kT(self) -> float:  # noqa: N802 (as the field writes it)
        """Thermal energy, kJ/mol."""
        return BOLTZMANN * self.temperature


@dataclass(frozen=True)
class Coulomb:
    """Coulomb interaction of a periodic system, E = constant q_i q_j / r, summed as Ewald's.

    Attributes
    ----------
    constant : float
        kJ/mol nm/e^2; the Bjerrum length is ``constant / kT``.
    cutoff : float
        Of the part that is summed in real space, nm.
    tolerance : float
        Relative error of the forces that the sum may have.
    """

    constant: float
    cutoff: float
    tolerance: float


@dataclass(frozen=True)
class Ions:
    """The salt of an electrolyte: atom types of one anion and one cation, each a linear chain of bonded atoms."""

    anion: tuple[str, ...]
    cation: tuple[str, ...]


@dataclass(frozen=True)
class BeadSpringForceField:
    """Bead-spring model: truncated Lennard-Jones, harmonic bonds, cosine angles on the backbone, perhaps charges.

    Everything in OpenMM's units, into which reduced units map one to one; see `cgplugin.units`.

    Attributes
    ----------
    atom_types : dict
        Name to `AtomType`.
    lammps_type_ids : dict
        Name of an atom type to the integer that LAMMPS files use for it.
    cutoff : float
        Of the Lennard-Jones potential in nm, which is shifted to zero there. Pairs joined by a bond do not interact.
    epsilon_overrides : dict
        Pair of type names, sorted, to the epsilon in kJ/mol that takes the place of the mixed one.
    coulomb : Coulomb or None
        None where no type has a charge.
    ions : Ions or None
        What a salt of this force field is made of.
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
    epsilon_overrides: dict[tuple[str, str], float] = field(default_factory=dict)
    coulomb: Coulomb | None = None
    ions: Ions | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
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
            ions = _ions(raw.get("molecules", {}))
            dynamics = raw["dynamics"]
            # reduced temperature T* is kT / epsilon, and epsilon = 1 kJ/mol
            kelvin = 1 / BOLTZMANN if units == "lj" else 1.0
            result = cls(
                atom_types=types,
                lammps_type_ids={name: int(i) for name, i in raw.get("lammps_type_ids", {}).items()},
                cutoff=_pair_number(raw["pair"], "cutoff"),
                bond_k=float(raw["bond"]["K"]),
                bond_r0=float(raw["bond"]["r0"]),
                angle_k=_angle_k(raw["angle"], types, ions),
                constitutional_units=_constitutional_units(raw, types, ions),
                dynamics=Dynamics(
                    float(dynamics["temperature"]) * kelvin,
                    float(dynamics["friction"]),
                    float(dynamics["timestep"]),
                ),
                units=units,
                epsilon_overrides=_epsilon_overrides(raw["pair"]),
                coulomb=_coulomb(raw["pair"], units) if any(kind.charge for kind in types.values()) else None,
                ions=ions,
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
        used |= {name for pair in self.epsilon_overrides for name in pair}
        used |= set(self.ions.anion + self.ions.cation) if self.ions is not None else set()
        for name in sorted((used | set(self.angle_k) | set(self.lammps_type_ids)) - set(self.atom_types)):
            raise UserError(f"{self.source}: unknown bead type {name!r}, the bead types are {known}")
        for kind in self.atom_types.values():
            if not (kind.mass > 0 and kind.sigma > 0 and kind.epsilon >= 0):
                raise UserError(f"{self.source}: bead type {kind.name!r} needs mass > 0, sigma > 0 and epsilon >= 0")
        for pair, epsilon in self.epsilon_overrides.items():
            if not epsilon >= 0:
                raise UserError(f"{self.source}: the epsilon of {'-'.join(pair)} is {epsilon}, expected at least 0")
        if self.coulomb is not None:
            for what, value in (
                ("lammps_dielectric", 1 / self.coulomb.constant),
                ("coulomb_cutoff", self.coulomb.cutoff),
                ("ewald_tolerance", self.coulomb.tolerance),
            ):
                if not 0 < value < math.inf:
                    raise UserError(f"{self.source}: there are charges, and 'pair' says no positive {what!r}")
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

    def check_charges(self, system: MolecularSystem) -> None:
        """Raise a `UserError` where a system has other charges than this force field, or a net charge."""
        expected = self.charges(system)
        if system.charges is not None and len(bad := np.flatnonzero(np.abs(system.charges - expected) > 1e-6)):
            atom = int(bad[0])
            raise UserError(
                f"{system.name}: atom {atom} ({system.atom_types[atom]}) has charge {system.charges[atom]:g}, "
                f"{self.source} has {expected[atom]:g}"
            )
        if abs(net := float(expected.sum())) > 1e-6:
            raise UserError(f"{system.name}: the net charge is {net:g}, expected 0: add or remove ions")

    def charges(self, system: MolecularSystem) -> NDArray[np.float64]:
        """Charge of each atom by its type, elementary charges, shape (n_atoms,)."""
        self.check_types(system)
        return np.array([self.atom_types[name].charge for name in system.atom_types])

    def epsilon(self, first: str, second: str) -> float:
        """Lennard-Jones epsilon of a pair of types, kJ/mol: the geometric mean, unless the pair has one of its own."""
        mixed = math.sqrt(self.atom_types[first].epsilon * self.atom_types[second].epsilon)
        return self.epsilon_overrides.get(_sorted_pair(first, second), mixed)

    @property
    def longest_cutoff(self) -> float:
        """The longer of the cutoffs in nm, which is what a periodic box must have room for."""
        return self.cutoff if self.coulomb is None else max(self.cutoff, self.coulomb.cutoff)

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


_STATED = {
    "cutoff": r"\bcut at ([\d.]+\d)",
    "coulomb_cutoff": r"\breal-space cutoff ([\d.]+\d)",
    "ewald_tolerance": r"\brelative force error ([\d.]+(?:e[+-]?\d+)?)",
}
"""Where the sentence ``form`` of ``pair`` states a number that has no entry of its own, as in ``electrolyte.json``."""


def _pair_number(pair: dict[str, Any], name: str) -> float:
    """A number of the section ``pair``: its entry, else what ``form`` states, else NaN."""
    if name in pair:
        return float(pair[name])
    stated = re.search(_STATED[name], str(pair.get("form", "")))
    return float(stated[1]) if stated else math.nan


def _coulomb(pair: dict[str, Any], units: Units) -> Coulomb:
    """Coulomb interaction; LAMMPS' unit style ``lj`` has the constant 1, divided by the dielectric constant."""
    vacuum = 1.0 if units == "lj" else COULOMB
    dielectric = float(pair["lammps_dielectric"])
    return Coulomb(
        vacuum / dielectric if dielectric else math.inf,
        _pair_number(pair, "coulomb_cutoff"),
        _pair_number(pair, "ewald_tolerance"),
    )


def _epsilon_overrides(pair: dict[str, Any]) -> dict[tuple[str, str], float]:
    """Entries like ``"E-Li": 2.0``."""
    overrides = {}
    for key, value in pair.get("overrides_epsilon", {}).items():
        first, dash, second = key.partition("-")
        if not dash:
            raise ValueError(f"overrides_epsilon has the key {key!r}, expected two bead types: 'E-Li'")
        overrides[_sorted_pair(first, second)] = float(value)
    return overrides


def _sorted_pair(first: str, second: str) -> tuple[str, str]:
    return (first, second) if first <= second else (second, first)


def _ions(molecules: dict[str, Any]) -> Ions | None:
    """Anion and cation, given as ``"F-S-N-S-F"`` and ``"Li"``; chains are described in words, for people."""
    if "anion" not in molecules and "cation" not in molecules:
        return None
    return Ions(tuple(molecules["anion"].split("-")), tuple(molecules["cation"].split("-")))


def _angle_k(angle: dict[str, Any], types: dict[str, AtomType], ions: Ions | None) -> dict[str, float]:
    """K by the middle atom's type, or one K for chains and one for anions."""
    if "K_by_middle_bead" in angle or ions is None:
        return {name: float(k) for name, k in angle.get("K_by_middle_bead", {}).items()}
    chain = dict.fromkeys(_backbone_types(types, ions), float(angle["K_chain"]))
    return chain | dict.fromkeys(ions.anion, float(angle["K_anion"]))


def _constitutional_units(
    raw: dict[str, Any], types: dict[str, AtomType], ions: Ions | None
) -> tuple[tuple[str, ...], ...]:
    """Units of the chains: those that are listed, or, with a salt, each type that is in no ion."""
    if "constitutional_units" in raw or ions is None:
        return tuple(tuple(unit) for unit in raw.get("constitutional_units", ()))
    return tuple((name,) for name in _backbone_types(types, ions))


def _backbone_types(types: dict[str, AtomType], ions: Ions) -> list[str]:
    return [name for name in types if name not in ions.anion + ions.cation]


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
