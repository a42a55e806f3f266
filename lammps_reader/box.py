"""Simulation boxes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Box:
    """A LAMMPS box, orthogonal or triclinic, in the file's unit of length.

    Attributes
    ----------
    lo, hi : array, shape (3,)
        Corner of the cell, and corner plus the lengths along x, y, z (of the cell, not of its bounding box).
    tilt : array, shape (3,)
        xy, xz, yz.
    periodic : tuple of bool
        Along x, y, z; data files do not say and are taken to be periodic.
    """

    lo: NDArray[np.float64]
    hi: NDArray[np.float64]
    tilt: NDArray[np.float64]
    periodic: tuple[bool, bool, bool] = (True, True, True)

    @property
    def vectors(self) -> NDArray[np.float64]:
        """Box vectors a, b, c as rows, shape (3, 3)."""
        (lx, ly, lz), (xy, xz, yz) = self.hi - self.lo, self.tilt
        return np.array([[lx, 0, 0], [xy, ly, 0], [xz, yz, lz]], dtype=np.float64)
