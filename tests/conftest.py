"""What several tests need: reference data, made-up systems, and a model trained on the spot."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from cgplugin import MolecularSystem
from cgplugin.coarse_graining.coarse_trajectory import CoarseTrajectory
from cgplugin.coarse_graining.coarsening import coarsen

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
POLYMER = SHARED / "polymer"

torch.set_num_threads(1)


def run_cli(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``cgplugin`` as a user does."""
    words = [sys.executable, "-m", "cgplugin", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd=cwd)


def chain(n: int, name: str = "chain", atom_type: str = "A", mass: float = 1.0) -> MolecularSystem:
    """Linear chain of equal atoms in reduced units."""
    bonds = [(i, i + 1) for i in range(n - 1)]
    return MolecularSystem((atom_type,) * n, np.full(n, mass), np.array(bonds), ("b",) * (n - 1), units="lj", name=name)


def bead_path(system: MolecularSystem, positions: np.ndarray, interval: float) -> CoarseTrajectory:
    """Trajectory of a system whose atoms are beads."""
    cg = coarsen(system, 1)
    return CoarseTrajectory(
        cg,
        positions.astype(np.float32),
        np.zeros(positions.shape[:2], dtype=np.float32),
        None,
        np.zeros(3),
        interval,
        system.name,
    )


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model trained for a few seconds on four reference polymers, through the command line."""
    folder = tmp_path_factory.mktemp("model")
    data = []
    for number in ("000", "003", "004", "007"):
        data += ["--data", POLYMER / "train" / number]
    options = ["--steps", 120, "--validate-every", 60, "--layers", 2, "--hidden", 32, "--threads", 1]
    # with all there is: the tests of restarts cover the refinement too
    options += ["--score", "--score-layers", 1, "--refinement-levels", 2]
    done = run_cli("train", *data, "--out", folder / "model.pt", *options)
    assert done.returncode == 0, done.stderr
    return folder / "model.pt"


@pytest.fixture(scope="session")
def polymer_data() -> Path:
    """LAMMPS data file of a random copolymer that no test trains on."""
    return POLYMER / "devtest" / "000" / "topology.data"
