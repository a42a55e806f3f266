"""Polymers from sequences: topology and a start structure."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cgplugin.errors import UserError
from cgplugin.systems.force_field import BeadSpringForceField
from cgplugin.systems.molecular_system import MolecularSystem

BOND_TYPE = "1"
"""The force field has a single bond type; LAMMPS files number it 1, and so do we."""


def build_polymer(force_field: BeadSpringForceField, units: Sequence[int], name: str) -> MolecularSystem:
    """Chain of constitutional units.

    Atoms follow each other unit by unit, the backbone atom first and then its side chain, each atom bonded to the one before;
    backbone atoms are bonded from unit to unit.

    Parameters
    ----------
    force_field : BeadSpringForceField
    units : sequence of int
        Indices into ``force_field.constitutional_units``.
    name : str

    Raises
    ------
    UserError
        If there is no such unit.
    """
    types: list[str] = []
    bonds: list[tuple[int, int]] = []
    last_backbone = -1
    for position, unit in enumerate(units):
        if not 0 <= unit < len(force_field.constitutional_units):
            raise UserError(
                f"{name}: position {position} has the constitutional unit {unit}, the force field has 0 to "
                f"{len(force_field.constitutional_units) - 1}"
            )
        backbone = len(types)
        if last_backbone >= 0:
            bonds.append((last_backbone, backbone))
        last_backbone = backbone
        for offset, atom_type in enumerate(force_field.constitutional_units[unit]):
            types.append(atom_type)
            if offset:
                bonds.append((backbone + offset - 1, backbone + offset))
    return MolecularSystem(
        atom_types=tuple(types),
        masses=np.array([force_field.atom_types[atom_type].mass for atom_type in types]),
        bonds=np.array(bonds, dtype=np.int64).reshape(-1, 2),
        bond_types=(BOND_TYPE,) * len(bonds),
        units=force_field.units,
        name=name,
        force_field=force_field.raw,
    )


def start_positions(system: MolecularSystem, bond_length: float, seed: tuple[int, ...]) -> NDArray[np.float64]:
    """Random walk along the bonds that keeps clear of the atoms placed before; minimisation removes what overlaps.

    Parameters
    ----------
    system : MolecularSystem
        One molecule.
    bond_length : float
        nm.
    seed : tuple of int

    Returns
    -------
    array, shape (n_atoms, 3)
        nm, centred at the origin.
    """
    random = np.random.default_rng(np.random.SeedSequence(seed))
    neighbours: dict[int, list[int]] = {}
    for i, j in system.bonds.tolist():
        neighbours.setdefault(i, []).append(j)
        neighbours.setdefault(j, []).append(i)
    positions = np.full((system.n_atoms, 3), np.nan)
    positions[0] = 0.0
    placed = [0]
    for atom in placed:
        for other in neighbours.get(atom, []):
            if not np.isnan(positions[other, 0]):
                continue
            trials = random.standard_normal((20, 3))
            trials = positions[atom] + bond_length * trials / np.linalg.norm(trials, axis=1, keepdims=True)
            distances = np.linalg.norm(trials[:, None] - positions[placed][None], axis=2)
            positions[other] = trials[np.argmax(np.sort(distances, axis=1)[:, :3].sum(axis=1))]
            placed.append(other)
    return positions - positions.mean(axis=0)
