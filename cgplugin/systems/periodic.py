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


def check_box(box_vectors: Array, name: str) -> None:
    """Refuse what is no box in reduced form.

    Parameters
    ----------
    box_vectors : array, shape (3, 3)
        nm.
    name : str
        Of the system, for the message.

    Raises
    ------
    UserError
        If an element is not finite, an edge is not positive, or the form is not reduced.
    """
    if not np.isfinite(box_vectors).all():
        raise UserError(f"{name}: the box is not finite: {_text(box_vectors)}")
    if (np.diagonal(box_vectors) <= 0).any():
        raise UserError(f"{name}: an edge of the box is not positive: {_text(box_vectors)}")
    limits = 0.5 * np.diagonal(box_vectors)[[0, 0, 1]] * (1 + 1e-6)
    if np.triu(box_vectors, 1).any() or (np.abs(box_vectors[[1, 2, 2], [0, 0, 1]]) > limits).any():
        raise UserError(
            f"{name}: the box vectors are not in reduced form (a along x, b in the xy plane, tilts of at most half an edge): "
            f"{_text(box_vectors)}"
        )


def _text(box_vectors: Array) -> str:
    rows = (" ".join(f"{value:g}" for value in row) for row in box_vectors)
    return f"({', '.join(rows)}) nm"


def box_heights(box_vectors: Array) -> Array:
    """Distances between opposite faces of boxes (..., 3, 3), shape (..., 3), nm."""
    return 1.0 / np.linalg.norm(np.linalg.inv(box_vectors), axis=-2)


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
        self._system = system
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

        Raises
        ------
        UserError
            If a bond spans half the box, so that either image may be the bonded one; the message names its atoms.
        """
        whole = np.array(positions, dtype=np.float64)
        for parents, children in self._shells:
            bond = minimum_image(whole[..., children, :] - whole[..., parents, :], box_vectors)
            whole[..., children, :] = whole[..., parents, :] + bond
        self._check_bonds(whole, box_vectors)
        return whole

    def _check_bonds(self, whole: Array, box_vectors: Array) -> None:
        """Of a bond's images one at most is shorter than half the smallest height, in a ring through the box perhaps none."""
        i, j = self._system.bonds.T
        if not len(i):
            return
        lengths = np.linalg.norm(whole[..., j, :] - whole[..., i, :], axis=-1)
        half = 0.5 * box_heights(box_vectors).min()
        if len(far := np.argwhere(lengths > half)):
            bond = far[0][-1]
            raise UserError(
                f"{self._system.name}: the bond between atoms {i[bond]} and {j[bond]} is {lengths[tuple(far[0])]:g} nm long, "
                f"more than half of the smallest box height ({half:g} nm): its molecule cannot be made whole; give unwrapped "
                "positions or image flags, or use a larger box"
            )


def wrap_molecules(positions: Array, molecules: NDArray[np.int64], box_vectors: Array) -> Array:
    """Positions with the centre of every molecule in the box; molecules stay whole.

    Parameters
    ----------
    positions : array, shape (n, 3)
        nm, molecules whole.
    molecules : array of int, shape (n,)
        Molecule of each point, from 0.
    box_vectors : array, shape (3, 3)
        nm.
    """
    sizes = np.bincount(molecules)
    centres = np.stack([np.bincount(molecules, weights=column) for column in positions.T], axis=1) / sizes[:, None]
    images = np.floor(centres @ np.linalg.inv(box_vectors))
    return positions - (images @ box_vectors)[molecules]


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
