"""Quantities of periodic systems as a reference and as a method has them, and statistics over systems."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .agreement import (
    MINIMUM_SYSTEMS,
    Estimate,
    estimate,
    log_error,
    log_r2,
    mean_absolute_error,
    mean_ratio,
    relative_error,
    spearman,
)
from .electrolyte_sample import DRIFTING, ElectrolyteSample, Measurement, Pair

Array = NDArray[np.float64]

ALL = "all"
"""Subject of a quantity that is one of all beads."""


def _mean(_truth: Array, prediction: Array, axis: int = -1) -> Array:
    mean: Array = prediction.mean(axis=axis)
    return mean


STATISTICS: dict[str, Callable[..., Array]] = {
    "ratio": mean_ratio,
    "relative_error": relative_error,
    "absolute_error": mean_absolute_error,
    "log_error": log_error,
    "log_r2": log_r2,
    "spearman": spearman,
    "mean": _mean,
}
"""Statistics over systems, of true and predicted values."""

_OF_LOGARITHMS = ("log_error", "log_r2")
_OF_RATIOS = ("ratio", "relative_error", *_OF_LOGARITHMS)
"""Statistics that divide by the true value, so that it must not be zero."""

_OF_THE_SPREAD = ("log_r2", "spearman")
"""Statistics that are not known from one or two systems."""

_OF_DIFFUSIVITIES = ("ratio", "relative_error", "log_error", "log_r2", "spearman")

QUANTITIES: dict[str, tuple[str, ...]] = {
    "diffusivity": _OF_DIFFUSIVITIES,
    "fitted diffusivity": _OF_DIFFUSIVITIES,
    "peak height": ("ratio", "relative_error"),
    "peak position": ("absolute_error",),
    "RDF difference": ("mean",),
    "collisions": ("ratio",),
    **dict.fromkeys(DRIFTING, ("ratio", "relative_error")),
    **{f"drift of {name}": ("mean", "absolute_error") for name in DRIFTING},
}
"""What is compared, and by which of the `STATISTICS`."""


@dataclass(frozen=True)
class Comparison:
    """A quantity of one system as the reference and as a method has it.

    Attributes
    ----------
    quantity : str
        One of `QUANTITIES`.
    subject : str
        A species, a pair of species (``cation-anion``), or `ALL`.
    truth, prediction : Measurement
    """

    quantity: str
    subject: str
    truth: Measurement
    prediction: Measurement


@dataclass(frozen=True)
class ElectrolyteMethod:
    """What one method says about all systems.

    Attributes
    ----------
    name : str
    systems : tuple of tuples of Comparison
        For each system; None where the method has nothing to say.
    core_seconds : float
        Per system, mean over systems; NaN where it is not known.
    n_runs, n_stretched : int
        Simulations, and those in which a CG bond became longer than the model's limit.
    longest_bond : float
        In any step of any run, nm.
    """

    name: str
    systems: tuple[tuple[Comparison, ...] | None, ...] = field(repr=False)
    core_seconds: float = math.nan
    n_runs: int = 0
    n_stretched: int = 0
    longest_bond: float = math.nan

    @property
    def compared(self) -> tuple[tuple[str, str], ...]:
        """Quantities and their subjects, in the order of `QUANTITIES`."""
        found = dict.fromkeys((c.quantity, c.subject) for own in self.systems if own is not None for c in own)
        return tuple(sorted(found, key=lambda key: list(QUANTITIES).index(key[0])))

    def values(self, quantity: str, subject: str) -> tuple[Array, Array]:
        """True and predicted values of all systems, NaN where there are none, each of shape (n_systems,)."""
        pairs = np.full((2, len(self.systems)), np.nan)
        for number, own in enumerate(self.systems):
            for c in own or ():
                if (c.quantity, c.subject) == (quantity, subject):
                    pairs[:, number] = c.truth.value, c.prediction.value
        return pairs[0], pairs[1]

    def statistics(self, quantity: str, subject: str) -> dict[str, Estimate]:
        """Statistics over systems of a quantity, each with its bootstrap interval."""
        return self._statistics[quantity, subject]

    @cached_property
    def _statistics(self) -> dict[tuple[str, str], dict[str, Estimate]]:
        # every table asks for them, and resampling takes its time
        return {
            (quantity, subject): {
                name: _over_systems(name, *self.values(quantity, subject)) for name in QUANTITIES[quantity]
            }
            for quantity, subject in self.compared
        }


def _over_systems(name: str, truth: Array, prediction: Array) -> Estimate:
    """One of the `STATISTICS`."""
    if name in _OF_RATIOS:
        truth = np.where(truth > 0, truth, np.nan)
    if name in _OF_LOGARITHMS:
        # a slope that noise has made negative has none
        prediction = np.where(prediction > 0, prediction, np.nan)
    if name in _OF_THE_SPREAD and np.isfinite(truth + prediction).sum() < MINIMUM_SYSTEMS:
        return Estimate(math.nan)
    return estimate(STATISTICS[name], truth, prediction)


def compare(truth: ElectrolyteSample, other: ElectrolyteSample, pairs: tuple[Pair, ...]) -> tuple[Comparison, ...]:
    """Compare two samples of one system.

    Parameters
    ----------
    truth, other : ElectrolyteSample
        Of one `ElectrolyteSampler`.
    pairs : tuple of pairs of str
        Species whose RDF are compared.
    """
    found = []
    for species in truth.species:
        found += [
            Comparison(
                "diffusivity", species, truth.end_to_end_diffusivity(species), other.end_to_end_diffusivity(species)
            ),
            Comparison(
                "fitted diffusivity", species, truth.fitted_diffusivity(species), other.fitted_diffusivity(species)
            ),
        ]
    for pair in pairs:
        subject, known, own = "-".join(pair), truth.first_shell(pair), other.first_shell(pair)
        height = Measurement(own.height, own.height_error)
        if not math.isfinite(own.height) and math.isfinite(known.position):
            # without a peak of its own: how high it is where the peak should be
            height = Measurement(other.height_at(known.position, pair))
        found += [
            Comparison("peak height", subject, Measurement(known.height, known.height_error), height),
            Comparison(
                "peak position",
                subject,
                Measurement(known.position, known.position_error),
                Measurement(own.position, own.position_error),
            ),
            Comparison("RDF difference", subject, Measurement(0.0), Measurement(rdf_difference(truth, other, pair))),
        ]
    found.append(Comparison("collisions", ALL, truth.collisions, other.collisions))
    found += [Comparison(name, ALL, truth.average(name), other.average(name)) for name in DRIFTING]
    found += [Comparison(f"drift of {name}", ALL, truth.drift(name), other.drift(name)) for name in DRIFTING]
    return tuple(found)


def rdf_difference(first: ElectrolyteSample, second: ElectrolyteSample, pair: Pair) -> float:
    """Integral of abs(g - g') over distance, nm, in the bins of `ElectrolyteSample.coarse_rdf`.

    Noise of either adds to it: of two halves of a run it tells how much.
    """
    curves = [sample.coarse_rdf.g(*pair) for sample in (first, second)]
    return float(np.abs(curves[0] - curves[1]) @ np.diff(first.coarse_rdf.edges))
