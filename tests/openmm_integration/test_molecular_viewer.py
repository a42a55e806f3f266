"""What a molecular viewer makes of our files: PyMOL reads DCD with VMD's own plug-in."""

import json
import subprocess
import sys
from pathlib import Path

import mdtraj
import numpy as np
from MDAnalysis.lib.formats.libdcd import DCDFile

from tests.conftest import run_cli

READ = """
import json, sys, pymol2
with pymol2.PyMOL() as session:
    command = session.cmd
    command.load(sys.argv[1], "beads")
    command.load_traj(sys.argv[2], "beads", state=1, plugin="dcd")
    frames = [command.get_model("beads", n + 1).get_coord_list() for n in range(command.count_states("beads"))]
    bonds = sorted(sorted(bond.index) for bond in command.get_model("beads").bond)
print(json.dumps([frames, bonds]))
"""


def test_vmds_plugin_mdtraj_and_mdanalysis_read_the_same(small_model: Path, polymer_data: Path, tmp_path: Path) -> None:
    done = run_cli("simulate", small_model, polymer_data, "--time", 60, "--report-interval", 3, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    (trajectory,) = tmp_path.rglob("trajectory.dcd")
    topology = trajectory.parent / "topology.pdb"
    read = subprocess.run(
        [sys.executable, "-c", READ, topology, trajectory], capture_output=True, text=True, check=True
    )
    assert "dcdplugin)" in read.stdout
    frames, bonds = json.loads(read.stdout.splitlines()[-1])
    expected = mdtraj.load(str(trajectory), top=str(topology))
    assert len(frames) == expected.n_frames == 4
    with DCDFile(str(trajectory)) as file:
        in_angstrom = np.array([frame.xyz.copy() for frame in file])
    # both are float32 in angstrom, as in the file
    np.testing.assert_array_equal(np.array(frames, dtype=np.float32), in_angstrom)
    np.testing.assert_allclose(expected.xyz, 0.1 * in_angstrom, rtol=1e-6)
    of_mdtraj = sorted(sorted((bond.atom1.index, bond.atom2.index)) for bond in expected.topology.bonds)
    assert bonds == [list(pair) for pair in of_mdtraj]
