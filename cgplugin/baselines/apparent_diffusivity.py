"""Apparent diffusivity of short MD, and the curve by which it is extrapolated to long times.

The apparent diffusivity D(t) = <|x_t - x_0|^2> / 6t of particles that are held by what surrounds them falls with time towards
its limit. The paper fits f(t) = y + exp(-theta t) to it (Methods, "SPE diffusivity prediction baseline model"), a curve that
begins at y + 1: that has a meaning for the decimal logarithm of D only, which Fig. 5a shows, so f(t) is log10 of D(t) here, D(t)
falls by a decade at most, and the unit of D does not matter.

Other than in the paper, displacements are averaged over time origins as well as over particles, and lags up to half of the run
are used, so that every lag has displacements that do not overlap.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from cgplugin.coarse_graining.coarsening import CoarseGraining
from cgplugin.coarse_graining.drift import without_drift
from cgplugin.errors import UserError
from cgplugin.evaluation.bead_paths import whole_run
from cgplugin.evaluation.reference import PeriodicReference, comparable_species
from cgplugin.observables.diffusion import DisplacementAccumulator
from cgplugin.systems.molecular_system import MolecularSystem
from cgplugin.systems.species import ParticleSpecies

Array = NDArray[np.float64]

LONGEST_LAG = 0.5
"""Longest lag as a share of the run."""

MINIMUM_LAGS = 3
"""Fewer lags say nothing about a curve with two parameters."""


def decay(times: Array, y: Array | float, theta: Array | float) -> Array:
    """f(t) = y + exp(-theta t), in decades."""
    curve: Array = y + np.exp(-theta * times)
    return curve


@dataclass(frozen=True)
class DiffusivityCurves:
    """Apparent diffusivities of one system.

    Attributes
    ----------
    system : MolecularSystem
    species : tuple of str
        In the order of `species_of_atoms`.
    times : array, shape (n_lags,)
        ps.
    values : array, shape (n_species, n_lags)
        log10 of the apparent diffusivity in nm^2/ps.
    """

    system: MolecularSystem = field(repr=False)
    species: tuple[str, ...]
    times: Array = field(repr=False)
    values: Array = field(repr=False)

    @classmethod
    def of(cls, reference: PeriodicReference) -> "DiffusivityCurves":
        """Measure them in recorded MD.

        Raises
        ------
        UserError
            If there are fewer than `MINIMUM_LAGS` lags, or a species does not move.
        """
        system = reference.system
        molecules = ParticleSpecies.of_beads(system, system.molecules)
        particles = comparable_species(molecules)
        # one bead per molecule: its centre of mass
        run = whole_run(CoarseGraining(system, system.molecules, system.n_atoms, 0), reference)
        accumulator = DisplacementAccumulator(particles.names, run.interval)
        for frame in run.positions:
            accumulator.update(without_drift(frame, particles.masses))
        displacements = accumulator.result()
        used = displacements.times <= LONGEST_LAG * run.duration
        if used.sum() < MINIMUM_LAGS:
            raise UserError(
                f"{reference.path}: {run.n_frames} frames are too few for an apparent diffusivity: give a longer run"
            )
        species = particles.species
        values = np.array([displacements.apparent_diffusivity(name)[used] for name in species])
        if not (values > 0).all():
            still = species[int(np.argwhere(~(values > 0))[0][0])]
            raise UserError(f"{reference.path}: the species {still} does not move: it has no apparent diffusivity")
        return cls(system, species, displacements.times[used], np.log10(values))


def species_of_atoms(system: MolecularSystem) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Species of a system, as `cgplugin.evaluation.reference.comparable_species` names them, and that of each atom.

    Returns
    -------
    species : tuple of str
    owners : array of int, shape (n_atoms,)
        Index into ``species``.
    """
    particles = comparable_species(ParticleSpecies.of_atoms(system))
    number = {name: n for n, name in enumerate(particles.species)}
    return particles.species, np.array([number[name] for name in particles.names], dtype=np.int64)


def fit_decay(times: Array, values: Array) -> tuple[float, float]:
    """Least-squares fit of `decay` to a curve.

    For a given theta the best y is a mean, so that there is one parameter to search for.

    Parameters
    ----------
    times, values : array, shape (n_lags,)
        ps, decades.

    Returns
    -------
    y, theta : float
        Decades, 1/ps; theta between 0.01 / the longest and 10 / the shortest time: outside, the curve is flat.
    """

    def best_y(log_theta: float) -> float:
        return float((values - np.exp(-np.exp(log_theta) * times)).mean())

    def error(log_theta: float) -> float:
        return float(((decay(times, best_y(log_theta), np.exp(log_theta)) - values) ** 2).sum())

    bounds = np.log([0.01 / times.max(), 10 / times.min()])
    # the sum of squares may have two minima
    starts = np.linspace(bounds[0], bounds[1], 41)
    lowest = int(np.argmin([error(start) for start in starts]))
    around = (starts[max(lowest - 1, 0)], starts[min(lowest + 1, len(starts) - 1)])
    log_theta = float(minimize_scalar(error, bounds=around, method="bounded", options={"xatol": 1e-6}).x)
    return best_y(log_theta), float(np.exp(log_theta))
