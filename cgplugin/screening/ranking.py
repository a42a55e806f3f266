"""Ranking of candidates by a property that is known with an error: no simulation engine, only results."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cgplugin.analysis.system_analysis import SystemAnalysis
from cgplugin.errors import UserError
from cgplugin.observables.statistics import SeriesStatistics
from cgplugin.tables import csv_text, without_nan
from cgplugin.units import Units, length_unit, time_unit

Property = Literal["rg2", "relaxation_time", "end_to_end"]
"""Mean squared radius of gyration, relaxation time of Rg^2, mean end-to-end distance."""

N_DRAWS = 4000
"""Draws of the bootstrap of ranks: a probability of a half is certain to 0.8 %."""

RANK_INTERVAL = (5, 95)
"""Percentiles of the bootstrap between which a rank is given."""


@dataclass(frozen=True)
class Estimate:
    """One property of one candidate, from all its replicas; nm or ps (sigma, tau).

    Attributes
    ----------
    value : float
        NaN if it is not known.
    standard_error : float
    block_standard_error : float
        By block averaging, where the property is a mean; NaN if the runs are too short for that.
    error_is_lower_bound : bool
        Whether a run is too short, in terms of its own correlation, for its error to be known.
    reason : str
        Why the value is not known; empty otherwise.
    """

    value: float
    standard_error: float
    block_standard_error: float = math.nan
    error_is_lower_bound: bool = False
    reason: str = ""


@dataclass(frozen=True)
class CandidateResult:
    """What the simulation of a candidate gave.

    Attributes
    ----------
    name : str
    estimates : dict
        `Estimate` of each `Property`; empty for a candidate that was not simulated to the end.
    n_steps : int
        Learned steps, all replicas together.
    stretched_steps : int
        Of them, those with a CG bond longer than any that is physical.
    longest_bond : float
        nm.
    core_seconds : float
        Cost of warm-up and simulation: the candidate's share of its batch.
    failure : str
        Why it was not simulated to the end; empty otherwise.
    """

    name: str
    estimates: Mapping[Property, Estimate] = field(default_factory=dict)
    n_steps: int = 0
    stretched_steps: int = 0
    longest_bond: float = math.nan
    core_seconds: float = math.nan
    failure: str = ""

    def remark(self, what: Property) -> str:
        """Why a property of this candidate cannot be trusted; empty if it can."""
        if self.failure:
            return self.failure
        if self.stretched_steps:
            return f"left the physical region in {self.stretched_steps} of {self.n_steps} steps"
        return self.estimates[what].reason

    def to_json(self) -> dict[str, Any]:
        """For JSON, where what is not known is null."""
        return without_nan(asdict(self))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "CandidateResult":
        """Read what `to_json` gave."""
        values = _with_nan(content)
        estimates = {key: Estimate(**_with_nan(item)) for key, item in content["estimates"].items()}
        return cls(**{**values, "estimates": estimates})


def combine_replicas(analyses: Sequence[SystemAnalysis]) -> dict[Property, Estimate]:
    """Properties of a system from independent runs of equal length.

    Means are averages over the replicas, with the error of each from its autocorrelation: sqrt(sum e_i^2) / R. Where a run
    is too short for that (`SeriesStatistics.error_is_lower_bound`), the scatter of the replicas' means, which knows nothing
    of correlation, is taken if it is larger. A relaxation time is known if that of every replica is: leaving out those that
    are too slow for their length would make it too short.
    """
    relaxations = [analysis.relaxation for analysis in analyses]
    reasons = [item.reason for item in relaxations if item.reason]
    if reasons:
        relaxation = Estimate(math.nan, math.nan, reason=f"no relaxation time: {reasons[0]}")
    else:
        times = [item.time for item in relaxations]
        relaxation = Estimate(float(np.mean(times)), _error_of_mean([item.error for item in relaxations]))
    return {
        "rg2": _combine_means([analysis.rg2 for analysis in analyses]),
        "relaxation_time": relaxation,
        "end_to_end": _combine_means([analysis.end_to_end for analysis in analyses]),
    }


def _combine_means(replicas: Sequence[SeriesStatistics]) -> Estimate:
    means = [item.mean for item in replicas]
    error = _error_of_mean([item.standard_error for item in replicas])
    bound = any(item.error_is_lower_bound for item in replicas)
    if bound and len(means) > 1:
        error = max(error, float(np.std(means, ddof=1)) / math.sqrt(len(means)))
    return Estimate(
        float(np.mean(means)), error, _error_of_mean([item.block_standard_error for item in replicas]), bound
    )


def _error_of_mean(errors: Sequence[float]) -> float:
    return math.sqrt(sum(error**2 for error in errors)) / len(errors)


@dataclass(frozen=True)
class Place:
    """A candidate's place in a ranking.

    Attributes
    ----------
    rank : int
        From 1.
    result : CandidateResult
    estimate : Estimate
    probability_in_top : float
        That its true value is among those of the top.
    rank_low, rank_high : int
        Range of its true rank, `RANK_INTERVAL`.
    """

    rank: int
    result: CandidateResult
    estimate: Estimate
    probability_in_top: float
    rank_low: int
    rank_high: int


@dataclass(frozen=True)
class Ranking:
    """Candidates in order of a property, and apart from them those whose property is not to be trusted.

    Attributes
    ----------
    what : str
        The property.
    units : str
    ascending : bool
        Whether the smallest value is the best.
    top : int
        Number of candidates in ``probability_in_top``.
    places : list of Place
    apart : list of CandidateResult
        In alphabetical order; `CandidateResult.remark` says why.
    """

    what: Property
    units: Units
    ascending: bool
    top: int
    places: list[Place]
    apart: list[CandidateResult]

    @property
    def unit(self) -> str:
        """Name of the unit of the property."""
        if self.what == "relaxation_time":
            return time_unit(self.units)
        return length_unit(self.units) + ("^2" if self.what == "rg2" else "")

    def to_csv(self) -> str:
        """Table of all candidates, those that are apart last and without a rank; the same for equal seeds.

        What a run costs differs from run to run, and is in `to_json` only.
        """
        header = [
            "rank", "name", "property", "unit", "value", "standard_error", "block_standard_error", "error_is_lower_bound",
            f"probability_in_top_{self.top}", "rank_low", "rank_high", "stretched_steps", "longest_bond", "remark",
        ]  # fmt: skip
        rows = [
            [
                place.rank,
                *self._cells(place.result, place.estimate),
                f"{place.probability_in_top:.4f}",
                place.rank_low,
                place.rank_high,
                place.result.stretched_steps,
                place.result.longest_bond,
                None,
            ]
            for place in self.places
        ]
        for result in self.apart:
            estimate = result.estimates.get(self.what, Estimate(math.nan, math.nan))
            ends = [None, None, None, result.stretched_steps, result.longest_bond, result.remark(self.what)]
            rows.append([None, *self._cells(result, estimate), *ends])
        return csv_text(header, rows)

    def _cells(self, result: CandidateResult, estimate: Estimate) -> list[Any]:
        bound = "yes" if estimate.error_is_lower_bound else "no"
        numbers = [estimate.value, estimate.standard_error, estimate.block_standard_error]
        return [result.name, self.what, self.unit, *numbers, bound]

    def to_json(self) -> dict[str, Any]:
        """Everything that is known of the candidates, their other properties and their cost included."""
        return {
            "property": self.what,
            "unit": self.unit,
            "ascending": self.ascending,
            "top": self.top,
            "rank_interval_percentiles": list(RANK_INTERVAL),
            "core_seconds": self.core_seconds,
            "ranked": [
                {
                    "rank": place.rank,
                    "value": place.estimate.value,
                    "standard_error": place.estimate.standard_error,
                    "probability_in_top": place.probability_in_top,
                    "rank_low": place.rank_low,
                    "rank_high": place.rank_high,
                    **place.result.to_json(),
                }
                for place in self.places
            ],
            "apart": [{"remark": result.remark(self.what), **result.to_json()} for result in self.apart],
        }

    @property
    def core_seconds(self) -> float:
        """Cost of all candidates together, as far as it is known."""
        costs = [place.result.core_seconds for place in self.places] + [result.core_seconds for result in self.apart]
        return float(np.nansum(costs))


def rank(
    results: Sequence[CandidateResult],
    what: Property,
    units: Units,
    *,
    top: int | None = None,
    ascending: bool = False,
    seed: int = 0,
) -> Ranking:
    """Rank candidates by a property.

    Parameters
    ----------
    results : sequence of CandidateResult
        With different names.
    what : str
        The property.
    units : str
    top : int, optional
        How many candidates count as the top; by default a tenth of them, from 1 to 10.
    ascending : bool
        The smallest value is the best; otherwise the largest.
    seed : int
        Of the bootstrap.

    Raises
    ------
    UserError
        If the property is unknown, or ``top`` is less than one.
    """
    check_property(what)
    if top is None:
        top = min(max(len(results) // 10, 1), 10)
    if top < 1:
        raise UserError(f"top is {top}, expected at least 1")
    apart = sorted((r for r in results if r.remark(what)), key=lambda r: r.name)
    good = [r for r in results if not r.remark(what)]
    sign = 1.0 if ascending else -1.0
    # names decide between equal values, so that the order of the input does not
    good.sort(key=lambda r: (sign * r.estimates[what].value, r.name))
    estimates = [r.estimates[what] for r in good]
    draws = bootstrap_ranks(
        [sign * e.value for e in estimates], [e.standard_error for e in estimates], np.random.default_rng((seed, 0x5C))
    )
    low, high = np.percentile(draws, RANK_INTERVAL, axis=0, method="nearest") if good else (np.empty(0), np.empty(0))
    odds = (draws <= top).mean(axis=0)
    places = [Place(n + 1, good[n], estimates[n], float(odds[n]), int(low[n]), int(high[n])) for n in range(len(good))]
    return Ranking(what, units, ascending, top, places, apart)


def bootstrap_ranks(
    values: ArrayLike, errors: ArrayLike, random: np.random.Generator, n_draws: int = N_DRAWS
) -> NDArray[np.int32]:
    """Ranks of values that are known with Gaussian errors, as they might truly be.

    Every draw moves each value by its own error and ranks the result; the share of draws in which a candidate is among the
    first N estimates the probability that it is so in truth, for a flat prior. For two candidates the probability that the
    first is smaller is Phi((v2 - v1) / sqrt(e1^2 + e2^2)).

    Parameters
    ----------
    values, errors : array, shape (n,)
        The smallest value is the first.
    random : numpy.random.Generator
    n_draws : int

    Returns
    -------
    array of int32, shape (n_draws, n)
        From 1.
    """
    centre, width = np.asarray(values, dtype=np.float64), np.asarray(errors, dtype=np.float64)
    ranks = np.empty((n_draws, len(centre)), dtype=np.int32)
    numbers = np.arange(1, len(centre) + 1, dtype=np.int32)
    # draw by draw: all at once would take eight bytes for each of them several times over
    for row in ranks:
        row[np.argsort(centre + width * random.standard_normal(len(centre)), kind="stable")] = numbers
    return ranks


def check_property(text: str) -> Property:
    """Return ``text`` if it names a property that candidates are ranked by."""
    if text not in get_args(Property):
        raise UserError(f"unknown property {text!r}: expected one of {', '.join(get_args(Property))}")
    return text  # type: ignore[return-value]


def _with_nan(content: Mapping[str, Any]) -> dict[str, Any]:
    return {key: math.nan if value is None else value for key, value in content.items()}
