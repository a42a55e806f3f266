"""Header of a frame of a text dump."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .box import Box
from .numbers import to_float

MAX_COUNT = 2**53
"""Largest number of atoms, step or id that is believed; larger ones are not exact as floating-point numbers."""

_INTEGER = re.compile(rb"[-+]?[0-9]{1,20}\Z")
_FOREIGN = {
    b"ITEM: NUMBER OF ENTRIES": "this is a local dump (entries, not atoms): use dump atom or dump custom",
    b"ITEM: DIMENSION": "this is a grid dump (no atoms): use dump atom or dump custom",
}


class HeaderError(ValueError):
    """A line of a header that is not what it should be.

    Attributes
    ----------
    line : int
        From 0, counted from the first line of the header.
    """

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class FrameHeader:
    """What stands before the rows of a frame.

    Attributes
    ----------
    timestep : int
    time : float or None
    units : str or None
    n_atoms : int
    box : Box
    columns : tuple of str
    count_line : int
        Line that says the number of atoms, from 0.
    """

    timestep: int
    time: float | None
    units: str | None
    n_atoms: int
    box: Box
    columns: tuple[str, ...]
    count_line: int


def read_header(next_line: Callable[[], bytes]) -> FrameHeader:
    """Read the header of a frame, up to the line ``ITEM: ATOMS``.

    Parameters
    ----------
    next_line : callable
        Gives the next line, without its line end; what it raises at the end of the text is passed on.

    Raises
    ------
    HeaderError
        If a line is not what it should be, or an item is missing.
    """
    timestep: int | None = None
    n_atoms: int | None = None
    time: float | None = None
    units: str | None = None
    box: Box | None = None
    n = count_line = 0

    def line() -> bytes:
        nonlocal n
        n += 1
        return next_line().strip()

    while True:
        item = line()
        if item == b"ITEM: TIMESTEP":
            timestep = _integer(line(), n - 1, -MAX_COUNT, "a time step")
        elif item == b"ITEM: UNITS":
            units = line().decode("utf-8", "replace")
        elif item == b"ITEM: TIME":
            time = _number(line(), n - 1)
        elif item == b"ITEM: NUMBER OF ATOMS":
            count_line = n
            n_atoms = _integer(line(), count_line, 0, "a number of atoms")
        elif item.startswith(b"ITEM: BOX BOUNDS"):
            rows = [line() for _ in range(3)]
            box = _box(item, rows, n - 3)
        elif item.startswith(b"ITEM: ATOMS"):
            columns = tuple(item.decode("utf-8", "replace").split()[2:])
            break
        elif item in _FOREIGN:
            raise HeaderError(n - 1, _FOREIGN[item])
        elif item == b"---":
            raise HeaderError(n - 1, "this is a yaml dump: use dump atom or dump custom")
        elif not item:
            # blank lines between frames do no harm
            continue
        else:
            raise HeaderError(n - 1, f"expected ITEM: TIMESTEP or another item, found {_shown(item)}")
    if timestep is None or n_atoms is None or box is None:
        missing = "time step" if timestep is None else "number of atoms" if n_atoms is None else "box"
        raise HeaderError(n - 1, f"the frame has no {missing} before its atoms")
    if len(set(columns)) < len(columns):
        raise HeaderError(n - 1, f"a column is named twice: {' '.join(columns)}")
    return FrameHeader(timestep, time, units, n_atoms, box, columns, count_line)


def _shown(word: bytes) -> str:
    return repr(word[:40].decode("utf-8", "replace"))


def _integer(word: bytes, line: int, lowest: int, what: str) -> int:
    if not _INTEGER.match(word) or not lowest <= int(word) <= MAX_COUNT:
        raise HeaderError(line, f"{_shown(word)} is not {what}")
    return int(word)


def _number(word: bytes, line: int) -> float:
    value = to_float(word)
    if value is None:
        raise HeaderError(line, f"{_shown(word)} is not a finite number")
    return value


def _box(item: bytes, rows: list[bytes], first_line: int) -> Box:
    words = item.decode("utf-8", "replace").split()[3:]
    if words[:2] == ["abc", "origin"]:
        raise HeaderError(
            first_line - 1, "the dump has a general triclinic box: use 'dump_modify triclinic/general no'"
        )
    triclinic = words[:3] == ["xy", "xz", "yz"]
    flags = words[3:] if triclinic else words
    if flags and (len(flags) != 3 or any(len(flag) != 2 or not set(flag) <= set("pfsm") for flag in flags)):
        raise HeaderError(first_line - 1, f"boundary flags {' '.join(flags)[:40]!r}, expected three such as 'pp'")
    width = 3 if triclinic else 2
    values = np.empty((3, width))
    for axis, row in enumerate(rows):
        numbers = row.split()
        if len(numbers) != width:
            raise HeaderError(first_line + axis, f"{len(numbers)} numbers for a box bound, expected {width}")
        values[axis] = [_number(number, first_line + axis) for number in numbers]
    tilt = values[:, 2] if triclinic else np.zeros(3)
    xy, xz, yz = tilt
    # the bounds written are those of the bounding box of the tilted cell (LAMMPS manual, Howto_triclinic)
    lo = values[:, 0] - [min(0, xy, xz, xy + xz), min(0, yz), 0]
    hi = values[:, 1] - [max(0, xy, xz, xy + xz), max(0, yz), 0]
    for axis in range(3):
        if not lo[axis] < hi[axis]:
            raise HeaderError(
                first_line + axis, f"the box has lo {lo[axis]:g} and hi {hi[axis]:g}: lo must be below hi"
            )
    periodic = tuple(flag.startswith("p") for flag in flags) if flags else (True, True, True)
    return Box(lo, hi, tilt.copy(), (periodic[0], periodic[1], periodic[2]))
