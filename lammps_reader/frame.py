"""One frame of a trajectory."""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .box import Box


@dataclass(frozen=True)
class Frame:
    """One frame, atoms sorted by id, in the file's units.

    Attributes
    ----------
    timestep : int
    time : float or None
        Where the file says it.
    ids : array of int, shape (n_atoms,)
    positions : array, shape (n_atoms, 3)
        Unwrapped, unless the dump was opened with ``unwrap=False``.
    box : Box
    columns : dict
        Further columns by name, each of shape (n_atoms,): integers for ids, types and image flags, text for names of elements
        and types, and numbers for all others.
    """

    timestep: int
    time: float | None
    ids: NDArray[np.int64] = field(repr=False)
    positions: NDArray[np.float64] = field(repr=False)
    box: Box
    columns: dict[str, NDArray[Any]] = field(repr=False)


@dataclass(frozen=True)
class StoredFrame:
    """A frame as its file has it.

    Attributes
    ----------
    frame : Frame
    wrapped : bool or None
        Whether its positions are in the box, and nothing in the file says in which image they were; None if that is not known.
    line : int or None
        Line of the file where the frame begins.
    """

    frame: Frame
    wrapped: bool | None
    line: int | None


class FrameReader(Protocol):
    """Reads stored frames of one file by their number."""

    def __call__(self, number: int) -> StoredFrame:
        """Read a frame."""


class TrajectoryFile(Protocol):
    """A file of frames.

    Attributes
    ----------
    path : Path
    timesteps, n_atoms : array of int, shape (n_frames,)
    units : str or None
    """

    path: Path
    units: str | None
    timesteps: NDArray[np.int64]
    n_atoms: NDArray[np.int64]

    def open(self) -> AbstractContextManager[FrameReader]:
        """Open for reading frames."""
