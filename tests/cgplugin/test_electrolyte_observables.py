"""All observables of an electrolyte in one pass: what they depend on, and what they must not depend on."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgplugin import UserError
from cgplugin.observables.electrolyte import (
    NEIGHBOURS,
    ContactDistances,
    ElectrolyteObservables,
    default_range,
    electrolyte_observables,
)
from cgplugin.systems.species import ParticleSpecies

BOX = np.array([[6.0, 0, 0], [1.5, 6.5, 0], [-1.2, 2.0, 7.0]])
N_IONS, N_CHAINS, LENGTH, INTERVAL = 20, 6, 4, 2.0
DIFFUSIVITIES = {"Li": 0.05, "X": 0.02, "P4": 0.01}


def particles() -> ParticleSpecies:
    """Cations, anions, and chains of four."""
    names = ["Li"] * N_IONS + ["X"] * N_IONS + ["P4"] * (N_CHAINS * LENGTH)
    molecules = np.concatenate([np.arange(2 * N_IONS), 2 * N_IONS + np.repeat(np.arange(N_CHAINS), LENGTH)])
    masses = np.repeat([0.5, 5.0, 2.0], [N_IONS, N_IONS, N_CHAINS * LENGTH])
    charges = np.repeat([1.0, -1.0, 0.0], [N_IONS, N_IONS, N_CHAINS * LENGTH])
    return ParticleSpecies(tuple(names), molecules, masses, charges)


def frames(n_frames: int, seed: int) -> np.ndarray:
    """Brownian molecules of known diffusivity; chains are rigid, and half of the anions sit beside a cation."""
    random = np.random.default_rng(seed)
    species = particles()
    n = int(species.molecules.max()) + 1
    first = np.unique(species.molecules, return_index=True)[1]
    scale = np.array([math.sqrt(2 * DIFFUSIVITIES[species.names[i]] * INTERVAL) for i in first])
    start = random.uniform(size=(n, 3)) @ BOX
    paths = start + np.cumsum(random.normal(size=(n_frames, n, 3)) * scale[:, None], axis=0)
    offsets = np.zeros((species.n, 3))
    offsets[2 * N_IONS :] = np.tile(np.arange(LENGTH)[:, None] * [0.8, 0, 0], (N_CHAINS, 1))
    return paths[:, species.molecules] + offsets


def observed(positions: np.ndarray, box: np.ndarray = BOX, block: int = 50, **options) -> ElectrolyteObservables:
    boxes = np.broadcast_to(box, (len(positions), 3, 3))
    blocks = [(positions[n : n + block], boxes[n : n + block]) for n in range(0, len(positions), block)]
    return electrolyte_observables(blocks, particles(), INTERVAL, **options)


def test_known_diffusivities_and_transference_number() -> None:
    runs = [observed(frames(300, seed), distances=ContactDistances({}, math.nan)) for seed in range(6)]
    assert runs[0].species == ("Li", "X", "P4")
    for name, diffusivity in DIFFUSIVITIES.items():
        fits = [run.diffusivities[name] for run in runs]
        together = math.sqrt(sum(fit.error**2 for fit in fits)) / len(fits)
        # less the particle's share in the motion of the centre of mass, 2 m_i / M at most
        assert np.mean([fit.value for fit in fits]) == pytest.approx(diffusivity, abs=3.5 * together)
    numbers = np.array([run.transference_number for run in runs])
    assert numbers[:, 0].mean() == pytest.approx(5 / 7, abs=0.05)
    assert numbers[:, 1].mean() == pytest.approx(numbers[:, 0].std(ddof=1), rel=0.8)


@given(st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_images_shift_drift_and_blocks_change_nothing(seed: int) -> None:
    random = np.random.default_rng(seed)
    positions = frames(30, seed)
    known = ContactDistances({("Li", "X"): 0.8, ("X", "X"): 0.6}, 1.5)
    reference = observed(positions, distances=known)
    images = (random.integers(-3, 4, size=(int(particles().molecules.max()) + 1, 3)) @ BOX)[particles().molecules]
    drift = np.cumsum(random.normal(size=(30, 1, 3)), axis=0)
    other = observed(positions + images + drift, block=int(random.integers(1, 31)), distances=known)
    np.testing.assert_array_equal(other.rdf.counts, reference.rdf.counts)
    np.testing.assert_array_equal(other.collisions.counts, reference.collisions.counts)
    assert other.ion_pairs is not None
    assert reference.ion_pairs is not None
    np.testing.assert_array_equal(other.ion_pairs.correlation, reference.ion_pairs.correlation)
    for name in reference.species:
        np.testing.assert_allclose(other.msd.values(name), reference.msd.values(name), atol=1e-9)


def test_distances_from_the_first_frames_do_not_depend_on_blocks() -> None:
    """They are found before a frame is counted, and all frames are."""
    positions = frames(700, 0)
    results = [observed(positions, block=block) for block in (7, 700)]
    for result in results:
        assert result.distances == results[0].distances or math.isnan(result.distances.ion_pair)
        np.testing.assert_array_equal(result.rdf.counts, results[0].rdf.counts)
        np.testing.assert_array_equal(result.collisions.counts, results[0].collisions.counts)
        assert result.n_frames == len(result.collisions.total) == 700
    # 500 frames of 20 ions hold ten collisions of a thousandth each, but for the width of a bin
    calibration = observed(positions[:500])
    assert calibration.distances.collision == results[0].distances.collision
    assert calibration.collisions.of("Li", "X").sum() == pytest.approx(10, abs=4)


def test_given_distances_are_used() -> None:
    known = ContactDistances({("Li", "Li"): 1.0}, 1.2)
    result = observed(frames(20, 0), distances=known)
    assert result.distances == known
    assert result.ion_pairs is not None
    assert result.ion_pairs.radius == 1.2
    assert result.collisions.of("Li", "Li").sum() > 0
    assert result.collisions.of("X", "X").sum() == 0
    # one of the two: the other is found
    half = observed(frames(20, 0), distances=ContactDistances({("Li", "Li"): 1.0}))
    assert half.distances.collision == known.collision
    assert half.distances.ion_pair is not None


def test_edges_are_used_and_the_default_range_is_bounded() -> None:
    edges = np.linspace(0, 2.5, 26)
    np.testing.assert_array_equal(observed(frames(5, 0), edges=edges).rdf.edges, edges)
    heights = 1 / np.linalg.norm(np.linalg.inv(BOX), axis=0)
    assert observed(frames(5, 0)).rdf.edges[-1] == pytest.approx(heights.min() / 2)
    # a large system: a sphere of so many particles, whatever the box
    assert default_range(100_000, [100 * np.eye(3)]) == pytest.approx((3 * NEIGHBOURS / (4 * math.pi * 0.1)) ** (1 / 3))
    assert default_range(10, [np.eye(3), 1.2 * np.eye(3)]) == pytest.approx(0.45)


def test_numbers_without_curves() -> None:
    content = json.loads(json.dumps(observed(frames(60, 0)).to_json()))
    assert content["n_frames"] == 60
    assert content["species"]["P4"] == {
        **content["species"]["P4"],
        "n_molecules": 6,
        "n_particles": 24,
        "role": "neutral",
    }
    assert len(content["first_shells"]) == len(content["collisions"]) == 6


def test_contact_distances_as_a_file(tmp_path) -> None:
    known = ContactDistances({("Li", "X"): 0.35, ("X", "X"): 0.6}, 1.5)
    known.save(tmp_path / "contacts.json")
    assert ContactDistances.load(tmp_path / "contacts.json") == known
    ContactDistances({}, math.nan).save(tmp_path / "none.json")
    assert math.isnan(ContactDistances.load(tmp_path / "none.json").ion_pair)
    (tmp_path / "other.json").write_text('{"collision": [["Li", "X"]], "ion_pair": 1}')
    with pytest.raises(UserError, match=r"other\.json: not a file of contact distances"):
        ContactDistances.load(tmp_path / "other.json")


def test_bad_input() -> None:
    with pytest.raises(UserError, match="no frames"):
        electrolyte_observables([], particles(), INTERVAL)
    with pytest.raises(UserError, match="frames have 63 particles, but there are 64 species"):
        observed(frames(2, 0)[:, :-1])
    with pytest.raises(UserError, match="exceeds half of the smallest box height"):
        observed(frames(2, 0), edges=np.linspace(0, 4, 11))


def test_without_charges_there_are_no_ions() -> None:
    bare = ParticleSpecies(particles().names, particles().molecules, particles().masses)
    boxes = np.broadcast_to(BOX, (60, 3, 3))
    result = electrolyte_observables([(frames(60, 0), boxes)], bare, INTERVAL)
    assert result.ion_pairs is None
    assert math.isnan(result.transference_number[0])
    assert result.species == ("Li", "X", "P4")
