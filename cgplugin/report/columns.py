"""Columns of the CSV files that the commands write."""

import csv
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cgplugin.errors import UserError, one_line

Array = NDArray[np.float64]


class Columns:
    """A CSV file with a header line.

    Parameters
    ----------
    path : Path

    Raises
    ------
    UserError
        If the file cannot be read, or a row has not as many cells as the header.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.reader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"{path}: cannot be read ({one_line(error)})") from error
        if not rows:
            raise UserError(f"{path}: is empty, expected a header line: run the command that wrote it again")
        self.header = rows[0]
        for number, row in enumerate(rows[1:], start=2):
            if len(row) != len(self.header):
                raise UserError(f"{path}:{number}: has {len(row)} cells, the header {len(self.header)}")
        self.rows = rows[1:]

    def texts(self, name: str) -> list[str]:
        """Cells of a column."""
        column = self._index(name)
        return [row[column] for row in self.rows]

    def numbers(self, name: str) -> Array:
        """Numbers of a column, NaN where a cell is empty."""
        column, values = self._index(name), np.empty(len(self.rows))
        for number, row in enumerate(self.rows):
            try:
                values[number] = float(row[column] or "nan")
            except ValueError:
                raise UserError(f"{self.path}:{number + 2}: {name} is {row[column]!r}, expected a number") from None
        return values

    def groups(self, *names: str) -> Iterator[tuple[tuple[str, ...], NDArray[np.int64]]]:
        """Successive rows that agree in some columns: their cells, and the rows' numbers."""
        keys = list(zip(*(self.texts(name) for name in names), strict=True))
        for key, rows in groupby(range(len(keys)), key=lambda row: keys[row]):
            yield key, np.fromiter(rows, dtype=np.int64)

    def _index(self, name: str) -> int:
        if name not in self.header:
            raise UserError(f"{self.path}:1: has no column {name!r}: run the command that wrote it again")
        return self.header.index(name)
