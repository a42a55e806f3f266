"""What a periodic prediction must not depend on: images, origin, choice of box, replication, company, and how it is cut up."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from cgplugin import LearnedModel, MolecularSystem, UserError
from cgplugin.coarse_graining import neighbours, verlet_list
from cgplugin.coarse_graining.coarsening import CoarseGraining, coarsen
from cgplugin.learned import simulator as module
from cgplugin.learned.pieces import GraphPieces, compact_groups
from cgplugin.learned.simulator import LearnedSimulator, LearnedState, SimulationDivergedError
from cgplugin.networks.options import NetworkOptions
from cgplugin.systems.periodic import reduce_box_vectors
from tests.random_model import random_model

Array = NDArray[np.float64]

BOX = np.array([[7.0, 0, 0], [-2.0, 6.5, 0], [1.5, 2.5, 7.5]])
CUTOFF, ION_CUTOFF, SCORE_ION_CUTOFF = 2.8, 4.5, 3.0


def solution(n_chains: int = 5, n_ions: int = 12, name: str = "solution") -> CoarseGraining:
    bonds = [(4 * c + k, 4 * c + k + 1) for c in range(n_chains) for k in range(3)]
    types = ("A", "B", "B", "A") * n_chains + ("X",) * n_ions
    masses = np.array([{"A": 4.0, "B": 6.0, "X": 1.0}[t] for t in types])
    return coarsen(MolecularSystem(types, masses, np.array(bonds), ("b",) * len(bonds), units="lj", name=name), 1)


def frames_of(cg: CoarseGraining, box: Array, seed: int) -> Array:
    random = np.random.default_rng(seed)
    x = random.uniform(size=(cg.n_beads, 3)) @ box
    for i, j in cg.bonds:
        x[j] = x[i] + random.normal(size=3) * 0.7
    return x + np.cumsum(random.normal(size=(3, cg.n_beads, 3)) * 0.3, axis=0)


@pytest.fixture(scope="module", params=["rotation", "none"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LearnedModel:
    options = NetworkOptions(hidden=16, layers=2, symmetry=request.param, score=True, score_layers=2)
    path = tmp_path_factory.mktemp("model") / "model.pt"
    return LearnedModel.load(
        random_model(
            path,
            [solution().system],
            cutoff=CUTOFF,
            ion_cutoff=ION_CUTOFF,
            score_ion_cutoff=SCORE_ION_CUTOFF,
            atoms_per_bead=1,
            options=options,
            refinement_levels=2,
        )
    )


def advanced(
    model: LearnedModel, systems: list[CoarseGraining], boxes: list[Array], frames: list[Array], normal: torch.Tensor
) -> tuple[LearnedState, torch.Tensor]:
    simulator = LearnedSimulator(model, systems, box_vectors=boxes)
    observed = simulator.advance(simulator.start(frames), normal)
    return observed.state, observed.internal_rg2


def noise(model: LearnedModel, n_beads: int, seed: int = 0) -> torch.Tensor:
    shape = (1 + model.refinement.n_normal, n_beads, 3)
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))


def assert_moves_equal(one: LearnedState, other: LearnedState, **tolerance: float) -> None:
    torch.testing.assert_close(
        one.displacements, other.displacements, **{"rtol": 0, "atol": 3e-5, **tolerance}, check_dtype=False
    )


def test_model_of_this_test_sees_its_neighbours(model: LearnedModel) -> None:
    """Otherwise nothing below could fail: moving one ion changes what others do by much more than rounding."""
    cg = solution()
    frames = frames_of(cg, BOX, 1)
    pushed = frames.copy()
    pushed[:, -1] += [0.5, 0, 0]
    normal = noise(model, cg.n_beads)
    one, _ = advanced(model, [cg], [BOX], [frames], normal)
    two, _ = advanced(model, [cg], [BOX], [pushed], normal)
    changed = (one.displacements - two.displacements)[:-1].abs().amax(dim=(1, 2))
    assert (changed > 3e-4).sum() >= 5


@pytest.mark.parametrize("far", [3, 100_000])
def test_choice_of_images_and_origin(model: LearnedModel, far: int) -> None:
    cg = solution()
    random = np.random.default_rng(2)
    frames = frames_of(cg, BOX, 1)
    images = random.integers(-far, far + 1, size=(int(cg.molecules.max()) + 1, 3))[cg.molecules]
    shifted = frames + images @ BOX + np.array([0.3, -40.0, 11.0])
    normal = noise(model, cg.n_beads)
    one, size = advanced(model, [cg], [BOX], [frames], normal)
    two, other_size = advanced(model, [cg], [BOX], [shifted], normal)
    assert_moves_equal(one, two)
    torch.testing.assert_close(size, other_size, rtol=1e-4, atol=1e-5)


def test_equivalent_triclinic_box(model: LearnedModel) -> None:
    """The lattice by other vectors (a, b, c) -> (b, c, a), turned into OpenMM's form: the whole system turns with it."""
    if model.description.networks["symmetry"] == "none":
        pytest.skip("a model that sees plain vectors does not turn with the system")
    cg = solution()
    frames = frames_of(cg, BOX, 1)
    permuted = BOX[[1, 2, 0]]
    lower = np.linalg.cholesky(permuted @ permuted.T)
    turn = np.linalg.solve(permuted, lower)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    box = reduce_box_vectors(lower)
    assert not np.allclose(np.diagonal(box), np.diagonal(BOX), atol=0.1)
    # noise turns with the system as well
    normal = noise(model, cg.n_beads)
    turned = (normal.double() @ torch.tensor(turn)).float()
    one, _ = advanced(model, [cg], [BOX], [frames], normal)
    two, _ = advanced(model, [cg], [box], [frames @ turn], turned)
    assert_moves_equal(LearnedState(one.positions, one.displacements @ torch.tensor(turn)), two)


def test_drift_before_the_start_does_not_matter(model: LearnedModel) -> None:
    cg = solution()
    frames = frames_of(cg, BOX, 3)
    wandering = frames + np.array([[-0.9, 0.4, 0.2], [0.3, 0.1, -0.6], [0, 0, 0]])[:, None]
    simulator = LearnedSimulator(model, [cg], box_vectors=[BOX])
    one, other = simulator.start([frames]), simulator.start([wandering])
    assert_moves_equal(one, other, atol=1e-12)
    np.testing.assert_array_equal(one.positions, frames[-1])
    moved = np.einsum("nkd,n->kd", one.displacements, cg.masses) / cg.masses.sum()
    np.testing.assert_allclose(moved, 0, atol=1e-12)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_supercell(model: LearnedModel, axis: int) -> None:
    """Two copies side by side in a box twice as long do what one does in its own."""
    cg, n = solution(), solution().n_beads
    frames = frames_of(cg, BOX, 1)
    double = coarsen(
        MolecularSystem(
            cg.system.atom_types * 2, np.tile(cg.system.masses, 2),
            np.concatenate([cg.system.bonds, cg.system.bonds + n]), cg.system.bond_types * 2, units="lj",
        ),
        1,
    )  # fmt: skip
    box = BOX.copy()
    box[axis] *= 2
    copies = np.concatenate([frames, frames + BOX[axis]], axis=1)
    normal = noise(model, n)
    one, size = advanced(model, [cg], [BOX], [frames], normal)
    two, both = advanced(model, [double], [reduce_box_vectors(box)], [copies], torch.cat([normal, normal], dim=1))
    for part in (slice(0, n), slice(n, None)):
        assert_moves_equal(LearnedState(one.positions, two.displacements[part]), one)
        torch.testing.assert_close(both[part], size, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("alike", [True, False])
def test_alone_or_in_a_batch(model: LearnedModel, alike: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TILE_BEADS", 70)
    monkeypatch.setattr(neighbours, "ALL_PAIRS_LIMIT", 40)
    systems = [solution(), solution(3, 4, "small"), solution(8, 30, "large"), solution(5, 2, "other")]
    boxes = [BOX if alike else BOX * (1 + 0.1 * n) for n in range(4)]
    frames = [frames_of(cg, box, n) for n, (cg, box) in enumerate(zip(systems, boxes, strict=True))]
    simulator = LearnedSimulator(model, systems, box_vectors=boxes)
    normal = noise(model, simulator.n_beads)
    together = simulator.advance(simulator.start(frames), normal)
    for cg, box, own, part in zip(systems, boxes, frames, simulator.slices, strict=True):
        alone, size = advanced(model, [cg], [box], [own], normal[:, part])
        assert_moves_equal(alone, LearnedState(alone.positions, together.state.displacements[part]))
        torch.testing.assert_close(size, together.internal_rg2[part], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("size", [7, 40])
def test_large_system_piece_by_piece(
    model: LearnedModel, periodic: bool, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cg = solution(30, 40)
    box = BOX * 1.6 if periodic else None
    frames = frames_of(cg, BOX * 1.6, 1)
    if not periodic:
        options = NetworkOptions(hidden=16, layers=1, noise="bonded", score=False)
        path = random_model(
            tmp_path / "m.pt", [cg.system], cutoff=CUTOFF, atoms_per_bead=1, periodic=False, options=options
        )
        model = LearnedModel.load(path)
    normal = noise(model, cg.n_beads)
    whole, rg2 = advanced(model, [cg], [box], [frames], normal)
    monkeypatch.setattr(module, "PIECE_BEADS", size)
    pieces, other_rg2 = advanced(model, [cg], [box], [frames], normal)
    assert_moves_equal(whole, pieces)
    torch.testing.assert_close(rg2, other_rg2, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("hops", [1, 2, 3])
def test_pieces_hold_what_their_cores_reach(hops: int) -> None:
    """Against powers of the adjacency matrix."""
    random = np.random.default_rng(hops)
    n = 60
    joined = np.triu(random.random((n, n)) < 0.04, 1)
    joined |= joined.T
    pairs = np.array(random.permutation(np.argwhere(joined)).T)
    points = random.random((n, 3))
    cores = compact_groups(points, 13)
    assert sorted(np.concatenate(cores).tolist()) == list(range(n))
    assert max(map(len, cores)) <= 13
    reach = [np.eye(n, dtype=bool)]
    for _ in range(hops):
        reach.append(reach[-1] | (reach[-1] @ joined))
    for core, piece in zip(cores, GraphPieces(cores, torch.tensor(pairs), n, hops), strict=True):
        assert piece.core.tolist() == core.tolist()
        assert set(piece.beads.tolist()) == set(np.flatnonzero(reach[hops][core].any(axis=0)))
        ends = set(np.flatnonzero(reach[hops - 1][core].any(axis=0)).tolist())
        assert set(piece.edges.tolist()) == {k for k, (_, i) in enumerate(pairs.T.tolist()) if i in ends}
        np.testing.assert_array_equal(piece.beads[piece.pairs], pairs[:, piece.edges])
        into_core = {k for k, (_, i) in enumerate(pairs.T.tolist()) if i in set(core.tolist())}
        assert set(piece.core_edges.tolist()) == into_core
        # in the order that the whole graph has: sums are the same to the last bit
        for i in core.tolist():
            assert (np.diff([e for e in piece.edges.tolist() if pairs[1, e] == i]) > 0).all()


def test_long_run_with_a_neighbour_list_restarts_exactly(model: LearnedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of a resumed run is a fresh one; here with a skin that would serve many steps."""
    monkeypatch.setattr(neighbours, "ALL_PAIRS_LIMIT", 0)
    monkeypatch.setattr(verlet_list, "choose_skin", lambda *_: 12.0)
    cg = solution()
    one, other = (LearnedSimulator(model, [cg], box_vectors=[BOX], seed=5) for _ in range(2))
    state = one.start([frames_of(cg, BOX, 1)])
    for n in range(12):
        if n == 7:
            kept = state
        state = one.step(state).state
    for _ in range(7, 12):
        kept = other.step(kept).state
    assert one._tiles[0].graph._lists[0]._all.n_builds < 12
    assert torch.equal(state.positions, kept.positions)


def test_what_does_not_fit_is_refused(model: LearnedModel) -> None:
    cg = solution()
    frames = frames_of(cg, BOX, 1)

    def refused(message: str, box: Array | None, start: Array = frames) -> None:
        with pytest.raises(UserError, match=message):
            LearnedSimulator(model, [cg], box_vectors=[box]).start([start])

    refused("solution: a system without a box, but .* was trained with one", None)
    refused(r"solution: the cutoff of 2.8 nm exceeds half of the smallest box height", BOX * 0.7)
    nan = BOX.copy()
    nan[1, 1] = np.nan
    refused(r"solution: the box is not finite: \(7 0 0, -2 nan 0, 1\.5 2\.5 7\.5\) nm", nan)
    refused("solution: an edge of the box is not positive", np.diag([7.0, 0.0, 7.0]))
    refused("solution: the box vectors are not in reduced form", BOX + np.array([[0, 0, 0], [6.0, 0, 0], [0, 0, 0]]))
    refused("solution: the box vectors are not in reduced form", Rotation.from_euler("z", 10, True).apply(BOX))
    together = frames.copy()
    together[-1, 5] = together[-1, 30] + BOX[2] - 2 * BOX[0] + 0.001
    refused(r"solution: beads 5 and 30 overlap: they are 0\.0017 nm apart", BOX, together)


def test_lost_beads_are_named_before_the_next_search(model: LearnedModel) -> None:
    cg = solution()
    simulator = LearnedSimulator(model, [cg], box_vectors=[BOX])
    state = simulator.start([frames_of(cg, BOX, 1)])
    state.positions[9, 1] = np.inf
    with pytest.raises(SimulationDivergedError, match="solution: the position of bead 9 is not finite after step 0"):
        simulator.step(state)
