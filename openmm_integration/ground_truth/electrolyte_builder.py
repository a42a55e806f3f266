"""Polymer electrolytes from their composition: topology, and molecules at random in a periodic box."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cgplugin.errors import UserError
from cgplugin.systems.force_field import BeadSpringForceField
from cgplugin.systems.molecular_system import MolecularSystem

from .polymer_builder import BOND_TYPE, build_polymer

TRIALS = 50
"""Directions that the next bond is drawn from."""

FOLDED = -0.6
"""Cosine between successive bonds below which second neighbours would overlap: they are 0.9 bond lengths apart there."""


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
    force_field: BeadSpringForceField,
    system: MolecularSystem,
    box_vectors: NDArray[np.float64],
    seed: tuple[int, ...],
) -> NDArray[np.float64]:
    """Every molecule a random walk of its own, anywhere in the box; molecules overlap until they are pushed apart.

    In a melt chains are ideal beyond a few bonds, and take far longer than a short relaxation to become so. They start as
    non-reversal random walks (Auhl et al., J. Chem. Phys. 119, 12718 (2003)): successive bonds have the Boltzmann distribution
    of the angle's energy, and do not fold back.

    Parameters
    ----------
    force_field : BeadSpringForceField
        Bond length, stiffness of the angles.
    system : MolecularSystem
    box_vectors : array, shape (3, 3)
        nm.
    seed : tuple of int

    Returns
    -------
    array, shape (n_atoms, 3)
        nm, molecules whole, their first atoms in the box.
    """
    random = np.random.default_rng(np.random.SeedSequence(seed))
    neighbours: list[list[int]] = [[] for _ in range(system.n_atoms)]
    for i, j in system.bonds.tolist():
        neighbours[i].append(j)
        neighbours[j].append(i)
    positions = np.full((system.n_atoms, 3), np.nan)
    _, first_atoms = np.unique(system.molecules, return_index=True)
    for first in first_atoms.tolist():
        positions[first] = random.random(3) @ box_vectors
        # atoms placed, each with the bond that leads to it
        reached: list[tuple[int, NDArray[np.float64] | None]] = [(first, None)]
        for atom, bond in reached:
            stiffness = force_field.angle_k.get(system.atom_types[atom], 0.0) / force_field.dynamics.kT
            for other in neighbours[atom]:
                if np.isnan(positions[other, 0]):
                    direction = _next_bond(random, bond, stiffness)
                    positions[other] = positions[atom] + force_field.bond_r0 * direction
                    reached.append((other, direction))
    return positions


def _next_bond(random: np.random.Generator, bond: NDArray[np.float64] | None, stiffness: float) -> NDArray[np.float64]:
    """Direction of the bond after one, whose angle has the energy K (1 + cos theta), with the stiffness K / kT."""
    trials = random.standard_normal((TRIALS, 3))
    trials /= np.linalg.norm(trials, axis=1, keepdims=True)
    if bond is None:
        return trials[0]
    # theta is the angle inside the chain: straight on is cos theta = -1
    onward = trials @ bond
    weights = np.exp(stiffness * (onward - 1)) * (onward > FOLDED)
    return trials[random.choice(TRIALS, p=weights / weights.sum())]
