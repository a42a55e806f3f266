"""Residence of ion pairs in a process whose relaxation is known."""

import math

import numpy as np
import pytest

from cgplugin.observables.ion_pairs import IonPairAccumulator, IonPairs
from cgplugin.observables.pairs import NearPairs

N_CATIONS, N_ANIONS, INTERVAL = 12, 15, 0.5


def telegraph(n_frames: int, probability: float, relaxation: float, seed: int) -> np.ndarray:
    """Contacts (n_frames, N_CATIONS, N_ANIONS) that form and break at random: C(t) = p + (1 - p) exp(-t / relaxation)."""
    random = np.random.default_rng(seed)
    memory = math.exp(-INTERVAL / relaxation)
    state = random.uniform(size=(N_CATIONS, N_ANIONS)) < probability
    frames = [state]
    for _ in range(n_frames - 1):
        renewed = random.uniform(size=state.shape) < probability
        state = np.where(random.uniform(size=state.shape) < memory, state, renewed)
        frames.append(state)
    return np.array(frames)


def residence(contacts: np.ndarray, radius: float = 1.0) -> IonPairs:
    """What `IonPairAccumulator` says of contacts, with cations and anions in either order within a pair."""
    n = N_CATIONS + N_ANIONS
    is_cation = np.arange(n) < N_CATIONS
    accumulator = IonPairAccumulator(is_cation.tolist(), (~is_cation).tolist(), np.arange(n), radius, INTERVAL)
    cation, anion = np.indices((N_CATIONS, N_ANIONS)).reshape(2, -1)
    turned = (cation + anion) % 2 == 1
    first, second = np.where(turned, anion + N_CATIONS, cation), np.where(turned, cation, anion + N_CATIONS)
    for frame in contacts:
        distances = np.where(frame.ravel(), 0.9, 1.1)
        # cations that are close to each other are no ion pair
        accumulator.update(
            NearPairs(np.append(first, 0), np.append(second, 1), np.append(distances, 0.5), volume=100.0)
        )
    return accumulator.result()


@pytest.mark.parametrize("relaxation", [3.0, 12.0])
def test_lifetime_of_random_contacts(relaxation: float) -> None:
    found = [residence(telegraph(600, 0.15, relaxation, seed)) for seed in range(4)]
    lifetimes = np.array([pairs.lifetime for pairs in found])
    assert lifetimes.mean() == pytest.approx(relaxation, rel=0.08)
    for pairs in found:
        assert pairs.random == pytest.approx(0.15, abs=0.03)
        assert pairs.n_pairs == pytest.approx(0.15 * N_CATIONS * N_ANIONS, rel=0.15)
        early = pairs.times < 2 * relaxation
        np.testing.assert_allclose(pairs.residence[early], np.exp(-pairs.times[early] / relaxation), atol=0.06)
    assert found[0].correlation[0] == 1


def test_parting_and_meeting_again_counts_as_one_pair() -> None:
    contacts = np.zeros((40, N_CATIONS, N_ANIONS), dtype=bool)
    contacts[::2, 0, 0] = True
    pairs = residence(contacts)
    assert dict(zip(pairs.times.tolist(), pairs.correlation.tolist(), strict=True))[1.0] == 1
    assert dict(zip(pairs.times.tolist(), pairs.correlation.tolist(), strict=True))[0.5] == 0


def test_pairs_that_never_part_have_no_lifetime() -> None:
    contacts = np.zeros((40, N_CATIONS, N_ANIONS), dtype=bool)
    contacts[:, 3, 4] = True
    assert math.isnan(residence(contacts).lifetime)
    assert math.isnan(residence(np.zeros_like(contacts)).lifetime)
    assert residence(np.zeros_like(contacts)).n_pairs == 0


def test_ions_of_several_particles_touch_once() -> None:
    """Two particles of one anion near a cation are one pair."""
    accumulator = IonPairAccumulator([True, False, False], [False, True, True], np.array([0, 1, 1]), 1.0, INTERVAL)
    accumulator.update(NearPairs(np.array([0, 2]), np.array([1, 0]), np.array([0.5, 0.6]), 10.0))
    assert accumulator.result().n_pairs == 1
    assert accumulator.result().random == 1
