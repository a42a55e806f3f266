"""r2, errors and their bootstrap intervals against closed forms."""

import math

import numpy as np
import pytest
from scipy import stats

from cgplugin.evaluation.agreement import (
    correlation,
    estimate,
    log_error,
    log_r2,
    mean_absolute_error,
    mean_ratio,
    r2,
    relative_deviation_of_mean,
    relative_error,
    spearman,
)
from cgplugin.evaluation.chain_comparison import distance_to_gaussian


def test_known_values() -> None:
    truth = np.array([1.0, 2, 3, 4])
    assert r2(truth, truth) == 1
    assert r2(truth, np.full(4, truth.mean())) == 0
    # an error of one everywhere: 1 - 4 / 5
    assert r2(truth, truth + 1) == pytest.approx(0.2)
    assert correlation(truth, truth + 1) == pytest.approx(1)
    assert correlation(truth, -2 * truth) == pytest.approx(-1)
    assert mean_absolute_error(truth, truth + np.array([1, -1, 2, 0])) == 1
    assert relative_deviation_of_mean(truth, 1.1 * truth) == pytest.approx(0.1)
    assert np.isnan(r2(np.ones(3), np.arange(3)))
    assert np.isnan(correlation(np.ones(3), np.arange(3)))


def test_ratios_and_logarithms() -> None:
    """Predictions that are twice and half as large."""
    truth = np.array([1.0, 10, 100])
    predicted = truth * np.array([2, 0.5, 2])
    assert mean_ratio(truth, predicted) == pytest.approx(1.5)
    assert relative_error(truth, predicted) == pytest.approx(2.5 / 3)
    assert log_error(truth, predicted) == pytest.approx(np.log10(2))
    assert log_r2(truth, predicted) == pytest.approx(1 - 3 * np.log10(2) ** 2 / 2)


def test_spearman_against_scipy() -> None:
    rng = np.random.default_rng(4)
    # with equal values among them
    truth, predicted = rng.integers(0, 8, size=(2, 20)).astype(float)
    assert spearman(truth, predicted) == pytest.approx(stats.spearmanr(truth, predicted).statistic)
    assert spearman(truth, np.exp(truth)) == pytest.approx(1)
    assert np.isnan(spearman(truth, np.ones(20)))


def test_statistics_work_along_an_axis() -> None:
    rng = np.random.default_rng(0)
    truth, predicted = rng.normal(size=(2, 5, 7))
    truth, predicted = np.exp(truth), np.exp(predicted)
    for statistic in (
        r2, correlation, mean_absolute_error, relative_deviation_of_mean, mean_ratio, relative_error, log_error, log_r2,
        spearman,
    ):  # fmt: skip
        np.testing.assert_allclose(
            statistic(truth, predicted, axis=-1),
            [statistic(a, b) for a, b in zip(truth, predicted, strict=True)],
        )


def test_interval_of_a_mean_covers_it() -> None:
    """Of 40 values: 95 % intervals hold the true mean in nearly 95 % of cases, and are as wide as 2 * 1.96 / sqrt(40)."""
    rng = np.random.default_rng(1)
    found = [estimate(np.mean, rng.normal(size=40)) for _ in range(100)]
    covered = sum(item.low <= 0 <= item.high for item in found)
    assert 86 <= covered <= 99
    width = np.mean([item.high - item.low for item in found])
    assert width == pytest.approx(2 * 1.96 / math.sqrt(40), rel=0.06)


def test_intervals_are_reproducible_and_pair_the_systems() -> None:
    rng = np.random.default_rng(2)
    truth = rng.normal(size=10)
    first = estimate(r2, truth, truth + 0.1)
    assert first == estimate(r2, truth, truth + 0.1)
    # were truth and prediction drawn apart, r2 would be negative
    assert 0.5 < first.low <= first.value <= first.high <= 1


def test_unknown_values_are_left_out() -> None:
    known = estimate(np.mean, [1.0, 2, math.nan, 3])
    assert known.value == 2
    assert known.low >= 1
    few = estimate(np.mean, [1.0, 2, math.nan])
    assert few.value == 1.5
    assert math.isnan(few.low)
    assert math.isnan(estimate(np.mean, [math.nan]).value)


def test_distance_to_a_gaussian() -> None:
    """Between Gaussians of equal width it is the distance of the means; of equal means |s - t| sqrt(2 / pi)."""
    values = np.random.default_rng(3).normal(20, 4, size=50_000)
    assert distance_to_gaussian(values, 23, 4) == pytest.approx(3, abs=0.06)
    assert distance_to_gaussian(values, 20, 6) == pytest.approx(2 * math.sqrt(2 / math.pi), abs=0.06)
    assert distance_to_gaussian(values, 20, 4) == pytest.approx(0, abs=0.06)
    # no spread: the mean absolute deviation
    assert distance_to_gaussian(values, 20, 0) == pytest.approx(4 * math.sqrt(2 / math.pi), abs=0.05)
