"""Data files with every kind of damage: one line with file and line, and never anything else."""

import bz2
import gzip
import json
import time
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lammps_reader import LammpsData, LammpsFormatError, LammpsFormatWarning, read_data, write_data
from tests.conftest import SHARED
from tests.lammps_reader.made_up_data import chain_data

FOLDER = SHARED / "lammps"
MALFORMED = {
    name: entry
    for name, entry in json.loads((FOLDER / "expected.json").read_text())["malformed"].items()
    if ".data" in name
}

TEXT = """a title, units = real

4 atoms  # of two kinds
2 atom types
2 bonds
1 bond types
1 angles
1 angle types
0.0 10.0 xlo xhi
-1 9 ylo yhi
0 1e1 zlo zhi
1.0 0 0.5 xy xz yz

Masses

1 12.0
2 1.0  # light

Pair Coeffs # lj/cut

1 0.1 3.0
2 0.2 2.5

Bond Coeffs

1 300.0 1.5

Angle Coeffs

1 30.0 109.5

Atoms # full

1 1 1 -0.5 1.0 2.0 3.0 0 0 1
5 1 2 0.25 2.0 2.5 3.0 0 0 0
3 1 2 0.25 2.5 3.5 3.0 0 -1 0
9 2 1 0.0 5.0 5.0 5.0 0 0 0

Velocities

5 0.1 0.2 0.3
1 0 0 0
9 1e-3 0 0
3 0 0 -1

Bonds

1 1 1 5
2 1 5 3

Angles

1 1 1 5 3
"""
LINES = TEXT.splitlines()


def line_of(row: str, after: str = "") -> int:
    start = LINES.index(after) if after else 0
    return LINES.index(row, start) + 1


def read_text(tmp_path: Path, text: str | bytes, atom_style: str | None = None) -> LammpsData:
    path = tmp_path / "x.data"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_data(path, atom_style=atom_style)


def fault(tmp_path: Path, text: str | bytes, atom_style: str | None = None) -> LammpsFormatError:
    with pytest.raises(LammpsFormatError) as caught:
        read_text(tmp_path, text, atom_style)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < len(str(tmp_path)) + 200
    assert caught.value.path == tmp_path / "x.data"
    assert message.startswith(f"{tmp_path}/x.data" + (f":{caught.value.line}:" if caught.value.line else ":"))
    return caught.value


@pytest.mark.parametrize("name", MALFORMED)
def test_fault_is_found_in_its_line(name: str) -> None:
    begin = time.process_time()
    tracemalloc.start()
    with pytest.raises(LammpsFormatError) as caught:
        read_data(FOLDER / name)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.line == MALFORMED[name]["line"], caught.value
    assert time.process_time() - begin < 5
    assert peak < 60e6


def test_the_whole_of_a_file(tmp_path: Path) -> None:
    data = read_text(tmp_path, TEXT)
    assert data.ids.tolist() == [1, 3, 5, 9]
    assert data.types.tolist() == [1, 2, 2, 1]
    assert data.molecules.tolist() == [1, 1, 1, 2]
    assert data.charges.tolist() == [-0.5, 0.25, 0.25, 0.0]
    # image flags times the vectors (10, 0, 0), (1, 10, 0), (0, 0.5, 10)
    assert data.positions.tolist() == [[1, 2.5, 13], [1.5, -6.5, 3], [2, 2.5, 3], [5, 5, 5]]
    assert data.images.tolist() == [[0, 0, 1], [0, -1, 0], [0, 0, 0], [0, 0, 0]]
    assert data.velocities.tolist() == [[0, 0, 0], [0, 0, -1], [0.1, 0.2, 0.3], [1e-3, 0, 0]]
    assert data.masses == {1: 12.0, 2: 1.0}
    assert data.bonds.tolist() == [[1, 1, 5], [1, 5, 3]]
    assert data.angles.tolist() == [[1, 1, 5, 3]]
    assert data.dihedrals.shape == data.impropers.shape == (0, 5)
    assert data.box.vectors.tolist() == [[10, 0, 0], [1, 10, 0], [0, 0.5, 10]]
    assert data.box.lo.tolist() == [0, -1, 0]
    assert data.units == "real"
    assert data.coefficients["Pair Coeffs"] == ["1 0.1 3.0", "2 0.2 2.5"]
    assert data.coefficient_styles == {"Pair Coeffs": "lj/cut"}
    assert data.n_types == {"atom": 2, "bond": 1, "angle": 1}


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n\n", "\n \t\n# nothing\n\n"),
        lambda text: text.replace(" ", "\t  ").replace("#\t  full", "# full").replace("Pair\t  ", "Pair "),
        lambda text: text.replace("5 0.1 0.2 0.3\n", "5 0.1 0.2 0.3 # fast\n\n\n"),
        lambda text: text + "\n\n# the end\n",
        lambda text: text.replace("a title", "\u00c5ngstr\u00f6m"),
        lambda text: text.replace("1 12.0", "1 12.0 # \u00c5"),
        lambda text: text.replace("4 atoms", "  0 ellipsoids\n3 extra bond per atom\n4 atoms"),
    ],
)
def test_the_same_in_other_clothes(tmp_path: Path, change: Callable[[str], str]) -> None:
    assert read_text(tmp_path, change(TEXT)) == read_text(tmp_path, TEXT)


def test_title_in_another_encoding(tmp_path: Path) -> None:
    assert read_text(tmp_path, TEXT.replace("a title", "\u00c5").encode("latin-1")) == read_text(tmp_path, TEXT)


@pytest.mark.parametrize("atoms", ["0 atoms", "0 atoms\n\nAtoms # atomic"])
def test_no_atoms(tmp_path: Path, atoms: str) -> None:
    head = "t\n1 atom types\n0 1 xlo xhi\n0 1 ylo yhi\n0 1 zlo zhi\n"
    data = read_text(tmp_path, head + atoms + "\n")
    assert (data.n_atoms, data.positions.shape) == (0, (0, 3))
    write_data(tmp_path / "y.data", data)
    assert read_data(tmp_path / "y.data") == data


CHANGES = [
    # header
    ("4 atoms  # of two kinds", "4_0 atoms", "is not a number of atoms"),
    ("4 atoms  # of two kinds", "\u0664 atoms", "is not a number of atoms"),
    ("4 atoms  # of two kinds", "4.0 atoms", "is not a number of atoms"),
    ("4 atoms  # of two kinds", "-4 atoms", "is not a number of atoms"),
    ("4 atoms  # of two kinds", "9" * 5000 + " atoms", "is not a number of atoms"),
    ("4 atoms  # of two kinds", "4 4 atoms", "2 numbers before 'atoms'"),
    ("4 atoms  # of two kinds", "atoms", "0 numbers before 'atoms'"),
    ("4 atoms  # of two kinds", "3 atoms", "4 rows, but line 3 says 3 atoms"),
    ("4 atoms  # of two kinds", "5 atoms", "4 rows, but line 3 says 5 atoms"),
    ("4 atoms  # of two kinds", f"{10**12} atoms", "4 rows"),
    ("2 atom types", "2 atom typos", "neither an entry"),
    ("2 atom types", "4 atoms", "there twice, first in line 3"),
    ("2 bonds", "3 bonds", "2 rows, but line 5 says 3 bonds"),
    ("0.0 10.0 xlo xhi", "1e 10.0 xlo xhi", "'1e' is not a finite number"),
    ("0.0 10.0 xlo xhi", "nan 10.0 xlo xhi", "'nan' is not a finite number"),
    ("0.0 10.0 xlo xhi", "0.0 inf xlo xhi", "'inf' is not a finite number"),
    ("0.0 10.0 xlo xhi", "-1e308 1e308 xlo xhi", "too large along x"),
    ("0.0 10.0 xlo xhi", "10.0 10.0 xlo xhi", "lo must be below hi"),
    ("0.0 10.0 xlo xhi", "10.0 0.0 xlo xhi", "lo must be below hi"),
    ("0.0 10.0 xlo xhi", "0.0 10.0 xhi xlo", "neither an entry"),
    ("-1 9 ylo yhi", "-1 9 xlo xhi", "there twice"),
    ("1.0 0 0.5 xy xz yz", "1.0 0 xy xz yz", "2 numbers before 'xy xz yz'"),
    ("1.0 0 0.5 xy xz yz", "1.0 nan 0.5 xy xz yz", "'nan' is not a finite number"),
    ("1.0 0 0.5 xy xz yz", "1.0 0 0.5 avec", "general triclinic"),
    ("1.0 0 0.5 xy xz yz", "3 ellipsoids", "ellipsoids are not read"),
    # short sections
    ("Masses", "Massen", "unknown section"),
    ("1 12.0", "1 -12.0", "positive"),
    ("1 12.0", "1 nan", "positive"),
    ("1 12.0", "1 12.0 3", "3 values"),
    ("1 12.0", "3 12.0", "out of range"),
    ("1 12.0", "1.0 12.0", "not an integer"),
    ("1 12.0", "1_0 12.0", "not an integer"),
    ("1 12.0", "C 12.0", "not a number"),
    ("2 1.0  # light", "1 1.0", "has a mass before, in line 16"),
    ("2 0.2 2.5", "1 0.2 2.5", "was there before, in line 21"),
    ("2 0.2 2.5", "3 0.2 2.5", "out of range"),
    ("2 0.2 2.5", "2 nan 2.5", "not a finite number"),
    ("Bond Coeffs", "Masses", "there twice, first in line 14"),
    ("Bond Coeffs", "Dihedral Coeffs", "no dihedral types"),
    # atoms
    ("Atoms # full", "Atoms # sphere", "unknown atom style 'sphere'"),
    ("5 1 2 0.25 2.0 2.5 3.0 0 0 0", "5 1 2 0.25 2.0 2.5 3.0 0 0", "9 values, expected 10"),
    ("5 1 2 0.25 2.0 2.5 3.0 0 0 0", "5 1 2 0.25 2.0 2.5 3.0 0 0 0 0", "11 values, expected 10"),
    ("1 1 1 -0.5 1.0 2.0 3.0 0 0 1", "1 1 1 -0.5 1.0 2.0 3.0", "7 values, expected 10"),
    ("5 1 2 0.25 2.0 2.5 3.0 0 0 0", "5.0 1 2 0.25 2.0 2.5 3.0 0 0 0", "not an integer"),
    ("5 1 2 0.25 2.0 2.5 3.0 0 0 0", "5e0 1 2 0.25 2.0 2.5 3.0 0 0 0", "not an integer"),
    ("5 1 2 0.25 2.0 2.5 3.0 0 0 0", "5 1 2 0.25 2_0 2.5 3.0 0 0 0", "not a finite number"),
    ("5 1 2 0.25 2.0 2.5 3.0 0 0 0", "5 1 2 0.25 \u0662 2.5 3.0 0 0 0", "not a finite number"),
    ("5 1 2 0.25 2.0 2.5 3.0 0 0 0", "5 1 2 0.25 2.0 1e999 3.0 0 0 0", "not a finite number"),
    ("5 1 2 0.25 2.0 2.5 3.0 0 0 0", "5 1 2 0.25 2.0 0x1p3 3.0 0 0 0", "not a finite number"),
    ("5 1 2 0.25 2.0 2.5 3.0 0 0 0", "5 1 2 nan 2.0 2.5 3.0 0 0 0", "not a finite number"),
    ("5 1 2 0.25 2.0 2.5 3.0 0 0 0", "5 1 2 0.25 2.0 2.5 3.0 0.5 0 0", "not an integer"),
    ("5 1 2 0.25 2.0 2.5 3.0 0 0 0", f"5 1 2 0.25 2.0 2.5 3.0 {10**12} 0 0", "ix = 1000000000000 is out of range"),
    ("5 1 2 0.25 2.0 2.5 3.0 0 0 0", f"{2**64} 1 2 0.25 2.0 2.5 3.0 0 0 0", "too large an integer"),
    ("5 1 2 0.25 2.0 2.5 3.0 0 0 0", "0 1 2 0.25 2.0 2.5 3.0 0 0 0", "id = 0 is out of range"),
    ("5 1 2 0.25 2.0 2.5 3.0 0 0 0", "-5 1 2 0.25 2.0 2.5 3.0 0 0 0", "id = -5 is out of range"),
    ("5 1 2 0.25 2.0 2.5 3.0 0 0 0", "1 1 2 0.25 2.0 2.5 3.0 0 0 0", "atom id 1 was there before, in line 34"),
    ("5 1 2 0.25 2.0 2.5 3.0 0 0 0", "5 1 3 0.25 2.0 2.5 3.0 0 0 0", "atom type 3 is out of range"),
    ("5 1 2 0.25 2.0 2.5 3.0 0 0 0", "5 1 0 0.25 2.0 2.5 3.0 0 0 0", "atom type 0 is out of range"),
    ("5 1 2 0.25 2.0 2.5 3.0 0 0 0", "5 1 2 0.25 1e308 2.5 3.0 2147483647 0 0", None),
    ("5 1 2 0.25 2.0 2.5 3.0 0 0 0", "Bondz", "unknown section"),
    ("5 1 2 0.25 2.0 2.5 3.0 0 0 0", "5 1 2 0.25 2.0 2.5\x003.0 0 0 0", "character 0x00"),
    # what belongs to atoms
    ("9 1e-3 0 0", "9 1e-3 0", "3 values"),
    ("9 1e-3 0 0", "7 1e-3 0 0", "atom 7 is not in the section Atoms"),
    ("9 1e-3 0 0", "5 1e-3 0 0", "atom id 5 was there before"),
    ("9 1e-3 0 0", "9 1e-3 0 nan", "not a finite number"),
    ("2 1 5 3", "2 1 5 7", "atom 7 is not in the section Atoms"),
    ("2 1 5 3", "2 1 5 5", "has an atom twice"),
    ("2 1 5 3", "2 1 5 1", "the bond was there before"),
    ("2 1 5 3", "1 1 5 3", "bond id 1 was there before"),
    ("2 1 5 3", "2 2 5 3", "bond type 2 is out of range"),
    ("2 1 5 3", "2 1 5 3 9", "5 values, expected 4"),
    ("2 1 5 3", "2 1 5 3.0", "not an integer"),
    ("1 1 1 5 3", "1 1 1 5 1", "has an atom twice"),
    ("Angles", "Dihedrals", "no dihedrals"),
    ("Angles", "Bonds", "there twice"),
    ("Velocities", "Velocitys", "unknown section"),
]


@pytest.mark.parametrize(("row", "changed", "message"), CHANGES)
def test_damaged_row(tmp_path: Path, row: str, changed: str, message: str | None) -> None:
    assert LINES.count(row) == 1
    text = "\n".join(changed if line == row else line for line in LINES) + "\n"
    if message is None:
        assert np.isfinite(read_text(tmp_path, text).positions).all()
        return
    error = fault(tmp_path, text)
    assert error.line == line_of(row), error
    assert message in str(error)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (TEXT.replace("-1 9 ylo yhi\n", ""), None, "no line 'ylo yhi'"),
        (TEXT.replace("2 atom types\n", ""), None, "no line 'N atom types'"),
        (TEXT.replace("4 atoms  # of two kinds\n", ""), None, "no line 'N atoms'"),
        (TEXT.replace("2 bonds\n", ""), line_of("Bonds") - 1, "the header has no bonds"),
        (TEXT.replace("Angles\n\n1 1 1 5 3\n", ""), 7, "no section Angles"),
        (TEXT.replace("2 1.0  # light\n", ""), 4, "Masses has 1 rows"),
        (TEXT.replace("1 12.0\n2 1.0  # light\n", ""), 4, "Masses has 0 rows"),
        (TEXT.replace("2 0.2 2.5\n", ""), 4, "Pair Coeffs has 1 rows"),
        (TEXT.replace("1 1 1 5\n", ""), 5, "Bonds has 1 rows"),
        (TEXT.replace("9 1e-3 0 0\n", ""), 3, "Velocities has 3 rows"),
        (TEXT.replace("Angles\n\n1 1 1 5 3\n", "Angles\n"), len(LINES) - 1, "Angles has 0 rows"),
        (TEXT.replace("# full", ""), None, None),
        (TEXT.replace("# full", "# charge"), line_of("Atoms # full") + 2, "10 columns"),
        (TEXT + "\nDihedrals\n\n1 1 1 5 3 9\n", len(LINES) + 2, "no dihedrals"),
        (TEXT + "2 1 1 5 9\n", 7, "Angles has 2 rows"),
        (TEXT + "\nBondz\n", len(LINES) + 2, "unknown section"),
        (TEXT + "\nx" * 3, len(LINES) + 2, "unknown section"),
        (TEXT[: TEXT.index("3 1 2 0.25")], line_of("3 1 2 0.25 2.5 3.5 3.0 0 -1 0"), "Atoms has 2 rows"),
        (TEXT[: TEXT.index("Atoms #")], line_of("Atoms # full"), "no section Atoms"),
        (TEXT[: TEXT.index("Velocities")], line_of("Velocities"), "no section Bonds"),
        (TEXT[: TEXT.index("2 bonds")], 5, "no line"),
        ("one line", 1, "nothing follows the title"),
        ("\n\n\n", 1, "nothing follows the title"),
        ("a\rb\rc", 1, "nothing follows the title"),
        ("", None, "empty"),
        (b"\x80\x81\x82\n" * 9, 2, "neither an entry"),
        (TEXT.encode("utf-16"), 1, "character 0x00"),
        ("ITEM: TIMESTEP\n0\n", 1, "dump"),
        ("t" * 10**7, 1, "a line of more than a million"),
        ("t\n" + "4 atoms " * 10**6, 2, "a line of more than a million"),
    ],
)
def test_damaged_file(tmp_path: Path, text: str | bytes, line: int | None, message: str | None) -> None:
    if message is None:
        assert read_text(tmp_path, text) == read_text(tmp_path, TEXT)
        return
    error = fault(tmp_path, text)
    assert error.line == line, error
    assert message in str(error)


LABELLED = """labels

2 atoms
2 atom types
1 bonds
1 bond types
0 1 xlo xhi
0 1 ylo yhi
0 1 zlo zhi

Atom Type Labels

1 C3
2 O=

Bond Type Labels

1 C3-O=

Masses

O= 16
C3 15

PairIJ Coeffs

C3 C3 1 1
O= C3 1 1
2 2 1 1

Atoms # bond

1 1 O= 0 0 0
2 1 C3 0 0 0

Bonds

1 C3-O= 1 2
"""


def test_type_labels(tmp_path: Path) -> None:
    data = read_text(tmp_path, LABELLED)
    assert data.types.tolist() == [2, 1]
    assert data.masses == {1: 15, 2: 16}
    assert data.bonds.tolist() == [[1, 1, 2]]
    assert data.type_labels == {"atom": {1: "C3", 2: "O="}, "bond": {1: "C3-O="}}
    mixed = read_text(tmp_path, LABELLED.replace("1 1 O= 0", "1 1 2 0"))
    assert mixed == data


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("2 O=", "1 O=", 14, "was there before"),
        ("2 O=", "2 C3", 14, "was there before"),
        ("2 O=", "2 1O", 14, "must not begin"),
        ("2 O=", "2 *O", 14, "must not begin"),
        ("2 O=", "3 O=", 14, "out of range"),
        ("2 O=\n", "2 O= 3\n", 14, "3 values"),
        ("2 O=\n", "", 4, "1 rows"),
        ("1 1 O= 0", "1 1 N 0", 33, "unknown atom type label 'N'"),
        ("1 1 O= 0", "1 1 3 0", 33, "atom type 3 is out of range"),
        ("1 C3-O= 1 2", "1 C3-O 1 2", 38, "unknown bond type label"),
        ("O= 16", "N 16", 22, "neither a section nor a row"),
        ("C3 15", "O= 15", 23, "has a mass before"),
        ("O= C3 1 1", "C3 C3 1 1", 28, "was there before"),
        ("2 2 1 1\n", "", 4, "2 rows"),
        ("1 1 O= 0 0 0", "O= 1 1 0 0 0", 33, "unknown section"),
    ],
)
def test_damaged_type_labels(tmp_path: Path, old: str, new: str, line: int, message: str) -> None:
    error = fault(tmp_path, LABELLED.replace(old, new, 1))
    assert message in str(error)
    assert error.line == line, error


def test_style_that_the_columns_do_not_tell(tmp_path: Path) -> None:
    head = "t\n\n2 atoms\n2 atom types\n0 1 xlo xhi\n0 1 ylo yhi\n0 1 zlo zhi\n\nAtoms\n\n"
    text = head + "1 1 2 0 0 0\n2 2 1 0 0 0\n"
    assert "give atom_style" in str(fault(tmp_path, text))
    assert read_text(tmp_path, text, "charge").charges.tolist() == [2.0, 1.0]
    assert read_text(tmp_path, text, "molecular").types.tolist() == [2, 1]
    assert "unknown atom style" in str(fault(tmp_path, text, "sphere"))
    with pytest.warns(LammpsFormatWarning, match="the file says atom style charge, and is read as bond"):
        read_text(tmp_path, text.replace("Atoms", "Atoms # charge"), "bond")


def test_bombs(tmp_path: Path) -> None:
    """Rows without end, although few are announced; blank lines without end."""
    path = tmp_path / "x.data.gz"
    for filling in (b"9 2 1 0.0 5.0 5.0 5.0 0 0 0\n" * 2_000_000, b"\n" * 60_000_000):
        path.write_bytes(gzip.compress(TEXT[: TEXT.index("9 2 1")].encode() + filling, 1))
        tracemalloc.start()
        begin = time.process_time()
        with pytest.raises(LammpsFormatError):
            read_data(path)
        assert time.process_time() - begin < 10
        assert tracemalloc.get_traced_memory()[1] < 100e6
        tracemalloc.stop()


def test_many_rows(tmp_path: Path) -> None:
    """More than fit a chunk, in shuffled order, with comments here and blank lines there."""
    n = 150_000
    random = np.random.default_rng(1)
    ids = random.permutation(n) + 1
    x = random.uniform(-1, 1, (n, 3))
    rows = [f"{i} {i % 7 + 1} {a!r} {b!r} {c!r}" for i, (a, b, c) in zip(ids.tolist(), x.tolist(), strict=True)]
    rows[1000] += " # here"
    rows[-2000] += "\n\n"
    head = f"t\n{n} atoms\n7 atom types\n-1 1 xlo xhi\n-1 1 ylo yhi\n-1 1 zlo zhi\n\nAtoms # atomic\n\n"
    data = read_text(tmp_path, head + "\n".join(rows) + "\n")
    order = np.argsort(ids)
    np.testing.assert_array_equal(data.positions, x[order])
    np.testing.assert_array_equal(data.types, data.ids % 7 + 1)
    number = 9 + n - 500 + 2
    rows[n - 500] = rows[n - 500].replace(".", ",", 1)
    assert fault(tmp_path, head + "\n".join(rows) + "\n").line == number + 1


ANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SOURCES = {"text": TEXT, "labels": LABELLED}


@pytest.fixture(scope="module", params=[*SOURCES, "moved", "tilted"])
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    if request.param in SOURCES:
        return SOURCES[request.param].encode()
    path = tmp_path_factory.mktemp("source") / "x.data"
    write_data(path, chain_data("molecular", tilt=request.param == "tilted", labels=True))
    return path.read_bytes()


def attempt(tmp_path: Path, content: bytes, suffix: str = "") -> LammpsData | None:
    """Read; an error other than the one that is allowed fails the test."""
    path = tmp_path / f"x.data{suffix}"
    path.write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", LammpsFormatWarning)
            return read_data(path)
    except LammpsFormatError as caught:
        error = caught
    except LammpsFormatWarning:
        return None
    assert "\n" not in str(error)
    assert str(path) in str(error)
    assert error.line is None or 1 <= error.line <= content.count(b"\n") + 2
    return None


def test_cut_at_any_byte(tmp_path: Path, source: bytes) -> None:
    """Never read as if it were whole."""
    whole = attempt(tmp_path, source)
    assert whole is not None
    for end in range(0, len(source), 1 if len(source) < 1000 else 3):
        assert attempt(tmp_path, source[:end]) is None, source[:end][-40:]


def test_cut_archives(tmp_path: Path, source: bytes) -> None:
    for suffix, compressed in ((".gz", gzip.compress(source)), (".bz2", bz2.compress(source))):
        for end in range(0, len(compressed) - 1, 7):
            assert attempt(tmp_path, compressed[:end], suffix) is None


def test_a_line_lost_or_doubled(tmp_path: Path, source: bytes) -> None:
    """Every row, count and section is missed; but the tilt, and the section Masses, may well not be there."""
    lines = source.splitlines(keepends=True)
    whole = attempt(tmp_path, source)
    for n, line in enumerate(lines):
        text = line.partition(b"#")[0].strip()
        lost = attempt(tmp_path, b"".join(lines[:n] + lines[n + 1 :]))
        doubled = attempt(tmp_path, b"".join(lines[: n + 1] + lines[n:]))
        if n == 0:
            continue
        if not text:
            assert lost == doubled == whole
        else:
            assert doubled is None, line
            assert lost is None or text.endswith(b"xy xz yz"), line


@ANY
@given(data=st.data())
def test_flipped_bits(tmp_path: Path, source: bytes, data: st.DataObject) -> None:
    content = bytearray(source)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    attempt(tmp_path, bytes(content))


@ANY
@given(data=st.data())
def test_shuffled_pieces(tmp_path: Path, source: bytes, data: st.DataObject) -> None:
    """Lines moved, words replaced by others of the file or by what trips parsers."""
    lines = source.split(b"\n")
    place = st.integers(0, len(lines) - 1)
    odd = [b"nan", b"-1", b"1e400", b"1_0", b"\xff\xfe", b"#", b"9" * 30, b"0x10", b"Atoms", b"atoms", b"", b"\x00"]
    words = [*source.split(), *odd]
    for _ in range(data.draw(st.integers(1, 4))):
        i, j = data.draw(place), data.draw(place)
        if data.draw(st.booleans()):
            lines[i], lines[j] = lines[j], lines[i]
        elif row := lines[i].split():
            row[data.draw(st.integers(0, len(row) - 1))] = data.draw(st.sampled_from(words))
            lines[i] = b" ".join(row)
    attempt(tmp_path, b"\n".join(lines))


@ANY
@given(content=st.binary(max_size=300))
def test_rubbish(tmp_path: Path, content: bytes) -> None:
    for suffix in ("", ".gz", ".bz2", ".zst"):
        assert attempt(tmp_path, content, suffix) is None
