"""Continuous paths of molecules, from positions that may be wrapped into the box or not."""

import numpy as np
from numpy.typing import NDArray

from cgplugin.observables.centres import CentresOfMass
from cgplugin.systems.periodic import unwrap

Array = NDArray[np.float64]

ROUNDING = 1e-3
"""Of the box: how far outside it single precision may put a position that was wrapped."""


class MoleculePaths:
    """Unwraps whole molecules through the frames of a trajectory, where its positions are wrapped.

    A trajectory file does not say whether they are. They are taken as wrapped if in the first block of frames all molecules
    stay within one box, by their centres or by their first atoms. The molecules of a trajectory that was not wrapped
    either leave it, or have moved so little that the minimum image between frames changes nothing.

    Parameters
    ----------
    molecules : array of int, shape (n,)
        Molecule of each particle.
    source : str
        For messages.
    """

    def __init__(self, molecules: NDArray[np.int64], source: str) -> None:
        self._molecules, self._source = molecules, source
        # OpenMM wraps molecules by the centre of their atoms, whatever the masses
        self._centres = CentresOfMass(np.ones(len(molecules)), molecules)
        self._first = np.unique(molecules, return_index=True)[1]
        self._wrapped: bool | None = None
        self._previous: Array | None = None

    def follow(self, positions: Array, box_vectors: Array) -> Array:
        """Continue the paths by a block of frames.

        Parameters
        ----------
        positions : array, shape (n_frames, n, 3)
            nm, whole molecules.
        box_vectors : array, shape (n_frames, 3, 3)
            nm.

        Raises
        ------
        cgplugin.errors.UserError
            If a wrapped molecule moves by nearly half the box between frames; see `cgplugin.systems.periodic.unwrap`.
        """
        centres = np.stack([self._centres(frame) for frame in positions])
        if self._wrapped is None:
            self._wrapped = _within_one_box(centres, box_vectors) or _within_one_box(
                positions[:, self._first], box_vectors
            )
        if not self._wrapped:
            return positions
        paths = unwrap(centres, box_vectors, self._previous, self._source)
        self._previous = paths[-1]
        continued: Array = positions + (paths - centres)[:, self._molecules]
        return continued


def _within_one_box(points: Array, box_vectors: Array) -> bool:
    """Whether points (n_frames, n, 3) all lie in one box, wherever its corner is."""
    fractions = points @ np.linalg.inv(box_vectors)
    return bool((np.ptp(fractions, axis=(0, 1)) <= 1 + ROUNDING).all())
