"""Reference systems from folders: where Rg^2 and its interval come from."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cgplugin import UserError
from cgplugin.evaluation.reference_data import load_reference, load_references, stride_of_frames
from cgplugin.units import time_unit
from tests.conftest import POLYMER


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A writable copy of a reference polymer."""
    copy = tmp_path / "data" / "p0"
    shutil.copytree(POLYMER / "devtest" / "006", copy)
    copy.chmod(0o755)
    for item in copy.iterdir():
        item.chmod(0o644)
    return copy


def test_interval_is_found_from_the_frames(folder: Path) -> None:
    reference = load_reference(folder)
    assert (reference.name, reference.interval, reference.duration) == ("p0", 0.5, 25_000)
    assert [item.interval for item in reference.trajectories] == [50, 1]
    assert time_unit(reference.system.units) == "tau"
    assert reference.seconds is None
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps({**meta, "rg2_interval": 0.25, "seconds": 40}))
    told = load_reference(folder)
    assert (told.interval, told.seconds) == (0.25, 40)
    assert load_reference(folder, rg2_interval=2).interval == 2


def test_without_a_series_the_frames_count(folder: Path) -> None:
    series = np.load(folder / "rg2.npy")
    (folder / "rg2.npy").unlink()
    reference = load_reference(folder)
    assert (reference.interval, len(reference.rg2)) == (50, 500)
    np.testing.assert_allclose(reference.rg2, series[100::100], rtol=1e-3)


def test_stride_of_frames() -> None:
    series = np.random.default_rng(0).gamma(9, 2, size=3000)
    frames = series[40:2000:7] * (1 + 1e-4)
    assert stride_of_frames(series, frames) == 7
    assert stride_of_frames(series, frames[::-1]) is None
    assert stride_of_frames(series, frames[:1]) is None
    assert stride_of_frames(series[:50], frames) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: [(f / n).unlink() for n in ("rg2.npy", "traj.lammpstrj.bz2", "long.lammpstrj.bz2")],
         "p0: has neither rg2.npy nor a trajectory"),
        (lambda f: [(f / n).unlink() for n in ("traj.lammpstrj.bz2", "long.lammpstrj.bz2")],
         "rg2.npy: nothing tells the time between its values: give --rg2-interval"),
        (lambda f: np.save(f / "rg2.npy", np.load(POLYMER / "devtest" / "007" / "rg2.npy")),
         "they are not of one run"),
        (lambda f: np.save(f / "rg2.npy", np.array([1.0, np.nan])), "rg2.npy: value 1 is nan"),
        (lambda f: np.save(f / "rg2.npy", np.ones((2, 2))), "expected a series of at least two numbers"),
        (lambda f: (f / "rg2.npy").write_bytes(b"no"), "rg2.npy: cannot be read"),
        (lambda f: (f / "meta.json").write_text('{"rg2_interval": "x"}'), "'rg2_interval' is 'x'"),
        (lambda f: shutil.copytree(f, f.parent / "other" / "p0"), "is called 'p0' like"),
    ],
)  # fmt: skip
def test_folders_that_do_not_do(folder: Path, change, message: str) -> None:
    change(folder)
    with pytest.raises(UserError, match=message.replace("'", ".")):
        load_references([folder.parent])


def test_empty_and_missing_folders(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no reference systems"):
        load_references([tmp_path])
    with pytest.raises(UserError, match="no such folder"):
        load_references([tmp_path / "no"])
