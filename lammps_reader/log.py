"""Thermodynamic output of LAMMPS logs."""

import importlib
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from .bytes_file import BytesFile, DamagedCompressionError
from .errors import LammpsFormatError, LammpsFormatWarning
from .thermo_tables import LogTables, ThermoTable

CHUNK = 2**20
"""Bytes that are read at a time."""

LONGEST_LINE = 2**24
"""Longest line that is taken as one; a row of yaml has a few hundred characters."""

_NO_TEXT = bytes({*range(9), *range(14, 27)})
"""Characters that no log has."""


@dataclass(frozen=True, eq=False)
class ThermoRun(Mapping[str, NDArray[Any]]):
    """Thermodynamic output of one run or minimization: column name to its values, in the unit style of the log.

    Columns have the names and the order of the log, each of shape (n_rows,): integers for ``Step``, ``Elapsed``, ``Elaplong``
    and ``Atoms``, floating-point numbers for all others, ``nan`` and ``inf`` of a run that blew up included. Of thermo style
    ``multi``, ``Step`` and ``CPU`` come first. A name that occurs again gets a number: ``Temp_2``.

    Attributes
    ----------
    columns : dict
    complete : bool
        Whether the run came to its end in the log.
    line : int
        Line of the log where the table begins, from 1.
    problems : tuple of str
        What was not as it should be, such as rows that were skipped, each with its line.
    """

    columns: dict[str, NDArray[Any]] = field(repr=False)
    complete: bool
    line: int
    problems: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(next(iter(self.columns.values()), ()))

    def to_pandas(self) -> Any:
        """Columns as a ``pandas.DataFrame``.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            pandas = importlib.import_module("pandas")
        except ImportError as error:
            raise ImportError("to_pandas needs the package pandas: pip install pandas") from error
        return pandas.DataFrame(self.columns)


def read_log(path: str | os.PathLike[str]) -> list[ThermoRun]:
    """Read the thermodynamic output of every run in a log of LAMMPS (plain, ``.gz``, ``.bz2``, ``.zst``).

    Thermo styles one, multi, yaml and custom, runs with ``pre no``, and minimizations. Other lines in a table, such as warnings,
    output of ``fix print`` and SHAKE statistics, are passed over. One line is in memory at a time, beside the numbers.

    Parameters
    ----------
    path : path

    Returns
    -------
    list of ThermoRun
        In the order of the log. Runs without any row are among them.

    Raises
    ------
    LammpsFormatError
        If the file is missing, empty, or not text.

    Warns
    -----
    LammpsFormatWarning
        Once for a log, with file and line, if it has no thermodynamic output, a run does not come to its end, or a row is damaged
        and skipped. A last row without line end is one that was being written, and is skipped as well.
    """
    path = Path(path)
    tables = LogTables()
    damage = None
    try:
        for number, line, ended in _lines(path):
            if ended:
                tables.take(number, line)
            else:
                tables.end(number, "the log ends within a row of")
    except DamagedCompressionError as error:
        damage = f"the compressed data end early or are damaged ({error})"
        if not tables.n_lines:
            raise LammpsFormatError(path, None, f"{damage}: no line is whole") from error
    tables.end(tables.n_lines + 1, "the log ends within")
    runs = [_run(table) for table in tables.tables]
    problems = sorted(problem for table in tables.tables for problem in table.problems)
    if damage is not None:
        _warn(path, None, damage)
    elif problems:
        first_line, message = problems[0]
        _warn(path, first_line, message + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""))
    elif not runs:
        _warn(path, None, "the file has no thermodynamic output: not a log of LAMMPS, or of no run?")
    return runs


def _warn(path: Path, line: int | None, message: str) -> None:
    where = f"{path}:{line}" if line is not None else f"{path}"
    warnings.warn(f"{where}: {message}", LammpsFormatWarning, stacklevel=3)


def _run(table: ThermoTable) -> ThermoRun:
    problems = tuple(f"line {line}: {message}" for line, message in table.problems)
    return ThermoRun(table.columns(), table.complete, table.line, problems)


def _lines(path: Path) -> Iterator[tuple[int, bytes, bool]]:
    """Lines with their numbers from 1, and whether they have a line end."""
    number, at, rest = 0, 0, b""
    with BytesFile(path).open() as opened:
        while chunk := opened.read(at, CHUNK):
            if at == 0 and chunk[:4096].translate(None, _NO_TEXT) != chunk[:4096]:
                raise LammpsFormatError(path, 1, "not a text file")
            at += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                number += 1
                yield number, line, True
            if len(rest) > LONGEST_LINE:
                raise LammpsFormatError(path, number + 1, "a line of many million characters: not a log")
    if at == 0:
        raise LammpsFormatError(path, None, "the file is empty")
    if rest.strip():
        yield number + 1, rest, False
