"""Exported files in processes that know OpenMM and openmm-torch alone (make test-openmm-torch)."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cgplugin import LearnedModel
from cgplugin.networks.options import NetworkOptions
from openmm_integration import CoarseSystem
from openmm_integration.export import ExportedSimulation, export_simulation
from tests.conftest import ROOT, chain
from tests.random_model import random_model

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("openmmtorch") is None, reason="no openmm-torch here: make test-openmm-torch"
)
SEED, STEPS = 11, 20


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[ExportedSimulation, Path]:
    system = chain(60)
    folder = tmp_path_factory.mktemp("export")
    options = NetworkOptions(hidden=8, layers=1, score=False)
    model = LearnedModel.load(random_model(folder / "model.pt", [system], periodic=False, options=options))
    cg = model.coarsen(system)
    random = np.random.default_rng(1)
    first = np.cumsum(random.normal(size=(cg.n_beads, 3)), axis=0)
    frames = first + np.cumsum(random.normal(scale=0.3, size=(3, cg.n_beads, 3)), axis=0)
    made = export_simulation(model, CoarseSystem((cg,), None, frames), engine="torch", seed=SEED)
    made.save(folder / "files")
    (folder / "model.pt").unlink()
    return made, folder / "files"


@pytest.fixture(scope="module")
def expected(exported: tuple[ExportedSimulation, Path]) -> np.ndarray:
    made, _ = exported
    simulation = made.simulation()
    simulation.step(STEPS)
    return simulation.context.getState(positions=True).getPositions(asNumpy=True)._value[made.layout.beads]


def test_python_without_cgplugin(
    exported: tuple[ExportedSimulation, Path], expected: np.ndarray, tmp_path: Path
) -> None:
    import mdtraj

    folder = tmp_path / "files"
    shutil.copytree(exported[1], folder)
    shutil.copy(ROOT / "examples" / "openmm_torch_run.py", tmp_path)
    # packages that must not be there
    ours = {"cgplugin": None, "openmm_integration": None, "lammps_reader": None}
    code = (
        f"import runpy, sys; sys.modules.update({ours}); "
        f"sys.argv = ['run', 'files', '--steps', '{STEPS}', '--seed', '{SEED}', '--interval', '5']; "
        "runpy.run_path('openmm_torch_run.py', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{STEPS} steps of 12 beads" in done.stdout
    written = mdtraj.load(folder / "trajectory.dcd", top=folder / "topology.pdb")
    assert written.n_frames == STEPS // 5
    np.testing.assert_allclose(written.xyz[-1], expected, atol=1e-5)


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler here")
def test_cpp(exported: tuple[ExportedSimulation, Path], expected: np.ndarray, tmp_path: Path) -> None:
    import openmm.version
    import torch

    library = Path(openmm.version.openmm_library_path)
    include = library.parent / "include"
    program = tmp_path / "run"
    source = ROOT / "examples" / "openmm_torch_run.cpp"
    build = ["g++", "-std=c++17", source, f"-I{include}", f"-L{library}", "-lOpenMM", f"-Wl,-rpath,{library}"]
    subprocess.run([*map(str, build), "-o", program], check=True, capture_output=True)
    libraries = [Path(torch.__file__).parent / "lib", *Path(torch.__file__).parents[1].glob("nvidia/*/lib")]
    environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, libraries))}
    words = [program, exported[1], library / "plugins", STEPS]
    done = subprocess.run([*map(str, words)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # OpenMM seeds its generator at the start of the process, hence the very same run
    np.testing.assert_allclose(np.loadtxt(done.stdout.splitlines()), expected, atol=1e-6)
    missing = subprocess.run(
        [*map(str, words[:1]), tmp_path, *map(str, words[2:])], env=environment, capture_output=True, check=False
    )
    assert missing.returncode == 1
    assert b"system.xml: no such file" in missing.stderr
