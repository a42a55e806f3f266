"""Faults of small text dumps, each named with its line."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from lammps_reader import LammpsFormatError, LammpsFormatWarning, open_dump
from tests.lammps_reader.dumps import frame_text

COLUMNS = {"type": [1, 1, 2], "xu": [0.5, 1, 2], "yu": [1, 1, 1], "zu": [3, 2, 1]}
ONE = frame_text(0, [3, 1, 2], COLUMNS)
TWO = frame_text(10, [1, 2, 3], COLUMNS)


def said(path: Path, text: str) -> LammpsFormatError:
    path.write_bytes(text.encode())
    with pytest.raises(LammpsFormatError) as caught:
        list(open_dump(path))
    assert str(caught.value).startswith(f"{path}:" if caught.value.line is None else f"{path}:{caught.value.line}: ")
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("ATOMS\n3\n", "ATOMS\n2\n", 16, "more rows follow, from line 24"),
        ("ATOMS\n3\n", "ATOMS\n4\n", 16, "the frame has 4 atoms, but the next one begins after 3, on line 25"),
        ("ATOMS\n3\n", "ATOMS\n3.0\n", 16, "'3.0' is not a number of atoms"),
        ("ATOMS\n3\n", "ATOMS\n+-3\n", 16, "is not a number of atoms"),
        ("ATOMS\n3\n", "ATOMS\n99999999999999999999999\n", 16, "is not a number of atoms"),
        ("TIMESTEP\n10\n", "TIMESTEP\n1e1\n", 14, "is not a time step"),
        ("0 10\n0 10\n0 10\n", "0 10\n10 10\n0 10\n", 19, "lo must be below hi"),
        ("0 10\n0 10\n0 10\n", "0 10\n0 nan\n0 10\n", 19, "'nan' is not a finite number"),
        ("0 10\n0 10\n0 10\n", "0 10\n0 10 1\n0 10\n", 19, "3 numbers for a box bound"),
        ("pp pp pp", "pp pp", 17, "boundary flags"),
        ("id type", "id id", 21, "a column is named twice"),
        ("ITEM: ATOMS id", "ITEM: ATOMS number", 21, "no column id"),
        (" zu", " vz", 21, "no complete set of coordinates"),
        ("1 1 0.5 1 3", "1 1 0.5 inf 3", 22, "'inf' is not a finite number"),
        ("1 1 0.5 1 3", "1 1 0.5 1_0 3", 22, "'1_0' is not a finite number"),
        ("2 1 1 1 2", "2 1 1 1", 23, "the row has 4 values, expected 5"),
        ("2 1 1 1 2", "2 1 1 1 2 3", 23, "the row has 6 values, expected 5"),
        ("2 1 1 1 2", "3 1 1 1 2", 24, "atom id 3 appears twice"),
        ("2 1 1 1 2", "2.5 1 1 1 2", 23, "id is 2.5, expected an integer"),
        ("2 1 1 1 2", "2 C 1 1 2", 23, "'C' is not a finite number"),
        ("2 1 1 1 2", "2 1 1 1 1e999", 23, "'1e999' is not a finite number"),
        ("2 1 1 1 2", "2 1 1 1 0x1F", 23, "'0x1F' is not a finite number"),
    ],
)
def test_fault_in_the_second_frame(tmp_path: Path, old: str, new: str, line: int, message: str) -> None:
    assert old in TWO
    damaged = TWO.replace(old, new, 1)
    for text in (ONE + damaged, ONE + damaged + frame_text(20, [1, 2, 3], COLUMNS)):
        if "next one" in message and text == ONE + damaged:
            continue
        error = said(tmp_path / "t.lammpstrj", text)
        assert error.line == line
        assert message in error.reason
        error = said(tmp_path / "t.lammpstrj", text.replace("\n", "\r\n"))
        assert error.line == line


@pytest.mark.parametrize("n_atoms", ["1000000000000", "9007199254740992"])
def test_claims_are_not_believed(tmp_path: Path, n_atoms: str) -> None:
    tracemalloc.start()
    error = said(tmp_path / "t.lammpstrj", ONE.replace("ATOMS\n3\n", f"ATOMS\n{n_atoms}\n", 1))
    assert tracemalloc.get_traced_memory()[1] < 2**26
    tracemalloc.stop()
    assert "no frame is whole" in error.reason
    assert n_atoms in error.reason


def test_one_fault_does_not_hide_other_frames(tmp_path: Path) -> None:
    path = tmp_path / "t.lammpstrj"
    path.write_text(ONE + TWO.replace("2 1 1 1 2", "2 1 nan 1 2") + frame_text(20, [1, 2, 3], COLUMNS))
    dump = open_dump(path)
    assert dump.timesteps.tolist() == [0, 10, 20]
    np.testing.assert_array_equal(dump[0].positions, [[1, 1, 2], [2, 1, 1], [0.5, 1, 3]])
    assert dump[2].timestep == 20
    with pytest.raises(LammpsFormatError):
        _ = dump[1]


@pytest.mark.parametrize("cut", [1, 5, 40, 90, len(TWO) - 1])
def test_whole_frames_of_a_file_that_is_cut(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "t.lammpstrj"
    path.write_text((ONE + TWO)[:-cut])
    with pytest.warns(LammpsFormatWarning, match="ends within frame 1") as caught:
        dump = open_dump(path)
    assert len(caught) == 1
    assert str(caught[0].message).startswith(f"{path}:")
    assert str(caught[0].message).endswith("its 1 whole frames are read")
    assert [frame.timestep for frame in dump] == [0]


def test_long_line_and_missing_file(tmp_path: Path) -> None:
    assert said(tmp_path / "a.lammpstrj", "ITEM: TIMESTEP\n" + "1" * 100_000 + "\n").line == 2
    assert said(tmp_path / "b.lammpstrj", "x" * 20_000_000).line == 1
    with pytest.raises(LammpsFormatError, match="no such file"):
        open_dump(tmp_path / "no.lammpstrj")
