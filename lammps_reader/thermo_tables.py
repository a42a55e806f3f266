"""Tables of thermodynamic output, found among the other lines of a log."""

import re
from abc import ABC, abstractmethod
from array import array
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .dump_header import MAX_COUNT

INTEGER_COLUMNS = ("Step", "Elapsed", "Elaplong", "Atoms")
TABLE_FOLLOWS = (b"Per MPI rank memory allocation", b"Memory usage per processor")
"""What LAMMPS writes before a table, but for runs with ``pre no``."""

MANY = 100
"""Problems of a table that are kept."""

PAIR_WIDTH = 14
"""Characters from the end of a name to that of its number in style multi, at least."""

_NAME = re.compile(rb"[A-Za-z][\w\[\].:/*+-]*\Z")
_BLOCK = re.compile(rb"-{3,} Step\s+(\S+) -+ CPU =\s*(\S+) \(sec\) -{3,}\s*\Z")
_PAIR = re.compile(rb"([^\s=]+)\s*=\s+([^\s=]+)\s*")
_YAML_NAMES = re.compile(rb"keywords:\s*\[(.*)\]\s*\Z")
_YAML_ROW = re.compile(rb"\s*- \[(.*)\]\s*\Z")


class ThermoTable(ABC):
    """A table that is being read.

    Attributes
    ----------
    names : list of str
    line : int
        Where it begins.
    complete : bool
    problems : list of (line, message)
    """

    kind: ClassVar[str]

    def __init__(self, line: int, names: list[str]) -> None:
        self.line = line
        self.complete = False
        self.problems: list[tuple[int, str]] = []
        self._values = array("d")
        self._last_step = -float("inf")
        self._name(names)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self._values) // max(1, len(self.names))

    def columns(self) -> dict[str, NDArray[Any]]:
        """Columns by name, shape (n_rows,) each."""
        rows = np.array(self._values, dtype=np.float64).reshape(-1, max(1, len(self.names)))
        columns: dict[str, NDArray[Any]] = {}
        for name, values in zip(self.names, rows.T, strict=False):
            unique, n = name, 2
            while unique in columns:
                unique, n = f"{name}_{n}", n + 1
            whole = (
                name in INTEGER_COLUMNS and (np.abs(values) <= MAX_COUNT).all() and (values == np.rint(values)).all()
            )
            columns[unique] = values.astype(np.int64 if whole else np.float64)
        return columns

    @abstractmethod
    def take(self, number: int, line: bytes) -> None:
        """Take a line: a row, or one that is passed over."""

    def problem(self, line: int, message: str) -> None:
        """Note that something is not as it should be."""
        if len(self.problems) < MANY:
            self.problems.append((line, message))

    def _name(self, names: list[str]) -> None:
        self.names = names
        self._step = names.index("Step") if "Step" in names else None

    def _add(self, number: int, row: list[float]) -> bool:
        """Add a row; False if its step cannot be that of the next one."""
        if self._step is not None:
            step = row[self._step]
            if not (step > self._last_step and abs(step) <= MAX_COUNT and step == int(step)):
                self.problem(number, f"a row with step {step:.15g}, which cannot follow the one before: skipped")
                return False
            self._last_step = step
        self._values.extend(row)
        return True


class OneTable(ThermoTable):
    """Thermo styles one and custom: a line of names, then rows of numbers."""

    def __init__(self, line: int, header: bytes) -> None:
        super().__init__(line, _decoded(header.split()))
        self._header = header
        self._statistics = False

    def take(self, number: int, line: bytes) -> None:
        """Take a line: a row, or one that is passed over."""
        words = line.split()
        row = _numbers(words)
        if row is not None and not self.n_rows and len(row) != len(self.names):
            # names with blanks in them (thermo_modify colname)
            spaced = re.split(rb"\s{2,}", self._header.strip())
            if len(spaced) == len(row):
                self._name(_decoded(spaced))
        if row is not None and len(row) == len(self.names):
            self._statistics = False
            self._add(number, row)
        elif line.startswith(b"SHAKE stats"):
            self._statistics = True
        elif not self._statistics and words[:1] != [b"WARNING:"] and self._looks_damaged(words, row):
            self.problem(number, f"a damaged row of {len(words)} values, expected {len(self.names)} numbers: skipped")

    def _looks_damaged(self, words: list[bytes], row: list[float] | None) -> bool:
        if row is not None:
            return bool(row)
        if len(words) != len(self.names):
            return b"\0" in b"".join(words)
        return sum(_number(word) is None for word in words) <= len(words) // 2


class YamlTable(ThermoTable):
    """Thermo style yaml: lists of numbers, up to a line of three points."""

    def take(self, number: int, line: bytes) -> None:
        """Take a line: a row, or one that is passed over."""
        if line.strip() == b"...":
            self.complete = True
        elif line.lstrip().startswith(b"- ["):
            match = _YAML_ROW.match(line)
            row = _numbers(match[1].replace(b",", b" ").split()) if match else None
            if row is None or len(row) != len(self.names):
                self.problem(number, f"a damaged row, expected a list of {len(self.names)} numbers: skipped")
            else:
                self._add(number, row)


class MultiTable(ThermoTable):
    """Thermo style multi: a line with step and CPU time, then pairs of name and number."""

    def __init__(self, line: int) -> None:
        super().__init__(line, ["Step", "CPU"])
        self._block: dict[str, float] = {}
        self._begin = line

    def take(self, number: int, line: bytes) -> None:
        """Take a line: part of a row, or one that is passed over."""
        if block := _BLOCK.match(line):
            self.finish_block()
            step, cpu = _number(block[1]), _number(block[2])
            self._begin = number
            self._block = {} if step is None or cpu is None else {"Step": step, "CPU": cpu}
        elif self._block and (pairs := _pairs(line)) is not None:
            for name, value in pairs:
                # a style with custom columns may have the step once more
                self._block.setdefault(name, value)

    def finish_block(self) -> None:
        """Make a row of what was read."""
        block, self._block = self._block, {}
        if not block:
            return
        if not self._values:
            self._name(list(block))
        missing = [name for name in self.names if name not in block]
        if missing:
            self.problem(self._begin, f"a block without {missing[0]}: skipped")
        else:
            self._add(self._begin, [block[name] for name in self.names])

    def finish_last_block(self) -> None:
        """Make a row of the last block of a run without end, unless it may lack some of its lines."""
        if self._values and all(name in self._block for name in self.names):
            self.finish_block()


class LogTables:
    """Finds the tables of a log, line by line.

    Attributes
    ----------
    tables : list of ThermoTable
    n_lines : int
        Lines that were taken.
    """

    def __init__(self) -> None:
        self.tables: list[ThermoTable] = []
        self.n_lines = 0
        self._table: ThermoTable | None = None
        self._follows = self._yaml = False
        self._candidate: tuple[int, bytes] | None = None

    def take(self, number: int, line: bytes) -> None:
        """Take the next line, without its line end."""
        self.n_lines = number
        table = self._table
        if table is None:
            self._outside(number, line)
            return
        if line.startswith(b"Loop time of "):
            table.complete = True
            self._close()
        elif line.lstrip().startswith(b"ERROR"):
            said = " ".join(line.decode("utf-8", "replace").split())[:80]
            self.end(number, f"'{said}' ended")
        elif line.startswith((*TABLE_FOLLOWS, b"LAMMPS (")):
            self.end(number, "another run begins before the end of")
            self._outside(number, line)
        else:
            table.take(number, line)
            if table.complete:
                self._close()

    def end(self, number: int, why: str) -> None:
        """End the table that is being read, if there is one, before its end."""
        if self._table is not None:
            table = self._close()
            table.problem(number, f"{why} run {len(self.tables)}: its {table.n_rows} whole rows are read")

    def _close(self) -> ThermoTable:
        table, self._table = self._table, None
        assert table is not None
        if isinstance(table, MultiTable):
            if table.complete:
                table.finish_block()
            else:
                table.finish_last_block()
        return table

    def _open(self, table: ThermoTable) -> None:
        self._table, self._candidate = table, None
        self._follows = self._yaml = False
        self.tables.append(table)

    def _outside(self, number: int, line: bytes) -> None:
        """Look for the beginning of a table."""
        stripped = line.strip()
        if line.startswith(TABLE_FOLLOWS):
            self._follows, self._candidate = True, None
        elif stripped == b"---":
            self._yaml = True
        elif _BLOCK.match(line):
            multi = MultiTable(number)
            multi.take(number, line)
            self._open(multi)
        elif self._yaml and (keywords := _YAML_NAMES.match(line)):
            names = [word.strip().strip(b"'\"") for word in keywords[1].split(b",")]
            self._open(YamlTable(number, _decoded([name for name in names if name])))
        elif stripped and not line.startswith(b"WARNING"):
            self._yaml = False
            if self._candidate is not None and _numbers(stripped.split()) is not None:
                one = OneTable(*self._candidate)
                one.take(number, line)
                if one.n_rows:
                    self._open(one)
                    return
            self._candidate = None
            words = stripped.split()
            if all(_NAME.match(word) for word in words):
                if self._follows:
                    self._open(OneTable(number, line))
                elif line.startswith((b" ", b"Step ")):
                    # perhaps a run with 'pre no': the next line tells
                    self._candidate = number, line


def _decoded(words: list[bytes]) -> list[str]:
    return [word.decode("utf-8", "replace") for word in words]


def _numbers(words: list[bytes]) -> list[float] | None:
    """Numbers, ``nan`` and ``inf`` included; None if a word is not one."""
    try:
        row = [float(word) for word in words]
    except ValueError:
        # what YAML has for nan and inf, or no numbers
        perhaps = [_number(word) for word in words]
        row = [value for value in perhaps if value is not None]
        return row if len(row) == len(words) else None
    # float() takes 1_000, too
    return None if any(b"_" in word for word in words) else row


def _number(word: bytes) -> float | None:
    """A number, or what YAML has for those that are not finite."""
    if b"_" in word:
        return None
    try:
        return float(
            word.replace(b".nan", b"nan").replace(b".inf", b"inf") if word.endswith((b".nan", b".inf")) else word
        )
    except ValueError:
        return None


def _pairs(line: bytes) -> list[tuple[str, float]] | None:
    """Names and numbers of a line that is made of ``name = number``; None for any other."""
    at, pairs = 0, []
    line = line.strip()
    while at < len(line):
        match = _PAIR.match(line, at)
        value = _number(match[2]) if match else None
        # LAMMPS gives a number at least so much room, other lines hardly do
        if match is None or value is None or match.end(2) - match.end(1) < PAIR_WIDTH:
            return None
        pairs.append((match[1].decode("utf-8", "replace"), value))
        at = match.end()
    return pairs or None
