import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cgplugin import MolecularSystem, UserError
from cgplugin.coarse_graining import neighbours as module
from cgplugin.coarse_graining.coarsening import coarsen
from cgplugin.coarse_graining.neighbours import BatchedGraph, BeadGraph
from tests.conftest import chain


def as_set(edges: module.Edges) -> dict[tuple[int, int, int], list[float]]:
    """Edges by sender, receiver and which image: the separation tells images apart."""
    return {
        (j, i, round(1e3 * float(r.sum()))): r.tolist()
        for (j, i), r in zip(edges.pairs.T.tolist(), edges.separations, strict=True)
    }


@given(st.integers(0, 10_000))
def test_all_pairs_within_the_cutoff(seed: int) -> None:
    random = np.random.default_rng(seed)
    cg = coarsen(chain(int(random.integers(1, 30))), 1)
    x = random.normal(size=(cg.n_beads, 3)) * 2
    edges = BeadGraph.of(cg).edges(torch.tensor(x), 2.5)
    found = {tuple(pair) for pair in edges.pairs.T.tolist()}
    close = {
        (j, i)
        for i in range(cg.n_beads)
        for j in range(cg.n_beads)
        if i != j and (np.linalg.norm(x[i] - x[j]) < 2.5 or abs(i - j) <= 2)
    }
    assert found == close
    assert len(found) == edges.pairs.shape[1]
    for (j, i), r, kind in zip(edges.pairs.T.tolist(), edges.separations, edges.kinds.tolist(), strict=True):
        np.testing.assert_allclose(r, x[i] - x[j], atol=1e-5)
        assert kind == (abs(i - j) if abs(i - j) <= 2 else 0)


def test_large_system_gives_the_same_as_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    cg = coarsen(chain(90), 1)
    x = torch.tensor(np.cumsum(np.random.default_rng(0).normal(size=(90, 3)), axis=0))
    small = as_set(BeadGraph.of(cg).edges(x, 3.0))
    monkeypatch.setattr(module, "ALL_PAIRS_LIMIT", 10)
    large = as_set(BeadGraph.of(cg).edges(x, 3.0))
    assert small.keys() == large.keys()


@pytest.mark.parametrize("triclinic", [False, True])
def test_periodic_images_by_brute_force(triclinic: bool) -> None:
    random = np.random.default_rng(4)
    box = np.diag([9.0, 10.0, 11.0])
    if triclinic:
        box[1, 0], box[2, 0], box[2, 1] = 3.0, -2.0, 4.0
    n = 60
    system = MolecularSystem(
        ("A",) * n, np.ones(n), np.array([[2 * i, 2 * i + 1] for i in range(n // 2)]), ("b",) * (n // 2)
    )
    cg = coarsen(system, 1)
    x = random.uniform(size=(n, 3)) @ box
    x[1::2] = x[::2] + random.normal(size=(n // 2, 3)) * 0.3
    # whole molecules may be in any image
    x += np.repeat(random.integers(-2, 3, size=(n // 2, 3)), 2, axis=0) @ box
    cutoff = 3.0
    edges = BeadGraph.of(cg).edges(torch.tensor(x), cutoff, torch.tensor(box))
    images = np.array(list(np.ndindex(13, 13, 13))) - 6
    separations = x[:, None] - x[None]
    expected = []
    for image in images:
        r = separations + image @ box
        direct = not image.any()
        wanted = np.linalg.norm(r, axis=2) < cutoff
        if direct:
            wanted |= np.arange(n)[:, None] // 2 == np.arange(n) // 2
            np.fill_diagonal(wanted, False)
        expected += [(int(j), int(i), *r[i, j].round(3).tolist()) for i, j in np.argwhere(wanted)]
    found = [
        (j, i, *np.round(r, 3).tolist())
        for (j, i), r in zip(edges.pairs.T.tolist(), edges.separations.numpy().astype(float), strict=True)
    ]
    assert len(found) == len(expected)
    # rounding may differ by one in the last place, so that the sorted lists are compared to a tolerance
    by_pair = sorted(found, key=lambda e: (e[0], e[1], round(e[2], 1), round(e[3], 1)))
    np.testing.assert_allclose(
        by_pair, sorted(expected, key=lambda e: (e[0], e[1], round(e[2], 1), round(e[3], 1))), atol=2e-3
    )


def test_cutoff_beyond_half_the_box_is_refused() -> None:
    graph = BeadGraph.of(coarsen(chain(5), 1))
    with pytest.raises(UserError, match="half of the smallest box height"):
        graph.edges(torch.zeros(5, 3, dtype=torch.float64), 3.0, torch.eye(3, dtype=torch.float64) * 5)


def test_frames_and_batches_agree_with_single_graphs() -> None:
    cg = coarsen(chain(12), 1)
    graph = BeadGraph.of(cg)
    x = torch.tensor(np.random.default_rng(0).normal(size=(3, 12, 3)) * 2)
    singles = [graph.edges(frame, 2.0) for frame in x]
    for edges in (graph.edges_of_frames(x, 2.0), BatchedGraph([graph] * 3, 2.0).edges(x.reshape(36, 3))):
        found = as_set(edges)
        joined = as_set(module.join(singles, [12] * 3))
        assert found.keys() == joined.keys()
