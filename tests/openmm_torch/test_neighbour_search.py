"""The neighbour search of exported steps against all images tried one by one."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cgplugin import MolecularSystem
from cgplugin.coarse_graining.coarsening import coarsen
from cgplugin.coarse_graining.neighbours import BeadGraph
from cgplugin.learned import torchscript
from openmm_integration.export.neighbour_search import AllPairs, BeadEdges, CellList
from tests.conftest import chain

CUTOFF = 1.0


def found_by(kind: type, positions: np.ndarray, box: np.ndarray | None) -> list[tuple[float, ...]]:
    """Sorted (i, j, x, y, z) of pairs i < j."""
    graph = BeadGraph.of(coarsen(chain(len(positions)), 1))
    search = torchscript.compiled(kind(graph, CUTOFF, None if box is None else torch.tensor(box)))
    pairs, separations = search(torch.tensor(positions))
    swapped = (pairs[0] > pairs[1]).numpy()
    vectors = np.where(swapped[:, None], -separations.numpy(), separations.numpy())
    i, j = np.sort(pairs.numpy(), axis=0)
    return sorted(zip(i.tolist(), j.tolist(), *vectors.T.round(9).tolist(), strict=True))


def one_by_one(positions: np.ndarray, box: np.ndarray | None) -> list[tuple[float, ...]]:
    """The same, of a chain whose beads are those of `positions`: without pairs up to two bonds apart, but for their images."""
    i, j = np.triu_indices(len(positions), k=1)
    images = np.zeros((1, 3))
    if box is not None:
        # unwrapped beads may be some boxes apart
        images = np.array(list(itertools.product(range(-5, 6), repeat=3)), dtype=float)
    shifts = images if box is None else images @ box
    vectors = (positions[j] - positions[i])[:, None] + shifts
    near = np.linalg.norm(vectors, axis=2) < CUTOFF
    near &= ~((j - i <= 2)[:, None] & ~images.any(axis=1))
    pair, image = near.nonzero()
    return sorted(zip(i[pair].tolist(), j[pair].tolist(), *vectors[pair, image].T.round(9).tolist(), strict=True))


BOXES = {
    "none": None,
    "smallest": np.diag([2.0, 2.0, 2.0]),
    "oblong": np.diag([2.3, 3.4, 5.0]),
    "triclinic": np.array([[3.2, 0, 0], [1.1, 3.5, 0], [-1.3, 0.9, 3.1]]),
}


@pytest.mark.parametrize("kind", [AllPairs, CellList])
@pytest.mark.parametrize("name", BOXES)
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**31), spread=st.sampled_from([1.0, 2.5, 6.0]))
def test_pairs_are_those_found_one_by_one(kind: type, name: str, seed: int, spread: float) -> None:
    positions = spread * (np.random.default_rng(seed).random((16, 3)) - 0.3)
    box = BOXES[name]
    expected = one_by_one(positions, box)
    found = found_by(kind, positions, box)
    assert [row[:2] for row in found] == [row[:2] for row in expected]
    np.testing.assert_allclose(np.array(found).reshape(-1, 5), np.array(expected).reshape(-1, 5), atol=1e-8)


@pytest.mark.parametrize("name", BOXES)
def test_cells_find_what_the_simulators_search_finds_in_large_systems(name: str) -> None:
    n = 700
    box = None if BOXES[name] is None else 2 * BOXES[name]
    positions = 6 * np.random.default_rng(3).random((n, 3)) - 2
    graph = BeadGraph.of(coarsen(chain(n), 1))
    assert not graph.is_small
    edges = graph.edges(torch.tensor(positions), CUTOFF, None if box is None else torch.tensor(box))
    n_bonded = graph.bonded.shape[1]
    expected = sorted(map(tuple, edges.pairs[:, n_bonded:].T.tolist()))
    found = [row[:2] for row in found_by(CellList, positions, box)]
    assert sorted([*found, *((j, i) for i, j in found)]) == expected
    assert len(found) > 1000


def test_beads_in_one_place_and_far_apart_have_cells() -> None:
    positions = np.zeros((9, 3))
    positions[5:] = 1e6
    assert [row[:2] for row in found_by(CellList, positions, None)] == [row[:2] for row in one_by_one(positions, None)]


@pytest.mark.parametrize("ion_cutoff", [1.35, 2.6])
@pytest.mark.parametrize("n_ions", [0, 1, 30, 200])
@pytest.mark.parametrize("name", ["none", "triclinic"])
def test_ions_with_a_cutoff_of_their_own(name: str, n_ions: int, ion_cutoff: float) -> None:
    """The edges of `BeadGraph.edges`, of systems whose ions are few or many, among few or many chains."""
    random = np.random.default_rng(2)
    box = BOXES[name]
    for n_chains in (5, 60):
        bonds = np.arange(2 * n_chains).reshape(-1, 2)
        n = 2 * n_chains + n_ions
        cg = coarsen(MolecularSystem(("A",) * n, np.ones(n), bonds, ("b",) * n_chains), 1)
        positions = torch.tensor(3 * random.random((n, 3)))
        vectors = None if box is None else torch.tensor(box)
        graph = BeadGraph.of(cg)
        expected = graph.edges(positions, CUTOFF, vectors, ion_cutoff=ion_cutoff)
        found = torchscript.compiled(BeadEdges(graph, CUTOFF, vectors, ion_cutoff))(positions)

        def rows(pairs: torch.Tensor, separations: torch.Tensor, kinds: torch.Tensor) -> np.ndarray:
            table = np.column_stack([pairs.T, kinds, separations])
            return table[np.lexsort(np.round(table, 4).T)]

        np.testing.assert_allclose(rows(*found), rows(*expected), rtol=0, atol=1e-6)
        assert (expected.kinds == 3).any() == (n_ions > 1)
