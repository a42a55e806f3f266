"""XYZ files that LAMMPS wrote."""

import functools
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from .box import Box
from .bytes_file import BytesFile, DamagedCompressionError, OpenBytes
from .dump_header import MAX_COUNT
from .errors import LammpsFormatError, LammpsFormatWarning
from .frame import Frame, FrameReader, StoredFrame
from .numbers import RowError, parse_rows
from .scanner import EndOfTextError, Scanner

_STEP = re.compile(rb"Timestep:\s*(-?\d{1,18})")


class XyzFile:
    """An XYZ file; it has neither box nor ids.

    Its atoms are taken to be sorted by id (``dump_modify sort id``), with ids from 1. Steps are those of LAMMPS' comment lines,
    or count from 0.

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
        self._file = BytesFile(path)
        if self._file.compressed:
            self._file.keep()
        # begin and end of the rows, line of the first one, step, number of atoms
        self._places: list[tuple[int, int, int, int, int]] = []
        cut = self._search()
        if not self._places:
            raise cut if cut is not None else LammpsFormatError(path, None, "the file is empty")
        if cut is not None:
            warnings.warn(f"{cut}: its {len(self._places)} whole frames are read", LammpsFormatWarning, stacklevel=5)
        *_, steps, counts = np.array(self._places, dtype=np.int64).T
        self.timesteps, self.n_atoms = steps, counts

    def _search(self) -> LammpsFormatError | None:
        """Find the frames; return what is wrong with the last one, if it is cut."""
        with self._file.open() as opened:
            scanner = Scanner(self.path, opened.read, 0, 1)
            try:
                while scanner.skip_blank():
                    line = scanner.line
                    word = scanner.next_line().strip()
                    if not word.isdigit() or len(word) > 20 or int(word) > MAX_COUNT:
                        shown = word[:40].decode("utf-8", "replace")
                        raise LammpsFormatError(
                            self.path, line, f"{shown!r} is not a number of atoms: not an XYZ file?"
                        )
                    step = _STEP.search(scanner.next_line())
                    begin, first_row = scanner.offset, scanner.line
                    scanner.skip_rows(int(word))
                    number = int(step[1]) if step else len(self._places)
                    self._places.append((begin, scanner.offset, first_row, number, int(word)))
            except EndOfTextError:
                return LammpsFormatError(self.path, scanner.line, f"the file ends within frame {len(self._places)}")
            except DamagedCompressionError as error:
                return LammpsFormatError(self.path, None, f"the compressed data end early or are damaged ({error})")
        return None

    @contextmanager
    def open(self) -> Iterator[FrameReader]:
        """Open for reading frames."""
        with self._file.open() as opened:
            yield functools.partial(self._read, opened)

    def _read(self, opened: OpenBytes, number: int) -> StoredFrame:
        begin, end, first_row, step, n_atoms = self._places[number]
        try:
            values, words = parse_rows(opened.read(begin, end - begin), n_atoms, 4, [0])
        except RowError as error:
            raise LammpsFormatError(self.path, first_row + error.row, str(error)) from None
        positions = np.ascontiguousarray(values[1:].T)
        lo, hi = positions.min(axis=0, initial=0.0), positions.max(axis=0, initial=0.0)
        box = Box(lo, np.maximum(hi, lo + 1), np.zeros(3), (False, False, False))
        frame = Frame(step, None, np.arange(1, n_atoms + 1), positions, box, {"element": words[0]})
        return StoredFrame(frame, False, first_row - 2)
