"""Periodic boxes: minimum images, whole molecules, unwrapped trajectories.

Box vectors are rows a, b, c in nm, in OpenMM's reduced form: a along x, b in the xy plane, and the off-diagonal
elements at most half the diagonal ones.
"""

import numpy as np
from numpy.typing import NDArray

from cgplugin.errors import UserError

from .molecular_system import MolecularSystem

Array = NDArray[np.float64]


def reduce_box_vectors(box_vectors: Array) -> Array:
    """Reduced form of lower-triangular box vectors, shape (..., 3, 3); the same lattice."""
    a, b, c = (box_vectors[..., i, :].copy() for i in range(3))
    c -= b * np.round(c[..., 1:2] / b[..., 1:2])
    c -= a * np.round(c[..., 0:1] / a[..., 0:1])
    b -= a * np.round(b[..., 0:1] / a[..., 0:1])
    return np.stack([a, b, c], axis=-2)


def box_heights(box_vectors: Array) -> Array:
    """Distances between opposite faces of the box, shape (3,), nm."""
    return 1.0 / np.linalg.norm(np.linalg.inv(box_vectors), axis=0)


def minimum_image(vectors: Array, box_vectors: Array) -> Array:
    """Shift separations by lattice vectors to their shortest image, as OpenMM does.

    Exact for separations up to half the smallest height of the box, which is what bonds and cutoffs are.

    Parameters
    ----------
    vectors : array, shape (..., n, 3)
        nm.
    box_vectors : array, shape (..., 3, 3)
        nm, rows in reduced form; one box for all n.
    """
    result = np.array(vectors, dtype=np.float64)
    for axis in (2, 1, 0):
        edge = box_vectors[..., axis, :][..., None, :]
        result -= edge * np.round(result[..., axis : axis + 1] / edge[..., axis : axis + 1])
    return result


class MoleculeMender:
    """Makes molecules whole: each atom is brought next to an atom that it is bonded to.

    Parameters
    ----------
    system : MolecularSystem
        Its bonds are walked outward from the first atom of every molecule.
    """

    def __init__(self, system: MolecularSystem) -> None:
        neighbours: list[list[int]] = [[] for _ in range(system.n_atoms)]
        for i, j in system.bonds.tolist():
            neighbours[i].append(j)
            neighbours[j].append(i)
        seen = np.zeros(system.n_atoms, dtype=bool)
        _, roots = np.unique(system.molecules, return_index=True)
        seen[roots] = True
        shell = [(root, root) for root in roots.tolist()]
        self._shells: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        while shell:
            following = []
            for _, atom in shell:
                for other in neighbours[atom]:
                    if not seen[other]:
                        seen[other] = True
                        following.append((atom, other))
            if following:
                pairs = np.array(following, dtype=np.int64)
                self._shells.append((pairs[:, 0], pairs[:, 1]))
            shell = following

    def make_whole(self, positions: Array, box_vectors: Array) -> Array:
        """Whole molecules; the first atom of each stays where it is.

        Parameters
        ----------
        positions : array, shape (n_atoms, 3) or (n_frames, n_atoms, 3)
            nm.
        box_vectors : array, shape (3, 3) or (n_frames, 3, 3)
            nm.
        """
        whole = np.array(positions, dtype=np.float64)
        for parents, children in self._shells:
            bond = minimum_image(whole[..., children, :] - whole[..., parents, :], box_vectors)
            whole[..., children, :] = whole[..., parents, :] + bond
        return whole


def unwrap(positions: Array, box_vectors: Array, previous: Array | None = None, source: str = "trajectory") -> Array:
    """Continuous paths through the box, by the minimum image between successive frames.

    Parameters
    ----------
    positions : array, shape (n_frames, n, 3)
        nm; points that may be any image.
    box_vectors : array, shape (n_frames, 3, 3)
        nm.
    previous : array, shape (n, 3), optional
        Unwrapped positions of the frame before the first.
    source : str
        For messages.

    Raises
    ------
    UserError
        If a point moves by more than 0.45 of the box between frames, so that its path cannot be told.
    """
    result = np.array(positions, dtype=np.float64)
    last = result[0] if previous is None else previous
    for frame in range(len(result)):
        step = minimum_image(result[frame] - last, box_vectors[frame])
        heights = np.abs(np.diagonal(box_vectors[frame]))
        if len(far := np.argwhere(np.abs(step) > 0.45 * heights)):
            raise UserError(
                f"{source}: bead {far[0][0]} moves by nearly half the box between frames {frame - 1} and {frame}: "
                "wrapped positions cannot be followed; record unwrapped positions, or more often"
            )
        result[frame] = last = last + step
    return result
