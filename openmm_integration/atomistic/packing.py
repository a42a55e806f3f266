"""Start structures: chains grown unit by unit from conformers of a short piece, in a periodic box, without overlaps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from cgplugin.errors import UserError

from .chemistry import Molecule, rdkit_chem

Array = NDArray[np.float64]

PIECE = 3
"""Units of the piece of chain whose conformers all units are taken from: first, inner, last."""

N_CONFORMERS = 12
"""Conformers of this piece."""

CONTACT = 0.2
"""Distance in nm within which no two atoms are placed, but those of two joined units."""

CONTACT_JOINED = 0.12
"""The same for atoms of two joined units, some of which are bonded."""

TRIES_PER_UNIT, TRIES_PER_MOLECULE = 40, 200


@dataclass(frozen=True)
class Conformers:
    """Conformers of a molecule, or of the `PIECE` units that stand for a longer chain.

    Attributes
    ----------
    piece : Molecule
    positions : array, shape (n_conformers, n_atoms of the piece, 3)
        nm.
    """

    piece: Molecule
    positions: Array

    def unit_of(self, number: int, n_units: int) -> int:
        """Unit of the piece that stands for a unit of the chain."""
        if number == 0:
            return 0
        return self.piece.n_residues - 1 if number == n_units - 1 else 1


def embed(molecule: Molecule, seed: int) -> Conformers:
    """Conformers by RDKit's distance geometry (ETKDG).

    Raises
    ------
    UserError
        If RDKit finds none.
    """
    graph = rdkit_chem().Mol(molecule.graph)
    from rdkit.Chem import rdDistGeom

    parameters: Any = rdDistGeom.ETKDGv3()
    parameters.randomSeed = seed
    found = list(rdDistGeom.EmbedMultipleConfs(graph, numConfs=N_CONFORMERS, params=parameters))
    if not found:
        raise UserError(f"{molecule.source!r}: RDKit finds no conformer: is this unit too strained?")
    return Conformers(molecule, np.array([graph.GetConformer(i).GetPositions() for i in found]) / 10)


def pack(
    molecules: Sequence[Molecule], conformers: Sequence[Conformers], box_edge: float, generator: np.random.Generator
) -> list[Array]:
    """Place molecules in a cubic periodic box, one after the other.

    Parameters
    ----------
    molecules : sequence of Molecule
    conformers : sequence of Conformers
        One for each molecule.
    box_edge : float
        nm.
    generator : numpy.random.Generator

    Returns
    -------
    list of arrays, each of shape (n_atoms, 3)
        nm; molecules are whole and may stick out of the box.

    Raises
    ------
    UserError
        If there is no room.
    """
    placed: list[Array] = []
    for number, (molecule, source) in enumerate(zip(molecules, conformers, strict=True)):
        around = np.concatenate(placed) if placed else np.empty((0, 3))
        for _ in range(TRIES_PER_MOLECULE):
            grown = _grow(molecule, source, around, box_edge, generator)
            if grown is not None:
                placed.append(grown)
                break
        else:
            raise UserError(
                f"there is no room for molecule {number + 1} of {len(molecules)} in a box of {box_edge:.3g} nm: "
                "lower packing_density"
            )
    return placed


def _grow(
    molecule: Molecule, source: Conformers, around: Array, box_edge: float, generator: np.random.Generator
) -> Array | None:
    """One attempt to place a molecule from its first unit to its last."""
    units: list[Array] = []
    # where the next unit begins: the last atom so far, and the place of the first atom to come
    joint: tuple[Array, Array] | None = None
    for number in range(molecule.n_residues):
        others = np.concatenate([around, *units[:-1]])
        for unit, next_joint in _candidates(source, number, molecule.n_residues, joint, box_edge, generator):
            clear = _distance(unit, others, box_edge) > CONTACT
            if clear and (not units or _distance(unit, units[-1], box_edge) > CONTACT_JOINED):
                units.append(unit)
                joint = next_joint
                break
        else:
            return None
    return np.concatenate(units)


def _candidates(
    source: Conformers,
    number: int,
    n_units: int,
    joint: tuple[Array, Array] | None,
    box_edge: float,
    generator: np.random.Generator,
) -> Iterator[tuple[Array, tuple[Array, Array]]]:
    """Places for a unit, each with the joint to the one behind it."""
    piece = source.piece
    kind = source.unit_of(number, n_units)
    members = [atom for atom, owner in enumerate(piece.residue_of) if owner == kind]
    for _ in range(TRIES_PER_UNIT):
        positions = source.positions[generator.integers(len(source.positions))]
        if joint is None:
            turned = Rotation.random(rng=generator).apply(positions)
            moved = turned - turned[members].mean(axis=0) + box_edge * generator.random(3)
        else:
            moved = _join(positions, piece.tails[kind - 1], piece.heads[kind], joint, generator)
        following = piece.heads[min(kind + 1, piece.n_residues - 1)]
        yield moved[members], (moved[piece.tails[kind]], moved[following])


def _join(positions: Array, tail: int, head: int, joint: tuple[Array, Array], generator: np.random.Generator) -> Array:
    """Move a conformer so that its bond from tail to head lies on the joint, turned about it at random."""
    axis = joint[1] - joint[0]
    axis /= np.linalg.norm(axis)
    bond = positions[head] - positions[tail]
    onto, _ = Rotation.align_vectors(axis[None], bond[None])
    turn = Rotation.from_rotvec(2 * np.pi * generator.random() * axis)
    return (turn * onto).apply(positions - positions[head]) + joint[1]


def _distance(some: Array, others: Array, box_edge: float) -> float:
    """Smallest distance between two sets of atoms, nearest images."""
    if not len(others):
        return float(np.inf)
    separations = some[:, None] - others[None]
    separations -= box_edge * np.round(separations / box_edge)
    return float(np.sqrt((separations**2).sum(axis=-1).min()))
