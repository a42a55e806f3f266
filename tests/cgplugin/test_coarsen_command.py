"""``cgplugin coarsen``: what it prints and writes."""

import json
from pathlib import Path

import mdtraj
import numpy as np
import pytest

from cgplugin.coarse_graining.coarsening import coarsen
from cgplugin.systems.lammps_files import LammpsConventions
from cgplugin.systems.structure_files import load_structure, open_trajectory
from cgplugin.training.data import find_force_field
from tests.conftest import SHARED, run_cli


@pytest.mark.parametrize(("system", "size"), [("polymer/train/003", 10), ("electrolyte/train/000", 5)])
def test_structure_and_trajectory(tmp_path: Path, system: str, size: int) -> None:
    folder = SHARED / system
    done = run_cli(
        "coarsen", folder / "topology.data", "--atoms-per-bead", size, "--out", tmp_path,
        "--trajectory", folder / "traj.lammpstrj.bz2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    out = tmp_path / folder.name
    conventions = LammpsConventions(force_field=find_force_field(folder / "topology.data"))
    structure = load_structure(folder / "topology.data", conventions)
    cg = coarsen(structure.system, size)
    assert f"-> {cg.n_beads} beads, {len(cg.bonds)} CG bonds" in done.stdout
    mapping = json.loads((out / "mapping.json").read_text())
    assert [sorted(atoms) for atoms in mapping["beads"]] == [atoms.tolist() for atoms in cg.beads]
    written = mdtraj.load(out / "trajectory.dcd", top=out / "topology.pdb")
    assert sorted((a.index, b.index) for a, b in written.topology.bonds) == [tuple(pair) for pair in cg.bonds.tolist()]
    expected = []
    for block in open_trajectory(folder / "traj.lammpstrj.bz2", structure, conventions).blocks():
        expected.append(cg.positions(block.positions))
        if block.box_vectors is not None:
            np.testing.assert_allclose(written.unitcell_vectors[0], block.box_vectors[0], atol=1e-5)
    np.testing.assert_allclose(written.xyz, np.concatenate(expected), atol=1e-4)


def test_ions_are_beads_of_their_own() -> None:
    folder = SHARED / "electrolyte" / "train" / "000"
    conventions = LammpsConventions(force_field=find_force_field(folder / "topology.data"))
    system = load_structure(folder, conventions).system
    cg = coarsen(system, 5)
    sizes = np.array([len(atoms) for atoms in cg.beads])
    lithium = [bead for bead, atoms in enumerate(cg.beads) if system.atom_types[atoms[0]] == "Li"]
    assert lithium
    assert (sizes[lithium] == 1).all()


def test_trajectory_needs_a_place(tmp_path: Path) -> None:
    done = run_cli("coarsen", SHARED / "polymer" / "train" / "003", "--trajectory", tmp_path / "x.dcd")
    assert done.returncode == 2
    assert "--trajectory needs --out and a single structure" in done.stderr
