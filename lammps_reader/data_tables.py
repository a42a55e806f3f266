"""Tables of numbers of data files."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .lammps_data import FloatArray, IntArray


@dataclass(frozen=True)
class Table:
    """Rows of numbers of a section; integers, of at most 15 digits, are exact as floating-point numbers.

    Attributes
    ----------
    values : dict
        Column name to numbers, shape (n_rows,).
    lines : array of int, shape (n_rows,)
        Number of each row's line.
    """

    values: dict[str, FloatArray] = field(repr=False)
    lines: IntArray = field(repr=False)

    def integers(self, *names: str) -> IntArray:
        """Columns of integers, shape (n_rows, n_names)."""
        return np.stack([self.values[name] for name in names], axis=1).astype(np.int64)

    def numbers(self, *names: str) -> FloatArray:
        """Columns, shape (n_rows, n_names)."""
        return np.stack([self.values[name] for name in names], axis=1)


def first_repeat(keys: NDArray[Any]) -> tuple[int, int] | None:
    """Find the first row that was there before.

    Parameters
    ----------
    keys : array, shape (n_rows, n_columns)

    Returns
    -------
    tuple of int, or None
        The row, and one before it that is the same.
    """
    order = np.lexsort(keys.T[::-1])
    again = np.flatnonzero((keys[order][1:] == keys[order][:-1]).all(axis=1))
    if not len(again):
        return None
    second = again[np.argmin(order[again + 1])]
    return int(order[second + 1]), int(order[second])


def known(numbers: IntArray, ids: IntArray) -> NDArray[np.bool_]:
    """Whether each number is among sorted ids."""
    if not len(ids):
        return np.zeros(numbers.shape, dtype=bool)
    places = np.minimum(np.searchsorted(ids, numbers), len(ids) - 1)
    return np.asarray(ids[places] == numbers)
