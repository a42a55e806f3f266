"""What a molecular viewer makes of our files: PyMOL reads DCD and XTC with VMD's own plug-ins."""

import json
import subprocess
import sys
from pathlib import Path

import mdtraj
import numpy as np
from MDAnalysis.lib.formats.libdcd import DCDFile
from openmm import app

from cgplugin import LearnedModel
from cgplugin.systems.structure_files import Structure, open_trajectory
from openmm_integration import CoarseSystem, PartReporter, learned_simulation
from openmm_integration.runs.start_frames import from_trajectory
from openmm_integration.topology import write_pdb
from tests.conftest import run_cli

from .electrolytes import CONVENTIONS

READ = """
import json, sys, pymol2
with pymol2.PyMOL() as session:
    command = session.cmd
    command.load(sys.argv[1], "beads")
    command.load_traj(sys.argv[2], "beads", state=1, plugin=sys.argv[2].rsplit(".", 1)[1])
    frames = [command.get_model("beads", n + 1).get_coord_list() for n in range(command.count_states("beads"))]
    bonds = sorted(sorted(bond.index) for bond in command.get_model("beads").bond)
print(json.dumps([frames, bonds]))
"""


def read_with_vmds_plugin(topology: Path, trajectory: Path) -> tuple[np.ndarray, list[list[int]]]:
    """Positions of all frames, in angstrom and single precision as in the file, and bonds."""
    read = subprocess.run(
        [sys.executable, "-c", READ, topology, trajectory], capture_output=True, text=True, check=True
    )
    if trajectory.suffix == ".dcd":
        assert "dcdplugin)" in read.stdout
    frames, bonds = json.loads(read.stdout.splitlines()[-1])
    return np.array(frames, dtype=np.float32), bonds


def test_vmds_plugin_mdtraj_and_mdanalysis_read_the_same(small_model: Path, polymer_data: Path, tmp_path: Path) -> None:
    done = run_cli("simulate", small_model, polymer_data, "--time", 60, "--report-interval", 3, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    (trajectory,) = tmp_path.rglob("trajectory.dcd")
    topology = trajectory.parent / "topology.pdb"
    frames, bonds = read_with_vmds_plugin(topology, trajectory)
    expected = mdtraj.load(str(trajectory), top=str(topology))
    assert len(frames) == expected.n_frames == 4
    with DCDFile(str(trajectory)) as file:
        in_angstrom = np.array([frame.xyz.copy() for frame in file])
    # both are float32 in angstrom, as in the file
    np.testing.assert_array_equal(frames, in_angstrom)
    np.testing.assert_allclose(expected.xyz, 0.1 * in_angstrom, rtol=1e-6)
    of_mdtraj = sorted(sorted((bond.atom1.index, bond.atom2.index)) for bond in expected.topology.bonds)
    assert bonds == [list(pair) for pair in of_mdtraj]


def test_vmds_plugins_read_what_reporters_wrote_in_a_triclinic_box(
    electrolyte_model: Path, electrolytes: list[Structure], tmp_path: Path
) -> None:
    """Wrapped and unwrapped, appended to after a restart."""
    model, structure = LearnedModel.load(electrolyte_model), electrolytes[0]
    own = model.coarsen(structure.system)
    dump = open_trajectory(structure.source.parent / "traj.lammpstrj.bz2", structure, CONVENTIONS)
    box = structure.box_vectors[0, 0] * np.array([[1, 0, 0], [0.3, 1, 0], [-0.2, 0.1, 1]])
    cg = CoarseSystem((own,), box, from_trajectory(model, own, dump))
    topology = tmp_path / "topology.pdb"
    write_pdb(topology, cg.topology, cg.start_frames[-1])
    seen = []
    for append in (False, True):
        simulation = learned_simulation(model, cg, seed=1, platform="Reference")
        if append:
            simulation.loadCheckpoint(str(tmp_path / "4.chk"))
        simulation.integrator.observers.append(lambda o: seen.append(o.state.positions.numpy().copy()))
        simulation.reporters += [
            PartReporter(tmp_path / "part.dcd", 2, cg, 0, append=append),
            app.DCDReporter(str(tmp_path / "wrapped.dcd"), 2, append=append),
            app.XTCReporter(str(tmp_path / "unwrapped.xtc"), 2, append=append, enforcePeriodicBox=False),
        ]
        simulation.step(4)
        simulation.saveCheckpoint(str(tmp_path / "4.chk"))
    expected = np.array(seen)[1::2]
    for name, tolerance in (("part.dcd", 1e-5), ("unwrapped.xtc", 6e-4)):
        frames, _ = read_with_vmds_plugin(topology, tmp_path / name)
        np.testing.assert_allclose(0.1 * frames, expected, atol=tolerance)
    frames, _ = read_with_vmds_plugin(topology, tmp_path / "wrapped.dcd")
    images = (0.1 * frames - expected) @ np.linalg.inv(box)
    np.testing.assert_allclose(images, np.rint(images), atol=1e-4)
    assert np.abs(np.rint(images)).max() > 0
