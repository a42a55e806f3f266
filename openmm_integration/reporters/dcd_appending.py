"""DCD files that a restarted simulation goes on with: the steps of their frames, and cutting frames off."""

import os
import struct
from dataclasses import dataclass
from pathlib import Path

from cgplugin.errors import UserError, one_line

AKMA = 0.04888821
"""ps; the unit of time in the header of a DCD file."""

_COUNT_AT, _LAST_STEP_AT, _REMARKS_AT = 8, 20, 100
_REMARK_BYTES = 80


@dataclass(frozen=True)
class DcdHeader:
    """What the header of a DCD file of OpenMM's (CHARMM's format, little-endian) says.

    Attributes
    ----------
    n_frames, n_atoms : int
    first_step, interval : int
        Steps up to the first frame, and between frames.
    time_step : float
        ps.
    n_bytes, frame_bytes : int
        Size of the header, and of a frame.
    """

    n_frames: int
    n_atoms: int
    first_step: int
    interval: int
    time_step: float
    n_bytes: int
    frame_bytes: int

    @classmethod
    def read(cls, path: Path) -> "DcdHeader":
        """Read a header.

        Raises
        ------
        UserError
            If the file is missing or is no such file.
        """
        try:
            with path.open("rb") as file:
                start = file.read(96)
                if len(start) < 96 or start[:8] != struct.pack("<i4s", 84, b"CORD"):
                    raise UserError(f"{path}: not a DCD file that OpenMM wrote; give another name, or leave append out")
                n_frames, first_step, interval = struct.unpack("<3i", start[_COUNT_AT:_LAST_STEP_AT])
                (delta, has_box) = struct.unpack("<fi", start[44:52])
                (remark_bytes,) = struct.unpack("<i", start[92:96])
                file.seek(104 + remark_bytes)
                (n_atoms,) = struct.unpack("<i", file.read(4))
        except OSError as error:
            raise UserError(f"{path}: there is nothing to append to ({one_line(error)})") from error
        except struct.error as error:
            raise UserError(f"{path}: its header is cut off: start it anew, without append") from error
        frame_bytes = (56 if has_box else 0) + 3 * (4 * n_atoms + 8)
        return cls(n_frames, n_atoms, first_step, interval, delta * AKMA, 112 + remark_bytes, frame_bytes)


def cut_frames(path: Path, header: DcdHeader, n_frames: int) -> None:
    """Cut a DCD file back to its first frames, at least one, in its header too.

    Raises
    ------
    UserError
        If it has less.
    """
    size = header.n_bytes + n_frames * header.frame_bytes
    if header.n_frames < n_frames or path.stat().st_size < size:
        raise UserError(
            f"{path}: ends at step {header.first_step + (header.n_frames - 1) * header.interval}, but the simulation goes on "
            f"behind step {header.first_step + (n_frames - 1) * header.interval}: frames would be missing; load an earlier "
            "checkpoint, or write to another file"
        )
    os.truncate(path, size)
    with path.open("r+b") as file:
        file.seek(_COUNT_AT)
        file.write(struct.pack("<i", n_frames))
        file.seek(_LAST_STEP_AT)
        file.write(struct.pack("<i", header.first_step + (n_frames - 1) * header.interval))


def erase_date(path: Path) -> None:
    """Blank the date in the remarks of a header that OpenMM wrote: the same run gives the same bytes on any day."""
    with path.open("r+b") as file:
        file.seek(_REMARKS_AT + _REMARK_BYTES)
        file.write(b" " * _REMARK_BYTES)
