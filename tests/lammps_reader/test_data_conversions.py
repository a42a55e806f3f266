"""Units, by numbers worked out by hand, and topologies of mdtraj."""

import dataclasses
import importlib

import mdtraj
import numpy as np
import pytest

from lammps_reader import read_data, to_mdtraj_topology
from tests.conftest import SHARED
from tests.lammps_reader.made_up_data import chain_data

DATA = SHARED / "lammps" / "data"

# length in nm, velocity in nm/ps, mass in g/mol and charge in e of one unit each
ONE = {
    "lj": (1.0, 1.0, 1.0, 1.0),
    # angstrom, angstrom/fs
    "real": (0.1, 100.0, 1.0, 1.0),
    # angstrom, angstrom/ps
    "metal": (0.1, 0.1, 1.0, 1.0),
    # m, m/s = 1e9 nm / 1e12 ps, kg times Avogadro's number, coulomb
    "si": (1e9, 1e-3, 6.02214076e26, 1 / 1.602176634e-19),
}


@pytest.mark.parametrize("style", ONE)
def test_units(style: str) -> None:
    data = dataclasses.replace(chain_data("full", tilt=True), units=None)
    length, velocity, mass, charge = ONE[style]
    found = data.to_openmm_units(style)
    np.testing.assert_allclose(found.positions, data.positions * length, rtol=1e-14)
    np.testing.assert_allclose(found.velocities, data.velocities * velocity, rtol=1e-14)
    np.testing.assert_allclose(found.charges, data.charges * charge, rtol=1e-14)
    np.testing.assert_allclose(found.box.vectors, data.box.vectors * length, rtol=1e-14)
    np.testing.assert_allclose(found.box.lo, data.box.lo * length, rtol=1e-14)
    assert found.masses == pytest.approx({1: 1.25 * mass, 2: 12.011 * mass}, rel=1e-14)
    np.testing.assert_array_equal(found.bonds, data.bonds)
    assert found.units is None


def test_file_says_its_units() -> None:
    data = read_data(DATA / "full_vel_image_nocoeff.data")
    assert data.units == "real"
    found = data.to_openmm_units()
    # atom 1: x = 2.585893760243455 + 1 * 15 angstrom
    assert found.positions[0, 0] == pytest.approx(1.7585893760243455, rel=1e-14)
    assert found.box.hi.tolist() == pytest.approx([1.3, 1.2, 1.4])
    # angstrom/fs to nm/ps
    assert found.velocities[0, 0] == pytest.approx(100 * data.velocities[0, 0], rel=1e-14)
    with pytest.raises(ValueError, match="its unit style is real, not lj"):
        data.to_openmm_units("lj")
    with pytest.raises(ValueError, match="nothing says the LAMMPS unit style"):
        found.to_openmm_units()
    with pytest.raises(ValueError, match="unknown LAMMPS unit style 'cgs'"):
        found.to_openmm_units("cgs")


def test_topology_of_mdtraj() -> None:
    data = read_data(DATA / "labelmap_labels.data")
    topology = to_mdtraj_topology(data)
    assert topology.n_atoms == 32
    assert [atom.serial for atom in topology.atoms] == data.ids.tolist()
    assert [atom.name for atom in topology.atoms][:6] == ["C3", "C2", "C2", "C3", "CO", "O="]
    # CH3 and CH2 are united atoms
    assert [atom.element.symbol for atom in topology.atoms][:6] == ["VS", "VS", "VS", "VS", "C", "O"]
    assert (topology.n_chains, topology.n_residues) == (8, 8)
    bonds = sorted((a.index + 1, b.index + 1) for a, b in topology.bonds)
    assert bonds == sorted(map(tuple, data.bonds[:, 1:].tolist()))
    frame = mdtraj.Trajectory(data.to_openmm_units().positions[None], topology)
    assert frame.n_atoms == 32


def test_atoms_without_molecule_are_residues_of_one_chain() -> None:
    topology = to_mdtraj_topology(chain_data("atomic", labels=True))
    assert (topology.n_atoms, topology.n_residues, topology.n_chains) == (12, 12, 1)
    assert {atom.name for atom in topology.atoms} == {"A1-x", "atom=2"}


def test_ids_with_gaps_and_molecules_that_are_not_contiguous() -> None:
    data = chain_data("molecular")
    data = dataclasses.replace(data, molecules=np.array([1, 2] * 6))
    topology = to_mdtraj_topology(data)
    assert topology.n_residues == 12
    assert [atom.index for atom in topology.atoms] == list(range(12))
    place = {number: i for i, number in enumerate(data.ids.tolist())}
    assert [(a.index, b.index) for a, b in topology.bonds] == [(place[i], place[j]) for _, i, j in data.bonds.tolist()]


def test_without_mdtraj(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ImportError, match="pip install mdtraj"):
        to_mdtraj_topology(chain_data("atomic"))
