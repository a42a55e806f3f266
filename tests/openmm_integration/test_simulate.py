"""``cgplugin simulate`` and ``cgplugin analyze`` on what it wrote."""

import csv
import json
import shutil
import sys
from pathlib import Path

import mdtraj
import numpy as np
import pytest
from openmm import app

from tests.conftest import POLYMER, run_cli
from tests.killed_runs import assert_same_files, kill_and_finish


@pytest.fixture(scope="module")
def run(small_model: Path, polymer_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    done = run_cli(
        "simulate", small_model, polymer_data, "--time", "1000tau", "--out", out, "--seed", 3, "--threads", 1
    )
    assert done.returncode == 0, done.stderr
    return out


def test_files(run: Path, small_model: Path) -> None:
    folder = run / "000"
    topology, trajectory = folder / "topology.pdb", folder / "trajectory.dcd"
    loaded = mdtraj.load(trajectory, top=topology)
    mapping = json.loads((folder / "mapping.json").read_text())
    summary = json.loads((folder / "summary.json").read_text())
    assert loaded.n_frames == 20
    assert loaded.n_atoms == len(mapping["beads"]) == 9
    assert sorted(atom for bead in mapping["beads"] for atom in bead) == list(range(91))
    assert sorted((a.index, b.index) for a, b in loaded.topology.bonds) == [tuple(b) for b in mapping["bonds"]]
    assert app.PDBFile(str(topology)).topology.getNumBonds() == len(mapping["bonds"])
    assert summary["time"] == 1000
    assert summary["n_steps"] == 200
    assert summary["units"] == "lj"
    rows = list(csv.DictReader((folder / "properties.csv").open()))
    assert [float(row["time"]) for row in rows] == [5.0 * n for n in range(1, 201)]
    rg2 = np.array([float(row["rg2"]) for row in rows])
    assert 5 < rg2.mean() < 60
    # Rg^2 of the beads alone, plus what is inside them
    beads = mdtraj.compute_rg(loaded, masses=np.array(mapping["masses"])) ** 2
    inside = rg2[9::10] - beads
    assert (inside > 0).all()
    assert 1 < inside.mean() < 3


def test_equal_seeds_give_equal_files_and_others_not(
    run: Path, small_model: Path, polymer_data: Path, tmp_path: Path
) -> None:
    for name, seed in (("same", 3), ("other", 4)):
        done = run_cli(
            "simulate",
            small_model,
            polymer_data,
            "--time",
            1000,
            "--out",
            tmp_path / name,
            "--seed",
            seed,
            "--threads",
            1,
        )
        assert done.returncode == 0, done.stderr
    expected = (run / "000" / "trajectory.dcd").read_bytes()[300:]
    assert (tmp_path / "same" / "000" / "trajectory.dcd").read_bytes()[300:] == expected
    assert (tmp_path / "other" / "000" / "trajectory.dcd").read_bytes()[300:] != expected


def test_killed_runs_resume_to_the_same_bytes(small_model: Path, tmp_path: Path) -> None:
    structures = [POLYMER / "devtest" / name / "topology.data" for name in ("000", "001")]
    options = [*structures, "--time", 20_000, "--seed", 5, "--threads", 1, "--checkpoint-interval", 100]
    alone = run_cli("simulate", small_model, *options, "--out", tmp_path / "alone")
    assert alone.returncode == 0, alone.stderr
    words = [sys.executable, "-m", "cgplugin", "simulate", str(small_model), *map(str, options)]
    words += ["--out", str(tmp_path / "killed"), "--resume"]
    assert kill_and_finish(words, tmp_path / "killed" / "progress.json", times=3, longest_wait=0.4) >= 2
    for name in ("000", "001"):
        assert_same_files(tmp_path / "alone" / name, tmp_path / "killed" / name)
        headers = [(tmp_path / which / name / "trajectory.dcd").read_bytes()[:80] for which in ("alone", "killed")]
        assert headers[0] == headers[1]


def test_longer_time_extends_a_run(run: Path, small_model: Path, polymer_data: Path, tmp_path: Path) -> None:
    options = [small_model, polymer_data, "--out", tmp_path, "--seed", 3, "--threads", 1, "--resume"]
    for duration in (430, 1000):
        done = run_cli("simulate", *options, "--time", duration)
        assert done.returncode == 0, done.stderr
    expected = (run / "000" / "trajectory.dcd").read_bytes()
    assert (tmp_path / "000" / "trajectory.dcd").read_bytes()[300:] == expected[300:]
    assert (tmp_path / "000" / "properties.csv").read_text() == (run / "000" / "properties.csv").read_text()


def test_frames_behind_the_last_checkpoint_are_cut_and_missing_ones_refused(
    run: Path, small_model: Path, polymer_data: Path, tmp_path: Path
) -> None:
    """Also where no steps are left, and so nothing is appended."""
    out = tmp_path / "copy"
    shutil.copytree(run, out)
    trajectory = out / "000" / "trajectory.dcd"
    expected = trajectory.read_bytes()
    options = [small_model, polymer_data, "--out", out, "--seed", 3, "--threads", 1, "--resume", "--time", 1000]
    trajectory.write_bytes(expected + expected[-100:])
    done = run_cli("simulate", *options)
    assert done.returncode == 0, done.stderr
    assert trajectory.read_bytes() == expected
    trajectory.write_bytes(expected[:-100])
    done = run_cli("simulate", *options)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()[-1:]
    assert f"{trajectory}: ends at step" in line
    assert "frames would be missing" in line


def test_run_killed_before_its_first_checkpoint_starts_anew(
    run: Path, small_model: Path, polymer_data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "copy"
    shutil.copytree(run, out)
    (out / "progress.json").unlink()
    (out / "000" / "summary.json").unlink()
    with (out / "000" / "properties.csv").open("a") as file:
        file.write("1005,2")
    options = [small_model, polymer_data, "--out", out, "--seed", 3, "--threads", 1, "--resume", "--time", 1000]
    done = run_cli("simulate", *options)
    assert done.returncode == 0, done.stderr
    for name in ("properties.csv", "summary.json"):
        assert (out / "000" / name).exists()
    assert (out / "000" / "properties.csv").read_text() == (run / "000" / "properties.csv").read_text()


def test_replicas_are_independent_and_have_folders(small_model: Path, polymer_data: Path, tmp_path: Path) -> None:
    done = run_cli(
        "simulate", small_model, polymer_data, "--time", 100, "--out", tmp_path, "--replicas", 3, "--threads", 1
    )
    assert done.returncode == 0, done.stderr
    series = [(tmp_path / "000" / f"replica-{n}" / "properties.csv").read_text() for n in range(3)]
    assert len(set(series)) == 3


def test_start_from_a_trajectory(small_model: Path, polymer_data: Path, tmp_path: Path) -> None:
    start = polymer_data.parent / "traj.lammpstrj.bz2"
    done = run_cli(
        "simulate", small_model, polymer_data, "--time", 50, "--out", tmp_path, "--start", start, "--threads", 1,
        "--report-interval", 1,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert mdtraj.load(tmp_path / "000" / "trajectory.dcd", top=tmp_path / "000" / "topology.pdb").n_frames == 10


def test_finished_results_are_not_overwritten(run: Path, small_model: Path, polymer_data: Path) -> None:
    done = run_cli("simulate", small_model, polymer_data, "--time", 100, "--out", run)
    assert done.returncode == 2
    assert "exists already: use --resume to go on, or another folder" in done.stderr


def test_another_run_is_not_continued(run: Path, small_model: Path, polymer_data: Path) -> None:
    done = run_cli("simulate", small_model, polymer_data, "--time", 2000, "--out", run, "--seed", 9, "--resume")
    assert done.returncode == 2
    assert "holds a run that differs in seed" in done.stderr


def test_analyze_what_was_simulated(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    done = run_cli("analyze", copy, "--discard", 100)
    assert done.returncode == 0, done.stderr
    assert "sigma^2" in done.stdout
    assert "dcdplugin" not in done.stdout
    row = next(csv.DictReader((copy / "analysis.csv").open()))
    rg2 = np.loadtxt(copy / "000" / "properties.csv", delimiter=",", skiprows=1)
    assert float(row["rg2_mean"]) == pytest.approx(rg2[rg2[:, 0] >= 100, 1].mean(), rel=1e-5)
    content = json.loads((copy / "000" / "analysis.json").read_text())
    assert content["n_frames"] == 19
    assert content["length_unit"] == "sigma"
    for name in (
        "000/analysis.png",
        "analysis.png",
        "000/distribution.csv",
        "000/autocorrelation.csv",
        "analysis.json",
    ):
        assert (copy / name).stat().st_size > 0
