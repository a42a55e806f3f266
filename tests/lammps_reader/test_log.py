"""Logs: those that LAMMPS wrote for the fixtures, real LAMMPS of the tests' own, and damage."""

import gzip
import importlib
import json
import sys
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lammps_reader import LammpsFormatError, LammpsFormatWarning, ThermoRun, read_log
from tests.conftest import SHARED
from tests.lammps_reader.real_lammps import run_lammps

FOLDER = SHARED / "lammps"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())
MALFORMED = {name: entry for name, entry in EXPECTED["malformed"].items() if ".log" in name}

HEAD = "LAMMPS (22 Jul 2025)\nrun 20\nPer MPI rank memory allocation (min/avg/max) = 3.0 | 3.0 | 3.0 Mbytes\n"
NAMES = "   Step          Temp          Press     \n"
LOOP = "Loop time of 0.000412413 on 1 procs for 20 steps with 32 atoms\n"


def quietly(path: Path) -> tuple[list[ThermoRun], list[str]]:
    """Runs, and what was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        runs = read_log(path)
    assert all(warning.category is LammpsFormatWarning for warning in caught)
    return runs, [str(warning.message) for warning in caught]


def written(folder: Path, text: str) -> Path:
    path = folder / "log.lammps"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("name", EXPECTED["log"])
def test_fixture(name: str) -> None:
    entry = EXPECTED["log"][name]
    runs, said = quietly(FOLDER / name)
    assert len(runs) == entry["n_runs"]
    for run, expected in zip(runs, entry["runs"], strict=True):
        assert list(run) == expected["columns"]
        assert run.n_rows == expected["n_rows"] or expected["n_rows"] is None
        for row, values in ((0, expected["first"]), (-1, expected["last"])):
            for column, value in zip(expected["columns"], values, strict=True):
                if column not in expected.get("unstable_columns", ["CPU"]):
                    # six or more digits are written
                    assert run[column][row] == pytest.approx(value, rel=2e-5, abs=1e-7)
        assert run["Step"].dtype == np.int64
    complete = entry.get("complete", True)
    assert runs[-1].complete == complete
    assert all(run.complete for run in runs[:-1])
    assert len(said) == (not complete)
    if "partial_line" in entry:
        assert said[0].startswith(f"{FOLDER / name}:{entry['partial_line']}: ")


def test_values_that_are_not_finite_are_kept() -> None:
    first = read_log(FOLDER / "log/nan_row.log")[0]
    assert np.isnan(np.stack(list(first.values()))).any()
    assert np.isneginf(np.stack(list(first.values()))).any()


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(name: str) -> None:
    entry = MALFORMED[name]
    try:
        runs, said = quietly(FOLDER / name)
    except LammpsFormatError as error:
        message = str(error)
        assert "error" in entry["reader_must"]
    else:
        assert "warn" in entry["reader_must"]
        (message,) = said
        if entry["line"] is None:
            assert runs == []
    assert message.startswith(f"{FOLDER / name}:{entry['line']}: " if entry["line"] else f"{FOLDER / name}: ")
    assert "\n" not in message


def test_styles_of_real_lammps(tmp_path: Path) -> None:
    names = ("step", "temp", "pe", "press", "etotal", "vol")
    start = (
        "units lj\nlattice fcc 0.8\nregion b block 0 3 0 3 0 3\ncreate_box 1 b\ncreate_atoms 1 box\nmass 1 1.0\n"
        "velocity all create 1.4 87287\npair_style lj/cut 2.5\npair_coeff 1 1 1 1\nfix 1 all nve\nthermo 5\n"
        'fix p all print 10 "note 1 = $(step) x = 5"\n'
    )
    commands = start + "\n".join(
        [
            "thermo_style multi\nrun 20\nRECORD\nrun 10 pre no\nRECORD",
            "thermo_style custom step temp etotal press vol c_thermo_temp\nthermo_modify line multi\nrun 10\nRECORD",
            "thermo_style one\nrun 10\nRECORD\nrun 10 pre no post no\nRECORD",
            "thermo_style custom temp step pe\nrun 10\nRECORD\nrun 5 pre no\nRECORD",
            "thermo_style yaml\nrun 10\nRECORD\nrun 10 pre no\nRECORD",
            "thermo_style custom step temp temp pe\nthermo_modify colname 2 'My temp'\nrun 5\nRECORD",
            "thermo_style custom step temp pe press\nthermo_modify format float %20.15g\nrun 10 every 5 'print 1'\nRECORD",
            "minimize 0 0 10 20\nRECORD",
        ]
    )
    held = run_lammps(commands, tmp_path, log="log.lammps", thermo=names)
    runs, said = quietly(tmp_path / "log.lammps")
    assert not said
    assert all(run.complete and not run.problems for run in runs)
    assert len(runs) == 13
    assert [run.n_rows for run in runs[:-1]] == [5, 3, 3, 3, 3, 3, 2, 3, 3, 2, 2, 2]
    assert list(runs[0])[:6] == ["Step", "CPU", "TotEng", "KinEng", "Temp", "PotEng"]
    assert list(runs[2]) == ["Step", "CPU", "Temp", "TotEng", "Press", "Volume", "c_thermo_temp"]
    assert list(runs[9]) == ["Step", "My temp", "Temp", "PotEng"]
    columns = {"Step": "step", "Temp": "temp", "PotEng": "pe", "Press": "press", "TotEng": "etotal", "Volume": "vol"}
    # of the run in two parts LAMMPS was asked once, at its end
    for run, record in zip([*runs[:10], *runs[11:]], held, strict=True):
        common = [column for column in run if columns.get(column) in record["thermo"]]
        assert len(common) >= 2
        for column in common:
            expected = record["thermo"][columns[column]]
            assert run[column][-1] == pytest.approx(expected, rel=1e-6, abs=6e-5), (column, run.line)


def test_a_column_that_occurs_twice_is_kept_twice(tmp_path: Path) -> None:
    path = written(tmp_path, HEAD + "Step Temp Temp\n0 1 2\n10 3 4\n" + LOOP)
    (run,) = read_log(path)
    assert {name: values.tolist() for name, values in run.items()} == {
        "Step": [0, 10],
        "Temp": [1, 3],
        "Temp_2": [2, 4],
    }


def test_windows_line_ends_and_compression(tmp_path: Path) -> None:
    source = (FOLDER / "log/one_three_runs.log").read_bytes()
    expected = read_log(FOLDER / "log/one_three_runs.log")
    (tmp_path / "crlf.log").write_bytes(source.replace(b"\n", b"\r\n"))
    (tmp_path / "packed.log.gz").write_bytes(gzip.compress(source))
    for name in ("crlf.log", "packed.log.gz"):
        for run, other in zip(read_log(tmp_path / name), expected, strict=True):
            assert list(run) == list(other)
            assert all(np.array_equal(run[column], other[column]) for column in run)


def test_cut_archive_gives_what_is_whole(tmp_path: Path) -> None:
    rows = "".join(f"{n:10d} {n * 0.37:.8g} {n * 1.7 % 3:.8g}\n" for n in range(20000))
    path = tmp_path / "log.gz"
    packed = gzip.compress((HEAD + NAMES + rows + LOOP).encode())
    path.write_bytes(packed[: len(packed) // 2])
    runs, said = quietly(path)
    assert 1000 < runs[0].n_rows < 20000
    assert not runs[0].complete
    assert len(said) == 1
    assert "compressed data end early" in said[0]
    path.write_bytes(packed[:8])
    with pytest.raises(LammpsFormatError, match="no line is whole"):
        read_log(path)


@pytest.mark.parametrize("cut", [0, 1, 5, 12, 20, 30, 44, 45])
def test_log_that_is_cut_anywhere(tmp_path: Path, cut: int) -> None:
    whole = HEAD + NAMES + "".join(f"{n:10d} {n + 0.5:.8g} {-n - 0.25:.8g}\n" for n in range(0, 40, 10))
    runs, said = quietly(written(tmp_path, whole[: len(whole) - cut]))
    (run,) = runs
    assert run.n_rows == whole[: len(whole) - cut].count("\n") - 4
    np.testing.assert_array_equal(run["Temp"], run["Step"] + 0.5)
    np.testing.assert_array_equal(run["Press"], -run["Step"] - 0.25)
    assert not run.complete
    assert len(said) == 1


@pytest.mark.parametrize(
    ("line", "n_rows", "warned"),
    [
        ("WARNING: 1 2 3", 2, False),
        ("note from fix print 5", 2, False),
        ("a b c", 2, False),
        ("SHAKE stats (type/ave/delta/count) on step 0\nBond:   4   0.9 1.2e-05 33\n  4 0.96 1.2e-05 3", 2, False),
        ("", 2, False),
        ("5 1.5", 2, True),
        ("5 1.5 2.5 3.5", 2, True),
        ("5 ***** 2.5", 2, True),
        ("5 1_0 2.5", 2, True),
        ("0 1.5 2.5", 2, True),
        ("4.5 1.5 2.5", 2, True),
        ("nan 1.5 2.5", 2, True),
        ("1e300 1.5 2.5", 2, True),
        ("5 nan -inf", 3, False),
    ],
)
def test_lines_between_rows(tmp_path: Path, line: str, n_rows: int, warned: bool) -> None:
    path = written(tmp_path, f"{HEAD}{NAMES}  0 1 2\n{line}\n  10 3 4\n{LOOP}")
    runs, said = quietly(path)
    assert [run.n_rows for run in runs] == [n_rows]
    assert runs[0]["Step"][[0, -1]].tolist() == [0, 10]
    assert [message.startswith(f"{path}:6: ") for message in said] == [True] * warned
    assert len(runs[0].problems) == warned


def test_many_damaged_rows_make_one_line(tmp_path: Path) -> None:
    runs, said = quietly(written(tmp_path, HEAD + NAMES + "0 1\n" * 500 + LOOP))
    assert runs[0].n_rows == 0
    assert len(said) == 1
    assert said[0].endswith("skipped (and 99 more)")


@pytest.mark.parametrize("style", ["one_three_runs", "yaml_style"])
def test_second_session_in_a_log_that_was_cut(tmp_path: Path, style: str) -> None:
    text = (FOLDER / f"log/{style}.log").read_text()
    half = text[: text.index("Loop time") - 60]
    runs, said = quietly(written(tmp_path, half + "\n" + text))
    n_runs = EXPECTED["log"][f"log/{style}.log"]["n_runs"]
    assert [run.complete for run in runs] == [False] + [True] * n_runs
    assert len(said) == 1


def test_cut_multi_style_gives_whole_blocks(tmp_path: Path) -> None:
    block = (
        "------------ Step {:14d} ----- CPU = {:12g} (sec) -------------\n"
        "TotEng   = {:14.4f} Temp     = {:14.4f} \nPress    = {:14.4f}\n"
    )
    text = HEAD + "".join(block.format(n, n, n, n, n) for n in (0, 5, 10))
    for cut, n_rows in ((0, 3), (3, 2), (24, 2), (60, 2), (100, 2)):
        runs, said = quietly(written(tmp_path, text[: len(text) - cut]))
        assert runs[0].n_rows == n_rows
        assert len(said) == 1


def test_without_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    run = read_log(FOLDER / "log/one_three_runs.log")[0]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        run.to_pandas()


def test_to_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    run = read_log(FOLDER / "log/one_three_runs.log")[0]
    try:
        pandas = importlib.import_module("pandas")
    except ImportError:
        pandas = type(sys)("pandas")
        pandas.DataFrame = dict
        monkeypatch.setitem(sys.modules, "pandas", pandas)
    table = run.to_pandas()
    assert isinstance(table, pandas.DataFrame)
    assert list(table) == list(run)
    assert list(table["Temp"]) == run["Temp"].tolist()


def test_a_run_is_a_mapping_that_cannot_be_changed() -> None:
    run = read_log(FOLDER / "log/one_three_runs.log")[0]
    assert dict(run).keys() == set(run.keys())
    with pytest.raises(AttributeError):
        run.complete = False
    with pytest.raises(KeyError):
        _ = run["Entropy"]


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(LammpsFormatError, match="no such file"):
        read_log(tmp_path / "no.log")


def test_long_text_without_tables_takes_no_memory(tmp_path: Path) -> None:
    path = written(tmp_path, "a line of an input script that was echoed\n" * 400_000)
    tracemalloc.start()
    _, said = quietly(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert said == [f"{path}: the file has no thermodynamic output: not a log of LAMMPS, or of no run?"]
    assert peak < 8 * 2**20


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.floats(width=32), st.floats(allow_nan=False)), min_size=1, max_size=20),
    noise=st.lists(st.sampled_from(["WARNING: 1 2 3", "text from a fix", "", "ITEM: x"]), max_size=5),
    crlf=st.booleans(),
)
def test_any_numbers_come_back(tmp_path_factory: pytest.TempPathFactory, rows, noise, crlf) -> None:
    lines = [f"{n * 5} {a!r} {b!r}" for n, (a, b) in enumerate(rows)]
    for n, line in enumerate(noise):
        lines.insert((7 * n) % (len(lines) + 1), line)
    text = HEAD + NAMES + "\n".join(lines) + "\n" + LOOP
    path = tmp_path_factory.mktemp("log") / "log.lammps"
    path.write_bytes((text.replace("\n", "\r\n") if crlf else text).encode())
    runs, said = quietly(path)
    assert not said
    np.testing.assert_array_equal(runs[0]["Temp"], [a for a, _ in rows])
    np.testing.assert_array_equal(runs[0]["Press"], [b for _, b in rows])
