"""`python -m benchmarks.lammps_runs` on what `cgplugin generate` makes, with real LAMMPS."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lammps_reader import open_dump, read_data
from tests.conftest import ROOT, run_cli

SPEC = """
force_field: polymer
n_systems: 2
length: 1
recording_interval: 1
relaxation: 1
seed: 3
"""


def lammps_runs(systems: Path, out: Path, *words: str) -> None:
    command = [
        sys.executable,
        "-m",
        "benchmarks.lammps_runs",
        str(systems),
        "--out",
        str(out),
        "--force-field",
        "polymer",
    ]
    subprocess.run([*command, *words], check=True, cwd=ROOT)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lammps_runs")
    (folder / "spec.yaml").write_text(SPEC)
    done = run_cli("generate", folder / "spec.yaml", "--out", folder / "systems", "--workers", 1)
    assert done.returncode == 0, done.stderr
    return folder / "systems"


def test_runs_are_there_whole_and_are_kept(generated: Path, tmp_path: Path) -> None:
    words = ("--relaxation", "1", "--time", "4", "--interval", "2", "--workers")
    lammps_runs(generated, tmp_path / "one", *words, "1")
    folders = sorted(path.name for path in generated.iterdir() if path.is_dir())
    assert len(folders) == 2
    for name in folders:
        data = read_data(tmp_path / "one" / name / "topology.data")
        dump = open_dump(tmp_path / "one" / name / "traj.lammpstrj")
        assert [frame.timestep for frame in dump] == [0, 200, 400]
        assert set(dump.n_atoms) == {len(data.positions)}
        # the chain is whole, and moves
        first, *_, last = (frame.positions for frame in dump)
        assert np.linalg.norm(last[1] - last[0]) < 2
        assert np.abs(last - first).max() > 0.5
    # what is missing is made again, the same whoever runs beside it
    kept, missing = (tmp_path / "one" / name / "traj.lammpstrj" for name in folders)
    before, written = missing.read_bytes(), kept.stat().st_mtime_ns
    missing.unlink()
    lammps_runs(generated, tmp_path / "one", *words, "2")
    assert missing.read_bytes() == before
    assert kept.stat().st_mtime_ns == written
