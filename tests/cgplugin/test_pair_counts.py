"""Smooth counts of pairs: bands laid by data, and what a step's outcome counts as."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cgplugin import MolecularSystem
from cgplugin.coarse_graining.coarse_trajectory import CoarseTrajectory
from cgplugin.coarse_graining.vocabulary import Vocabulary
from cgplugin.observables.pairs import near_pairs
from cgplugin.systems.periodic import box_heights
from cgplugin.training.dataset import WindowDataset
from cgplugin.training.pair_counts import BEFORE, GROWTH, RAREST, PairBands, reach_of_pairs
from tests.conftest import bead_path

Array = NDArray[np.float64]

BOX = np.array([[6.0, 0, 0], [-1.5, 6.0, 0], [1.0, 2.0, 6.0]])
REACH = 2.4


def salt(n_pairs: int) -> MolecularSystem:
    """Lone ions, positive and negative in turn."""
    types = ("P", "N") * n_pairs
    charges = np.array([1.0, -1.0] * n_pairs)
    return MolecularSystem(
        types, np.ones(2 * n_pairs), np.empty((0, 2), np.int64), (), units="lj", name="salt", charges=charges
    )


def gas(n_pairs: int = 8, n_frames: int = 300, seed: int = 0) -> CoarseTrajectory:
    positions = np.random.default_rng(seed).uniform(size=(n_frames, 2 * n_pairs, 3)) @ BOX
    path = bead_path(salt(n_pairs), positions, 1.0)
    return replace(path, box_vectors=np.repeat(BOX[None], n_frames, axis=0))


def windows(*paths: CoarseTrajectory) -> WindowDataset:
    return WindowDataset(paths, Vocabulary(("N", "P"), ()), stride=1, n_history=1, cutoff=REACH)


def test_bands_of_an_ideal_gas_are_where_its_pairs_double() -> None:
    data = windows(gas(40, 60), gas(40, 60, seed=1))
    bands = PairBands.of(data, REACH)
    assert bands.kinds == ("anion", "cation")
    density = 40 / np.linalg.det(BOX)
    for row, share in zip(bands.edges.numpy(), (0.5, 1.0, 0.5), strict=True):
        # n within r: (N_b - 1) / 2 of each kind's own pairs per bead, N_b of unlike ones
        n = RAREST * GROWTH ** np.arange(40)
        expected = (n / (share * density * 4 / 3 * np.pi)) ** (1 / 3)
        inner = row[row < 0.94 * REACH]
        assert len(inner) > 5
        # the innermost are known from a handful of pairs only
        np.testing.assert_allclose(inner[3:], expected[3 : len(inner)], rtol=0.08)
        assert row[-1] == pytest.approx(REACH)


def test_without_charges_all_beads_are_of_one_kind() -> None:
    positions = np.random.default_rng(0).uniform(0, 4, size=(50, 6, 3))
    system = MolecularSystem(("N",) * 6, np.ones(6), np.empty((0, 2), np.int64), (), units="lj", name="neutral")
    bands = PairBands.of(windows(bead_path(system, positions, 1.0)), REACH)
    assert bands.kinds == ("unknown",)
    assert bands.edges.shape[0] == 1


def counted(bands: PairBands, data: WindowDataset, positions: Array, moved: Array) -> torch.Tensor:
    """Of frames (n_frames, n_beads, 3), each a sample."""
    n_frames, n_beads, _ = positions.shape
    edges = data.edges(0, positions, np.arange(n_frames), REACH)
    kinds = bands.numbers(data.trajectories[0]).repeat(n_frames)
    samples = torch.arange(n_frames).repeat_interleave(n_beads)
    return bands.counts(edges, torch.tensor(moved.reshape(-1, 3)), kinds, samples, n_frames)


def test_pairs_are_those_that_vesin_finds() -> None:
    path = gas()
    data = windows(path)
    bands = PairBands.of(data, REACH)
    still = np.zeros_like(path.positions[:40], dtype=np.float64)
    found = counted(bands, data, path.positions[:40].astype(np.float64), still)
    found = found.reshape(40, bands.edges.shape[0], len(BEFORE) + 1, -1)
    numbers = bands.numbers(path).numpy()
    for frame, own in zip(path.positions[:40].astype(np.float64), found, strict=True):
        pairs = near_pairs(frame, BOX, REACH)
        kinds = bands.table.numpy()[numbers[pairs.first], numbers[pairs.second]]
        # nothing has moved
        come_from = np.digitize(pairs.distances, np.array(BEFORE) * REACH)
        for kind, ends in enumerate(bands.edges.numpy()):
            for where in range(len(BEFORE) + 1):
                distances = pairs.distances[(kinds == kind) & (come_from == where)]
                hard = (distances[:, None] < ends[None, :-1]).sum(axis=0)
                soft = own[kind, where].cumsum(dim=0)[:-1].numpy()
                width = 6 * 0.06 * ends[:-1]
                doubtful = (np.abs(distances[:, None] - ends[None, :-1]) < width).sum(axis=0)
                assert (np.abs(hard - soft) <= 0.55 * doubtful + 0.02 * len(distances)).all()


def test_a_pair_counts_by_where_it_was_before() -> None:
    data = windows(gas(1, 4))
    bands = PairBands(("anion", "cation"), torch.tensor([[1.0, REACH]] * 3), torch.tensor([[0, 1], [1, 2]]), REACH)
    # now 0.5 apart; before the step too, or 2.0 apart, across the box's face
    positions = np.array([[[0.1, 3, 3], [5.6, 3, 3]]] * 2)
    moved = np.array([[[0.0, 0, 0], [0, 0, 0]], [[0.0, 0, 0], [1.5, 0, 0]]])
    near, far = counted(bands, data, positions, moved).reshape(2, 3, 3, 2)
    assert near[1, 0, 0] == pytest.approx(1, abs=1e-3)
    assert far[1, 2, 0] == pytest.approx(1, abs=1e-3)
    assert near.sum() == pytest.approx(1, abs=1e-3)
    assert far.sum() == pytest.approx(1, abs=1e-3)


def test_pairs_are_counted_as_far_as_the_score_network_sees_and_one_image_of_each() -> None:
    paths = (gas(4, 10),)
    small = 0.5 * float(box_heights(BOX).min())
    of = {"vocabulary": Vocabulary(("N", "P"), ()), "stride": 1, "n_history": 1, "levels": (1.0,)}
    assert reach_of_pairs(WindowDataset(paths, cutoff=1.0, score_cutoff=1.5, **of)) == 1.5
    assert reach_of_pairs(WindowDataset(paths, cutoff=1.0, score_cutoff=1.5, ion_cutoff=2.0, **of)) == 2.0
    assert reach_of_pairs(WindowDataset(paths, cutoff=1.0, ion_cutoff=small + 1, **of)) == pytest.approx(small)
    # of a box that changes, its smallest
    shrinking = replace(paths[0], box_vectors=paths[0].box_vectors * np.linspace(1, 0.8, 10)[:, None, None])
    data = WindowDataset((shrinking,), cutoff=1.0, ion_cutoff=small + 0.5, **of)
    assert reach_of_pairs(data) == pytest.approx(0.8 * small)
    assert PairBands.of(data, reach_of_pairs(data)).reach == pytest.approx(0.8 * small)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_gradient_is_that_of_finite_differences(seed: int) -> None:
    data = windows(gas(3, 4))
    bands = PairBands(("anion", "cation"), torch.tensor([[0.6, 1.2, REACH]] * 3), torch.tensor([[0, 1], [1, 2]]), REACH)
    random = np.random.default_rng(seed)
    positions = random.uniform(size=(1, 6, 3)) @ BOX
    edges = data.edges(0, positions, np.arange(1), REACH)
    edges = edges._replace(separations=edges.separations.double())
    kinds, samples, still = (
        bands.numbers(data.trajectories[0]),
        torch.zeros(6, dtype=torch.int64),
        torch.zeros(6, 3).double(),
    )
    weights = torch.from_numpy(random.normal(size=(1, bands.n_features)))

    def value(shift: torch.Tensor) -> torch.Tensor:
        relative = shift[edges.pairs[1]] - shift[edges.pairs[0]]
        counts = bands.counts(edges._replace(separations=edges.separations + relative), still, kinds, samples, 1)
        return (weights * counts).sum()

    shift = torch.zeros(6, 3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(value(shift), shift)
    direction = torch.from_numpy(random.normal(size=(6, 3)))
    step = 1e-5
    numerical = (value(step * direction) - value(-step * direction)) / (2 * step)
    assert float((gradient * direction).sum()) == pytest.approx(float(numerical), rel=1e-3, abs=1e-4)
