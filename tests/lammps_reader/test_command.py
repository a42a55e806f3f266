"""``python -m lammps_reader FILE``, as a user types it."""

import bz2
import json
import subprocess
import sys
from pathlib import Path

import pytest

from lammps_reader.summary import summarise
from tests.conftest import ROOT, SHARED

FOLDER = SHARED / "lammps"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())


def describe(*arguments: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "lammps_reader", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)


def test_data_dump_and_log() -> None:
    names = ["data/polymer_lj_run.data", "dump/time_units.lammpstrj", "dump/wrapped.dcd", "log/cut_last_digit.log"]
    done = describe(*(FOLDER / name for name in names))
    assert done.returncode == 0
    for expected in (
        "polymer_lj_run.data: data file\n",
        "  atoms       100 of 2 types\n",
        "  atom style  molecular\n",
        "  topology    95 bonds, 90 angles\n",
        "  box         20.4 x 6.5 x 6, periodic along x y z\n",
        "time_units.lammpstrj: text dump, 5 frames\n",
        "  steps       0 to 80, every 20\n",
        "  positions   unwrapped\n",
        "  columns     type ix iy iz\n",
        "  units       lj\n",
        "wrapped.dcd: DCD file, 5 frames\n",
        "cut_last_digit.log: log, 2 runs\n",
        "  run 2       2 rows, steps 50 to 75, every 25, not complete\n",
        "  columns     Step Temp E_pair E_mol TotEng Press\n",
    ):
        assert expected in done.stdout
    (warning,) = done.stderr.splitlines()
    assert warning.startswith("lammps_reader: warning: ")
    assert ":102: the log ends" in warning


def test_bad_files() -> None:
    names = ["malformed/garbage.lammpstrj", "malformed/empty.log", "malformed/bomb.dcd", "README.md", "none.data"]
    done = describe(*(FOLDER / name for name in names))
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert [line.split(":")[1].strip() for line in lines] == [str(FOLDER / name) for name in names]


def test_atom_style_that_a_file_does_not_say() -> None:
    path = FOLDER / "data/charge_nohint.data"
    assert describe(path).returncode == 2
    done = describe("--atom-style", "charge", path)
    assert done.returncode == 0
    assert "  atom style  charge\n" in done.stdout
    assert describe().returncode == 2


def test_the_kind_is_told_by_the_content_where_the_name_does_not(tmp_path: Path) -> None:
    for name, words in (
        ("data/angle_hint.data", "data file"),
        ("dump/xyz.lammpstrj", "text dump, 5 frames"),
        ("log/one_three_runs.log", "log, 3 runs"),
    ):
        for path, pack in ((tmp_path / "file", bytes), (tmp_path / "packed.bz2", bz2.compress)):
            path.write_bytes(pack((FOLDER / name).read_bytes()))
            assert summarise(path)[0] == f"{path}: {words}"


@pytest.mark.filterwarnings("ignore::lammps_reader.LammpsFormatWarning")
@pytest.mark.parametrize("name", [name for name in EXPECTED["dump"] if not EXPECTED["dump"][name].get("optional")])
def test_every_dump(name: str) -> None:
    if name == "dump/no_id.lammpstrj":
        return
    entry = EXPECTED["dump"][name]
    lines = summarise(FOLDER / name)
    assert lines[0].endswith(f"{entry['n_frames']} frames" if entry["n_frames"] > 1 else "1 frame")
    how = next(line for line in lines if line.startswith("  positions"))
    told = (
        "unwrapped" in entry["coordinates"]
        or "image" in entry["coordinates"]
        or name == "dump/boundary_ss_scaled.lammpstrj"
    )
    assert how.endswith("positions   unwrapped") == (told and not name.endswith(".dcd"))
