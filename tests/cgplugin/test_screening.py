"""Ranking of uncertain values: closed forms for two candidates, and what must not be ranked."""

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from cgplugin import UserError
from cgplugin.files import write_json
from cgplugin.observables.statistics import Relaxation, SeriesStatistics
from cgplugin.screening.plot import plot_ranking
from cgplugin.screening.ranking import CandidateResult, Estimate, bootstrap_ranks, combine_replicas, rank
from tests.processes import ornstein_uhlenbeck


def result(name: str, value: float, error: float = 1.0, **other) -> CandidateResult:
    estimates = {
        "rg2": Estimate(value, error),
        "relaxation_time": Estimate(10 * value, 10 * error),
        "end_to_end": Estimate(math.sqrt(value), 0.1),
    }
    return CandidateResult(name, estimates, n_steps=100, core_seconds=2.0, **other)


class Analysis:
    """What `combine_replicas` reads of a `SystemAnalysis`."""

    def __init__(self, series: np.ndarray, relaxation: Relaxation) -> None:
        self.rg2 = self.end_to_end = SeriesStatistics.of(series, 1.0)
        self.relaxation = relaxation


@pytest.mark.parametrize(("values", "errors"), [((1.0, 2.0), (1.0, 1.0)), ((0.0, 3.0), (2.0, 0.5))])
def test_two_candidates_change_places_with_the_probability_of_the_closed_form(values, errors) -> None:
    expected = norm.cdf((values[1] - values[0]) / math.hypot(*errors))
    ranks = bootstrap_ranks(values, errors, np.random.default_rng(0), 40_000)
    assert (ranks[:, 0] == 1).mean() == pytest.approx(expected, abs=4 * math.sqrt(0.25 / 40_000))


def test_equal_candidates_share_the_top_and_every_draw_is_a_permutation() -> None:
    ranks = bootstrap_ranks(np.zeros(8), np.ones(8), np.random.default_rng(1), 20_000)
    assert np.array_equal(np.sort(ranks, axis=1), np.tile(np.arange(1, 9), (20_000, 1)))
    np.testing.assert_allclose((ranks <= 2).mean(axis=0), 2 / 8, atol=0.015)


def test_without_errors_ranks_are_certain() -> None:
    ranking = rank(
        [result(name, value, 0.0) for name, value in (("a", 1.0), ("b", 3.0), ("c", 2.0))], "rg2", "lj", top=2
    )
    assert [place.result.name for place in ranking.places] == ["b", "c", "a"]
    assert [place.probability_in_top for place in ranking.places] == [1, 1, 0]
    assert [(place.rank_low, place.rank_high) for place in ranking.places] == [(1, 1), (2, 2), (3, 3)]


def test_rank_interval_covers_what_the_error_allows() -> None:
    # ten candidates a standard error apart: the middle one is hardly ever more than three places off
    ranking = rank([result(f"c{n}", float(n), 1.0) for n in range(10)], "rg2", "lj", ascending=True)
    middle = ranking.places[5]
    assert middle.result.name == "c5"
    assert 3 <= middle.rank_low < 6 < middle.rank_high <= 9
    assert sum(place.probability_in_top for place in ranking.places) == pytest.approx(ranking.top)


def test_order_and_unit_go_by_the_property() -> None:
    results = [result("a", 4.0), result("b", 9.0)]
    assert [p.result.name for p in rank(results, "rg2", "lj").places] == ["b", "a"]
    assert [p.result.name for p in rank(results, "rg2", "lj", ascending=True).places] == ["a", "b"]
    units = {what: rank(results, what, "lj").unit for what in ("rg2", "relaxation_time", "end_to_end")}
    assert units == {"rg2": "sigma^2", "relaxation_time": "tau", "end_to_end": "sigma"}
    assert rank(results, "rg2", "openmm").unit == "nm^2"


def test_equal_seeds_give_equal_tables_whatever_the_order_and_others_not() -> None:
    results = [result(f"c{n}", float(n % 4), 2.0) for n in range(12)]
    table = rank(results, "rg2", "lj", top=3, seed=1).to_csv()
    assert rank(results[::-1], "rg2", "lj", top=3, seed=1).to_csv() == table
    assert rank(results, "rg2", "lj", top=3, seed=2).to_csv() != table


def test_what_cannot_be_trusted_is_apart() -> None:
    unknown = result("unknown", 5.0)
    unknown = replace(
        unknown, estimates={**unknown.estimates, "relaxation_time": Estimate(math.nan, math.nan, reason="too short")}
    )
    results = [
        result("good", 1.0),
        result("stretched", 99.0, stretched_steps=3),
        CandidateResult("failed", failure="flew apart"),
        unknown,
    ]
    ranking = rank(results, "relaxation_time", "lj")
    assert [place.result.name for place in ranking.places] == ["good"]
    assert [(r.name, r.remark("relaxation_time")) for r in ranking.apart] == [
        ("failed", "flew apart"),
        ("stretched", "left the physical region in 3 of 100 steps"),
        ("unknown", "too short"),
    ]
    rows = list(csv.DictReader(io.StringIO(ranking.to_csv())))
    assert [row["rank"] for row in rows] == ["1", "", "", ""]
    assert rows[2]["value"] == "990"
    assert rows[1]["value"] == rows[3]["value"] == ""
    # the same run is good enough for another property
    assert [place.result.name for place in rank(results, "rg2", "lj").places] == ["unknown", "good"]
    assert ranking.core_seconds == 6


def test_nothing_to_rank_still_gives_files(tmp_path: Path) -> None:
    ranking = rank([CandidateResult("failed", failure="flew apart")], "rg2", "lj")
    write_json(tmp_path / "ranking.json", ranking.to_json())
    plot_ranking(ranking, tmp_path / "ranking.png")
    assert json.loads((tmp_path / "ranking.json").read_text())["apart"][0]["remark"] == "flew apart"


def test_many_candidates_can_be_plotted(tmp_path: Path) -> None:
    plot_ranking(rank([result(f"c{n}", float(n)) for n in range(70)], "rg2", "lj"), tmp_path / "ranking.png")
    assert (tmp_path / "ranking.png").stat().st_size > 0


@pytest.mark.parametrize("item", [result("a", 2.0, stretched_steps=1), CandidateResult("b", failure="x")])
def test_results_survive_json(item: CandidateResult) -> None:
    again = CandidateResult.from_json(json.loads(json.dumps(item.to_json())))
    assert again.to_json() == item.to_json()
    assert again.remark("rg2") == item.remark("rg2")


def test_unknown_property_and_empty_top() -> None:
    with pytest.raises(UserError, match="unknown property 'colour': expected one of rg2"):
        rank([], "colour", "lj")
    with pytest.raises(UserError, match="top is 0"):
        rank([], "rg2", "lj", top=0)


def test_replicas_make_the_error_of_the_mean_what_it_is() -> None:
    """The error over many repetitions is the scatter of the mean of four replicas."""
    means, errors = [], []
    for n in range(60):
        runs = [ornstein_uhlenbeck(4000, 20, seed=100 * n + i) for i in range(4)]
        estimate = combine_replicas([Analysis(run, Relaxation(20.0, 2.0, 20.0)) for run in runs])["rg2"]
        means.append(estimate.value)
        errors.append(estimate.standard_error)
        assert not estimate.error_is_lower_bound
    # 60 values give a scatter that is certain to 9 %
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.25)


def test_short_replicas_that_disagree_are_not_certain() -> None:
    """Two runs, each stuck at a value of its own: their autocorrelation knows nothing of it, their scatter does."""
    drift = np.linspace(0, 0.1, 50)
    estimate = combine_replicas([Analysis(drift + level, Relaxation.unknown("too short")) for level in (1.0, 3.0)])[
        "rg2"
    ]
    assert estimate.error_is_lower_bound
    assert estimate.value == pytest.approx(2.05)
    assert estimate.standard_error == pytest.approx(1.0)


def test_relaxation_times_are_averaged_only_if_all_are_known() -> None:
    series = ornstein_uhlenbeck(1000, 5, seed=0)
    known = [Relaxation(time, 3.0, time) for time in (10.0, 20.0)]
    both = combine_replicas([Analysis(series, item) for item in known])["relaxation_time"]
    assert (both.value, both.standard_error) == (15.0, pytest.approx(3 / math.sqrt(2)))
    one = combine_replicas([Analysis(series, known[0]), Analysis(series, Relaxation.unknown("too slow"))])
    assert math.isnan(one["relaxation_time"].value)
    assert one["relaxation_time"].reason == "no relaxation time: too slow"
