"""Columns of numbers out of text, fast, exact, and with every row checked."""

import math
import re
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

EXACT_DIGITS = 15
"""An integer of so many digits, divided by a power of ten up to 10^22, is a correctly rounded number."""

BLOCK = 2**14
"""Rows that are worked on at a time, so that they stay in the cache."""

MANY_ODD = 1 / 16
"""Share of words that are not plain decimals, from which on numpy's parser is faster."""

SAMPLE = 256
"""Rows that are looked at first."""

FEW_ROWS = 1000
"""Below this number of rows numpy's parser is as fast."""

_INTEGER = re.compile(rb"[+-]?[0-9]{1,%d}" % EXACT_DIGITS)
_LONGEST = 18
"""Digits of a word, leading zeros included, that cannot overflow an integer of 64 bits."""

_LARGEST = 2**53
"""Integers up to this one and powers of ten up to 10^22 are exact as floating-point numbers: their ratio is rounded once."""

_POWERS = 10.0 ** np.arange(_LONGEST + 1)
_LINE_END, _SPACE, _PLUS, _MINUS, _POINT, _ZERO = b"\n +-.0"


class RowError(ValueError):
    """A row that is not what it should be.

    Attributes
    ----------
    row : int
        From 0.
    """

    def __init__(self, row: int, message: str) -> None:
        super().__init__(message)
        self.row = row


def parse_rows(
    text: bytes,
    n_rows: int,
    n_columns: int,
    text_columns: Sequence[int] = (),
    integer_columns: Sequence[int] = (),
) -> tuple[NDArray[np.float64], dict[int, NDArray[np.str_]]]:
    """Parse lines that all have the same number of words.

    Words of up to 15 significant digits without exponent, nearly all that LAMMPS writes by default, are read digit by digit for
    all rows at once, which is twice as fast as numpy's parsers; the others are left to those. The result is what `float` gives
    either way.

    Parameters
    ----------
    text : bytes
        Every line ends in a line end.
    n_rows, n_columns : int
    text_columns : sequence of int
        Columns that hold words instead of numbers.
    integer_columns : sequence of int
        Columns that hold integers, which must be written as such: with at most `EXACT_DIGITS` digits, no point, no exponent.

    Returns
    -------
    values : array, shape (n_columns, n_rows)
        Finite; zero in the text columns.
    words : dict
        Text column to its words, shape (n_rows,).

    Raises
    ------
    RowError
        If a row has another number of words, or a word is not a finite decimal number or not an integer; names the first such
        row.
    """
    values = np.zeros((n_columns, n_rows))
    words: dict[int, NDArray[np.str_]] = {}
    characters = np.frombuffer(text, dtype=np.uint8)
    places = _places(characters, n_rows, n_columns)
    if places is None:
        raise _first_fault(text, n_rows, n_columns, text_columns, integer_columns)
    starts, ends = places
    if not all(_all_integers(characters, starts[:, column], ends[:, column]) for column in integer_columns):
        raise _first_fault(text, n_rows, n_columns, text_columns, integer_columns)
    for column in text_columns:
        begins_and_ends = zip(starts[:, column], ends[:, column], strict=True)
        words[column] = np.array([text[a:b].decode("utf-8", "replace") for a, b in begins_and_ends], dtype=np.str_)
    numeric = [column for column in range(n_columns) if column not in text_columns]
    # a look at the first rows saves reading everything twice
    for rows in (slice(0, SAMPLE), slice(0, n_rows)):
        if n_rows < FEW_ROWS or not all(
            _decimal_column(text, characters, starts[rows, column], ends[rows, column], values[column, rows])
            for column in numeric
        ):
            read = _library(characters, starts, ends, text_columns)
            if read is None:
                raise _first_fault(text, n_rows, n_columns, text_columns, integer_columns)
            return read, words
    return values, words


def to_float(word: bytes) -> float | None:
    """A decimal number as LAMMPS writes it; None for anything else, ``nan``, ``inf`` and ``1_000`` included."""
    # float() also takes underscores between digits and the digits of other scripts
    if b"_" in word or not word.isascii():
        return None
    try:
        value = float(word)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def to_integer(word: bytes) -> int | None:
    """An integer of at most `EXACT_DIGITS` digits; None for anything else."""
    return int(word) if _INTEGER.fullmatch(word) else None


def _places(
    characters: NDArray[np.uint8], n_rows: int, n_columns: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]] | None:
    """Begin and end of every word, shape (n_rows, n_columns) each; None if the rows are not so."""
    word = characters > _SPACE
    changes = np.flatnonzero(word[1:] != word[:-1]) + 1
    if len(word) and word[0]:
        changes = np.concatenate([[0], changes])
    line_ends = np.flatnonzero(characters == _LINE_END)
    if len(changes) != 2 * n_rows * n_columns or len(line_ends) != n_rows:
        return None
    starts, ends = changes.reshape(n_rows, n_columns, 2).transpose(2, 0, 1)
    if (ends[:, -1] > line_ends).any() or (starts[1:, 0] <= line_ends[:-1]).any():
        return None
    return starts, ends


def _decimal_column(
    text: bytes,
    characters: NDArray[np.uint8],
    starts: NDArray[np.intp],
    ends: NDArray[np.intp],
    out: NDArray[np.float64],
) -> bool:
    """Read a column into ``out``; False where it is not made of plain decimals, but for a few words."""
    for begin in range(0, len(starts), BLOCK):
        part = slice(begin, begin + BLOCK)
        odd = begin + _decimals(characters, starts[part], ends[part], out[part])
        if len(odd) > MANY_ODD * len(out[part]):
            return False
        for row in odd.tolist():
            number = to_float(text[starts[row] : ends[row]])
            if number is None:
                return False
            out[row] = number
    return True


def _library(
    characters: NDArray[np.uint8], starts: NDArray[np.intp], ends: NDArray[np.intp], text_columns: Sequence[int]
) -> NDArray[np.float64] | None:
    """All numbers by numpy's own parser; None if a word is not a finite number."""
    if text_columns:
        characters = characters.copy()
        for column in text_columns:
            for begin, end in zip(starts[:, column], ends[:, column], strict=True):
                characters[begin:end] = _SPACE
                characters[begin] = _ZERO
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        try:
            flat = np.fromstring(characters.tobytes(), dtype=np.float64, sep=" ")
        except (DeprecationWarning, ValueError):
            return None
    # a word that numpy takes for two numbers, such as 1.5-2, shows in the count
    if flat.size != starts.size or not np.isfinite(flat).all():
        return None
    return np.ascontiguousarray(flat.reshape(starts.shape).T)


def _decimals(
    characters: NDArray[np.uint8], starts: NDArray[np.intp], ends: NDArray[np.intp], out: NDArray[np.float64]
) -> NDArray[np.intp]:
    """Read plain decimal words into ``out``; return which words are not plain."""
    # small integers side by side: most of the time goes into moving memory
    lengths = np.minimum(ends - starts, _LONGEST + 3).astype(np.int8)
    at = np.array(starts)
    mantissa = np.zeros(len(starts), dtype=np.int64)
    point_at = np.full(len(starts), -1, dtype=np.int8)
    first = characters.take(at)
    negative = first == _MINUS
    signed = negative | (first == _PLUS)
    odd = lengths > _LONGEST + 2
    for k in range(min(int(lengths.max(initial=0)), _LONGEST + 2)):
        inside = lengths > k
        character = characters.take(at, mode="clip")
        at += 1
        digit = character - np.uint8(_ZERO)
        is_digit = (digit < 10) & inside
        mantissa *= np.where(is_digit, 10, 1)
        mantissa += np.where(is_digit, digit, 0)
        other = inside & ~is_digit
        if other.any():
            point = other & (character == _POINT)
            other &= ~point
            if k == 0:
                other &= ~signed
            odd |= other | (point & (point_at >= 0))
            point_at[point] = k
    has_point = point_at >= 0
    n_digits = lengths - signed - has_point
    odd |= (n_digits == 0) | (n_digits > _LONGEST) | (mantissa > _LARGEST)
    n_decimals = np.where(has_point, lengths - 1 - point_at, 0)
    np.divide(mantissa, _POWERS.take(n_decimals, mode="clip"), out=out)
    np.negative(out, out=out, where=negative)
    return np.flatnonzero(odd)


def _all_integers(characters: NDArray[np.uint8], starts: NDArray[np.intp], ends: NDArray[np.intp]) -> bool:
    """Whether all words are integers that `to_integer` takes."""
    lengths = ends - starts
    n_digits = np.zeros(len(starts), dtype=np.int8)
    if lengths.max(initial=0) > EXACT_DIGITS + 1:
        return False
    for k in range(int(lengths.max(initial=0))):
        inside = lengths > k
        character = characters.take(starts + k, mode="clip")
        is_digit = (character - np.uint8(_ZERO) < 10) & inside
        other = inside & ~is_digit
        if k == 0:
            other &= (character != _MINUS) & (character != _PLUS)
        if other.any():
            return False
        n_digits += is_digit
    return bool(((n_digits > 0) & (n_digits <= EXACT_DIGITS)).all())


def _first_fault(
    text: bytes, n_rows: int, n_columns: int, text_columns: Sequence[int], integer_columns: Sequence[int]
) -> RowError:
    """The first row that is not made of as many finite numbers as there are columns."""
    lines = text.split(b"\n")
    for row in range(n_rows):
        words = lines[row].split() if row < len(lines) else []
        if len(words) != n_columns:
            return RowError(row, f"the row has {len(words)} values, expected {n_columns}")
        for column, word in enumerate(words):
            shown = repr(word[:40].decode("utf-8", "replace"))
            if column in integer_columns and to_integer(word) is None:
                large = word.lstrip(b"+-").isdigit()
                return RowError(row, f"{shown} is {'too large an integer' if large else 'not an integer'}")
            if column not in text_columns and to_float(word) is None:
                return RowError(row, f"{shown} is not a finite number")
    return RowError(n_rows - 1, f"{len(lines) - 1} rows, expected {n_rows}")
