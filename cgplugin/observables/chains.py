"""Observables of molecules, as functions of positions: vectorised over frames, molecules whole."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import shortest_path

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

_TABLE_SIZE = 10_000_000
"""Graph distances held at a time."""


def squared_radius_of_gyration(positions: ArrayLike, masses: ArrayLike) -> Array:
    """Rg^2 = sum_i m_i d_i^2 / sum_i m_i, with d_i the distance from the centre of mass (paper, Methods).

    Equal to ``mdtraj.compute_rg(trajectory) ** 2`` for equal masses. For others mdtraj (1.11) weighs distances from the
    geometric centre, which is more by the squared distance between the two centres.

    Parameters
    ----------
    positions : array, shape (..., n, 3)
        nm, molecules whole.
    masses : array, shape (n,)
        Of any unit; only their ratios count.

    Returns
    -------
    array, shape (...)
        nm^2.
    """
    x = np.asarray(positions, dtype=np.float64)
    share = np.asarray(masses, dtype=np.float64)
    share = share / share.sum()
    centre = np.einsum("...nd,n->...d", x, share)
    d = x - centre[..., None, :]
    return np.einsum("...nd,...nd,n->...", d, d, share)


def squared_radii_of_gyration(positions: ArrayLike, masses: ArrayLike, molecules: ArrayLike) -> Array:
    """Rg^2 of every molecule; see `squared_radius_of_gyration`.

    Parameters
    ----------
    positions : array, shape (..., n, 3)
        nm, molecules whole.
    masses : array, shape (n,)
    molecules : array of int, shape (n,)
        Molecule of each atom, counted from 0.

    Returns
    -------
    array, shape (..., n_molecules)
        nm^2; zero for a single atom.
    """
    x = np.asarray(positions, dtype=np.float64)
    mass = np.asarray(masses, dtype=np.float64)
    molecule = np.asarray(molecules, dtype=np.int64)
    total = np.bincount(molecule, weights=mass)
    # row: molecule, column: atom, entry: the atom's share of the molecule's mass
    share = csr_matrix((mass / total[molecule], (molecule, np.arange(len(mass)))), shape=(len(total), len(mass)))
    atoms_first = np.moveaxis(x, -2, 0)
    centres = (share @ atoms_first.reshape(len(mass), -1)).reshape(len(total), *atoms_first.shape[1:])
    squared = ((atoms_first - centres[molecule]) ** 2).sum(axis=-1)
    of_molecules = (share @ squared.reshape(len(mass), -1)).reshape(len(total), *squared.shape[1:])
    return np.moveaxis(of_molecules, 0, -1)


def chain_ends(n: int, bonds: ArrayLike) -> tuple[int, int]:
    """Find the two atoms (or beads) that are farthest apart along the bonds: the ends of the backbone.

    Parameters
    ----------
    n : int
    bonds : array of int, shape (n_bonds, 2)
        Counted from 0.

    Returns
    -------
    tuple of int
        The smaller index first; of several such pairs the first. For a ring it is a pair of opposite atoms. Atoms that
        are not connected have no distance; `ends_of_molecules` looks at each molecule by itself.
    """
    graph = _graph(n, bonds)
    best, ends = -1.0, (0, 0)
    rows = max(1, _TABLE_SIZE // max(n, 1))
    for start in range(0, n, rows):
        distances = shortest_path(
            graph, directed=False, unweighted=True, indices=np.arange(start, min(start + rows, n))
        )
        distances[~np.isfinite(distances)] = -1
        first, last = np.unravel_index(np.argmax(distances), distances.shape)
        if distances[first, last] > best:
            best, ends = distances[first, last], (start + int(first), int(last))
    return ends


def ends_of_molecules(bonds: ArrayLike, molecules: ArrayLike) -> Integers:
    """Find the ends of every molecule of more than one atom, in the order of molecules; see `chain_ends`.

    Parameters
    ----------
    bonds : array of int, shape (n_bonds, 2)
        Counted from 0, none between molecules.
    molecules : array of int, shape (n,)
        Molecule of each atom, counted from 0.

    Returns
    -------
    array, shape (n_chains, 2)
    """
    pairs = np.asarray(bonds, dtype=np.int64).reshape(-1, 2)
    molecule = np.asarray(molecules, dtype=np.int64)
    ends = []
    for number in np.flatnonzero(np.bincount(molecule) > 1):
        atoms = np.flatnonzero(molecule == number)
        own = pairs[molecule[pairs[:, 0]] == number]
        ends.append(atoms[list(chain_ends(len(atoms), np.searchsorted(atoms, own)))])
    return np.array(ends, dtype=np.int64).reshape(-1, 2)


def end_to_end_vectors(positions: ArrayLike, ends: ArrayLike) -> Array:
    """Vectors from the first to the last atom of chains.

    Parameters
    ----------
    positions : array, shape (..., n, 3)
        nm, molecules whole.
    ends : array of int, shape (n_chains, 2) or (2,)
        See `ends_of_molecules`, `chain_ends`.

    Returns
    -------
    array, shape (..., n_chains, 3) or (..., 3)
        nm.
    """
    x = np.asarray(positions, dtype=np.float64)
    pairs = np.asarray(ends, dtype=np.int64)
    return x[..., pairs[..., 1], :] - x[..., pairs[..., 0], :]


def end_to_end_distances(positions: ArrayLike, ends: ArrayLike) -> Array:
    """Lengths of the `end_to_end_vectors`, shape (..., n_chains) or (...), nm."""
    return np.linalg.norm(end_to_end_vectors(positions, ends), axis=-1)


def bond_lengths(positions: ArrayLike, bonds: ArrayLike) -> Array:
    """Lengths of bonds, shape (..., n_bonds), nm, for positions (..., n, 3) and bonds (n_bonds, 2)."""
    return end_to_end_distances(positions, np.asarray(bonds, dtype=np.int64).reshape(-1, 2))


def _graph(n: int, bonds: ArrayLike) -> coo_matrix:
    i, j = np.asarray(bonds, dtype=np.int64).reshape(-1, 2).T
    return coo_matrix((np.ones(len(i)), (i, j)), shape=(n, n))
