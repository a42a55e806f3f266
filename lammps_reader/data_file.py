"""Parser of data files: their sections, as they come."""

import re
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .data_assembly import DataSections, assemble
from .data_header import COEFFICIENTS, KINDS, LABEL, TOPOLOGY, DataHeader, section_name
from .data_tables import Table, first_repeat
from .data_text import Block, DataText, Line
from .errors import LammpsFormatError, LammpsFormatWarning
from .lammps_data import ATOM_STYLES, STYLE_TOPOLOGY, FloatArray, IntArray, LammpsData
from .numbers import RowError, parse_rows, to_float, to_integer

_UNITS = re.compile(r"units\s*=\s*(\w+)")
_ROWS_FOR_WIDTH = 50
_MAX_IMAGE = 2**31


class DataFile:
    """One reading of a data file: sections are read as they come, and put together at the end.

    Parameters
    ----------
    path : Path
    atom_style : str or None
    """

    def __init__(self, path: Path, atom_style: str | None) -> None:
        self.path = path
        self.given_style = self.atom_style = atom_style
        self.lines: dict[str, int] = {}
        self.sections = DataSections()
        self.numbers_of_labels: dict[str, dict[str, int]] = {kind: {} for kind in KINDS}

    def fail(self, line: int | None, message: str) -> LammpsFormatError:
        """Make an error of this file."""
        return LammpsFormatError(self.path, line, message)

    def read(self) -> LammpsData:
        """Read it."""
        if self.atom_style is not None and self.atom_style not in ATOM_STYLES:
            raise self.fail(None, f"unknown atom style {self.atom_style!r}: expected one of {', '.join(ATOM_STYLES)}")
        with DataText(self.path) as self.text:
            title = self.text.title()
            if title is None:
                raise self.fail(None, "the file is empty")
            if title.startswith("ITEM:"):
                raise self.fail(1, "a LAMMPS dump, not a data file: open it with open_dump")
            self.header = DataHeader(self.text)
            line = self._read_header()
            self._check_header(line)
            while line is not None:
                line = self._read_section(line)
            self._check_sections()
            if self.text.unfinished:
                last = self.text.line - 1
                warnings.warn(
                    f"{self.path}:{last}: the last line has no line end: if the file was cut there, digits are lost",
                    LammpsFormatWarning,
                    stacklevel=3,
                )
        units = _UNITS.search(title)
        style = self.atom_style or "atomic"
        return assemble(self.path, self.header, self.sections, style, units[1] if units else None)

    def _read_header(self) -> Line | None:
        while (line := self.text.next_line()) is not None and section_name(line.text) is None:
            self.header.take(line)
        return line

    def _check_header(self, line: Line | None) -> None:
        header, end = self.header, self._end() if line is None else None
        if line is None and not header.lines:
            # a file that has a blank line first is one with an empty title
            raise self.fail(1, "nothing follows the title: is it a LAMMPS data file?")
        if "atoms" not in header.counts:
            raise self.fail(end, "the header has no line 'N atoms'")
        if "atom types" not in header.counts:
            raise self.fail(end, "the header has no line 'N atom types'")
        if (name := header.missing_edge()) is not None:
            raise self.fail(end, f"the header has no line '{name}'")

    def _end(self) -> int:
        """The first line that is incomplete or missing at the end of the file."""
        return self.text.line - 1 if self.text.unfinished else self.text.line

    def _read_section(self, line: Line) -> Line | None:
        """Read the section that a line begins; return the line that comes next."""
        name = section_name(line.text)
        assert name is not None
        if name in self.lines:
            raise self.fail(line.number, f"the section {name} is there twice, first in line {self.lines[name]}")
        self.lines[name] = line.number
        if name in COEFFICIENTS:
            return self._read_coefficients(name, line)
        if name.endswith("Type Labels"):
            return self._read_labels(name.split()[0].lower())
        if name == "Masses":
            return self._read_masses()
        if name == "Atoms":
            return self._read_atoms(line)
        if name == "Velocities":
            return self._read_table(name, "atoms", ("id", "vx", "vy", "vz"), None)
        kind = name[:-1].lower()
        atoms = tuple(f"atom{n}" for n in range(1, 1 + TOPOLOGY[kind]))
        return self._read_table(name, name.lower(), ("id", "type", *atoms), kind)

    def _next_section(self) -> Line | None:
        """Take the line after rows of numbers, which is to begin a section."""
        following = self.text.next_line()
        if following is not None and section_name(following.text) is None:
            raise self.fail(following.number, f"unknown section {following.text[:40]!r}")
        return following

    def _stated(self, section: str, entry: str) -> int:
        """Give the number of an entry of the header, which a section needs."""
        if not self.header.counts.get(entry):
            raise self.fail(self.lines[section], f"a section {section}, but the header has no {entry}")
        return self.header.counts[entry]

    def _check_count(self, section: str, n_rows: int, expected: int, entry: str) -> None:
        if n_rows == expected:
            return
        stated = self.header.lines[entry]
        line = stated
        if n_rows < expected and self._ends_early(n_rows, expected, section):
            line = self._end()
        raise self.fail(line, f"the section {section} has {n_rows} rows, but line {stated} says {expected} {entry}")

    def _ends_early(self, n_rows: int, expected: int, section: str) -> bool:
        """Whether rows are missing because the file was cut, not because their number is wrong.

        Where the file ends with the section, either may be true. A file is rarely cut after a whole row with just one row to
        come; a wrong number is mostly wrong by one.
        """
        if not self.at_end:
            return False
        if self.text.unfinished or n_rows == 0:
            return True
        return not self.text.blank_end and (n_rows + 1 < expected or bool(self._missing_sections(section)))

    def _missing_sections(self, apart: str = "") -> list[str]:
        """Sections that the header promises and that are not there."""
        entries = ("atoms", *(f"{kind}s" for kind in TOPOLOGY))
        promised = [entry.capitalize() for entry in entries if self.header.counts.get(entry)]
        return [name for name in promised if name not in self.lines and name != apart]

    # tables of numbers

    def _read_atoms(self, line: Line) -> Line | None:
        hint = line.comment.split()[0] if line.comment.split() else None
        if self.given_style is None:
            if hint is not None and hint not in ATOM_STYLES:
                raise self.fail(
                    line.number, f"unknown atom style {hint[:40]!r}: expected one of {', '.join(ATOM_STYLES)}"
                )
            self.atom_style = hint
        elif hint in ATOM_STYLES and ATOM_STYLES[hint] != ATOM_STYLES[self.given_style]:
            warnings.warn(
                f"{self.path}:{line.number}: the file says atom style {hint}, and is read as {self.given_style}",
                LammpsFormatWarning,
                stacklevel=5,
            )
        return self._read_table("Atoms", "atoms", None, "atom")

    def _atom_columns(self, block: Block) -> tuple[str, ...]:
        """Columns of the section Atoms, from its first rows."""
        widths = [len(row.split()) for row in block.text.split(b"\n", _ROWS_FOR_WIDTH)[:_ROWS_FOR_WIDTH]]
        # one damaged row is to be found by the others
        width = Counter(width for width in widths if width).most_common(1)[0][0]
        if self.atom_style is None:
            self.atom_style = self._guess_style(int(block.lines[0]), width)
        leading = ATOM_STYLES[self.atom_style]
        for columns in ((*leading, "x", "y", "z"), (*leading, "x", "y", "z", "ix", "iy", "iz")):
            if width == len(columns):
                return columns
        line = int(block.lines[0])
        if len(block.lines) == 1 and self.text.unfinished:
            raise self.fail(line, "the file ends within this row")
        raise self.fail(
            line,
            f"{width} columns, but atom style {self.atom_style} has {len(leading) + 3}, or 3 more with image flags",
        )

    def _guess_style(self, line: int, width: int) -> str:
        possible = {style for style, leading in ATOM_STYLES.items() if width in (len(leading) + 3, len(leading) + 6)}
        if any(self.header.counts.get(f"{kind}s") for kind in TOPOLOGY):
            possible -= {"atomic", "charge"}
        # bond, angle and molecular have the same columns
        if possible <= {"bond", "angle", "molecular"} and possible:
            return "molecular"
        if len(possible) == 1:
            return possible.pop()
        raise self.fail(
            line, f"{width} columns fit the atom styles {', '.join(sorted(possible)) or 'none'}: give atom_style"
        )

    def _read_table(self, section: str, entry: str, columns: tuple[str, ...] | None, kind: str | None) -> Line | None:
        """Read rows of numbers; ``columns`` are None for atoms, ``kind`` is what the column of types is of."""
        if self.header.counts.get(entry) == 0:
            return self._next_section()
        expected = self._stated(section, entry)
        parts: list[list[FloatArray]] = []
        lines: list[IntArray] = []
        n_rows = 0
        for block in self.text.rows():
            columns = columns or self._atom_columns(block)
            parts.append(self._parse(block, columns, kind))
            lines.append(block.lines)
            n_rows += len(block.lines)
            if n_rows > expected:
                self.at_end = False
                self._unique(section, parts, lines)
                self._check_count(section, n_rows, expected, entry)
        self.at_end = self.text.ended
        if n_rows:
            self._unique(section, parts, lines)
        # a row that was spoilt into a word is not to be taken for a wrong count
        following = self._next_section()
        self._check_count(section, n_rows, expected, entry)
        assert columns is not None
        values = {name: np.concatenate([part[n] for part in parts]) for n, name in enumerate(columns)}
        self.sections.tables[section] = Table(values, np.concatenate(lines))
        return following

    def _unique(self, section: str, parts: list[list[FloatArray]], lines: list[IntArray]) -> None:
        """Refuse rows with an id that was there before."""
        ids, of = np.concatenate([part[0] for part in parts]), np.concatenate(lines)
        repeat = first_repeat(ids[:, None])
        if repeat is None:
            return
        row, before = repeat
        what = "atom" if section in ("Atoms", "Velocities") else section[:-1].lower()
        raise self.fail(int(of[row]), f"{what} id {int(ids[row])} was there before, in line {of[before]}")

    def _parse(self, block: Block, columns: tuple[str, ...], kind: str | None) -> list[FloatArray]:
        floats = {"charge", "x", "y", "z", "vx", "vy", "vz"}
        labels = self.numbers_of_labels[kind] if kind is not None else {}
        text_columns = [columns.index("type")] if labels else []
        integers = [n for n, name in enumerate(columns) if name not in floats and n not in text_columns]
        try:
            values, words = parse_rows(block.text, len(block.lines), len(columns), text_columns, integers)
        except RowError as error:
            line = int(block.lines[error.row])
            # what is cut comes as a block of its own
            cut = "the file ends within this row: " if self.text.unfinished else ""
            raise self.fail(line, f"{cut}{error}") from None
        result = list(values)
        if text_columns:
            result[text_columns[0]] = self._types_of(words[text_columns[0]].tolist(), labels, block, kind or "")
        self._check_ranges(dict(zip(columns, result, strict=True)), kind, block)
        return result

    def _types_of(self, words: list[str], labels: dict[str, int], block: Block, kind: str) -> FloatArray:
        types = {word: labels.get(word, to_integer(word.encode())) for word in set(words)}
        if None in types.values():
            row = next(n for n, word in enumerate(words) if types[word] is None)
            raise self.fail(int(block.lines[row]), f"unknown {kind} type label {words[row][:40]!r}")
        return np.array([types[word] for word in words], dtype=np.float64)

    def _check_ranges(self, values: dict[str, FloatArray], kind: str | None, block: Block) -> None:
        """Refuse ids, types and image flags that LAMMPS cannot hold; the first row at fault is named."""
        checks = {"id": values["id"] < 1}
        if kind is not None:
            checks["type"] = (values["type"] < 1) | (values["type"] > self.header.counts.get(f"{kind} types", 0))
        checks |= {name: np.abs(values[name]) >= _MAX_IMAGE for name in ("ix", "iy", "iz") if name in values}
        bad = [(int(fault.argmax()), name) for name, fault in checks.items() if fault.any()]
        if not bad:
            return
        row, name = min(bad)
        number = int(values[name][row])
        message = f"{name} = {number} is out of range"
        if kind is not None and name == "type":
            message = self._range_message(kind, number)
        raise self.fail(int(block.lines[row]), message)

    def _range_message(self, kind: str, number: int) -> str:
        return (
            f"{kind} type {number} is out of range: the header says {self.header.counts.get(f'{kind} types', 0)} types"
        )

    # short sections, whose rows may begin with a label

    def _short_rows(self, kind: str | None) -> Iterator[Line]:
        """Rows up to the next section, which is kept in ``self.following``."""
        self.following: Line | None = None
        while (line := self.text.next_line()) is not None:
            if section_name(line.text) is not None:
                self.following = line
                self.at_end = False
                return
            first = line.text.split()[0]
            if first[0].isalpha() and (kind is None or first not in self.numbers_of_labels[kind]):
                what = "a type label" if kind is not None and self.numbers_of_labels[kind] else "a number"
                raise self.fail(
                    line.number, f"{line.text[:40]!r} is neither a section nor a row: {first[:40]!r} is not {what}"
                )
            yield line
        self.at_end = True

    def _type(self, kind: str, line: Line, word: str) -> int:
        number = self.numbers_of_labels[kind].get(word, to_integer(word.encode()))
        if number is None:
            raise self.fail(line.number, f"{word[:40]!r} is not {'an integer' if word[0].isdigit() else 'a type'}")
        if not 1 <= number <= self.header.counts.get(f"{kind} types", 0):
            raise self.fail(line.number, self._range_message(kind, number))
        return number

    def _read_masses(self) -> Line | None:
        expected = self._stated("Masses", "atom types")
        lines: dict[int, int] = {}
        for line in self._short_rows("atom"):
            words = line.text.split()
            if len(words) != 2:
                raise self.fail(line.number, f"the row has {len(words)} values, expected type and mass")
            number = self._type("atom", line, words[0])
            if number in lines:
                raise self.fail(line.number, f"atom type {number} has a mass before, in line {lines[number]}")
            mass = to_float(words[1].encode())
            if mass is None or mass <= 0:
                raise self.fail(line.number, f"the mass {words[1][:40]!r} is not a positive number")
            lines[number] = line.number
            self.sections.masses[number] = mass
        self._check_count("Masses", len(lines), expected, "atom types")
        return self.following

    def _read_labels(self, kind: str) -> Line | None:
        section, entry = f"{kind.capitalize()} Type Labels", f"{kind} types"
        expected = self._stated(section, entry)
        if self.numbers_used(kind):
            raise self.fail(self.lines[section], f"the section {section} must come before those that use {kind} types")
        labels: dict[int, str] = {}
        numbers: dict[str, int] = {}
        for line in self._short_rows(None):
            words = line.text.split()
            if len(words) != 2:
                raise self.fail(line.number, f"the row has {len(words)} values, expected type and label")
            number, label = self._type(kind, line, words[0]), words[1]
            if not LABEL.fullmatch(label):
                raise self.fail(line.number, f"a type label must not begin like {label[:40]!r}")
            if number in labels or label in numbers:
                raise self.fail(line.number, f"type {number} or label {label[:40]!r} was there before")
            labels[number], numbers[label] = label, number
        self._check_count(section, len(labels), expected, entry)
        self.sections.labels[kind], self.numbers_of_labels[kind] = labels, numbers
        return self.following

    def numbers_used(self, kind: str) -> bool:
        """Whether a section with types of a kind was read already."""
        tables = {"Masses", "Atoms"} if kind == "atom" else {f"{kind.capitalize()}s"}
        tables |= {name for name, of in COEFFICIENTS.items() if of == kind}
        return bool(tables & set(self.lines))

    def _read_coefficients(self, section: str, begin: Line) -> Line | None:
        kind = COEFFICIENTS[section]
        entry = f"{kind} types"
        n_types = self._stated(section, entry)
        n_first = 2 if section == "PairIJ Coeffs" else 1
        lines: dict[tuple[int, ...], int] = {}
        rows: list[str] = []
        for line in self._short_rows(kind):
            words = line.text.split()
            if len(words) < n_first:
                raise self.fail(line.number, "the row has 1 value, expected two types and coefficients")
            types = tuple(sorted(self._type(kind, line, word) for word in words[:n_first]))
            if types in lines:
                shown = " ".join(map(str, types))
                raise self.fail(line.number, f"{kind} type {shown} was there before, in line {lines[types]}")
            if bad := next((word for word in words[n_first:] if _is_not_finite(word)), None):
                raise self.fail(line.number, f"{bad!r} is not a finite number")
            lines[types] = line.number
            rows.append(" ".join(words))
        expected = n_types if n_first == 1 else n_types * (n_types + 1) // 2
        self._check_count(section, len(rows), expected, entry)
        self.sections.coefficients[section] = rows
        if begin.comment:
            self.sections.coefficient_styles[section] = " ".join(begin.comment.split())
        return self.following

    # the whole

    def _check_sections(self) -> None:
        missing = self._missing_sections()
        if missing:
            entry = missing[0].lower()
            present = {"Velocities", *(f"{kind.capitalize()}s" for kind in KINDS)} & set(self.lines)
            # nothing but what comes before Atoms, or more than one section short: the file was cut
            cut = self.text.unfinished or not present or (len(missing) > 1 and "Atoms" in present)
            cut = cut and not self._later_present(missing[0])
            stated = self.header.lines[entry]
            line = self._end() if cut else stated
            raise self.fail(
                line, f"there is no section {missing[0]}, but line {stated} says {self.header.counts[entry]} {entry}"
            )
        style = self.atom_style or "atomic"
        for kind in TOPOLOGY:
            if f"{kind.capitalize()}s" in self.lines and kind not in STYLE_TOPOLOGY[style]:
                raise self.fail(
                    self.lines[f"{kind.capitalize()}s"], f"atom style {style} has no {kind}s: is it another style?"
                )

    def _later_present(self, section: str) -> bool:
        """Whether a section that comes after another in LAMMPS' order is there."""
        order = [f"{kind.capitalize()}s" for kind in KINDS]
        return bool(set(order[order.index(section) + 1 :]) & set(self.lines))


def _is_not_finite(word: str) -> bool:
    """Whether a word is a number that is not finite."""
    try:
        return not np.isfinite(float(word))
    except ValueError:
        return False
