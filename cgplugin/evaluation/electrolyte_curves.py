"""The curves of an evaluation of periodic systems as numbers: what its plots show, in files that other programs can read."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cgplugin.files import write_text
from cgplugin.tables import csv_text

from .electrolyte_sample import DRIFTING, ElectrolyteSample
from .electrolytes import ElectrolyteEvaluation, SystemSamples
from .row_names import MD

Array = NDArray[np.float64]

POINTS = 25
"""Stretches of time that the reference is averaged over; learned runs are averaged over stretches as long."""

RDF, DISPLACEMENTS, OVER_TIME = "rdf.csv", "displacements.csv", "over_time.csv"


def write_curves(evaluation: ElectrolyteEvaluation, out: Path) -> list[Path]:
    """Write radial distributions, mean squared displacements and what is followed over time, and give the files' names.

    Each has a row per system, method (``MD`` is the reference) and point; lengths in nm (sigma), times in ps (tau). Numbers over
    time are averages over replicas and stretches of time; collisions and contacts are per bead.
    """
    tables = {
        RDF: (["system", "method", "centre", "neighbour", "r", "g", "error"], _distributions),
        DISPLACEMENTS: (["system", "method", "species", "lag", "msd"], _displacements),
        OVER_TIME: (["system", "method", "quantity", "time", "value"], _over_time),
    }
    for name, (header, rows) in tables.items():
        write_text(out / name, csv_text(header, (row for system in evaluation.systems for row in rows(system))))
    return [out / name for name in tables]


def _samples(system: SystemSamples) -> dict[str, ElectrolyteSample]:
    return {MD: system.reference, **system.samples}


def _distributions(system: SystemSamples) -> Iterator[list[str | float]]:
    for method, sample in _samples(system).items():
        rdf = sample.coarse_rdf
        for pair in system.shown_pairs:
            for r, g, error in zip(rdf.centres, rdf.g(*pair), rdf.error(*pair), strict=True):
                yield [system.name, method, *pair, r, g, error]


def _displacements(system: SystemSamples) -> Iterator[list[str | float]]:
    for method, sample in _samples(system).items():
        for species in sample.species:
            for lag, value in zip(*mean_displacement(sample, species), strict=True):
                yield [system.name, method, species, lag, value]


def mean_displacement(sample: ElectrolyteSample, species: str) -> tuple[Array, Array]:
    """Lags in ps, and the mean squared displacement in nm^2, averaged over runs of equal length."""
    return sample.runs[0].msd.times, np.mean([run.msd.values(species) for run in sample.runs], axis=0)


def _over_time(system: SystemSamples) -> Iterator[list[str | float]]:
    for method, sample in _samples(system).items():
        for quantity in ("collisions", *DRIFTING):
            for time, value in zip(*followed(system, sample, quantity), strict=True):
                yield [system.name, method, quantity, time, value]


def followed(system: SystemSamples, sample: ElectrolyteSample, quantity: str) -> tuple[Array, Array]:
    """Times, and a quantity of `RunSeries` averaged over runs and stretches of time; empty where it is not known."""
    times = sample.series[0].times
    values = np.mean([series.of(quantity) for series in sample.series], axis=0)
    if len(values) == 0:
        return np.empty(0), np.empty(0)
    if sample is system.reference and quantity == "displacement":
        # seen in a part of the reference only, where frames are near enough to each other: one number for all of it
        return times[[0, -1]], np.full(2, values.mean())
    window = float(np.ptp(system.reference.series[0].times)) / POINTS
    times = times[: len(values)]
    parts = max(1, min(round(float(np.ptp(times)) / window), len(values)))
    return _means(times, parts), _means(values, parts)


def _means(values: Array, parts: int) -> Array:
    return np.array([part.mean() for part in np.array_split(values, parts)])
