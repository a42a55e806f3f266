"""Species: what the molecules of a system are called, and what the particles of a trajectory belong to."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from mdtraj.core.element import Element
from numpy.typing import ArrayLike, NDArray

from cgplugin.errors import UserError

from .molecular_system import MolecularSystem

ELEMENT_TOLERANCE = 0.01
"""g/mol by which masses of force fields differ from those of the elements; a united atom CH2 is 0.02 heavier than N."""

NEUTRAL = 1e-6
"""Net charges below this are what rounding makes of zero, in elementary charges."""


@dataclass(frozen=True)
class ParticleSpecies:
    """What the particles of a trajectory are: atoms or beads, the molecules that they are part of, and their species.

    Attributes
    ----------
    names : tuple of str, length n
        Species of each particle: that of its molecule, see `species_of_molecules`.
    molecules : array of int, shape (n,)
        Molecule of each particle, counted from 0.
    masses : array, shape (n,)
        g/mol.
    charges : array, shape (n,), or None
        Elementary charges, where they are known.

    Raises
    ------
    UserError
        If the lengths differ.
    """

    names: tuple[str, ...]
    molecules: NDArray[np.int64] = field(repr=False)
    masses: NDArray[np.float64] = field(repr=False)
    charges: NDArray[np.float64] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for what in ("molecules", "masses", "charges"):
            values = getattr(self, what)
            if values is not None and len(values) != len(self.names):
                raise UserError(f"{len(values)} {what} for {len(self.names)} particles with a species")

    @classmethod
    def of_atoms(cls, system: MolecularSystem) -> "ParticleSpecies":
        """Species of the atoms of a system."""
        names = species_of_molecules(system)
        of_atoms = tuple(names[molecule] for molecule in system.molecules.tolist())
        return cls(of_atoms, system.molecules, system.masses, system.charges)

    @classmethod
    def of_beads(cls, system: MolecularSystem, mapping: ArrayLike) -> "ParticleSpecies":
        """Species of beads.

        Parameters
        ----------
        system : MolecularSystem
            The fine system.
        mapping : array of int, shape (n_atoms,)
            Bead of each atom, none of two molecules; see `cgplugin.coarse_graining.coarsening.CoarseGraining`.
        """
        atoms = cls.of_atoms(system)
        bead = np.asarray(mapping, dtype=np.int64)
        _, first = np.unique(bead, return_index=True)
        return cls(
            tuple(atoms.names[atom] for atom in first.tolist()),
            atoms.molecules[first],
            np.bincount(bead, weights=atoms.masses).astype(np.float64),
            None if atoms.charges is None else np.bincount(bead, weights=atoms.charges).astype(np.float64),
        )

    def by_role(self) -> "ParticleSpecies":
        """The same with roles in place of names, so that systems of different composition can be compared."""
        roles = {name: self.role(name) for name in dict.fromkeys(self.names)}
        return replace(self, names=tuple(roles[name] for name in self.names))

    @property
    def n(self) -> int:
        """Number of particles."""
        return len(self.names)

    @property
    def species(self) -> tuple[str, ...]:
        """Names of the species: cations, anions, neutral ones, and each of these in the order of first particles."""
        return tuple(sorted(dict.fromkeys(self.names), key=lambda name: _ORDER[self.role(name)]))

    def role(self, species: str) -> str:
        """``cation``, ``anion`` or ``neutral``, from the molecule's net charge; ``unknown`` without charges."""
        charge = self.molecular_charge(species)
        if charge is None:
            return "unknown"
        return "neutral" if abs(charge) < NEUTRAL else "cation" if charge > 0 else "anion"

    def molecular_charge(self, species: str) -> float | None:
        """Net charge of a molecule of a species, elementary charges; None where charges are not known."""
        if self.charges is None:
            return None
        molecule = self.molecules[self.names.index(species)]
        return float(self.charges[self.molecules == molecule].sum())

    def with_role(self, role: str) -> tuple[str, ...]:
        """Names of the species of a role."""
        return tuple(name for name in self.species if self.role(name) == role)

    def n_molecules(self, species: str) -> int:
        """Number of molecules of a species."""
        own = np.array([name == species for name in self.names])
        return len(np.unique(self.molecules[own]))


_ORDER = {"cation": 0, "anion": 1, "neutral": 2, "unknown": 3}


def species_of_molecules(system: MolecularSystem) -> tuple[str, ...]:
    """Names of the species of all molecules of a system.

    A lone atom is called by its type (``Li``), a larger molecule by what it consists of in the order of Hill's formulas,
    carbon and hydrogen first and the rest by the alphabet, with the count always written, since names of types may run
    together (``F2N1S2``). Atoms of systems in real units, all of whose masses are those of elements, count as
    elements (``C2F6N1O4S2``); others as their types. Isomers share a name.

    Returns
    -------
    tuple of str, length n_molecules
        In the order of molecules.
    """
    elements = _elements(system) if system.units == "openmm" else None
    contents: list[list[int]] = [[] for _ in range(int(system.molecules.max()) + 1)]
    for atom, molecule in enumerate(system.molecules.tolist()):
        contents[molecule].append(atom)
    names = elements or system.atom_types
    return tuple(
        system.atom_types[atoms[0]] if len(atoms) == 1 else formula([names[atom] for atom in atoms])
        for atoms in contents
    )


def formula(constituents: Sequence[str]) -> str:
    """Hill's formula with all counts written: ``C2H6O1`` of the nine atoms of ethanol."""
    counts = Counter(constituents)
    leading = ["C", "H"] if "C" in counts else []
    order = [name for name in leading if name in counts] + sorted(set(counts) - set(leading))
    return "".join(f"{name}{counts[name]}" for name in order)


def _elements(system: MolecularSystem) -> tuple[str, ...] | None:
    """Element symbols of all atoms, or None if a mass is not that of an element."""
    symbols: dict[float, str] = {}
    for mass in np.unique(system.masses).tolist():
        element = Element.getByMass(mass)
        if element is None or abs(element.mass - mass) > ELEMENT_TOLERANCE:
            return None
        symbols[mass] = element.symbol
    return tuple(symbols[mass] for mass in system.masses.tolist())
