"""Observables against closed forms, mdtraj and MDAnalysis."""

import math

import MDAnalysis
import mdtraj
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from cgplugin.observables.chains import (
    bond_lengths,
    chain_ends,
    end_to_end_distances,
    end_to_end_vectors,
    ends_of_molecules,
    squared_radii_of_gyration,
    squared_radius_of_gyration,
)
from lammps_reader import open_dump, read_data
from tests.conftest import POLYMER

seeds = st.integers(0, 2**32 - 1)


def random_molecule(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 30))
    return rng.normal(scale=3, size=(4, n, 3)), rng.uniform(1, 100, size=n)


@given(seeds)
@settings(max_examples=50, deadline=None)
def test_rg2_and_distances_ignore_rotation_and_translation(seed):
    positions, masses = random_molecule(seed)
    rotation = Rotation.random(rng=np.random.default_rng(seed)).as_matrix()
    moved = positions @ rotation.T + np.random.default_rng(seed).normal(scale=50, size=3)
    np.testing.assert_allclose(
        squared_radius_of_gyration(moved, masses), squared_radius_of_gyration(positions, masses), rtol=1e-9, atol=1e-9
    )
    ends = (0, positions.shape[1] - 1)
    np.testing.assert_allclose(
        end_to_end_distances(moved, ends), end_to_end_distances(positions, ends), rtol=1e-9, atol=1e-9
    )
    np.testing.assert_allclose(
        end_to_end_vectors(moved, ends), end_to_end_vectors(positions, ends) @ rotation.T, rtol=1e-9, atol=1e-9
    )


@given(seeds, st.floats(1e-3, 1e3))
@settings(max_examples=50, deadline=None)
def test_rg2_ignores_the_order_of_atoms_and_the_unit_of_mass(seed, factor):
    positions, masses = random_molecule(seed)
    order = np.random.default_rng(seed).permutation(len(masses))
    np.testing.assert_allclose(
        squared_radius_of_gyration(positions[:, order], factor * masses[order]),
        squared_radius_of_gyration(positions, masses),
        rtol=1e-9,
        atol=1e-9,
    )


@given(seeds)
@settings(max_examples=50, deadline=None)
def test_rg2_is_the_mean_squared_distance_between_pairs(seed):
    """Lagrange: Rg^2 = sum_ij m_i m_j r_ij^2 / (2 M^2)."""
    positions, masses = random_molecule(seed)
    pairs = ((positions[:, :, None] - positions[:, None]) ** 2).sum(axis=-1)
    expected = np.einsum("fij,i,j->f", pairs, masses, masses) / (2 * masses.sum() ** 2)
    np.testing.assert_allclose(squared_radius_of_gyration(positions, masses), expected, rtol=1e-9, atol=1e-9)


@given(seeds)
@settings(max_examples=50, deadline=None)
def test_molecules_together_and_one_by_one(seed):
    positions, masses = random_molecule(seed)
    n = len(masses)
    molecules = np.random.default_rng(seed).integers(0, 4, size=n)
    molecules = np.unique(molecules, return_inverse=True)[1]
    found = squared_radii_of_gyration(positions, masses, molecules)
    assert found.shape == (4, molecules.max() + 1)
    for number in range(molecules.max() + 1):
        own = molecules == number
        np.testing.assert_allclose(
            found[:, number], squared_radius_of_gyration(positions[:, own], masses[own]), rtol=1e-9, atol=1e-9
        )
    np.testing.assert_allclose(squared_radii_of_gyration(positions[0], masses, molecules), found[0], rtol=1e-12)


def test_rod():
    """N equal masses b apart: Rg^2 = b^2 (N^2 - 1) / 12."""
    n, b = 11, 0.7
    positions = np.arange(n)[:, None] * b * np.array([[0.6, 0.0, 0.8]])
    assert squared_radius_of_gyration(positions, np.ones(n)) == pytest.approx(b**2 * (n**2 - 1) / 12)
    assert end_to_end_distances(positions, (0, n - 1)) == pytest.approx((n - 1) * b)
    np.testing.assert_allclose(bond_lengths(positions, [(i, i + 1) for i in range(n - 1)]), b)


def test_ring():
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = 1.3 * np.stack([np.cos(angles), np.sin(angles), np.zeros(24)], axis=-1)
    assert squared_radius_of_gyration(ring, np.ones(24)) == pytest.approx(1.3**2)


def test_ball():
    """Rg^2 = 3/5 R^2, from a million points within a sphere."""
    points = np.random.default_rng(1).uniform(-1, 1, size=(1_000_000, 3))
    inside = points[(points**2).sum(axis=1) < 1]
    assert squared_radius_of_gyration(2 * inside, np.ones(len(inside))) == pytest.approx(0.6 * 4, rel=2e-3)


def test_dumbbell_of_unequal_masses():
    """Rg^2 = m1 m2 d^2 / (m1 + m2)^2."""
    positions = [[[0, 0, 0], [0, 0, 2.0]]]
    np.testing.assert_allclose(squared_radius_of_gyration(positions, [1, 3]), [3 / 16 * 4])


def test_ideal_chain():
    """Freely jointed chain of N bonds: <R^2> = N b^2 and <Rg^2> = (N b^2 / 6) (N + 2) / (N + 1)."""
    rng = np.random.default_rng(2)
    n_chains, n, b = 40_000, 20, 0.5
    bonds = rng.normal(size=(n_chains, n, 3))
    bonds *= b / np.linalg.norm(bonds, axis=-1, keepdims=True)
    positions = np.concatenate([np.zeros((n_chains, 1, 3)), bonds.cumsum(axis=1)], axis=1)
    squared = end_to_end_distances(positions, (0, n)) ** 2
    rg2 = squared_radius_of_gyration(positions, np.ones(n + 1))
    for values, exact in ((squared, n * b**2), (rg2, n * b**2 / 6 * (n + 2) / (n + 1))):
        assert abs(values.mean() - exact) < 4 * values.std() / math.sqrt(n_chains)
    np.testing.assert_allclose(end_to_end_vectors(positions, (0, n)).mean(axis=0), 0, atol=0.06)


@pytest.fixture(scope="module")
def reference_polymer():
    """Data file, positions every tau, and Rg^2 every half tau of a reference polymer, by LAMMPS."""
    folder = POLYMER / "devtest" / "003"
    positions = np.stack([frame.positions for frame in open_dump(folder / "traj.lammpstrj.bz2")])
    return read_data(folder / "topology.data", atom_style="angle"), positions, np.load(folder / "rg2.npy")


def test_rg2_agrees_with_mdtraj(reference_polymer):
    _, positions, _ = reference_polymer
    n = positions.shape[1]
    topology = mdtraj.Topology()
    residue = topology.add_residue("P", topology.add_chain())
    for _ in range(n):
        topology.add_atom("X", mdtraj.element.carbon, residue)
    trajectory = mdtraj.Trajectory(positions.astype(np.float32), topology)
    ours = squared_radius_of_gyration(positions, np.ones(n))
    np.testing.assert_allclose(ours, mdtraj.compute_rg(trajectory) ** 2, rtol=1e-5)

    masses = np.random.default_rng(3).uniform(1, 20, size=n)
    # mdtraj weighs distances from the geometric centre: Steiner's theorem leads from one to the other
    centre = np.average(positions, axis=1, weights=masses)
    shift = ((centre - positions.mean(axis=1)) ** 2).sum(axis=-1)
    theirs = mdtraj.compute_rg(trajectory, masses) ** 2
    np.testing.assert_allclose(squared_radius_of_gyration(positions, masses) + shift, theirs, rtol=1e-5)


def test_rg2_agrees_with_mdanalysis(reference_polymer):
    _, positions, _ = reference_polymer
    masses = np.random.default_rng(3).uniform(1, 20, size=positions.shape[1])
    universe = MDAnalysis.Universe.empty(len(masses), trajectory=True)
    universe.add_TopologyAttr("masses", masses)
    universe.load_new(positions.astype(np.float32))
    theirs = [universe.atoms.radius_of_gyration() ** 2 for _ in universe.trajectory]
    np.testing.assert_allclose(squared_radius_of_gyration(positions, masses), theirs, rtol=1e-5)


def test_rg2_agrees_with_lammps(reference_polymer):
    data, positions, every_half_tau = reference_polymer
    masses = [data.masses[number] for number in data.types]
    ours = squared_radius_of_gyration(positions, masses)
    assert len(ours) == 51
    # the dump has three decimals
    np.testing.assert_allclose(ours, every_half_tau[:101:2], rtol=1e-4)


def test_ends_of_a_reference_polymer(reference_polymer):
    data, positions, _ = reference_polymer
    atoms = np.searchsorted(data.ids, data.bonds[:, 1:])
    first, last = chain_ends(len(data.ids), atoms)
    degree = np.bincount(atoms.ravel())
    assert degree[first] == degree[last] == 1
    # FENE-like bonds of length about one
    assert 0.7 < bond_lengths(positions, atoms).min() < bond_lengths(positions, atoms).max() < 1.6


def test_ends_of_a_chain_in_any_order():
    rng = np.random.default_rng(4)
    for n in (2, 3, 17):
        order = rng.permutation(n)
        bonds = np.stack([order[:-1], order[1:]], axis=1)
        assert set(chain_ends(n, bonds)) == {order[0], order[-1]}


def test_ends_of_a_comb_are_those_of_its_backbone():
    # backbone 0 to 9, side beads 10 to 14 on the inner atoms
    bonds = [(i, i + 1) for i in range(9)] + [(10 + k, 2 + k) for k in range(5)]
    assert chain_ends(15, bonds) == (0, 9)


def test_ends_of_odd_molecules():
    assert chain_ends(1, []) == (0, 0)
    first, last = chain_ends(6, [(i, (i + 1) % 6) for i in range(6)])
    assert (last - first) % 6 == 3


def test_ends_of_a_long_chain_in_pieces(monkeypatch):
    import cgplugin.observables.chains as module

    monkeypatch.setattr(module, "_TABLE_SIZE", 100)
    assert chain_ends(60, [(i, i + 1) for i in range(59)]) == (0, 59)


def test_ends_of_several_molecules():
    # two chains whose atoms alternate, and an ion
    bonds = [(0, 2), (2, 4), (1, 3), (3, 5), (5, 7)]
    molecules = [0, 1, 0, 1, 0, 1, 2, 1]
    np.testing.assert_array_equal(ends_of_molecules(bonds, molecules), [[0, 4], [1, 7]])
    positions = np.random.default_rng(5).normal(size=(3, 8, 3))
    found = end_to_end_distances(positions, ends_of_molecules(bonds, molecules))
    assert found.shape == (3, 2)
    np.testing.assert_allclose(found[:, 1], np.linalg.norm(positions[:, 7] - positions[:, 1], axis=-1))
    assert ends_of_molecules([], [0, 1]).shape == (0, 2)
