"""Header of data files: counts and box."""

import re

import numpy as np

from .box import Box
from .data_text import DataText, Line
from .numbers import to_float, to_integer

TOPOLOGY = {"bond": 2, "angle": 3, "dihedral": 4, "improper": 4}
"""Atoms of each kind of topology."""

KINDS = ("atom", *TOPOLOGY)
EDGES = {f"{axis}lo {axis}hi": axis for axis in "xyz"}
TILT = "xy xz yz"
GENERAL = ("avec", "bvec", "cvec", "abc origin")
EXOTIC = ("ellipsoids", "lines", "triangles", "bodies")
N_NUMBERS = (
    {f"{kind}s": 1 for kind in KINDS}
    | {f"{kind} types": 1 for kind in KINDS}
    | {f"extra {kind} per atom": 1 for kind in (*TOPOLOGY, "special")}
    | dict.fromkeys(EXOTIC, 1)
    | dict.fromkeys(EDGES, 2)
    | {TILT: 3}
    | dict.fromkeys(GENERAL, 3)
)
"""Every entry, and how many numbers come before it."""


class DataHeader:
    """What the header says, and where.

    Attributes
    ----------
    counts : dict
        ``atoms``, ``bond types``, ... to the number.
    lines : dict
        Entry to its line.
    """

    def __init__(self, text: DataText) -> None:
        self._text = text
        self.counts: dict[str, int] = {}
        self.lines: dict[str, int] = {}
        self._edges: dict[str, tuple[float, float]] = {}
        self._tilt = (0.0, 0.0, 0.0)

    def take(self, line: Line) -> None:
        """Take an entry.

        Raises
        ------
        LammpsFormatError
            If it is unknown, was there before, or its numbers make no sense.
        """
        words = line.text.split()
        name = next((name for n in range(1, 5) if (name := " ".join(words[-n:])) in N_NUMBERS), None)
        if name is None:
            what = "unknown section" if words[0][0].isalpha() else "neither an entry of a header nor a section"
            raise self._text.fail(line.number, f"{what}: {line.text[:60]!r}")
        numbers = words[: len(words) - len(name.split())]
        if len(numbers) != N_NUMBERS[name]:
            raise self._text.fail(line.number, f"{len(numbers)} numbers before {name!r}, expected {N_NUMBERS[name]}")
        if name in self.lines:
            raise self._text.fail(line.number, f"{name!r} is there twice, first in line {self.lines[name]}: remove one")
        self.lines[name] = line.number
        if N_NUMBERS[name] == 1:
            self._take_count(line.number, name, numbers[0])
        else:
            self._take_box(line.number, name, numbers)

    def _take_count(self, number: int, name: str, word: str) -> None:
        count = to_integer(word.encode())
        if count is None or count < 0:
            raise self._text.fail(number, f"{word[:40]!r} is not a number of {name}")
        if count and name in EXOTIC:
            raise self._text.fail(number, f"atom styles with {name} are not read")
        self.counts[name] = count

    def _take_box(self, number: int, name: str, words: list[str]) -> None:
        if name in GENERAL:
            raise self._text.fail(
                number, "general triclinic boxes are not read: let LAMMPS read it and write it again (write_data)"
            )
        numbers = []
        for word in words:
            value = to_float(word.encode())
            if value is None:
                raise self._text.fail(number, f"{word[:40]!r} is not a finite number")
            numbers.append(value)
        if name == TILT:
            self._tilt = (numbers[0], numbers[1], numbers[2])
            return
        lo, hi = numbers
        axis = EDGES[name]
        if not lo < hi:
            raise self._text.fail(number, f"the box has {axis}lo = {lo:g} and {axis}hi = {hi:g}: lo must be below hi")
        if not np.isfinite(hi - lo):
            raise self._text.fail(number, f"the box is too large along {axis}")
        self._edges[axis] = lo, hi

    def missing_edge(self) -> str | None:
        """Name of an edge of the box that the header does not have."""
        return next((name for name, axis in EDGES.items() if axis not in self._edges), None)

    def box(self) -> Box:
        """The box, once all edges are there."""
        lo, hi = np.array([self._edges[axis] for axis in "xyz"]).T
        return Box(np.ascontiguousarray(lo), np.ascontiguousarray(hi), np.array(self._tilt))


LABEL = re.compile(r"[^\s\d#*][^\s#]*")
"""A type label: LAMMPS lets it begin with anything but a digit, # or *."""

_SECTION = re.compile(
    r"Atoms|Velocities|Masses|Bonds|Angles|Dihedrals|Impropers|(Atom|Bond|Angle|Dihedral|Improper) Type Labels"
)
COEFFICIENTS = {
    "Pair Coeffs": "atom",
    "PairIJ Coeffs": "atom",
    "Bond Coeffs": "bond",
    "Angle Coeffs": "angle",
    "BondBond Coeffs": "angle",
    "BondAngle Coeffs": "angle",
    "Dihedral Coeffs": "dihedral",
    "MiddleBondTorsion Coeffs": "dihedral",
    "EndBondTorsion Coeffs": "dihedral",
    "AngleTorsion Coeffs": "dihedral",
    "AngleAngleTorsion Coeffs": "dihedral",
    "BondBond13 Coeffs": "dihedral",
    "Improper Coeffs": "improper",
    "AngleAngle Coeffs": "improper",
}
"""Coefficient sections, and what their types are of."""


def section_name(text: str) -> str | None:
    """Name of the section that a line begins; None if it begins none."""
    name = " ".join(text.split())
    return name if name in COEFFICIENTS or _SECTION.fullmatch(name) else None
