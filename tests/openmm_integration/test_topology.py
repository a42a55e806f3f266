"""PDB files of bead-spring systems, as other programs read them."""

import warnings
from pathlib import Path

import MDAnalysis
import mdtraj
import numpy as np
import pytest
from openmm import app

from cgplugin import MolecularSystem, UserError
from cgplugin.systems.force_field import built_in
from openmm_integration.ground_truth.polymer_builder import build_polymer, start_positions
from openmm_integration.topology import to_openmm_topology, write_pdb
from tests.conftest import chain


def bonds_read_by_others(path: Path) -> dict[str, list[tuple[int, int]]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe = MDAnalysis.Universe(str(path))
    return {
        "mdtraj": sorted(tuple(sorted((a.index, b.index))) for a, b in mdtraj.load_pdb(path).topology.bonds),
        "OpenMM": sorted(tuple(sorted((a.index, b.index))) for a, b in app.PDBFile(str(path)).topology.bonds()),
        "MDAnalysis": sorted(tuple(sorted(pair)) for pair in universe.bonds.indices.tolist()),
    }


@pytest.mark.parametrize("n_atoms", [2, 1200, 12_000])
def test_bonds_survive_the_limits_of_the_columns(tmp_path: Path, n_atoms: int) -> None:
    """Residue numbers have four columns: they start again after 9999."""
    system = chain(n_atoms, atom_type="B1")
    grid = np.arange(n_atoms)
    positions = np.stack([grid % 100, grid // 100, np.zeros(n_atoms)], axis=1).astype(float)
    write_pdb(tmp_path / "x.pdb", to_openmm_topology(system), positions)
    for program, bonds in bonds_read_by_others(tmp_path / "x.pdb").items():
        assert bonds == [tuple(bond) for bond in system.bonds.tolist()], program
    np.testing.assert_allclose(mdtraj.load_pdb(tmp_path / "x.pdb").xyz[0], positions, atol=1e-4)


def test_branches_and_separate_molecules(tmp_path: Path) -> None:
    one = build_polymer(built_in(), [6, 9, 0], "one")
    n = one.n_atoms
    two = MolecularSystem(
        one.atom_types * 2, np.tile(one.masses, 2), np.concatenate([one.bonds, one.bonds + n]), one.bond_types * 2
    )
    topology = to_openmm_topology(two, np.diag([30.0, 40.0, 50.0]))
    assert topology.getNumChains() == 2
    x = start_positions(one, 1.0, (0,))
    write_pdb(tmp_path / "x.pdb", topology, np.concatenate([x, x + 10]))
    for program, bonds in bonds_read_by_others(tmp_path / "x.pdb").items():
        assert bonds == [tuple(bond) for bond in two.bonds.tolist()], program
    loaded = mdtraj.load_pdb(tmp_path / "x.pdb")
    np.testing.assert_allclose(loaded.unitcell_lengths[0], [30, 40, 50])
    assert [atom.name for atom in loaded.topology.atoms] == list(two.atom_types)


def test_beads_of_equal_mass_weigh_the_same_elsewhere(tmp_path: Path) -> None:
    """Not boron for B1 and sulfur for S1, as readers guess from the names."""
    system = build_polymer(built_in(), [2, 5, 7, 1], "x")
    x = start_positions(system, 1.0, (1,))
    write_pdb(tmp_path / "x.pdb", to_openmm_topology(system), x)
    loaded = mdtraj.load_pdb(tmp_path / "x.pdb")
    np.testing.assert_allclose(mdtraj.compute_center_of_mass(loaded)[0], x.mean(axis=0), atol=1e-3)
    universe = MDAnalysis.Universe(str(tmp_path / "x.pdb"))
    assert universe.atoms.radius_of_gyration() / 10 == pytest.approx(np.sqrt(x.var(axis=0).sum()), abs=1e-3)


def test_positions_far_from_the_origin_are_shifted_as_a_whole(tmp_path: Path) -> None:
    x = np.array([[5000.0, 0, 0], [5001.0, 0, 0]])
    write_pdb(tmp_path / "x.pdb", to_openmm_topology(chain(2)), x)
    np.testing.assert_allclose(mdtraj.load_pdb(tmp_path / "x.pdb").xyz[0, :, 0], [-0.5, 0.5], atol=1e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e9])
def test_positions_that_do_not_fit_leave_no_file(tmp_path: Path, bad: float) -> None:
    with pytest.raises(UserError, match=r"x\.pdb: these positions do not fit a PDB file"):
        write_pdb(tmp_path / "x.pdb", to_openmm_topology(chain(2)), np.array([[0, 0, 0], [bad, 0, 0]]))
    assert list(tmp_path.iterdir()) == []
