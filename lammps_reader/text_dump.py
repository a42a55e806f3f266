"""LAMMPS text dumps (``dump atom`` and ``dump custom``): one file."""

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bytes_file import BytesFile, DamagedCompressionError, OpenBytes
from .dump_header import MAX_COUNT, FrameHeader, HeaderError, read_header
from .dump_index import index_of
from .errors import LammpsFormatError
from .frame import Frame, FrameReader, StoredFrame
from .numbers import RowError, parse_rows

COORDINATES = (("xu", "yu", "zu"), ("xsu", "ysu", "zsu"), ("x", "y", "z"), ("xs", "ys", "zs"))
"""Columns of positions, the best first."""

IMAGES = ("ix", "iy", "iz")
TEXT_COLUMNS = ("element", "typelabel")
INTEGER_COLUMNS = ("id", "mol", "type", "proc", "procp1", *IMAGES)


class TextDump:
    """One text dump.

    Parameters
    ----------
    path : Path
    names : mapping, optional
        Column of the file to its LAMMPS name, where ``dump_modify colname`` changed it.
    cache : bool
        Remember the index of a large file beside it.

    Raises
    ------
    LammpsFormatError
        If the file is not a text dump, or has no whole frame.
    """

    def __init__(self, path: Path, names: Mapping[str, str] | None = None, *, cache: bool = True) -> None:
        self.path = path
        self._names = dict(names or {})
        self._file = BytesFile(path)
        if self._file.compressed:
            self._file.keep()
        self._index = index_of(self._file, cache=cache)
        self.units = self._index.units
        self.timesteps, self.n_atoms = self._index.timesteps, self._index.n_atoms
        self.cut = self._index.cut

    @contextmanager
    def open(self) -> Iterator[FrameReader]:
        """Open for reading frames."""
        with self._file.open() as opened:
            yield functools.partial(self._read, opened)

    def _read(self, opened: OpenBytes, number: int) -> StoredFrame:
        begin, end = self._index.offsets[number : number + 2].tolist()
        line = int(self._index.lines[number])
        try:
            text = opened.read(begin, end - begin)
        except DamagedCompressionError as error:
            raise LammpsFormatError(self.path, None, f"the compressed data are damaged ({error})") from error
        header, body, first_row = self._split(text, line)
        if (header.timestep, header.n_atoms) != (self.timesteps[number], self.n_atoms[number]):
            raise self._changed(line)
        columns = self._columns(header, body, first_row)
        ids = columns.pop("id")
        frame_columns, positions, wrapped = _positions(header, columns)
        if positions is None:
            raise LammpsFormatError(
                self.path,
                first_row - 1,
                f"the columns {' '.join(header.columns)} have no complete set of coordinates: write x y z or "
                "xu yu zu, or say which they are (names={'COLUMN': 'x', ...})",
            )
        frame = Frame(header.timestep, header.time, ids, positions, header.box, frame_columns)
        return StoredFrame(frame, wrapped, line)

    def _changed(self, line: int) -> LammpsFormatError:
        return LammpsFormatError(self.path, line, "the file has changed since it was opened: open it again")

    def _split(self, text: bytes, line: int) -> tuple[FrameHeader, bytes, int]:
        """Header and rows of a frame, and the line of the first row."""
        at = n_lines = 0

        def next_line() -> bytes:
            nonlocal at, n_lines
            end = text.find(b"\n", at) + 1
            if not end:
                raise self._changed(line)
            found, at, n_lines = text[at:end], end, n_lines + 1
            return found

        try:
            header = read_header(next_line)
        except HeaderError as error:
            # it was right when the index was made
            raise self._changed(line + error.line) from None
        # blank lines may follow
        rows = text[at:].rstrip()
        return header, rows + b"\n" if rows else b"", line + n_lines

    def _columns(self, header: FrameHeader, body: bytes, first_row: int) -> dict[str, NDArray[Any]]:
        """Columns by their LAMMPS names, sorted by id."""
        names = [self._names.get(name, name) for name in header.columns]
        if "id" not in names:
            raise LammpsFormatError(
                self.path,
                first_row - 1,
                "the dump has no column id, so that atoms cannot be told apart: write the id, too",
            )
        text_columns = [n for n, name in enumerate(names) if name in TEXT_COLUMNS]
        try:
            values, words = parse_rows(body, header.n_atoms, len(names), text_columns)
        except RowError as error:
            raise LammpsFormatError(self.path, first_row + error.row, str(error)) from None
        columns: dict[str, NDArray[Any]] = {}
        for n, name in enumerate(names):
            columns[name] = words[n] if n in words else values[n]
            if name in INTEGER_COLUMNS:
                columns[name] = self._integers(name, values[n], first_row)
        order = self._order(columns["id"], first_row)
        return columns if order is None else {name: column[order] for name, column in columns.items()}

    def _integers(self, name: str, values: NDArray[np.float64], first_row: int) -> NDArray[np.int64]:
        integers = np.clip(values, -MAX_COUNT, MAX_COUNT).astype(np.int64)
        if len(broken := np.flatnonzero(integers != values)):
            row = int(broken[0])
            raise LammpsFormatError(self.path, first_row + row, f"{name} is {values[row]:.17g}, expected an integer")
        return integers

    def _order(self, ids: NDArray[np.int64], first_row: int) -> NDArray[np.intp] | None:
        """What sorts the ids; None if they are sorted."""
        if (ids[1:] > ids[:-1]).all():
            return None
        order = np.argsort(ids, kind="stable")
        ordered = ids[order]
        if len(repeated := np.flatnonzero(ordered[1:] == ordered[:-1])):
            row = int(order[repeated[0] + 1])
            raise LammpsFormatError(self.path, first_row + row, f"atom id {ids[row]} appears twice in the frame")
        return order


def _positions(
    header: FrameHeader, columns: dict[str, NDArray[Any]]
) -> tuple[dict[str, NDArray[Any]], NDArray[np.float64] | None, bool]:
    """Columns that are left, positions, and whether these are wrapped for good."""
    box = header.box
    for axes in COORDINATES:
        if not all(axis in columns for axis in axes):
            continue
        positions = np.stack([columns[axis] for axis in axes], axis=1)
        rest = {name: column for name, column in columns.items() if name not in axes}
        if axes[0].startswith("xs"):
            positions = box.lo + positions @ box.vectors
        if axes[0].endswith("u"):
            return rest, positions, False
        if all(flag in columns for flag in IMAGES):
            images = np.stack([columns[flag] for flag in IMAGES], axis=1)
            return rest, positions + images @ box.vectors, False
        return rest, positions, any(box.periodic)
    return columns, None, False
