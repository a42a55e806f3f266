"""Unwrapped positions of frames that have wrapped ones and no image flags."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .box import Box

FARTHEST = 0.4
"""Share of the box that an atom may move between two frames.

Where none is seen to move farther than this, it is most unlikely that one moved by more than half of the box, which could not be
told from a smaller move the other way.
"""

KEPT = 64
"""States that are kept, so that a frame is never more than a 64th of the trajectory away from one."""

KEPT_BYTES = 2**26
"""Memory that these may take; there are fewer of large systems."""


class TooFarApartError(ValueError):
    """An atom moves too far between two frames.

    Attributes
    ----------
    atom : int
        Its id.
    moved : float
        Share of the box.
    """

    def __init__(self, atom: int, moved: float) -> None:
        super().__init__(f"atom {atom} moves by {moved:.2f} of the box")
        self.atom, self.moved = atom, moved


@dataclass(frozen=True)
class WrappedAtoms:
    """Atoms of a frame.

    Attributes
    ----------
    ids : array of int, shape (n_atoms,)
    positions : array, shape (n_atoms, 3)
        In the box.
    box : Box
    """

    ids: NDArray[np.int64] = field(repr=False)
    positions: NDArray[np.float64] = field(repr=False)
    box: Box


@dataclass(frozen=True)
class _State:
    """Where the atoms are: fractional coordinates in a box, and whole boxes."""

    frame: int
    ids: NDArray[np.int64] = field(repr=False)
    fractions: NDArray[np.float64] = field(repr=False)
    images: NDArray[np.float64] = field(repr=False)
    vectors: NDArray[np.float64] = field(repr=False)


class MinimumImageUnwrapping:
    """Follows the atoms from frame to frame, each by the shorter way.

    Image flags n of frame t from those of frame t - 1, in fractional coordinates s, each of its own box: n' = n + round(s - s').
    When LAMMPS has flipped a tilted box in between, n and s are first expressed in the new box vectors. An atom that was not in
    the frame before is where it is written.

    Parameters
    ----------
    n_frames : int
    start : tuple of ids, shape (n_atoms,), and positions, shape (n_atoms, 3), optional
        Unwrapped positions; the first frame's atoms are put into the images nearest to them.
    """

    def __init__(self, n_frames: int, start: tuple[NDArray[np.int64], NDArray[np.float64]] | None = None) -> None:
        self._n_frames, self._start = n_frames, start
        self._kept: dict[int, _State] = {}
        self._latest: _State | None = None

    def positions(self, frame: int, wrapped: Callable[[int], WrappedAtoms]) -> NDArray[np.float64]:
        """Unwrapped positions of a frame, shape (n_atoms, 3); frames before it are read as far as needed.

        Parameters
        ----------
        frame : int
        wrapped : callable
            Gives the atoms of a frame.

        Raises
        ------
        TooFarApartError
            If an atom moves by more than `FARTHEST` of the box between two frames.
        """
        known = [state for state in (self._latest, *self._kept.values()) if state is not None and state.frame <= frame]
        state = max(known, key=lambda state: state.frame, default=None)
        atoms = wrapped(frame) if state is not None and state.frame == frame else None
        while state is None or state.frame < frame:
            atoms = wrapped(0 if state is None else state.frame + 1)
            state = self._first(atoms) if state is None else _next(state, atoms)
            n_kept = max(1, min(KEPT, KEPT_BYTES // (56 * max(1, len(atoms.ids)))))
            if state.frame % -(-self._n_frames // n_kept) == 0:
                self._kept.setdefault(state.frame, state)
            self._latest = state
        assert atoms is not None
        return atoms.positions + state.images @ state.vectors

    def _first(self, atoms: WrappedAtoms) -> _State:
        vectors, inverse = atoms.box.vectors, np.linalg.inv(atoms.box.vectors)
        images = np.zeros_like(atoms.positions)
        if self._start is not None:
            _, own, theirs = np.intersect1d(atoms.ids, self._start[0], return_indices=True)
            away = (self._start[1][theirs] - atoms.positions[own]) @ inverse
            images[own] = np.round(away) * np.array(atoms.box.periodic)
        return _State(0, atoms.ids, (atoms.positions - atoms.box.lo) @ inverse, images, vectors)


def _next(before: _State, atoms: WrappedAtoms) -> _State:
    inverse, periodic = np.linalg.inv(atoms.box.vectors), np.array(atoms.box.periodic, dtype=np.float64)
    fractions = (atoms.positions - atoms.box.lo) @ inverse
    images = np.zeros_like(fractions)
    own: slice | NDArray[np.intp] = slice(None)
    theirs: slice | NDArray[np.intp] = slice(None)
    if not np.array_equal(before.ids, atoms.ids):
        _, theirs, own = np.intersect1d(before.ids, atoms.ids, return_indices=True)
    # how many new vectors make an old one: the identity unless the box was flipped
    flip = np.round(before.vectors @ inverse)
    difference = before.fractions[theirs] @ flip - fractions[own]
    shift = np.round(difference) * periodic
    moved = np.abs(difference - shift) * periodic
    if moved.size and moved.max() > FARTHEST:
        farthest = int(moved.max(axis=1).argmax())
        raise TooFarApartError(int(atoms.ids[own][farthest]), float(moved[farthest].max()))
    images[own] = before.images[theirs] @ flip + shift
    return _State(before.frame + 1, atoms.ids, fractions, images, atoms.box.vectors)
