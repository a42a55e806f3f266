import json

import networkx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgplugin import MolecularSystem, UserError, coarsen
from tests.conftest import POLYMER, chain


@st.composite
def systems(draw: st.DrawFn) -> MolecularSystem:
    """Several molecules: random trees of degree up to 4 with a few rings closed, and single ions, atoms in random order."""
    bonds: list[tuple[int, int]] = []
    n_atoms = 0
    for _ in range(draw(st.integers(1, 4))):
        n = draw(st.integers(1, 60))
        degree = [0] * n
        random = draw(st.randoms(use_true_random=False))
        for atom in range(1, n):
            parent = random.choice([i for i in range(atom) if degree[i] < (3 if i else 4)])
            bonds.append((n_atoms + parent, n_atoms + atom))
            degree[parent] += 1
        for _ in range(random.randint(0, n // 10)):
            i, j = random.randrange(n), random.randrange(n)
            pair = (n_atoms + min(i, j), n_atoms + max(i, j))
            if i != j and pair not in bonds:
                bonds.append(pair)
        n_atoms += n
    order = draw(st.permutations(range(n_atoms)))
    masses = np.array(draw(st.lists(st.floats(0.5, 200), min_size=n_atoms, max_size=n_atoms)))
    shuffled = np.array([[order[i], order[j]] for i, j in bonds], dtype=int).reshape(-1, 2)
    return MolecularSystem(("A",) * n_atoms, masses, shuffled, ("b",) * len(bonds))


@given(systems(), st.integers(1, 15), st.integers(0, 5))
def test_laws_of_partition(system: MolecularSystem, size: int, seed: int) -> None:
    cg = coarsen(system, size, seed)
    assert cg.mapping.shape == (system.n_atoms,)
    assert sorted(np.concatenate(cg.beads).tolist()) == list(range(system.n_atoms))
    np.testing.assert_allclose(cg.masses.sum(), system.masses.sum())
    graph = networkx.Graph()
    graph.add_nodes_from(range(system.n_atoms))
    graph.add_edges_from(system.bonds.tolist())
    for bead, atoms in enumerate(cg.beads):
        assert networkx.is_connected(graph.subgraph(atoms.tolist()))
        assert set(system.molecules[atoms].tolist()) == {cg.molecules[bead]}
    for molecule in networkx.connected_components(graph):
        beads = {int(cg.mapping[atom]) for atom in molecule}
        if len(molecule) < 1.5 * size:
            assert len(beads) == 1
        n_expected = len(molecule) / size
        assert len(beads) <= 2 * n_expected + 1
        for bead in beads:
            assert len(cg.beads[bead]) <= max(3 * size, 4)
    joined = {tuple(sorted((int(cg.mapping[i]), int(cg.mapping[j])))) for i, j in system.bonds}
    assert {tuple(pair) for pair in cg.bonds.tolist()} == {pair for pair in joined if pair[0] != pair[1]}


@given(systems(), st.integers(2, 12))
def test_same_seed_same_partition(system: MolecularSystem, size: int) -> None:
    np.testing.assert_array_equal(coarsen(system, size, 3).mapping, coarsen(system, size, 3).mapping)


def test_beads_follow_the_chain_and_have_the_asked_size() -> None:
    cg = coarsen(chain(100), 10)
    assert [len(atoms) for atoms in cg.beads] == [10] * 10
    assert cg.bonds.tolist() == [[i, i + 1] for i in range(9)]
    assert (np.diff(cg.mapping) >= 0).all()


def test_equal_molecules_are_divided_equally() -> None:
    one = chain(33)
    bonds = np.concatenate([one.bonds, one.bonds + 33])
    two = MolecularSystem(one.atom_types * 2, np.ones(66), bonds, one.bond_types * 2)
    cg = coarsen(two, 8)
    assert (cg.mapping[33:] - cg.mapping[33] == cg.mapping[:33]).all()


@given(st.integers(0, 1000))
def test_centre_of_mass_and_rg2_of_beads(seed: int) -> None:
    """The parallel-axis theorem ties beads and atoms together exactly."""
    random = np.random.default_rng(seed)
    one = chain(23)
    system = MolecularSystem(one.atom_types, random.uniform(1, 5, 23), one.bonds, one.bond_types)
    cg = coarsen(system, 5)
    atoms = random.normal(size=(4, 23, 3)) + 100
    beads = cg.positions(atoms)
    share, bead_share = system.masses / system.masses.sum(), cg.masses / cg.masses.sum()
    centre = np.einsum("n,fnd->fd", share, atoms)
    np.testing.assert_allclose(np.einsum("n,fnd->fd", bead_share, beads), centre)
    fine = np.einsum("n,fnd->f", share, (atoms - centre[:, None]) ** 2)
    coarse = np.einsum("n,fnd->f", bead_share, (beads - centre[:, None]) ** 2)
    np.testing.assert_allclose(fine, coarse + cg.internal_rg2(atoms) @ bead_share)


def test_one_frame_and_many_agree() -> None:
    cg = coarsen(chain(20), 4)
    frames = np.random.default_rng(0).normal(size=(3, 20, 3))
    np.testing.assert_array_equal(cg.positions(frames)[1], cg.positions(frames[1]))


@pytest.mark.parametrize("size", [0, -3, 2.5])
def test_impossible_size(size: float) -> None:
    with pytest.raises(UserError, match="atoms_per_bead"):
        coarsen(chain(5), size)  # type: ignore[arg-type]


def test_mapping_file(tmp_path) -> None:
    cg = coarsen(chain(20), 5)
    cg.save(tmp_path / "mapping.json", note="kept")
    content = json.loads((tmp_path / "mapping.json").read_text())
    assert content["beads"] == [list(range(i, i + 5)) for i in range(0, 20, 5)]
    assert content["masses"] == [5.0] * 4
    assert content["note"] == "kept"


def test_reference_polymers_have_about_ten_atoms_per_bead() -> None:
    from cgplugin.systems.structure_files import load_structure

    for folder in sorted((POLYMER / "train").iterdir())[:20]:
        cg = coarsen(load_structure(folder).system, 10)
        sizes = np.array([len(atoms) for atoms in cg.beads])
        assert sizes.min() >= 5
        assert sizes.max() <= 16
        assert 9 <= sizes.mean() <= 11.5
