"""Centres of mass of molecules."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

Array = NDArray[np.float64]


class CentresOfMass:
    """Takes positions of particles to the centres of mass of the groups that they belong to, by a sparse product.

    Parameters
    ----------
    masses : array, shape (n,)
        Of any unit; only their ratios count.
    groups : array of int, shape (n,)
        Group of each particle, for example its molecule; counted from 0.

    Attributes
    ----------
    masses : array, shape (n_groups,)
    """

    def __init__(self, masses: ArrayLike, groups: ArrayLike) -> None:
        mass = np.asarray(masses, dtype=np.float64)
        group = np.asarray(groups, dtype=np.int64)
        self.masses: Array = np.bincount(group, weights=mass).astype(np.float64)
        shape = (len(self.masses), len(mass))
        self._average = csr_matrix((mass / self.masses[group], (group, np.arange(len(mass)))), shape=shape)

    def __call__(self, positions: Array) -> Array:
        """Centres, shape (n_groups, 3), of positions (n, 3) in nm, groups whole."""
        return np.asarray(self._average @ positions)
