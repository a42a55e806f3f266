"""Mean squared displacements and diffusivities of processes that are known, and against LAMMPS."""

import math

import numpy as np
import pytest

from cgplugin import UserError
from cgplugin.coarse_graining.drift import without_drift
from cgplugin.observables.centres import CentresOfMass
from cgplugin.observables.diffusion import (
    Diffusivity,
    DisplacementAccumulator,
    MeanSquaredDisplacements,
    transference_number,
)
from lammps_reader import open_dump
from tests.lammps_process import job, run_jobs

D, INTERVAL = 0.1, 2.0


def brownian(n_frames: int, n: int, seed: int, d: float = D) -> np.ndarray:
    steps = np.random.default_rng(seed).normal(scale=math.sqrt(2 * d * INTERVAL), size=(n_frames, n, 3))
    return np.cumsum(steps, axis=0)


def displacements(frames: np.ndarray, names: list[str] | None = None) -> MeanSquaredDisplacements:
    accumulator = DisplacementAccumulator(names or ["A"] * frames.shape[1], INTERVAL)
    for frame in frames:
        accumulator.update(frame)
    return accumulator.result()


def test_errors_cover_the_diffusivity_of_brownian_particles() -> None:
    """Of 60 runs about two thirds are within one standard error of the truth and about 92 % (nine blocks) within two."""
    runs = [displacements(brownian(251, 12, seed)) for seed in range(60)]
    fits = [run.diffusivity("A") for run in runs]
    deviations = np.array([(fit.value - D) / fit.error for fit in fits])
    assert 0.5 < (np.abs(deviations) < 1).mean() < 0.85
    assert 0.83 < (np.abs(deviations) < 2).mean() <= 1
    values = np.array([fit.value for fit in fits])
    assert values.mean() == pytest.approx(D, abs=4 * values.std() / math.sqrt(60))
    assert np.mean([fit.error for fit in fits]) == pytest.approx(values.std(), rel=0.25)
    assert np.mean([fit.exponent for fit in fits]) == pytest.approx(1, abs=0.02)
    assert (fits[0].first_lag, fits[0].last_lag, fits[0].n_blocks) == (12, 48, 9)

    # the same of the displacement at a lag, and of the paper's estimate
    lag = int(np.flatnonzero(runs[0].lags == 12)[0])
    at_lag = np.array([(run.values("A")[lag] - 6 * D * 24) / run.errors("A")[lag] for run in runs])
    assert 0.5 < (np.abs(at_lag) < 1).mean() < 0.85
    paper = np.array([run.end_to_end_diffusivity("A") for run in runs])
    assert 0.5 < (np.abs(paper[:, 0] - D) < paper[:, 1]).mean() < 0.85
    assert paper[:, 0].mean() == pytest.approx(D, abs=4 * paper[:, 0].std() / math.sqrt(60))


def test_equal_to_the_sum_over_origins() -> None:
    frames = brownian(90, 5, 0)
    msd = displacements(frames, ["A", "B", "A", "B", "B"])
    assert msd.species == ("A", "B")
    assert msd.n_points == (2, 3)
    for lag, a, b in zip(msd.lags.tolist(), msd.values("A"), msd.values("B"), strict=True):
        spacing = 1 if lag < 16 else 2 if lag < 32 else 4 if lag < 64 else 8
        squared = ((frames[lag:] - frames[:-lag])[::spacing] ** 2).sum(axis=-1).mean(axis=0)
        assert (a, b) == pytest.approx((squared[[0, 2]].mean(), squared[[1, 3, 4]].mean()))
    np.testing.assert_allclose(msd.apparent_diffusivity("A"), msd.values("A") / (6 * INTERVAL * msd.lags))
    whole = ((frames[-1] - frames[0]) ** 2).sum(axis=-1)
    assert msd.end_to_end_diffusivity("B")[0] == pytest.approx(whole[[1, 3, 4]].mean() / (6 * msd.duration))


def test_ballistic_motion() -> None:
    velocity = np.array([[0.3, -0.1, 0.2], [0.1, 0.2, -0.3]])
    msd = displacements(np.arange(200)[:, None, None] * INTERVAL * velocity)
    np.testing.assert_allclose(msd.values("A"), 0.14 * msd.times**2)
    np.testing.assert_allclose(msd.errors("A")[msd.lags <= 30], 0, atol=1e-9)
    assert msd.diffusivity("A").exponent == pytest.approx(2)


def test_rattling_is_no_diffusion() -> None:
    """Noise on top of a diffusing path goes into the constant of the fit."""
    frames = brownian(2000, 20, 1) + np.random.default_rng(2).normal(scale=2.0, size=(2000, 20, 3))
    fit = displacements(frames).diffusivity("A")
    assert fit.value == pytest.approx(D, abs=3 * fit.error)
    assert fit.intercept == pytest.approx(2 * 3 * 2.0**2, abs=6)
    assert fit.exponent < 0.9


def test_drift_is_removed_by_mass() -> None:
    """Particles that only rattle about a moving centre of mass stay where they are."""
    random = np.random.default_rng(0)
    masses = random.uniform(1, 20, 8)
    still = random.normal(size=(8, 3))
    wander = np.cumsum(random.normal(size=(100, 1, 3)), axis=0) + np.arange(100)[:, None, None]
    msd = displacements(np.stack([without_drift(still + shift, masses) for shift in wander]))
    np.testing.assert_allclose(msd.values("A"), 0, atol=1e-18)
    # two bodies that push each other off: the centre of mass is what rests
    apart = np.array([[[3.0 * t, 0, 0], [-1.0 * t, 0, 0]] for t in range(3)])
    np.testing.assert_allclose(without_drift(apart[2], np.array([1.0, 3.0])), apart[2])


def test_centres_of_mass() -> None:
    centres = CentresOfMass([1.0, 3.0, 2.0], [1, 1, 0])
    found = centres(np.array([[0.0, 0, 0], [4, 0, 0], [1, 1, 1]]))
    np.testing.assert_allclose(found, [[1, 1, 1], [3, 0, 0]])
    np.testing.assert_allclose(centres.masses, [2, 4])


def test_range_of_the_fit() -> None:
    msd = displacements(brownian(400, 10, 3))
    fit = msd.diffusivity("A", first_lag=20, last_lag=60)
    assert (fit.first_lag, fit.last_lag, fit.n_blocks) == (20, 60, 12)
    # over half of the run there are no four blocks
    assert math.isnan(msd.diffusivity("A", last_lag=300).error)
    assert math.isfinite(msd.diffusivity("A", last_lag=300).value)


def test_short_runs_give_no_number() -> None:
    msd = displacements(brownian(12, 10, 3))
    assert math.isnan(msd.diffusivity("A").value)
    assert math.isnan(displacements(brownian(12, 1, 3)).end_to_end_diffusivity("A")[1])
    with pytest.raises(UserError, match="no species 'B': there are A"):
        msd.values("B")


def test_equal_to_lammps(tmp_path) -> None:
    """``compute msd`` with ``com yes`` on a gas of unequal masses that drifts."""
    commands = [
        "units lj",
        "atom_style atomic",
        "region box block 0 5 0 5 0 5",
        "create_box 2 box",
        "create_atoms 1 random 20 111 box",
        "create_atoms 2 random 10 222 box",
        "mass 1 1.0",
        "mass 2 7.0",
        "pair_style zero 1.0",
        "pair_coeff * *",
        "velocity all create 1.0 333",
        "velocity all set 0.5 0 0 sum yes",
        "fix nve all nve",
        "fix bath all langevin 1.0 1.0 1.0 444",
        "compute msd all msd com yes",
        f"fix out all ave/time 20 1 20 c_msd[4] file {tmp_path / 'msd.txt'}",
        f"dump d all custom 20 {tmp_path / 'run.lammpstrj'} id type xu yu zu",
        "dump_modify d sort id format float %.10f",
        "run 400",
    ]
    run_jobs([job(commands)])
    frames = np.stack([frame.positions for frame in open_dump(tmp_path / "run.lammpstrj")])
    masses = np.repeat([1.0, 7.0], [20, 10])
    msd = displacements(np.stack([without_drift(frame, masses) for frame in frames]))
    table = np.loadtxt(tmp_path / "msd.txt")
    ours = {lag: series[0, 0] for lag, series in zip(msd.lags.tolist(), msd.series, strict=True)}
    steps = [lag * 20 for lag in ours]
    expected = [table[table[:, 0] == step, 1][0] for step in steps]
    assert len(expected) > 15
    np.testing.assert_allclose(list(ours.values()), expected, rtol=1e-4)


def test_transference_number() -> None:
    plus, minus = Diffusivity(value=0.03, error=0.003), Diffusivity(value=0.01, error=0.002)
    number, error = transference_number({"Li": plus, "X": minus}, {"Li": 20, "X": 20}, {"Li": 0.8, "X": -0.8})
    assert number == pytest.approx(0.75)
    random = np.random.default_rng(0)
    drawn = random.normal(0.03, 0.003, 100_000), random.normal(0.01, 0.002, 100_000)
    assert error == pytest.approx((drawn[0] / (drawn[0] + drawn[1])).std(), rel=0.05)
    # a divalent cation counts by the square of its charge, and by its number
    number, _ = transference_number({"Mg": plus, "X": minus}, {"Mg": 10, "X": 20}, {"Mg": 2.0, "X": -1.0})
    assert number == pytest.approx(10 * 4 * 0.03 / (10 * 4 * 0.03 + 20 * 0.01))
    assert math.isnan(transference_number({"Li": Diffusivity()}, {"Li": 1}, {"Li": 1.0})[0])
