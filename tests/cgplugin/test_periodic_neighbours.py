"""Neighbours in periodic boxes against a search over all images by brute force, and the list with a skin against a fresh one."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cgplugin import MolecularSystem, UserError
from cgplugin.coarse_graining import neighbours as module
from cgplugin.coarse_graining.coarsening import CoarseGraining, coarsen
from cgplugin.coarse_graining.neighbours import BatchedGraph, BeadGraph, Edges
from cgplugin.coarse_graining.verlet_list import VerletList, choose_skin
from cgplugin.systems.periodic import box_heights

Edge = tuple[int, int, tuple[int, ...]]

CUTOFF = 2.4


def random_box(random: np.random.Generator, triclinic: bool = True) -> np.ndarray:
    """A reduced box whose smallest height is at least twice the cutoff."""
    box = np.diag(random.uniform(5, 8, size=3))
    if triclinic:
        box[1, 0], box[2, 0], box[2, 1] = random.uniform(-0.5, 0.5, size=3) * box[[0, 0, 1], [0, 0, 1]]
    return box * max(1.0, 2.0001 * CUTOFF / box_heights(box).min())


def solution(n_chains: int, n_ions: int) -> CoarseGraining:
    """Chains of four beads, and lone ones, in an order that mixes them."""
    bonds = [(5 * c + k, 5 * c + k + 1) for c in range(n_chains) for k in range(3)]
    n = 5 * n_chains + n_ions
    return coarsen(MolecularSystem(("A",) * n, np.ones(n), np.array(bonds).reshape(-1, 2), ("b",) * len(bonds)), 1)


def configuration(cg: CoarseGraining, box: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Whole molecules anywhere, each in an image of its own."""
    x = random.uniform(size=(cg.n_beads, 3)) @ box
    for i, j in cg.bonds:
        x[j] = x[i] + random.normal(size=3) * 0.8
    return x + random.integers(-3, 4, size=(int(cg.molecules.max()) + 1, 3))[cg.molecules] @ box


def by_brute_force(
    cg: CoarseGraining, x: np.ndarray, box: np.ndarray, cutoff: float, ion_cutoff: float | None
) -> dict[Edge, tuple[int, np.ndarray]]:
    """Kind and separation of every edge by sender, receiver and image, all images tried."""
    alone = np.isin(np.arange(cg.n_beads), cg.bonds, invert=True)
    between_ions = alone[:, None] & alone[None] & (ion_cutoff is not None)
    reach = np.where(between_ions, ion_cutoff or 0.0, cutoff)
    n = cg.n_beads
    hops = np.zeros((n, n), dtype=int)
    hops[cg.bonds[:, 0], cg.bonds[:, 1]] = hops[cg.bonds[:, 1], cg.bonds[:, 0]] = 1
    second = (hops @ hops > 0) & (hops == 0) & ~np.eye(n, dtype=bool)
    hops[second] = 2
    found = {}
    nearest = np.rint((x[:, None] - x[None]) @ np.linalg.inv(box)).astype(int)
    for around in np.ndindex(5, 5, 5):
        image = np.array(around) - 2 - nearest
        r = x[:, None] - x[None] + image @ box
        wanted = np.linalg.norm(r, axis=2) < reach
        direct = ~image.any(axis=2)
        wanted &= ~(direct & (hops > 0)) & ~np.eye(n, dtype=bool)
        for i, j in np.argwhere(wanted):
            kind = 3 if between_ions[i, j] else 0
            found[(int(j), int(i), tuple(image[i, j].tolist()))] = (kind, r[i, j])
    for i, j in np.argwhere(hops > 0):
        found[(int(j), int(i), (0, 0, 0))] = (int(hops[i, j]), x[i] - x[j])
    return found


def by_image(edges: Edges, x: np.ndarray, box: np.ndarray) -> dict[Edge, tuple[int, np.ndarray]]:
    found = {}
    inverse = np.linalg.inv(box)
    separations = edges.separations.double().numpy()
    for (j, i), r, kind in zip(edges.pairs.T.tolist(), separations, edges.kinds.tolist(), strict=True):
        image = (r - (x[i] - x[j])) @ inverse
        np.testing.assert_allclose(image, np.rint(image), atol=1e-5)
        key = (j, i, tuple(np.rint(image).astype(int).tolist()))
        assert key not in found
        found[key] = (kind, r)
    return found


def assert_same(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for key, (kind, r) in expected.items():
        assert found[key][0] == kind
        np.testing.assert_allclose(found[key][1], r, atol=1e-5)


@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize(
    ("cutoff", "ion_cutoff"),
    [(CUTOFF, None), (0.7 * CUTOFF, CUTOFF), (CUTOFF, 0.7 * CUTOFF), (CUTOFF, 2 * CUTOFF)],
)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), triclinic=st.booleans())
def test_edges_are_those_of_brute_force(
    small: bool, cutoff: float, ion_cutoff: float | None, seed: int, triclinic: bool
) -> None:
    random = np.random.default_rng(seed)
    box = random_box(random, triclinic)
    cg = solution(int(random.integers(0, 5)), int(random.integers(1, 15)))
    x = configuration(cg, box, random)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ALL_PAIRS_LIMIT", 128 if small else 0)
        edges = BeadGraph.of(cg).edges(torch.tensor(x), cutoff, torch.tensor(box), ion_cutoff=ion_cutoff)
    assert_same(by_image(edges, x, box), by_brute_force(cg, x, box, cutoff, ion_cutoff))


@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize("far", [1e3, 1e6])
def test_beads_far_from_the_box(small: bool, far: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unwrapped paths of a long run; float64 leaves 1e-10 at a million nm."""
    monkeypatch.setattr(module, "ALL_PAIRS_LIMIT", 128 if small else 0)
    random = np.random.default_rng(3)
    box, cg = random_box(random), solution(4, 20)
    x = configuration(cg, box, random)
    images = np.rint(random.uniform(-far, far, size=(int(cg.molecules.max()) + 1, 3)) / 6)[cg.molecules]
    graph = BeadGraph.of(cg)
    near = graph.edges(torch.tensor(x), CUTOFF, torch.tensor(box))
    away = graph.edges(torch.tensor(x + images @ box), CUTOFF, torch.tensor(box))
    assert torch.equal(near.pairs, away.pairs)
    torch.testing.assert_close(near.separations, away.separations, rtol=0, atol=1e-6)


@pytest.mark.parametrize("step", [0.002, 0.02, 0.2, 1.0])
@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("skin", [None, 0.0, 0.3, 1.5])
def test_skin_never_shows(step: float, periodic: bool, skin: float | None) -> None:
    """Pairs, order and bits of a list that is carried along are those of a list made from nothing."""
    random = np.random.default_rng(1)
    box = torch.tensor(random_box(random)) if periodic else None
    cg = solution(10, 60)
    graph = BeadGraph.of(cg)
    x = configuration(cg, random_box(random), random)
    carried = graph.verlet_list(CUTOFF, box, skin)
    for _ in range(30):
        pairs, separations = carried.find(torch.tensor(x))
        fresh_pairs, fresh_separations = graph.verlet_list(CUTOFF, box, 0.0).find(torch.tensor(x))
        assert torch.equal(pairs, fresh_pairs)
        assert torch.equal(separations, fresh_separations)
        assert (pairs[0] < pairs[1]).all()
        x = x + random.normal(size=x.shape) * step
    if skin == 0.0 or step == 1.0:
        assert carried.n_builds == 30
    elif step == 0.002:
        assert carried.n_builds <= 4


@pytest.mark.parametrize("step", [0.02, 1.0])
def test_skin_never_shows_where_ions_see_several_images(step: float) -> None:
    random = np.random.default_rng(1)
    box = random_box(random)
    reach = 0.99 * box_heights(box).min()
    vectors = torch.tensor(box)
    x = random.uniform(size=(40, 3)) @ box * 3
    carried = VerletList(40, reach, vectors, skin=0.5, several_images=True)
    for _ in range(30):
        pairs, separations = carried.find(torch.tensor(x))
        fresh_pairs, fresh_separations = VerletList(40, reach, vectors, skin=0.0, several_images=True).find(
            torch.tensor(x)
        )
        assert torch.equal(pairs, fresh_pairs)
        assert torch.equal(separations, fresh_separations)
        assert len(torch.unique(pairs, dim=1).T) < pairs.shape[1]
        x = x + random.normal(size=x.shape) * step
    assert carried.n_builds < 30 or step == 1.0


def test_rebuilt_when_one_bead_has_moved_half_the_skin() -> None:
    x = np.zeros((3, 3))
    x[1, 0], x[2, 0] = 2.9, 30.0
    kept = VerletList(3, 2.0, skin=1.0)
    assert kept.find(torch.tensor(x))[0].shape == (2, 0)
    x[0, 0], x[1, 0] = 0.499, 2.401
    assert kept.find(torch.tensor(x))[0].tolist() == [[0], [1]]
    assert kept.n_builds == 1
    x[0, 0] = 0.502
    assert kept.find(torch.tensor(x))[0].tolist() == [[0], [1]]
    assert kept.n_builds == 2


def test_skin_pays_for_short_steps_only() -> None:
    assert choose_skin(3.0, 0.0) > 0
    assert choose_skin(3.0, 0.01) > 0
    # of learned electrolytes: the fastest ion moves by two sigma in 4 tau
    assert choose_skin(3.0, 2.0) == 0


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("limit", [128, 30, 0])
@pytest.mark.parametrize(("cutoff", "ion_cutoff"), [(CUTOFF, None), (1.8, CUTOFF), (1.8, 4.5)])
def test_batch_of_boxes_is_every_system_alone(
    alike: bool, limit: int, cutoff: float, ion_cutoff: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ALL_PAIRS_LIMIT", limit)
    random = np.random.default_rng(5)
    systems = [solution(2, 3), solution(4, 20), solution(0, 7)]
    one = random_box(random)
    boxes = [one if alike else random_box(random) for _ in systems]
    x = [torch.tensor(configuration(cg, box, random)) for cg, box in zip(systems, boxes, strict=True)]
    tensors = [torch.tensor(box) for box in boxes]
    graphs = [BeadGraph.of(cg) for cg in systems]
    batch = BatchedGraph(graphs, cutoff, tensors, ion_cutoff)
    joined = batch.edges(torch.cat(x))
    offset = 0
    for graph, own, box in zip(graphs, x, tensors, strict=True):
        alone = graph.edges(own, cutoff, box, ion_cutoff=ion_cutoff)
        inside = (joined.pairs[0] >= offset) & (joined.pairs[0] < offset + graph.n_beads)
        part = Edges(joined.pairs[:, inside] - offset, joined.separations[inside], joined.kinds[inside])
        assert_same(by_image(part, own.numpy(), box.numpy()), by_image(alone, own.numpy(), box.numpy()))
        offset += graph.n_beads
    # and in the same order every time
    again = BatchedGraph(graphs, cutoff, tensors, ion_cutoff).edges(torch.cat(x))
    assert all(torch.equal(a, b) for a, b in zip(joined, again, strict=True))


@pytest.mark.parametrize("small", [True, False])
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_equivalent_boxes_have_equal_edges(small: bool, seed: int) -> None:
    """The same lattice by other vectors: the heights differ, the neighbours do not."""
    random = np.random.default_rng(seed)
    box = random_box(random)
    combine = np.eye(3)
    combine[1, 0], combine[2, 0], combine[2, 1] = random.integers(-1, 2, size=3)
    skewed = combine @ box
    cutoff = 0.49 * min(box_heights(skewed).min(), 2 * CUTOFF)
    cg = solution(3, 12)
    x = configuration(cg, box, random)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ALL_PAIRS_LIMIT", 128 if small else 0)
        graph = BeadGraph.of(cg)
        one = graph.edges(torch.tensor(x), cutoff, torch.tensor(box))
        two = graph.edges(torch.tensor(x), cutoff, torch.tensor(skewed))
    assert_same(by_image(two, x, box), by_image(one, x, box))


def test_frames_in_changing_boxes() -> None:
    random = np.random.default_rng(8)
    cg = solution(3, 10)
    graph = BeadGraph.of(cg)
    boxes = [random_box(random) for _ in range(4)]
    frames = [configuration(cg, box, random) for box in boxes]
    together = graph.edges_of_frames(torch.tensor(np.array(frames)), CUTOFF, torch.tensor(np.array(boxes)))
    singles = [graph.edges(torch.tensor(x), CUTOFF, torch.tensor(box)) for x, box in zip(frames, boxes, strict=True)]
    joined = module.join(singles, [cg.n_beads] * 4)

    def rows(edges: module.Edges) -> np.ndarray:
        # a pair may be an edge twice, through different images: of those the separations tell which is which
        table = np.column_stack([edges.pairs.T, edges.kinds, edges.separations])
        return table[np.lexsort(np.round(table, 4).T)]

    np.testing.assert_allclose(rows(together), rows(joined), rtol=0, atol=1e-6)


@pytest.mark.parametrize("limit", [128, 0])
def test_small_box_is_refused_before_anything_is_searched(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ALL_PAIRS_LIMIT", limit)
    graph = BeadGraph.of(solution(1, 1))
    # a height, not an edge, is what counts
    box = torch.tensor([[6.0, 0, 0], [3.0, 4.0, 0], [0, 0, 6.0]], dtype=torch.float64)
    with pytest.raises(UserError, match=r"cutoff of 2\.4 nm exceeds half of the smallest box height \(4 nm\)"):
        BatchedGraph([graph], CUTOFF, [box])
    with pytest.raises(UserError, match=r"cutoff of 2\.4 nm exceeds half of the smallest box height \(4 nm\)"):
        BatchedGraph([graph], CUTOFF, [box], 3.9)
    with pytest.raises(UserError, match=r"ion cutoff of 4\.1 nm exceeds the smallest box height \(4 nm\)"):
        BatchedGraph([graph], 1.0, [box], 4.1)
    with pytest.raises(UserError, match="half of the smallest box height"):
        graph.edges(torch.zeros(graph.n_beads, 3, dtype=torch.float64), CUTOFF, box)
