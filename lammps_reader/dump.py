"""LAMMPS text dumps (``dump atom`` and ``dump custom``)."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from .box import Box
from .errors import LammpsFormatError
from .text import read_bytes

_COORDINATES = (("xu", "yu", "zu"), ("xsu", "ysu", "zsu"), ("x", "y", "z"), ("xs", "ys", "zs"))
_TEXT_COLUMNS = {"element", "typelabel", "mol_label"}


@dataclass(frozen=True)
class Frame:
    """One frame, atoms sorted by id, in the file's units.

    Attributes
    ----------
    timestep : int
    time : float or None
    ids : array of int, shape (n_atoms,)
    positions : array, shape (n_atoms, 3)
        Unwrapped.
    box : Box
    columns : dict
        Further columns by name, each of shape (n_atoms,).
    """

    timestep: int
    time: float | None
    ids: NDArray[np.int64] = field(repr=False)
    positions: NDArray[np.float64] = field(repr=False)
    box: Box
    columns: dict[str, NDArray[np.float64]] = field(repr=False)


@dataclass(frozen=True)
class _Place:
    """Where a frame lies in the text: its first line's number and offset, and its header."""

    line: int
    timestep: int
    time: float | None
    n_atoms: int
    box: Box
    columns: tuple[str, ...]
    body: slice


class Dump(Sequence[Frame]):
    """Frames of a text dump; made by `open_dump`.

    Attributes
    ----------
    timesteps : array of int, shape (n_frames,)
    units : str or None
        Unit style, where the dump has ``ITEM: UNITS``.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.units: str | None = None
        self._text = read_bytes(self.path)
        if not self._text.strip():
            raise LammpsFormatError(self.path, None, "the file is empty")
        self._places = list(self._index())
        self.timesteps = np.array([place.timestep for place in self._places], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Frame: ...
    @overload
    def __getitem__(self, index: slice) -> list[Frame]: ...
    def __getitem__(self, index: int | slice) -> Frame | list[Frame]:
        if isinstance(index, slice):
            return [self._read(place) for place in self._places[index]]
        return self._read(self._places[index])

    def __iter__(self) -> Iterator[Frame]:
        return (self._read(place) for place in self._places)

    def _fail(self, line: int, message: str) -> LammpsFormatError:
        return LammpsFormatError(self.path, line, message)

    def _index(self) -> Iterator[_Place]:
        """Find the frames in one pass over the text."""
        text, offset, line = self._text, 0, 1

        def next_line() -> str:
            nonlocal offset, line
            end = text.find(b"\n", offset)
            if end < 0:
                raise self._fail(line, "the file ends within a frame: remove the last, incomplete frame")
            raw, offset, line = text[offset:end], end + 1, line + 1
            return raw.decode("utf-8", "replace").strip()

        while offset < len(text):
            if not text[offset : offset + 512].strip() and not text[offset:].strip():
                return
            start, time, n_atoms, timestep, box, count_line = line, None, -1, None, None, line
            while True:
                item = next_line()
                if item == "ITEM: TIMESTEP":
                    timestep = self._integer(line, next_line())
                elif item == "ITEM: UNITS":
                    self.units = next_line()
                elif item == "ITEM: TIME":
                    time = self._number(line, next_line())
                elif item == "ITEM: NUMBER OF ATOMS":
                    count_line = line
                    n_atoms = self._integer(line, next_line())
                    if n_atoms < 0:
                        raise self._fail(count_line, f"{n_atoms} atoms: expected a number of at least 0")
                elif item.startswith("ITEM: BOX BOUNDS"):
                    box = self._box(line, item, [next_line() for _ in range(3)])
                elif item.startswith("ITEM: ATOMS"):
                    columns = tuple(item.split()[2:])
                    break
                else:
                    raise self._fail(line - 1, f"expected ITEM: TIMESTEP or another item, found {item[:40]!r}")
            if timestep is None or n_atoms < 0 or box is None:
                raise self._fail(line - 1, "the frame lacks its time step, its number of atoms or its box before this")
            begin = offset
            # every atom takes at least two characters: no count can make us look beyond the file
            if n_atoms > (len(text) - offset + 1) // 2:
                raise self._fail(count_line, f"the frame claims {n_atoms} atoms, more than the file can hold")
            end = text.find(b"ITEM:", offset)
            end = len(text) if end < 0 else end
            found = text.count(b"\n", begin, end)
            if end == len(text) and not text.endswith(b"\n"):
                raise self._fail(line + found, "the file ends within a line: remove the last, incomplete frame")
            if found != n_atoms:
                where = line + found if end == len(text) else count_line
                if found > n_atoms and text[begin:end].split(b"\n")[n_atoms][:1].isalpha():
                    where = line + n_atoms
                raise self._fail(where, f"the frame has {found} atoms, but its header says {n_atoms}")
            offset, line = end, line + found
            yield _Place(start, timestep, time, n_atoms, box, columns, slice(begin, end))

    def _integer(self, line: int, word: str) -> int:
        try:
            return int(word)
        except ValueError:
            raise self._fail(line - 1, f"{word[:40]!r} is not an integer") from None

    def _number(self, line: int, word: str) -> float:
        try:
            value = float(word)
        except ValueError:
            raise self._fail(line - 1, f"{word[:40]!r} is not a number") from None
        if not np.isfinite(value):
            raise self._fail(line - 1, f"{word[:40]!r} is not finite")
        return value

    def _box(self, line: int, item: str, rows: list[str]) -> Box:
        words = item.split()[3:]
        triclinic = words[:3] == ["xy", "xz", "yz"]
        flags = words[-3:] if len(words) >= 3 and words[-1] != "yz" else ["pp"] * 3
        values = [[self._number(line + 1 + n, word) for word in row.split()] for n, row in enumerate(rows)]
        for n, row in enumerate(values):
            if len(row) != (3 if triclinic else 2):
                raise self._fail(line + n, f"{len(row)} numbers for a box bound, expected {3 if triclinic else 2}")
        lo, hi = np.array([row[0] for row in values]), np.array([row[1] for row in values])
        tilt = np.array([row[2] for row in values]) if triclinic else np.zeros(3)
        xy, xz, yz = tilt
        # the bounds written are those of the bounding box of the tilted cell
        lo -= np.array([min(0, xy, xz, xy + xz), min(0, yz), 0])
        hi -= np.array([max(0, xy, xz, xy + xz), max(0, yz), 0])
        if len(inverted := np.flatnonzero(~(lo < hi))):
            raise self._fail(line + int(inverted[0]), "the box bound has lo above hi")
        return Box(lo, hi, tilt, tuple(flag.startswith("p") for flag in flags))  # type: ignore[arg-type]

    def _read(self, place: _Place) -> Frame:
        names = place.columns
        if "id" not in names:
            raise self._fail(
                place.line, "the dump has no column id, so that atoms cannot be told apart: add it to the dump"
            )
        text = [n for n, name in enumerate(names) if name in _TEXT_COLUMNS]
        words = self._text[place.body].split()
        if len(words) != place.n_atoms * len(names):
            raise self._fail(self._bad_row(place), f"a row has not the {len(names)} columns of its header")
        table = np.array(words, dtype=object).reshape(place.n_atoms, len(names))
        table[:, text] = b"0"
        try:
            values = table.astype("S").astype(np.float64)
        except ValueError:
            raise self._fail(self._bad_row(place), "a word is not a number") from None
        if not np.isfinite(values).all():
            raise self._fail(self._bad_row(place), "a value is not finite")
        ids = values[:, names.index("id")].astype(np.int64)
        if len(broken := np.flatnonzero(ids != values[:, names.index("id")])):
            raise self._fail(self._first_row(place) + int(broken[0]), "an atom id is not an integer")
        order = np.argsort(ids, kind="stable")
        if len(repeated := np.flatnonzero(np.diff(ids[order]) == 0)):
            row = int(order[repeated[0] + 1])
            raise self._fail(self._first_row(place) + row, f"atom id {ids[row]} appears twice in the frame")
        columns = {name: values[order, n] for n, name in enumerate(names) if name != "id" and n not in text}
        return Frame(place.timestep, place.time, ids[order], self._positions(place, columns), place.box, columns)

    def _positions(self, place: _Place, columns: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        for axes in _COORDINATES:
            if not all(axis in columns for axis in axes):
                continue
            positions = np.stack([columns.pop(axis) for axis in axes], axis=1)
            if axes[0].startswith("xs"):
                positions = place.box.lo + positions @ place.box.vectors
            if "u" in axes[0]:
                return positions
            if all(flag in columns for flag in ("ix", "iy", "iz")):
                return positions + np.stack([columns[flag] for flag in ("ix", "iy", "iz")], axis=1) @ place.box.vectors
            if any(place.box.periodic):
                raise self._fail(
                    place.line,
                    "wrapped positions without image flags: write xu yu zu, or ix iy iz as well, in the dump",
                )
            return positions
        raise self._fail(
            self._first_row(place) - 1, f"the columns {' '.join(place.columns)} have no complete set of coordinates"
        )

    def _first_row(self, place: _Place) -> int:
        """Line of the first atom of a frame."""
        return self._text.count(b"\n", 0, place.body.start) + 1

    def _bad_row(self, place: _Place) -> int:
        """Line of the first row of a frame that is not made of as many finite numbers as there are columns."""
        first = self._first_row(place)
        for n, row in enumerate(self._text[place.body].splitlines()):
            words = row.split()
            try:
                fine = len(words) == len(place.columns) and all(
                    name in _TEXT_COLUMNS or np.isfinite(float(word))
                    for name, word in zip(place.columns, words, strict=True)
                )
            except ValueError:
                fine = False
            if not fine:
                return first + n
        return place.line


def open_dump(path: str | os.PathLike[str]) -> Dump:
    """Open a text dump, plain or compressed (``.gz``, ``.bz2``, ``.zst``).

    Raises
    ------
    LammpsFormatError
        With file, line, fault and cure, if the text is not that of a dump, or ends within a frame.
    """
    return Dump(path)
