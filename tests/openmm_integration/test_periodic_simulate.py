"""``cgplugin simulate`` of electrolytes: files with boxes, replicas in one batch, kills."""

import json
import sys
from pathlib import Path

import MDAnalysis
import mdtraj
import numpy as np
import pytest
from openmm import app, unit

from cgplugin.systems.structure_files import Structure
from tests.conftest import run_cli
from tests.killed_runs import assert_same_files, kill_and_finish

from .electrolytes import OPTIONS


@pytest.fixture(scope="module")
def run(electrolyte_model: Path, electrolytes: list[Structure], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    source = electrolytes[0].source
    done = run_cli(
        "simulate", electrolyte_model, source, "--start", source.parent / "traj.lammpstrj.bz2", "--time", 80, "--seed", 2,
        "--replicas", 2, "--report-interval", 2, "--out", out, *OPTIONS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out


def test_files_of_replicas_in_a_box(run: Path, electrolytes: list[Structure]) -> None:
    box = electrolytes[0].box_vectors
    series = []
    for n in range(2):
        folder = run / "000" / f"replica-{n}"
        topology, trajectory = str(folder / "topology.pdb"), str(folder / "trajectory.dcd")
        loaded = mdtraj.load(trajectory, top=topology)
        assert loaded.n_frames == 10
        np.testing.assert_allclose(loaded.unitcell_vectors, np.broadcast_to(box, (10, 3, 3)), atol=1e-5)
        np.testing.assert_allclose(mdtraj.load_pdb(topology).unitcell_vectors[0], box, atol=1e-3)
        read = app.PDBFile(topology).topology.getPeriodicBoxVectors().value_in_unit(unit.nanometer)
        np.testing.assert_allclose(np.array(read), box, atol=1e-3)
        universe = MDAnalysis.Universe(topology, trajectory)
        for frame in universe.trajectory:
            np.testing.assert_allclose(frame.dimensions, [*10 * np.diagonal(box), 90, 90, 90], rtol=1e-5)
        mapping = json.loads((folder / "mapping.json").read_text())
        assert sorted(atom for bead in mapping["beads"] for atom in bead) == list(range(electrolytes[0].system.n_atoms))
        series.append((folder / "properties.csv").read_text())
    assert series[0] != series[1]
    assert len(series[0].splitlines()) == 21


def test_killed_runs_in_boxes_resume_to_the_same_bytes(
    electrolyte_model: Path, electrolytes: list[Structure], tmp_path: Path
) -> None:
    source = electrolytes[0].source
    options = [source, "--start", source.parent / "traj.lammpstrj.bz2", "--time", 1200, "--replicas", 2, "--seed", 5]
    options += ["--checkpoint-interval", 50, *OPTIONS]
    alone = run_cli("simulate", electrolyte_model, *options, "--out", tmp_path / "alone")
    assert alone.returncode == 0, alone.stderr
    words = [sys.executable, "-m", "cgplugin", "simulate", str(electrolyte_model), *map(str, options)]
    words += ["--out", str(tmp_path / "killed"), "--resume"]
    assert kill_and_finish(words, tmp_path / "killed" / "progress.json", times=2, longest_wait=0.1) >= 1
    for n in range(2):
        assert_same_files(tmp_path / "alone" / "000" / f"replica-{n}", tmp_path / "killed" / "000" / f"replica-{n}")
