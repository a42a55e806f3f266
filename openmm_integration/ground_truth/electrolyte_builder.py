"""Polymer electrolytes from their composition: topology, and molecules at random in a periodic box."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cgplugin.errors import UserError
from cgplugin.systems.force_field import BeadSpringForceField
from cgplugin.systems.molecular_system import MolecularSystem

from .polymer_builder import BOND_TYPE, build_polymer, start_positions


@dataclass(frozen=True)
class Composition:
    """What an electrolyte is made of.

    Attributes
    ----------
    pattern : tuple of str
        Backbone units by name (`unit_names`), repeated along every chain.
    n_repeats : int
        Of the pattern.
    n_chains : int
    n_salt : int
        Ion pairs.
    """

    pattern: tuple[str, ...]
    n_repeats: int
    n_chains: int
    n_salt: int


def unit_names(force_field: BeadSpringForceField) -> list[str]:
    """Names of the constitutional units: their atom types, joined by ``-``, the backbone atom first."""
    return ["-".join(unit) for unit in force_field.constitutional_units]


def build_electrolyte(force_field: BeadSpringForceField, composition: Composition, name: str) -> MolecularSystem:
    """Chains, then anions, then cations, each molecule's atoms one after the other.

    Parameters
    ----------
    force_field : BeadSpringForceField
    composition : Composition
    name : str

    Raises
    ------
    UserError
        If the force field has no such unit or no salt, or the ions do not add up to zero charge.
    """
    if force_field.ions is None:
        raise UserError(f"{force_field.source}: has no anion and cation in 'molecules' to make electrolytes of")
    known = unit_names(force_field)
    for unit in composition.pattern:
        if unit not in known:
            raise UserError(f"{name}: unknown backbone unit {unit!r}: {force_field.source} has {', '.join(known)}")
    units = [known.index(unit) for unit in composition.pattern] * composition.n_repeats
    chain = build_polymer(force_field, units, name)
    anion, cation = force_field.ions.anion, force_field.ions.cation
    linear = {ion: [(i, i + 1) for i in range(len(ion) - 1)] for ion in (anion, cation)}
    molecules = [(chain.atom_types, [(i, j) for i, j in chain.bonds.tolist()])] * composition.n_chains
    molecules += [(anion, linear[anion])] * composition.n_salt + [(cation, linear[cation])] * composition.n_salt
    types: list[str] = []
    bonds: list[tuple[int, int]] = []
    for atom_types, within in molecules:
        bonds += [(i + len(types), j + len(types)) for i, j in within]
        types += atom_types
    system = MolecularSystem(
        atom_types=tuple(types),
        masses=np.array([force_field.atom_types[atom_type].mass for atom_type in types]),
        bonds=np.array(bonds, dtype=np.int64).reshape(-1, 2),
        bond_types=(BOND_TYPE,) * len(bonds),
        charges=np.array([force_field.atom_types[atom_type].charge for atom_type in types]),
        units=force_field.units,
        name=name,
        force_field=force_field.raw,
    )
    force_field.check_charges(system)
    return system


def cubic_box(n_atoms: int, density: float) -> NDArray[np.float64]:
    """Box vectors, shape (3, 3), in nm of a cube with a number density in atoms per nm^3."""
    return np.eye(3) * (n_atoms / density) ** (1 / 3)


def random_positions(
    system: MolecularSystem, box_vectors: NDArray[np.float64], bond_length: float, seed: tuple[int, ...]
) -> NDArray[np.float64]:
    """Every molecule a random walk of its own, anywhere in the box; molecules overlap until they are pushed apart.

    Parameters
    ----------
    system : MolecularSystem
    box_vectors : array, shape (3, 3)
        nm.
    bond_length : float
        nm.
    seed : tuple of int

    Returns
    -------
    array, shape (n_atoms, 3)
        nm, molecules whole, their centres in the box.
    """
    positions = np.empty((system.n_atoms, 3))
    random = np.random.default_rng(np.random.SeedSequence(seed))
    for number, atoms in enumerate(_atoms_of_molecules(system)):
        walk = start_positions(_molecule(system, atoms), bond_length, (*seed, number + 1))
        positions[atoms] = walk + random.random(3) @ box_vectors
    return positions


def _atoms_of_molecules(system: MolecularSystem) -> list[NDArray[np.int64]]:
    order = np.argsort(system.molecules, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(system.molecules[order])) + 1)


def _molecule(system: MolecularSystem, atoms: NDArray[np.int64]) -> MolecularSystem:
    """One molecule alone; its atoms must follow each other."""
    first, end = int(atoms[0]), int(atoms[-1]) + 1
    inside = (system.bonds[:, 0] >= first) & (system.bonds[:, 0] < end)
    return MolecularSystem(
        system.atom_types[first:end],
        system.masses[first:end],
        system.bonds[inside] - first,
        (BOND_TYPE,) * int(inside.sum()),
        name=system.name,
    )
