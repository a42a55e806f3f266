"""The drift of a whole periodic system, which is not its molecules' dynamics.

A Langevin thermostat moves the centre of mass of N particles of mass m with diffusion coefficient kT / (N m friction): an
accident of how large the box is. A network that draws independent noise for each bead could only learn it as noise of every bead,
too large, then, for whatever moves slowly: chains would swell and diffuse too fast.
"""

import numpy as np
from numpy.typing import NDArray

from .coarsening import CoarseGraining

Array = NDArray[np.float64]


def drifts(cg: CoarseGraining, box_vectors: NDArray[np.float64] | None) -> bool:
    """Whether the centre of mass of a system is of no account: several molecules in a periodic box.

    That of a single chain is its own diffusion, in a box or not.
    """
    return box_vectors is not None and len(cg.molecules) > 0 and int(cg.molecules.max()) > 0


def without_drift(positions: Array, masses: Array) -> Array:
    """Positions (..., n, 3) relative to their common centre of mass."""
    relative: Array = positions - (masses / masses.sum() @ positions)[..., None, :]
    return relative
