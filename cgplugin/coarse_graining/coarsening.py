"""Graph-clustering coarse-graining: atoms to beads by METIS, molecule by molecule."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pymetis
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

from cgplugin.errors import UserError
from cgplugin.files import write_json
from cgplugin.systems.molecular_system import MolecularSystem

Neighbours = list[list[int]]
"""Bonded neighbours of each atom of a molecule, counted within the molecule."""


@dataclass(frozen=True)
class CoarseGraining:
    """Atoms to beads, with what follows from it for the bead system.

    Beads are numbered by their first atom, so that they run along a chain as its atoms do.

    Attributes
    ----------
    system : MolecularSystem
        The fine system.
    mapping : array of int, shape (n_atoms,)
        Bead of each atom.
    atoms_per_bead : int
        Size of a bead that was asked for.
    seed : int
        Seed of the partition.
    """

    system: MolecularSystem = field(repr=False)
    mapping: NDArray[np.int64] = field(repr=False)
    atoms_per_bead: int
    seed: int

    @property
    def n_beads(self) -> int:
        """Number of beads."""
        return int(self.mapping.max()) + 1

    @cached_property
    def masses(self) -> NDArray[np.float64]:
        """Mass of each bead, shape (n_beads,), g/mol: the sum over its atoms (paper, equation 1)."""
        return np.bincount(self.mapping, weights=self.system.masses, minlength=self.n_beads).astype(np.float64)

    @cached_property
    def bonds(self) -> NDArray[np.int64]:
        """CG bonds, shape (n_cg_bonds, 2): pairs of beads joined by at least one fine bond (paper, equation 2)."""
        pairs = np.sort(self.mapping[self.system.bonds], axis=1)
        return np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0).reshape(-1, 2)

    @cached_property
    def molecules(self) -> NDArray[np.int64]:
        """Molecule of each bead, shape (n_beads,)."""
        molecules = np.empty(self.n_beads, dtype=np.int64)
        molecules[self.mapping] = self.system.molecules
        return molecules

    @cached_property
    def beads(self) -> list[NDArray[np.int64]]:
        """Atoms of each bead."""
        order = np.argsort(self.mapping, kind="stable")
        return np.split(order, np.cumsum(np.bincount(self.mapping))[:-1])

    @cached_property
    def averaging_matrix(self) -> csr_matrix:
        """Sparse (n_beads, n_atoms) matrix that takes atoms' positions to the beads' centres of mass (equation 1)."""
        weights = self.system.masses / self.masses[self.mapping]
        atoms = np.arange(self.system.n_atoms)
        return csr_matrix((weights, (self.mapping, atoms)), shape=(self.n_beads, self.system.n_atoms))

    def positions(self, atom_positions: ArrayLike) -> NDArray[np.float64]:
        """Centres of mass of the beads.

        Parameters
        ----------
        atom_positions : array, shape (n_atoms, 3) or (n_frames, n_atoms, 3)
            nm, molecules whole; see `cgplugin.systems.periodic.MoleculeMender` for periodic systems.

        Returns
        -------
        array, shape (n_beads, 3) or (n_frames, n_beads, 3)
        """
        return _apply(self.averaging_matrix, np.asarray(atom_positions, dtype=np.float64))

    def internal_rg2(self, atom_positions: ArrayLike) -> NDArray[np.float64]:
        """Squared radius of gyration of each bead about its own centre of mass.

        By the parallel-axis theorem this is exactly what the beads' positions miss of the fine Rg^2:
        M Rg^2 = sum_beads m (d^2 + internal Rg^2), with d the distance of a bead from the centre of mass.

        Parameters
        ----------
        atom_positions : array, shape (n_atoms, 3) or (n_frames, n_atoms, 3)
            nm, molecules whole.

        Returns
        -------
        array, shape (n_beads,) or (n_frames, n_beads)
            nm^2.
        """
        fine = np.asarray(atom_positions, dtype=np.float64)
        offsets = fine - self.positions(fine)[..., self.mapping, :]
        return _apply(self.averaging_matrix, (offsets**2).sum(axis=-1, keepdims=True))[..., 0]

    def save(self, path: str | os.PathLike[str], **extra: Any) -> None:
        """Write ``mapping.json``: the atoms of every bead, from 0, in the order of the beads, with masses and bonds."""
        write_json(
            path,
            {
                "beads": [atoms.tolist() for atoms in self.beads],
                "masses": self.masses.tolist(),
                "bonds": self.bonds.tolist(),
                "molecules": self.molecules.tolist(),
                "atoms_per_bead": self.atoms_per_bead,
                "seed": self.seed,
                **extra,
            },
        )


def coarsen(system: MolecularSystem, atoms_per_bead: int = 10, seed: int = 0) -> CoarseGraining:
    """Group the atoms of every molecule into connected beads of about ``atoms_per_bead`` atoms.

    METIS partitions the bond graph of each molecule into round(n_atoms / atoms_per_bead) parts of nearly equal size with
    few bonds between them (paper, "Graph-clustering CG model"). METIS does not promise connected parts; the smaller
    pieces of a part that is not connected join a neighbouring bead. Molecules of up to one and a half times
    ``atoms_per_bead`` atoms, single ions among them, become one bead each.

    Parameters
    ----------
    system : MolecularSystem
    atoms_per_bead : int
        At least 1; with 1 every atom is a bead.
    seed : int
        Of METIS. The same system, size and seed give the same beads; equal molecules are divided equally.

    Returns
    -------
    CoarseGraining

    Raises
    ------
    UserError
        If ``atoms_per_bead`` is not a positive integer.
    """
    if int(atoms_per_bead) != atoms_per_bead or atoms_per_bead < 1:
        raise UserError(f"atoms_per_bead is {atoms_per_bead}, expected an integer of at least 1")
    mapping = np.empty(system.n_atoms, dtype=np.int64)
    known: dict[bytes, NDArray[np.int64]] = {}
    n_beads = 0
    for atoms, bonds in _split_molecules(system):
        key = len(atoms).to_bytes(8, "little") + bonds.tobytes()
        if key not in known:
            known[key] = _partition(len(atoms), bonds, int(atoms_per_bead), seed)
        mapping[atoms] = known[key] + n_beads
        n_beads += int(known[key].max()) + 1
    mapping.setflags(write=False)
    return CoarseGraining(system, _number_by_first(mapping), int(atoms_per_bead), seed)


def _split_molecules(system: MolecularSystem) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Atoms of each molecule, and its bonds with atoms counted within it."""
    molecules = system.molecules
    order = np.argsort(molecules, kind="stable")
    starts = np.searchsorted(molecules[order], np.arange(molecules.max() + 2))
    within = np.empty(system.n_atoms, dtype=np.int64)
    within[order] = np.arange(system.n_atoms) - starts[molecules[order]]
    owner = molecules[system.bonds[:, 0]]
    by_owner = np.argsort(owner, kind="stable")
    bond_starts = np.searchsorted(owner[by_owner], np.arange(molecules.max() + 2))
    for molecule in range(len(starts) - 1):
        bonds = system.bonds[by_owner[bond_starts[molecule] : bond_starts[molecule + 1]]]
        yield order[starts[molecule] : starts[molecule + 1]], within[bonds]


def _partition(n_atoms: int, bonds: NDArray[np.int64], atoms_per_bead: int, seed: int) -> NDArray[np.int64]:
    """Bead of each atom of one molecule; every bead connected."""
    if atoms_per_bead == 1:
        return np.arange(n_atoms)
    n_parts = max(1, round(n_atoms / atoms_per_bead))
    if n_parts == 1:
        return np.zeros(n_atoms, dtype=np.int64)
    neighbours: Neighbours = [[] for _ in range(n_atoms)]
    for i, j in bonds.tolist():
        neighbours[i].append(j)
        neighbours[j].append(i)
    parts = _metis(neighbours, n_parts, seed)
    pieces = _connected_pieces(neighbours, parts)
    return _number_by_first(_join_small(neighbours, pieces, n_parts, atoms_per_bead))


def _metis(neighbours: Neighbours, n_parts: int, seed: int) -> NDArray[np.int64]:
    _, parts = pymetis.part_graph(
        n_parts, adjacency=neighbours, recursive=True, options=pymetis.Options(seed=seed, ufactor=30)
    )
    return np.asarray(parts, dtype=np.int64)


def _connected_pieces(neighbours: Neighbours, parts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give each connected piece of each part a number of its own."""
    pieces = np.full(len(parts), -1, dtype=np.int64)
    n_pieces = 0
    for start in range(len(parts)):
        if pieces[start] >= 0:
            continue
        pieces[start] = n_pieces
        stack = [start]
        while stack:
            for other in neighbours[stack.pop()]:
                if pieces[other] < 0 and parts[other] == parts[start]:
                    pieces[other] = n_pieces
                    stack.append(other)
        n_pieces += 1
    return pieces


def _join_small(
    neighbours: Neighbours, pieces: NDArray[np.int64], n_parts: int, atoms_per_bead: int
) -> NDArray[np.int64]:
    """Join the smallest piece to its smallest neighbour until the pieces are n_parts or of a decent size."""
    members = {piece: np.flatnonzero(pieces == piece).tolist() for piece in range(int(pieces.max()) + 1)}
    pieces = pieces.copy()
    while len(members) > n_parts or min(map(len, members.values())) * 2 < atoms_per_bead:
        smallest = min(members, key=lambda piece: (len(members[piece]), piece))
        beside = {int(pieces[other]) for atom in members[smallest] for other in neighbours[atom]} - {smallest}
        if not beside:
            break
        target = min(beside, key=lambda piece: (len(members[piece]), piece))
        # a few pieces too many do less harm than one bead of twice the size
        if len(members) <= n_parts and len(members[smallest]) + len(members[target]) > 2 * atoms_per_bead:
            break
        pieces[members[smallest]] = target
        members[target] += members.pop(smallest)
    return pieces


def _number_by_first(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Renumber labels from 0 in the order of their first appearance."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    numbered = rank[inverse.reshape(-1)]
    numbered.setflags(write=False)
    return numbered


def _apply(matrix: csr_matrix, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sparse product over the atoms' axis of (..., n_atoms, n) values."""
    if values.ndim == 2:
        return np.asarray(matrix @ values)
    n_frames, n_atoms, width = values.shape
    columns = np.ascontiguousarray(values.transpose(1, 0, 2)).reshape(n_atoms, n_frames * width)
    return np.ascontiguousarray((matrix @ columns).reshape(matrix.shape[0], n_frames, width).transpose(1, 0, 2))
