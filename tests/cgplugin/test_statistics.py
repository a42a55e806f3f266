"""Statistics against the exact answers of the Ornstein-Uhlenbeck process, and against the reference data."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from cgplugin.observables.statistics import (
    SeriesStatistics,
    autocorrelation,
    block_standard_error,
    blocking,
    density,
    earth_movers_distance,
    effective_sample_size,
    integrated_autocorrelation_time,
    relaxation_time,
    standard_error,
    statistical_inefficiency,
    value_and_error,
)
from tests.conftest import POLYMER

N = 4000


def ornstein_uhlenbeck(rng: np.random.Generator, relaxations: float, n: int = N) -> np.ndarray:
    """Stationary process of unit variance whose autocorrelation is exp(-t), of length ``relaxations``, as n values."""
    decay = math.exp(-relaxations / n)
    noise = math.sqrt(1 - decay**2) * rng.normal(size=n)
    return lfilter([1], [1, -decay], noise, zi=[decay * rng.normal()])[0]


def exact_standard_error(relaxations: float) -> float:
    """Of the time average: the double integral of exp(-|t - s|) over T^2 is 2 (T - 1 + exp(-T)) / T^2."""
    return math.sqrt(2 * (relaxations - 1 + math.exp(-relaxations))) / relaxations


def over_samples(function, relaxations: float, n_samples: int = 150) -> np.ndarray:
    rng = np.random.default_rng(20)
    return np.array([function(ornstein_uhlenbeck(rng, relaxations)) for _ in range(n_samples)])


def test_autocorrelation_agrees_with_its_definition():
    series = np.random.default_rng(1).normal(size=37).cumsum()
    deviations = series - series.mean()
    expected = [np.mean(deviations[: 37 - lag] * deviations[lag:]) / np.mean(deviations**2) for lag in range(37)]
    np.testing.assert_allclose(autocorrelation(series), expected, rtol=0, atol=1e-12)


def test_autocorrelation_of_the_papers_formula_is_that_of_the_square():
    rg2 = np.random.default_rng(2).uniform(10, 30, size=500)
    n, lag = 500, 7
    head, tail = rg2[: n - lag], rg2[lag:]
    # with averages over the pairs at this lag, and means over the whole series, as the formula is meant
    mean = np.mean(rg2**2)
    expected = np.mean((head**2 - mean) * (tail**2 - mean)) / (np.mean(rg2**4) - mean**2)
    assert autocorrelation(rg2, power=2)[lag] == pytest.approx(expected, abs=1e-12)


def test_autocorrelation_of_a_cosine_is_a_cosine():
    n, period = 100_000, 50
    correlation = autocorrelation(np.cos(2 * np.pi * np.arange(n) / period))
    np.testing.assert_allclose(correlation[:200], np.cos(2 * np.pi * np.arange(200) / period), atol=1e-3)


@given(
    st.lists(st.floats(-1e3, 1e3), min_size=4, max_size=60),
    st.floats(1e-2, 1e2),
    st.floats(-100, 100),
)
@settings(max_examples=60, deadline=None)
def test_autocorrelation_ignores_shift_and_scale(values, factor, shift):
    values = np.round(values, 3)
    before, after = autocorrelation(values), autocorrelation(factor * values + shift)
    if np.ptp(values) == 0:
        assert np.isnan(before).all()
        assert np.isnan(after).all()
        return
    assert before[0] == pytest.approx(1)
    np.testing.assert_allclose(after, before, atol=1e-4)


def test_times_of_an_exponential_process():
    # 2,000 relaxation times of 40 steps each
    series = ornstein_uhlenbeck(np.random.default_rng(3), 2000, 80_000)
    relaxation = relaxation_time(series, 0.5)
    assert relaxation.reason == ""
    assert relaxation.time == pytest.approx(20, abs=3 * relaxation.error)
    assert relaxation.error == pytest.approx(20 * 2.1 / math.sqrt(2000), rel=0.2)
    assert relaxation.fitted_time == pytest.approx(20, abs=3 * relaxation.error)
    assert integrated_autocorrelation_time(series, 0.5) == pytest.approx(20, rel=0.15)
    assert effective_sample_size(series) == pytest.approx(1000, rel=0.15)


def test_the_square_of_the_process_relaxes_twice_as_fast():
    # Isserlis: <a^2 b^2> - 1 = 2 <ab>^2
    series = ornstein_uhlenbeck(np.random.default_rng(4), 2000, 80_000)
    relaxation = relaxation_time(series, 1.0, power=2)
    assert relaxation.time == pytest.approx(20, abs=3 * relaxation.error)


def test_error_of_the_relaxation_time_is_the_spread_over_samples():
    found = over_samples(
        lambda x: (relaxation_time(x, 100 / N).time, relaxation_time(x, 100 / N).error), relaxations=100
    )
    assert found[:, 0].mean() == pytest.approx(1, abs=0.06)
    assert found[:, 1].mean() == pytest.approx(found[:, 0].std(), rel=0.2)


@pytest.mark.parametrize("coarse", [0.3, 0.7])
def test_relaxation_time_between_coarse_lags(coarse):
    series = ornstein_uhlenbeck(np.random.default_rng(5), 2000 * coarse * 10, 20_000)
    interval = coarse
    assert relaxation_time(series, interval).time == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("relaxations", [1, 3])
def test_too_short_a_series_gives_no_relaxation_time(relaxations):
    found = over_samples(lambda x: relaxation_time(x, 1.0).time, relaxations)
    assert np.isfinite(found).mean() < 0.05


def test_a_random_walk_gives_no_relaxation_time():
    rng = np.random.default_rng(6)
    found = [relaxation_time(rng.normal(size=N).cumsum(), 1.0) for _ in range(150)]
    assert np.mean([math.isfinite(r.time) for r in found]) < 0.05
    assert all(r.reason for r in found if math.isnan(r.time))


@pytest.mark.parametrize(
    ("series", "reason"),
    [
        ([1.0, 2.0, 1.0], "fewer than 4 values"),
        (np.full(100, 0.1), "the series is constant"),
        (np.arange(500.0), "shorter than 25 relaxation times"),
        (np.random.default_rng(7).normal(size=500), "shorter than the interval"),
        (ornstein_uhlenbeck(np.random.default_rng(5), 30, 600), "less than 20 independent values"),
    ],
)
def test_reason_for_no_relaxation_time(series, reason):
    relaxation = relaxation_time(series, 1.0)
    assert reason in relaxation.reason
    assert math.isnan(relaxation.time)
    assert math.isnan(relaxation.error)
    assert math.isnan(relaxation.fitted_time)


def test_standard_errors_against_the_exact_one():
    exact = exact_standard_error(200)
    found = over_samples(lambda x: (standard_error(x), block_standard_error(x), x.mean()), relaxations=200)
    assert found[:, 0].mean() / exact == pytest.approx(1, abs=0.06)
    # blocks are 4 to 12.5 relaxation times long, which costs them up to an eighth
    assert 0.85 < found[:, 1].mean() / exact < 1.03
    # and the exact one is what the means scatter by
    assert found[:, 2].std() / exact == pytest.approx(1, abs=0.15)


def test_independent_values():
    values = np.random.default_rng(9).normal(size=50_000)
    assert statistical_inefficiency(values) == pytest.approx(1, abs=0.05)
    expected = values.std(ddof=1) / math.sqrt(50_000)
    assert standard_error(values) == pytest.approx(expected, rel=0.03)
    levels = blocking(values)
    assert levels[0] == pytest.approx([1, expected, expected / math.sqrt(2 * 49_999)])
    # no correlation: flat from the first level on
    assert all(abs(error - expected) < 4 * spread for _, error, spread in levels[:10])


def test_blocking_rises_to_a_plateau():
    levels = blocking(ornstein_uhlenbeck(np.random.default_rng(10), 2000, 65_536))
    assert levels[-1, 0] == 32_768
    assert levels[0, 1] < 0.2 * exact_standard_error(2000)
    plateau = levels[(levels[:, 0] >= 512) & (levels[:, 0] <= 1024)]
    assert plateau[:, 1] == pytest.approx(exact_standard_error(2000), rel=0.2)


def test_short_and_constant_series():
    constant = SeriesStatistics.of(np.full(50, 3.0), 1.0)
    assert (constant.mean, constant.standard_deviation, constant.standard_error) == (3, 0, 0)
    assert constant.block_standard_error == 0
    assert math.isnan(constant.effective_samples)
    assert not constant.error_is_lower_bound
    assert math.isnan(block_standard_error(np.arange(15.0)))
    assert math.isnan(standard_error([1.0]))


def test_short_series_says_that_its_error_is_a_lower_bound():
    lower = over_samples(lambda x: SeriesStatistics.of(x, 1.0).error_is_lower_bound, 5)
    assert lower.mean() > 0.9
    assert not over_samples(lambda x: SeriesStatistics.of(x, 1.0).error_is_lower_bound, 200).any()


def test_statistics_in_one():
    series = 5 + ornstein_uhlenbeck(np.random.default_rng(11), 5000, 100_000)
    found = SeriesStatistics.of(series, 0.1)
    assert found.mean == pytest.approx(5, abs=4 * found.standard_error)
    assert found.standard_deviation == pytest.approx(1, rel=0.1)
    assert found.integrated_autocorrelation_time == pytest.approx(2, rel=0.2)
    assert found.effective_samples == pytest.approx(2500, rel=0.2)
    assert found.standard_error == pytest.approx(found.standard_deviation / math.sqrt(found.effective_samples))


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=200))
@settings(max_examples=60, deadline=None)
def test_density_integrates_to_one(values):
    centres, heights = density(values)
    assert 10 <= len(centres) <= 60
    assert heights.sum() * (centres[1] - centres[0]) == pytest.approx(1)


def test_correlated_values_get_wider_bins():
    values = np.random.default_rng(12).normal(size=20_000)
    assert len(density(values, 50)[0]) < len(density(values)[0])


def test_earth_movers_distance_of_shifted_and_scaled_samples():
    values = np.random.default_rng(13).exponential(size=10_000)
    assert earth_movers_distance(values, values + 2.5) == pytest.approx(2.5)
    # between exp(-x) and exp(-x / 2) / 2: the difference of the means, since one lies always above the other
    assert earth_movers_distance(values, 2 * values) == pytest.approx(values.mean())
    assert earth_movers_distance(values, values[::-1]) == 0


@pytest.mark.parametrize(
    ("value", "error", "expected"),
    [
        (26.7312, 1.1234, ("26.7", "1.1")),
        (140.2, 22.4, ("140", "22")),
        (13.8512, 0.0781, ("13.851", "0.078")),
        (5.0, 0.0, ("5", "0")),
    ],
)
def test_decimals_follow_the_error(value, error, expected):
    assert value_and_error(value, error) == expected


@pytest.fixture(scope="module")
def reference_series():
    return [np.load(path).astype(np.float64) for path in sorted(POLYMER.glob("devtest/*/rg2.npy"))]


def test_relaxation_times_of_the_reference_data(reference_series):
    """The 40 reference polymers, of which these are ten, have 66 to 340 tau, 132 on average."""
    found = [relaxation_time(series, 0.5) for series in reference_series]
    times = np.array([r.time for r in found])
    assert len(times) == 10
    assert 65.5 <= times.min() <= times.max() <= 340
    assert times.mean() == pytest.approx(132, abs=2 * times.std() / math.sqrt(10))
    fitted = np.array([r.fitted_time for r in found])
    assert fitted.min() < 65
    np.testing.assert_allclose(fitted, times, rtol=0.2)
    assert min(relaxation_time(series, 0.5, power=2).time for series in reference_series) < 65


def test_recording_ten_times_more_rarely_changes_no_relaxation_time(reference_series):
    for series in reference_series:
        often, rarely = relaxation_time(series, 0.5), relaxation_time(series[::10], 5.0)
        assert rarely.time == pytest.approx(often.time, abs=0.2 * often.error)


def test_errors_of_reference_means_match_their_halves(reference_series):
    halves = [(series[:25_000], series[25_000:]) for series in reference_series]
    pulls = [(a.mean() - b.mean()) / math.hypot(standard_error(a), standard_error(b)) for a, b in halves]
    # ten standard normal values
    assert 0.5 < np.sqrt(np.mean(np.square(pulls))) < 1.6
