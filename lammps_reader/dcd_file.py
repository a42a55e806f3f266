"""DCD files that LAMMPS wrote, read by mdtraj."""

import importlib
import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .box import Box
from .errors import LammpsFormatError, LammpsFormatWarning
from .frame import Frame, FrameReader, StoredFrame
from .quiet import without_notices

_CONTROL_BYTES = 84
"""First record of a DCD file: CORD and twenty integers."""

MAX_RECORD = 2**20
"""Longest record before the frames that is believed."""


@dataclass(frozen=True)
class _DcdHeader:
    """What the first records of a DCD file say, and how long it is."""

    first_step: int
    interval: int
    n_atoms: int
    n_frames: int
    n_whole: int


class DcdFile:
    """A DCD file.

    Its atoms are taken to be sorted by id, which LAMMPS makes sure of, with ids from 1. A DCD file says neither where the box
    lies, which is put at the origin, nor whether positions are wrapped.

    Parameters
    ----------
    path : Path

    Raises
    ------
    LammpsFormatError
        If the file is damaged, or has no whole frame. Of one that is cut, the whole frames are read, with a warning.
    """

    units: str | None = None

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise LammpsFormatError(path, None, "no such file")
        header = _dcd_header(path)
        if header.n_whole < header.n_frames:
            message = f"the file should have {header.n_frames} frames, but ends within frame {header.n_whole}"
            if not header.n_whole:
                raise LammpsFormatError(path, None, f"{message}: no frame is whole")
            warnings.warn(
                f"{path}: {message}: its {header.n_whole} whole frames are read", LammpsFormatWarning, stacklevel=5
            )
        self.timesteps = header.first_step + header.interval * np.arange(header.n_whole, dtype=np.int64)
        self.n_atoms = np.full(header.n_whole, header.n_atoms, dtype=np.int64)
        self._ids = np.arange(1, header.n_atoms + 1)

    @contextmanager
    def open(self) -> Iterator[FrameReader]:
        """Open for reading frames."""
        formats = _formats(self.path)
        with without_notices():
            file = formats.DCDTrajectoryFile(os.fspath(self.path))
        at = 0

        def read(number: int) -> StoredFrame:
            nonlocal at
            with without_notices(), _errors_named(self.path, number):
                if number != at:
                    file.seek(number)
                positions, lengths, angles = file.read(1)
            at = number + 1
            if not np.isfinite(positions).all():
                raise LammpsFormatError(self.path, None, f"frame {number} has a position that is not finite")
            box = _box(self.path, number, lengths[0].astype(np.float64), angles[0].astype(np.float64))
            frame = Frame(int(self.timesteps[number]), None, self._ids, positions[0].astype(np.float64), box, {})
            return StoredFrame(frame, None, None)

        try:
            yield read
        finally:
            file.close()


def _dcd_header(path: Path) -> _DcdHeader:
    """Read the header with care: a reader in C believes what it finds there."""
    size = path.stat().st_size
    with path.open("rb") as file:
        for order in "<>":
            file.seek(0)
            try:
                control = _record(file, order, _CONTROL_BYTES)
                if control[:4] != b"CORD":
                    continue
                values = struct.unpack(f"{order}20i", control[4:])
                _record(file, order, None)
                (n_atoms,) = struct.unpack(f"{order}i", _record(file, order, 4))
            except (struct.error, EOFError):
                continue
            n_frames, first_step, interval, has_box = values[0], values[1], values[2], values[10]
            frame_bytes = 3 * (4 * n_atoms + 8) + (56 if has_box else 0)
            if n_frames < 0 or n_atoms < 1 or values[8]:
                break
            n_whole = min(n_frames, (size - file.tell()) // frame_bytes)
            return _DcdHeader(first_step, interval, n_atoms, n_frames, n_whole)
    raise LammpsFormatError(path, None, "not a DCD file of the kind that LAMMPS writes")


def _record(file: BinaryIO, order: str, n_bytes: int | None) -> bytes:
    """A Fortran record: its length, its content, its length."""
    (length,) = struct.unpack(f"{order}i", file.read(4))
    if not 0 <= length <= MAX_RECORD or (n_bytes is not None and length != n_bytes):
        raise EOFError
    content = file.read(length)
    if len(content) < length or file.read(4) != struct.pack(f"{order}i", length):
        raise EOFError
    return content


def _box(path: Path, number: int, lengths: NDArray[np.float64], angles: NDArray[np.float64]) -> Box:
    """Box of edge lengths and angles in degrees (LAMMPS manual, Howto_triclinic)."""
    a, b, c = lengths
    cosines = np.cos(np.radians(angles))
    alpha, beta, gamma = np.where(np.abs(cosines) < 1e-7, 0.0, cosines)
    xy, xz = b * gamma, c * beta
    with np.errstate(invalid="ignore", divide="ignore"):
        ly = np.sqrt(b**2 - xy**2)
        yz = (b * c * alpha - xy * xz) / ly
        lz = np.sqrt(c**2 - xz**2 - yz**2)
    edges = np.array([a, ly, lz])
    if not (np.isfinite(edges).all() and (edges > 0).all()):
        raise LammpsFormatError(path, None, f"frame {number} has no box: edges {a:g}, {b:g}, {c:g}")
    return Box(np.zeros(3), edges, np.array([xy, xz, yz]))


def _formats(path: Path) -> Any:
    try:
        return importlib.import_module("mdtraj.formats")
    except ImportError as error:
        raise ImportError(f"{path}: reading DCD files needs the package mdtraj: pip install mdtraj") from error


@contextmanager
def _errors_named(path: Path, number: int) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, RuntimeError, TypeError, IndexError) as error:
        raise LammpsFormatError(
            path, None, f"frame {number} cannot be read ({' '.join(str(error).split())})"
        ) from error
