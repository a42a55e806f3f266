"""Observables of chains, as functions of positions."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import shortest_path

Array = NDArray[np.float64]


def squared_radius_of_gyration(positions: ArrayLike, masses: ArrayLike) -> Array:
    """Rg^2 = sum_i m_i d_i^2 / sum_i m_i, with d_i the distance from the centre of mass (paper, Methods).

    Parameters
    ----------
    positions : array, shape (..., n, 3)
        nm, molecules whole.
    masses : array, shape (n,)

    Returns
    -------
    array, shape (...)
        nm^2.
    """
    x = np.asarray(positions, dtype=np.float64)
    share = np.asarray(masses, dtype=np.float64)
    share = share / share.sum()
    centre = np.einsum("...nd,n->...d", x, share)
    return np.einsum("...nd,n->...", (x - centre[..., None, :]) ** 2, share)


def chain_ends(n: int, bonds: ArrayLike) -> tuple[int, int]:
    """Find the two atoms (or beads) that are farthest apart along the bonds: the ends of the backbone.

    Parameters
    ----------
    n : int
    bonds : array of int, shape (n_bonds, 2)

    Returns
    -------
    tuple of int
        The first such pair. For a ring it is a pair of opposite atoms.
    """
    i, j = np.asarray(bonds, dtype=np.int64).reshape(-1, 2).T
    graph = coo_matrix((np.ones(len(i)), (i, j)), shape=(n, n))
    distances = shortest_path(graph, directed=False, unweighted=True)
    distances[~np.isfinite(distances)] = -1
    first, last = np.unravel_index(np.argmax(distances), distances.shape)
    return int(first), int(last)


def end_to_end_distance(positions: ArrayLike, ends: tuple[int, int]) -> Array:
    """Distance between the chain ends, shape (...), nm, for positions (..., n, 3)."""
    x = np.asarray(positions, dtype=np.float64)
    return np.linalg.norm(x[..., ends[1], :] - x[..., ends[0], :], axis=-1)


def bond_lengths(positions: ArrayLike, bonds: ArrayLike) -> Array:
    """Lengths of bonds, shape (..., n_bonds), nm, for positions (..., n, 3)."""
    x = np.asarray(positions, dtype=np.float64)
    pairs = np.asarray(bonds, dtype=np.int64).reshape(-1, 2)
    return np.linalg.norm(x[..., pairs[:, 1], :] - x[..., pairs[:, 0], :], axis=-1)
