"""Where the state of a learned simulation is in the particle list of an exported System."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cgplugin.learned.simulator import LearnedState


@dataclass(frozen=True)
class Layout:
    """Copies of the beads, one after the other.

    OpenMM gives a force positions and takes forces; a learned step needs the displacements before and normal numbers as well.
    All of it is put into positions, of copies of the beads:

    =====================  =================================================================
    copy                   positions
    =====================  =================================================================
    0                      the beads
    1 ... n_history        where they were one, two, ... steps ago
    n_history + 1 ...      no places but standard normal numbers, which the integrator draws
    =====================  =================================================================

    The "force" on a particle is its move in one step: 1 kJ/mol/nm is 1 nm.

    Attributes
    ----------
    n_beads, n_history : int
    n_normal : int
        Sets of normal numbers that a step takes.
    """

    n_beads: int
    n_history: int
    n_normal: int

    @property
    def n_particles(self) -> int:
        """Of the System."""
        return (1 + self.n_history + self.n_normal) * self.n_beads

    @property
    def beads(self) -> list[int]:
        """The particles that are beads, for a reporter's ``atomSubset``."""
        return list(range(self.n_beads))

    @property
    def is_normal(self) -> NDArray[np.bool_]:
        """Which particles hold normal numbers, shape (n_particles,)."""
        return np.arange(self.n_particles) >= (1 + self.n_history) * self.n_beads

    def positions(self, state: LearnedState) -> NDArray[np.float64]:
        """Positions of all particles in a state, shape (n_particles, 3), nm."""
        displacements = state.displacements.numpy().transpose(1, 0, 2)
        positions = np.zeros((self.n_particles, 3))
        frames = np.concatenate([state.positions.numpy()[None], -displacements]).cumsum(axis=0)
        positions[~self.is_normal] = frames.reshape(-1, 3)
        return positions
