"""Data files that we write: read back bit by bit, and by real LAMMPS."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from lammps_reader import LammpsData, read_data, write_data
from lammps_reader.data import ATOM_STYLES
from tests.lammps_process import job, run_jobs
from tests.lammps_reader.made_up_data import any_data, chain_data

SLOW_FOLDER = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=150, deadline=None, suppress_health_check=SLOW_FOLDER)
@given(data=any_data())
def test_what_is_written_is_read_bit_by_bit(tmp_path: Path, data: LammpsData) -> None:
    write_data(tmp_path / "x.data", data)
    assert read_data(tmp_path / "x.data") == data


@settings(max_examples=50, deadline=None, suppress_health_check=SLOW_FOLDER)
@given(data=any_data(exact=False))
def test_wrapping_costs_no_more_than_rounding(tmp_path: Path, data: LammpsData) -> None:
    write_data(tmp_path / "x.data", data)
    found = read_data(tmp_path / "x.data")
    assert dataclasses.replace(found, positions=data.positions) == data
    scale = np.abs(data.positions).max() + np.abs(data.images @ data.box.vectors).max()
    np.testing.assert_allclose(found.positions, data.positions, rtol=0, atol=4e-16 * scale)
    if not data.images.any():
        assert found == data


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".zst"])
def test_compressed(tmp_path: Path, suffix: str) -> None:
    data = chain_data("full", tilt=True, labels=True)
    write_data(tmp_path / f"x.data{suffix}", data)
    assert read_data(tmp_path / f"x.data{suffix}") == data
    first = (tmp_path / f"x.data{suffix}").read_bytes()
    assert (b"Atoms" in first) == (suffix == "")
    write_data(tmp_path / f"x.data{suffix}", data)
    assert (tmp_path / f"x.data{suffix}").read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == [f"x.data{suffix}"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"positions": np.full((12, 3), np.nan)}, "atom 101 is not finite"),
        ({"charges": None}, "charges are missing"),
        ({"ids": np.arange(12)}, "positive and sorted"),
        ({"types": np.ones(12)}, "expected integers"),
        ({"velocities": np.zeros((3, 3))}, r"velocities have shape \(3, 3\)"),
        ({"bonds": np.array([[1, 101, 999]])}, "bond 0 joins"),
        ({"bonds": np.array([[1, 101, 101]])}, "twice"),
        ({"bonds": np.array([[1, 101, 103], [1, 103, 101]])}, "the atoms 101 and 103 is there twice"),
        ({"masses": {2: 1.0}}, "no atom type 1"),
        ({"masses": {1: 1.0, 2: -1.0}}, "positive"),
        ({"type_labels": {"atom": {1: "1a", 2: "b"}}}, "labels"),
        ({"type_labels": {"atom": {1: "a", 2: "a"}}}, "labels"),
        ({"coefficients": {"Bond Coeffs": ["1 2 3"]}}, "1 rows, expected 2"),
        ({"coefficients": {"Bondz Coeffs": ["1 2 3"]}}, "unknown section"),
        ({"atom_style": "sphere"}, "unknown atom style"),
        ({"atom_style": "charge"}, "charge does not have"),
    ],
)
def test_what_lammps_could_not_read_is_not_written(tmp_path: Path, change: dict, message: str) -> None:
    (tmp_path / "x.data").write_text("before")
    with pytest.raises(ValueError, match=message):
        write_data(tmp_path / "x.data", dataclasses.replace(chain_data("full"), **change))
    assert (tmp_path / "x.data").read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 1


CASES = [(style, tilt, labels) for style in ATOM_STYLES for tilt in (False, True) for labels in (False, True)]


def test_every_style_in_real_lammps(tmp_path: Path) -> None:
    """What LAMMPS holds after it has read our file, and what we read of the file that it then writes."""
    jobs, written = [], []
    for number, (style, tilt, labels) in enumerate(CASES):
        data = chain_data(style, tilt=tilt, labels=labels)
        write_data(tmp_path / f"{number}.data", data)
        written.append(data)
        commands = ["units real", f"atom_style {style}", f"read_data {tmp_path}/{number}.data"]
        jobs.append(job(commands, write=f"{tmp_path}/{number}.back.data nocoeff"))
    for number, (data, found) in enumerate(zip(written, run_jobs(jobs), strict=True)):
        check_against_lammps(data, found)
        back = read_data(tmp_path / f"{number}.back.data")
        assert back.atom_style == data.atom_style
        assert back.units == "real"
        # those of bonds and so on LAMMPS writes with the styles that this input lacks
        assert back.type_labels.get("atom") == data.type_labels.get("atom")
        # LAMMPS writes 16 digits
        check_against_lammps(back, found, rtol=1e-15)


def check_against_lammps(data: LammpsData, found: dict, rtol: float = 0) -> None:
    assert data.ids.tolist() == found["id"]
    assert data.types.tolist() == found["type"]
    assert (None if data.molecules is None else data.molecules.tolist()) == found["molecule"]
    if data.charges is None:
        assert found["q"] is None
    else:
        np.testing.assert_allclose(data.charges, found["q"], rtol=rtol, atol=0)
    np.testing.assert_allclose(data.velocities, found["v"], rtol=rtol, atol=0)
    np.testing.assert_array_equal([data.box.lo, data.box.hi, data.box.tilt], found["box"])
    assert list(data.masses.values()) == found["masses"]
    np.testing.assert_allclose(data.positions, found["x"] + found["images"] @ data.box.vectors, rtol=0, atol=1e-12)
    for kind in ("bonds", "angles", "dihedrals", "impropers"):
        ours = sorted((row[0], *min(row[1:], row[:0:-1])) for row in getattr(data, kind).tolist())
        theirs = sorted((row[0], *min(row[1:], row[:0:-1])) for row in found[kind])
        assert ours == theirs
