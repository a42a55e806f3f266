"""Collisions against counting by hand, and the distances that reference data give."""

import numpy as np
import pytest

from cgplugin import UserError
from cgplugin.observables.collisions import CollisionAccumulator, collision_distances
from cgplugin.observables.pairs import PairKinds, near_pairs
from cgplugin.observables.radial_distribution import RadialDistributionAccumulator

BOX = np.array([[5.0, 0, 0], [1.0, 5.5, 0], [-1.5, 2.0, 6.0]])
NAMES = ["A"] * 20 + ["B"] * 40
KINDS = PairKinds.of(NAMES)


def frames(n_frames: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(size=(n_frames, 60, 3)) @ BOX


def all_distances(frame: np.ndarray) -> np.ndarray:
    """Shortest distance over 27 images, pair by pair."""
    images = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3), axis=-1).reshape(-1, 3) @ BOX
    return np.linalg.norm(frame[None, None] - frame[:, None] + images[:, None, None], axis=-1).min(axis=0)


def test_equal_to_all_pairs() -> None:
    distances = {("A", "A"): 0.9, ("B", "A"): 0.6, ("B", "B"): 0.4}
    accumulator = CollisionAccumulator(KINDS, distances)
    of_a = np.arange(60) < 20
    for frame in frames(5, 0):
        accumulator.update(near_pairs(frame, BOX, 2.0))
    collisions = accumulator.result()
    for n, frame in enumerate(frames(5, 0)):
        found = np.triu(all_distances(frame), 1) + np.tril(np.full((60, 60), 99.0))
        assert collisions.of("A", "A")[n] == (found[of_a][:, of_a] < 0.9).sum()
        assert collisions.of("A", "B")[n] == (found[of_a][:, ~of_a] < 0.6).sum()
        assert collisions.of("B", "B")[n] == (found[~of_a][:, ~of_a] < 0.4).sum()
    assert (collisions.total == collisions.counts.sum(axis=1)).all()
    assert collisions.total.sum() > 20


def test_kinds_without_a_distance_do_not_collide() -> None:
    accumulator = CollisionAccumulator(KINDS, {("A", "A"): 1.0})
    for frame in frames(5, 0):
        accumulator.update(near_pairs(frame, BOX, 2.0))
    collisions = accumulator.result()
    assert collisions.of("A", "A").sum() == collisions.total.sum() > 0
    assert np.isnan(collisions.distances[KINDS.index("A", "B")])
    nothing = CollisionAccumulator(KINDS, {})
    nothing.update(near_pairs(frames(1, 0)[0], BOX, 2.0))
    assert nothing.result().total.tolist() == [0]


def test_distances_of_a_reference_leave_the_rate_that_was_asked_for() -> None:
    """On other frames of the same ideal gas there are rate * n collisions of each kind, n the number of the rarer one."""
    rate = 0.02
    rdf = RadialDistributionAccumulator(KINDS, np.linspace(0, 2, 201))
    for frame in frames(300, 1):
        rdf.update(near_pairs(frame, BOX, 2.0))
    distances = collision_distances(rdf.result(), rate)
    assert set(distances) == {("A", "A"), ("A", "B"), ("B", "B")}
    accumulator = CollisionAccumulator(KINDS, distances)
    for frame in frames(300, 2):
        accumulator.update(near_pairs(frame, BOX, 2.0))
    collisions = accumulator.result()
    for pair, rarer in ((("A", "A"), 20), (("A", "B"), 20), (("B", "B"), 40)):
        expected = rate * rarer * 300
        # both the distance and the count have Poisson noise
        assert abs(collisions.of(*pair).sum() - expected) < 4 * np.sqrt(2 * expected)


def test_pairs_that_never_meet_have_no_distance() -> None:
    rdf = RadialDistributionAccumulator(PairKinds.of(["A", "B"]), np.linspace(0, 2, 201))
    rdf.update(near_pairs(np.array([[0.0, 0, 0], [2.4, 0, 0]]), BOX, 2.0))
    assert collision_distances(rdf.result()) == {}


def test_bad_distances_are_refused() -> None:
    with pytest.raises(UserError, match="the collision distance of A and B is -1"):
        CollisionAccumulator(KINDS, {("A", "B"): -1})
    with pytest.raises(UserError, match="no particles of kind 'C'"):
        CollisionAccumulator(KINDS, {("A", "C"): 1})
