"""LAMMPS data files."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .box import Box
from .errors import LammpsFormatError
from .text import numbered_lines

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

ATOM_STYLES: dict[str, tuple[str, ...]] = {
    "atomic": ("id", "type"),
    "bond": ("id", "molecule", "type"),
    "angle": ("id", "molecule", "type"),
    "molecular": ("id", "molecule", "type"),
    "charge": ("id", "type", "charge"),
    "full": ("id", "molecule", "type", "charge"),
}
"""Columns before x y z, per atom style."""

TOPOLOGY = {"Bonds": 2, "Angles": 3, "Dihedrals": 4, "Impropers": 4}
COEFFICIENTS = re.compile(
    r"(Pair|PairIJ|Bond|Angle|Dihedral|Improper|\w+Torsion|BondBond\w*|BondAngle|\w+Angle) Coeffs$"
)
LABELS = {"Atom": "atom", "Bond": "bond", "Angle": "angle", "Dihedral": "dihedral", "Improper": "improper"}
_COUNT = re.compile(r"(\d+)\s+(atoms|bonds|angles|dihedrals|impropers)$")
_TYPES = re.compile(r"(\d+)\s+(atom|bond|angle|dihedral|improper)\s+types$")
_NUMBER = r"([-+0-9.eE]+)"
_EDGE = re.compile(rf"{_NUMBER}\s+{_NUMBER}\s+([xyz])lo\s+\3hi$")
_TILT = re.compile(rf"{_NUMBER}\s+{_NUMBER}\s+{_NUMBER}\s+((?:x[yz]|yz)\s+(?:x[yz]|yz)\s+(?:x[yz]|yz))$")
_IGNORED = re.compile(r"(\d+\s+extra\s+.*per\s+atom|\d+\s+(ellipsoids|lines|triangles|bodies))$")


@dataclass(frozen=True)
class LammpsData:
    """Content of a data file in its own units; atoms sorted by id.

    Attributes
    ----------
    ids, types : array of int, shape (n_atoms,)
    molecules : array of int, shape (n_atoms,), or None
    charges : array, shape (n_atoms,), or None
        None where the atom style has none.
    positions : array, shape (n_atoms, 3)
        Unwrapped with the image flags.
    images : array of int, shape (n_atoms, 3)
    velocities : array, shape (n_atoms, 3), or None
    masses : dict
        Type to mass.
    bonds, angles, dihedrals, impropers : array of int, shape (n, 1 + 2, 3 or 4)
        Rows of type and atom ids.
    box : Box
    atom_style : str
    units : str or None
        Unit style, where the title says it (as ``write_data`` does).
    type_labels : dict
        ``atom``, ``bond``, ... to a dict of type to label.
    coefficients : dict
        Name of a coefficient section to its lines.
    """

    ids: IntArray = field(repr=False)
    types: IntArray = field(repr=False)
    molecules: IntArray | None = field(repr=False)
    charges: FloatArray | None = field(repr=False)
    positions: FloatArray = field(repr=False)
    images: IntArray = field(repr=False)
    velocities: FloatArray | None = field(repr=False)
    masses: dict[int, float]
    bonds: IntArray = field(repr=False)
    angles: IntArray = field(repr=False)
    dihedrals: IntArray = field(repr=False)
    impropers: IntArray = field(repr=False)
    box: Box
    atom_style: str
    units: str | None
    type_labels: dict[str, dict[int, str]] = field(repr=False)
    coefficients: dict[str, list[str]] = field(repr=False)


def read_data(path: str | os.PathLike[str], *, atom_style: str | None = None) -> LammpsData:
    """Read a data file, plain or compressed (``.gz``, ``.bz2``, ``.zst``).

    Parameters
    ----------
    path : path
    atom_style : str, optional
        One of `ATOM_STYLES`; by default the hint ``Atoms # style`` counts, or else what the columns allow.

    Raises
    ------
    LammpsFormatError
        With file, line, fault and cure, if anything in the file does not fit.
    """
    return _DataFile(Path(path), atom_style).read()


class _DataFile:
    def __init__(self, path: Path, atom_style: str | None) -> None:
        self.path = path
        self.atom_style = atom_style
        self.counts: dict[str, int] = {}
        self.count_lines: dict[str, int] = {}
        self.n_types: dict[str, int] = {}
        self.edges: dict[str, tuple[float, float]] = {}
        self.tilt = np.zeros(3)
        self.labels: dict[str, dict[int, str]] = {}
        self.coefficients: dict[str, list[str]] = {}
        self.sections: dict[str, tuple[int, list[tuple[int, list[str]]]]] = {}

    def fail(self, line: int | None, message: str) -> LammpsFormatError:
        return LammpsFormatError(self.path, line, message)

    def read(self) -> LammpsData:
        lines = numbered_lines(self.path)
        title = next(lines, None)
        if title is None:
            raise self.fail(None, "the file is empty")
        self._split(lines)
        if not self.counts and not self.sections:
            raise self.fail(title[0], "nothing follows the title: is it a LAMMPS data file?")
        box = self._box()
        ids, columns, positions, images = self._atoms()
        order = np.argsort(ids, kind="stable")
        position_of = {int(number): i for i, number in enumerate(ids[order])}
        positions, images = positions[order], images[order]
        units = re.search(r"units = (\w+)", title[1])
        charges = columns.get("charge")
        molecules = columns.get("molecule")
        return LammpsData(
            ids=ids[order],
            types=columns["type"][order].astype(np.int64),
            molecules=None if molecules is None else molecules[order].astype(np.int64),
            charges=None if charges is None else charges[order],
            positions=positions + images @ box.vectors,
            images=images,
            velocities=self._velocities(position_of),
            masses=self._masses(),
            bonds=self._topology("Bonds", position_of),
            angles=self._topology("Angles", position_of),
            dihedrals=self._topology("Dihedrals", position_of),
            impropers=self._topology("Impropers", position_of),
            box=box,
            atom_style=self.atom_style or "atomic",
            units=units[1] if units else None,
            type_labels=self.labels,
            coefficients=self.coefficients,
        )

    def _split(self, lines: Iterator[tuple[int, str]]) -> None:
        """Header entries, and the rows of every section with their line numbers."""
        section: str | None = None
        for number, raw in lines:
            text, _, comment = raw.partition("#")
            text = text.strip()
            if not text:
                continue
            name = self._section_name(text)
            if name is not None:
                section = name
                if name in self.sections:
                    raise self.fail(number, f"the section {name} is there twice: remove one")
                self.sections[name] = (number, [])
                if name == "Atoms" and comment.strip() and self.atom_style is None:
                    self.atom_style = comment.split()[0]
                    if self.atom_style not in ATOM_STYLES:
                        raise self.fail(
                            number, f"unknown atom style {self.atom_style!r}: expected one of {', '.join(ATOM_STYLES)}"
                        )
            elif section is not None:
                if text[0].isalpha() and section in ("Atoms", "Velocities", *TOPOLOGY):
                    raise self.fail(number, f"unknown section {text[:40]!r}")
                self.sections[section][1].append((number, text.split()))
            elif not self._header(number, text):
                raise self.fail(number, f"neither a header entry nor a section that is known: {text[:60]!r}")
        for name, (_, rows) in self.sections.items():
            if name.endswith("Coeffs"):
                self.coefficients[name] = [" ".join(words) for _, words in rows]
            elif name.endswith("Type Labels"):
                self.labels[LABELS[name.split()[0]]] = {self._integer(n, w[0]): w[1] for n, w in rows if len(w) == 2}

    @staticmethod
    def _section_name(text: str) -> str | None:
        name = " ".join(text.split())
        if name in ("Masses", "Atoms", "Velocities", *TOPOLOGY) or COEFFICIENTS.match(name):
            return name
        return name if re.fullmatch(rf"({'|'.join(LABELS)}) Type Labels", name) else None

    def _header(self, number: int, text: str) -> bool:
        if match := _COUNT.match(text):
            self.counts[match[2]] = int(match[1])
            self.count_lines[match[2]] = number
        elif match := _TYPES.match(text):
            self.n_types[match[2]] = int(match[1])
        elif match := _EDGE.match(text):
            self.edges[match[3]] = float(match[1]), float(match[2])
        elif match := _TILT.match(text):
            named = dict(zip(match[4].split(), map(float, match.groups()[:3]), strict=True))
            self.tilt = np.array([named["xy"], named["xz"], named["yz"]])
        else:
            return bool(_IGNORED.match(text))
        return True

    def _box(self) -> Box:
        for axis in "xyz":
            if axis not in self.edges:
                raise self.fail(None, f"the header has no line '{axis}lo {axis}hi'")
            lo, hi = self.edges[axis]
            if not lo < hi:
                raise self.fail(None, f"the box has {axis}lo = {lo:g} and {axis}hi = {hi:g}: lo must be below hi")
        lo, hi = np.array([self.edges[axis] for axis in "xyz"]).T
        return Box(lo, hi, self.tilt)

    def _rows(self, name: str, expected: int | None) -> list[tuple[int, list[str]]]:
        start, rows = self.sections.get(name, (None, []))
        if expected is not None and len(rows) != expected:
            cut_off = bool(rows) and name == list(self.sections)[-1] and len(rows) < expected
            stated = self.count_lines.get(name.lower(), start)
            line = rows[-1][0] + 1 if cut_off else stated
            raise self.fail(line, f"the section {name} has {len(rows)} rows, but line {stated} says {expected}")
        return rows

    def _integer(self, line: int, word: str) -> int:
        try:
            return int(word)
        except ValueError:
            raise self.fail(line, f"{word!r} is not an integer") from None

    def _number(self, line: int, word: str) -> float:
        try:
            value = float(word)
        except ValueError:
            raise self.fail(line, f"{word!r} is not a number") from None
        if not np.isfinite(value):
            raise self.fail(line, f"{word!r} is not a finite number")
        return value

    def _type(self, kind: str, line: int, word: str) -> int:
        for number, label in self.labels.get(kind, {}).items():
            if label == word:
                return number
        number = self._integer(line, word)
        limit = self.n_types.get(kind)
        if number < 1 or (limit is not None and number > limit):
            raise self.fail(line, f"{kind} type {number} is out of range: the header says {limit} types")
        return number

    def _atoms(self) -> tuple[IntArray, dict[str, FloatArray], FloatArray, IntArray]:
        if "Atoms" not in self.sections:
            raise self.fail(self.count_lines.get("atoms"), "there is no section Atoms")
        rows = self._rows("Atoms", self.counts.get("atoms"))
        if not rows:
            raise self.fail(self.sections["Atoms"][0], "the section Atoms has no rows")
        width = len(rows[0][1])
        self.atom_style = self.atom_style or self._guess_style(rows[0][0], width)
        if self.atom_style not in ATOM_STYLES:
            raise self.fail(None, f"unknown atom style {self.atom_style!r}: expected one of {', '.join(ATOM_STYLES)}")
        leading = ATOM_STYLES[self.atom_style]
        if width not in (len(leading) + 3, len(leading) + 6):
            raise self.fail(
                rows[0][0],
                f"{width} columns, but atom style {self.atom_style} has {len(leading) + 3}, or 3 more with image flags",
            )
        ids = np.empty(len(rows), dtype=np.int64)
        columns = {name: np.empty(len(rows)) for name in leading if name != "id"}
        positions, images = np.empty((len(rows), 3)), np.zeros((len(rows), 3), dtype=np.int64)
        first_line: dict[int, int] = {}
        for i, (line, words) in enumerate(rows):
            if len(words) != width:
                raise self.fail(line, f"{len(words)} columns, but the rows above have {width}")
            for name, word in zip(leading, words, strict=False):
                if name == "id":
                    ids[i] = self._integer(line, word)
                elif name == "type":
                    columns[name][i] = self._type("atom", line, word)
                elif name == "molecule":
                    columns[name][i] = self._integer(line, word)
                else:
                    columns[name][i] = self._number(line, word)
            if int(ids[i]) in first_line:
                raise self.fail(line, f"atom id {ids[i]} was used before, in line {first_line[int(ids[i])]}")
            first_line[int(ids[i])] = line
            positions[i] = [self._number(line, word) for word in words[len(leading) : len(leading) + 3]]
            if width == len(leading) + 6:
                images[i] = [self._integer(line, word) for word in words[-3:]]
        return ids, columns, positions, images

    def _guess_style(self, line: int, width: int) -> str:
        possible = {style for style, leading in ATOM_STYLES.items() if width in (len(leading) + 3, len(leading) + 6)}
        if self.counts.get("bonds"):
            possible -= {"atomic", "charge"}
        # bond, angle and molecular have the same columns
        if possible <= {"bond", "angle", "molecular"} and possible:
            return "molecular"
        if len(possible) == 1:
            return possible.pop()
        raise self.fail(
            line, f"{width} columns fit the atom styles {', '.join(sorted(possible)) or 'none'}: give atom_style"
        )

    def _velocities(self, position_of: dict[int, int]) -> FloatArray | None:
        if "Velocities" not in self.sections:
            return None
        velocities = np.zeros((len(position_of), 3))
        for line, words in self._rows("Velocities", len(position_of)):
            if len(words) != 4:
                raise self.fail(line, f"{len(words)} columns, expected id vx vy vz")
            velocities[self._atom(line, words[0], position_of)] = [self._number(line, word) for word in words[1:]]
        return velocities

    def _atom(self, line: int, word: str, position_of: dict[int, int]) -> int:
        number = self._integer(line, word)
        if number not in position_of:
            raise self.fail(line, f"atom {number} is not in the section Atoms")
        return position_of[number]

    def _masses(self) -> dict[int, float]:
        masses = {}
        for line, words in self._rows("Masses", None):
            if len(words) != 2:
                raise self.fail(line, f"{len(words)} columns, expected type and mass")
            mass = self._number(line, words[1])
            if mass <= 0:
                raise self.fail(line, f"mass {mass:g} is not positive")
            masses[self._type("atom", line, words[0])] = mass
        return masses

    def _topology(self, name: str, position_of: dict[int, int]) -> IntArray:
        n, kind = TOPOLOGY[name], name[:-1].lower()
        rows = self._rows(name, self.counts.get(name.lower(), 0))
        result = np.empty((len(rows), 1 + n), dtype=np.int64)
        for i, (line, words) in enumerate(rows):
            if len(words) != n + 2:
                raise self.fail(line, f"{len(words)} columns, expected id, type and {n} atoms")
            for word in words[2:]:
                self._atom(line, word, position_of)
            result[i] = [self._type(kind, line, words[1]), *(int(word) for word in words[2:])]
        return result
