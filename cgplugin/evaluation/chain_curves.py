"""The curves of an evaluation of chains as numbers: what its plots show, in files that other programs can read."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cgplugin.files import replacing, write_text
from cgplugin.observables.statistics import autocorrelation, density, effective_sample_size, relaxation_time
from cgplugin.tables import csv_text

from .chains import Evaluation, SystemComparison
from .row_names import LEARNED, MD

Array = NDArray[np.float64]

DISTRIBUTIONS, AUTOCORRELATIONS, SURFACES = "distributions.csv", "autocorrelations.csv", "free_energy.npz"

_POINTS = 400
"""Points of an autocorrelation function; more are not seen."""


def write_curves(evaluation: Evaluation, out: Path) -> list[Path]:
    """Write distributions and autocorrelations of Rg^2 and free-energy surfaces, and give the files' names.

    ``distributions.csv`` and ``autocorrelations.csv`` have a row per system, method (``MD`` is the reference) and point.
    ``free_energy.npz``, written where there are surfaces, has the arrays ``systems`` (n,), ``methods`` (2,), ``x`` and ``y``
    (n, n_grid) in nm, the coordinates along the principal components, and ``free_energy`` (n, 2, n_grid, n_grid) in kT, first
    grid axis x, infinite where nothing was sampled.
    """
    distributions = [
        [system.reference.name, method, *point]
        for system in evaluation.systems
        for method, values in _rg2(system).items()
        for point in zip(*density(values, effective_sample_size(values)), strict=True)
    ]
    write_text(out / DISTRIBUTIONS, csv_text(["system", "method", "rg2", "density"], distributions))
    decays = [
        [system.reference.name, method, *point]
        for system in evaluation.systems
        for method, lags, values in decays_of(system)
        for point in zip(lags, values, strict=True)
    ]
    write_text(out / AUTOCORRELATIONS, csv_text(["system", "method", "lag", "autocorrelation"], decays))
    paths = [out / DISTRIBUTIONS, out / AUTOCORRELATIONS]
    shown = [system for system in evaluation.systems if system.surfaces]
    if shown:
        with replacing(out / SURFACES) as temporary:
            np.savez_compressed(
                temporary,
                systems=np.array([system.reference.name for system in shown]),
                methods=np.array([MD, LEARNED]),
                x=np.array([system.surfaces[0].x for system in shown]),
                y=np.array([system.surfaces[0].y for system in shown]),
                free_energy=np.array([[surface.free_energy for surface in system.surfaces] for system in shown]),
            )
        paths.append(out / SURFACES)
    return paths


def _rg2(system: SystemComparison) -> dict[str, Array]:
    """Rg^2 of the reference and of all learned runs together."""
    values = {MD: system.reference.rg2}
    if system.learned is not None:
        values[LEARNED] = np.concatenate(system.learned.series)
    return values


def span_of_decay(system: SystemComparison) -> float:
    """Longest lag worth showing: five relaxation times of the reference, or a quarter of it where that is not known; ps."""
    reference = system.reference
    relaxation = relaxation_time(reference.rg2, reference.interval).time
    return 5 * relaxation if math.isfinite(relaxation) else reference.duration / 4


def decays_of(system: SystemComparison) -> Iterator[tuple[str, Array, Array]]:
    """Method, lags in ps and autocorrelation of Rg^2 of the reference and of the learned runs."""
    reference, learned, span = system.reference, system.learned, span_of_decay(system)
    yield MD, *_decay([reference.rg2], reference.interval, span)
    if learned is not None:
        yield LEARNED, *_decay(learned.series, learned.interval, span)


def _decay(series: Sequence[Array], interval: float, span: float) -> tuple[Array, Array]:
    """Lags, and the autocorrelation averaged over replicas."""
    n = min(math.ceil(span / interval) + 1, *(len(values) for values in series))
    curves = sum((autocorrelation(values)[:n] for values in series), np.zeros(n)) / len(series)
    every = max(1, n // _POINTS)
    lags: Array = interval * np.arange(0, n, every, dtype=np.float64)
    return lags, curves[::every]
