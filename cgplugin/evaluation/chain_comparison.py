"""One chain as a reference has it and as a method predicts it: sizes, times, bonds and conformations."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from cgplugin.analysis.trajectory_folders import find_folders
from cgplugin.baselines.structure_property import StructureBaseline
from cgplugin.coarse_graining.coarse_trajectory import coarsen_trajectory
from cgplugin.coarse_graining.coarsening import CoarseGraining
from cgplugin.errors import UserError
from cgplugin.files import read_json
from cgplugin.observables.chains import bond_lengths
from cgplugin.observables.free_energy import (
    FreeEnergySurface,
    PrincipalComponents,
    bead_distances,
    divergence,
    free_energy_surfaces,
)
from cgplugin.observables.statistics import earth_movers_distance, effective_sample_size, relaxation_time

from .reference_data import ReferenceSystem

Array = NDArray[np.float64]

MINIMUM_FRAMES = 20
"""Fewer frames of the reference give no free-energy surface."""


@dataclass(frozen=True)
class Prediction:
    """What one method says about one system, beside the truth that it is compared with.

    Attributes
    ----------
    true_mean, mean : float
        Mean Rg^2, nm^2.
    emd : float
        Earth mover's distance of the two distributions of Rg^2, nm^2.
    true_relaxation, relaxation : float
        ps; NaN where the series does not tell.
    surface_divergence : float
        Jensen-Shannon divergence of the free-energy surfaces, bits.
    bond_emd : float
        Earth mover's distance of the distributions of the lengths of CG bonds, nm.
    n_runs, n_stretched : int
        Simulations, and those in which a CG bond became longer than the model's limit.
    longest_bond : float
        In any step of any run, nm.
    core_seconds : float
        What the method took.
    """

    true_mean: float
    mean: float
    emd: float
    true_relaxation: float = math.nan
    relaxation: float = math.nan
    surface_divergence: float = math.nan
    bond_emd: float = math.nan
    n_runs: int = 0
    n_stretched: int = 0
    longest_bond: float = math.nan
    core_seconds: float = math.nan


@dataclass(frozen=True)
class LearnedRuns:
    """Learned simulations of one system.

    Attributes
    ----------
    interval : float
        Time between values of a series, ps.
    series : tuple of arrays, each of shape (n_steps,)
        Rg^2 of each replica, nm^2.
    positions : array, shape (n_frames, n_beads, 3)
        Recorded frames of all replicas, nm.
    longest_bonds : array, shape (n_replicas,)
        Longest CG bond in any step, nm.
    stretched_steps : array of int, shape (n_replicas,)
        Steps with a CG bond beyond the model's limit.
    """

    interval: float
    series: tuple[Array, ...] = field(repr=False)
    positions: Array = field(repr=False)
    longest_bonds: Array
    stretched_steps: NDArray[np.int64]

    @classmethod
    def read(cls, folder: Path, n_beads: int) -> "LearnedRuns":
        """Read what a simulation wrote for one system; its replicas are folders below it.

        Raises
        ------
        UserError
            If files are missing, damaged, or of another system.
        """
        replicas = find_folders(folder)
        series, positions, longest, stretched, interval = [], [], [], [], math.nan
        for replica in replicas:
            if len(replica.masses) != n_beads:
                raise UserError(f"{replica.path}: has {len(replica.masses)} beads, expected {n_beads}")
            if "rg2" not in replica.properties:
                raise UserError(f"{replica.path / 'properties.csv'}: has no column rg2")
            summary = read_json(replica.path / "summary.json")
            series.append(replica.properties["rg2"])
            interval = float(summary["time_step"])
            positions += [block.positions for block in replica.trajectory.blocks()]
            longest.append(float(summary["longest_bond"]))
            stretched.append(int(summary["stretched_steps"]))
        return cls(interval, tuple(series), np.concatenate(positions), np.array(longest), np.array(stretched))

    def relaxation(self) -> float:
        """Mean of the relaxation times of the replicas, ps; NaN unless more than half of them tell one.

        Replicas too short to tell are left out. Were most of them, the few that pass would be those that seem fast by chance.
        """
        times = np.array([relaxation_time(values, self.interval).time for values in self.series])
        known = times[np.isfinite(times)]
        return float(known.mean()) if 2 * len(known) > len(times) else math.nan


def reference_beads(cg: CoarseGraining, reference: ReferenceSystem) -> Array | None:
    """Bead positions of the reference, shape (n_frames, n_beads, 3) in nm; None where it has no trajectory."""
    if not reference.trajectories:
        return None
    return coarsen_trajectory(cg, reference.trajectories[0]).positions.astype(np.float64)


def compare_learned(
    reference: ReferenceSystem,
    cg: CoarseGraining,
    beads: Array | None,
    learned: LearnedRuns | None,
    core_seconds: float,
) -> tuple[Prediction | None, tuple[FreeEnergySurface, ...]]:
    """Learned simulations as a prediction, None if they diverged, and the free-energy surfaces of reference and simulations."""
    if learned is None:
        return None, ()
    values = np.concatenate(learned.series)
    surfaces = () if beads is None else conformation_surfaces(cg, beads, [beads, learned.positions])
    prediction = Prediction(
        true_mean=float(reference.rg2.mean()),
        mean=float(values.mean()),
        emd=earth_movers_distance(reference.rg2, values),
        true_relaxation=relaxation_time(reference.rg2, reference.interval).time,
        relaxation=learned.relaxation(),
        surface_divergence=divergence(*surfaces) if surfaces else math.nan,
        bond_emd=math.nan if beads is None else _bond_emd(cg, beads, learned.positions),
        n_runs=len(learned.series),
        n_stretched=int((learned.stretched_steps > 0).sum()),
        longest_bond=float(learned.longest_bonds.max()),
        core_seconds=core_seconds,
    )
    return prediction, surfaces


def compare_short(reference: ReferenceSystem, short: Array, md_seconds: float) -> Prediction | None:
    """The beginning of the reference as a prediction of all of it; None if that is all there is."""
    if len(short) >= len(reference.rg2):
        return None
    return Prediction(
        true_mean=float(reference.rg2.mean()),
        mean=float(short.mean()),
        emd=earth_movers_distance(reference.rg2, short),
        true_relaxation=relaxation_time(reference.rg2, reference.interval).time,
        relaxation=relaxation_time(short, reference.interval).time,
        core_seconds=md_seconds * len(short) / len(reference.rg2),
    )


def compare_halves(
    reference: ReferenceSystem, cg: CoarseGraining, beads: Array | None, md_seconds: float
) -> Prediction:
    """First half as a prediction of the second: what a method can at best be seen to reach."""
    first, second = np.array_split(reference.rg2, 2)
    surfaces: tuple[FreeEnergySurface, ...] = ()
    bonds = math.nan
    if beads is not None:
        halves = np.array_split(beads, 2)
        surfaces = conformation_surfaces(cg, beads, halves)
        bonds = _bond_emd(cg, halves[1], halves[0]) if len(beads) > 1 else math.nan
    return Prediction(
        true_mean=float(second.mean()),
        mean=float(first.mean()),
        emd=earth_movers_distance(first, second),
        true_relaxation=relaxation_time(second, reference.interval).time,
        relaxation=relaxation_time(first, reference.interval).time,
        surface_divergence=divergence(*surfaces) if surfaces else math.nan,
        bond_emd=bonds,
        core_seconds=md_seconds / 2,
    )


def compare_baseline(references: Sequence[ReferenceSystem], baseline: StructureBaseline) -> list[Prediction]:
    """What a baseline says of each system."""
    predicted = baseline.predict([reference.system for reference in references])
    return [
        Prediction(
            true_mean=float(reference.rg2.mean()),
            mean=float(mean),
            emd=distance_to_gaussian(reference.rg2, float(mean), float(deviation)),
        )
        for reference, (mean, deviation) in zip(references, predicted, strict=True)
    ]


def distance_to_gaussian(values: Array, mean: float, deviation: float) -> float:
    """Earth mover's distance of a sample to the Gaussian that a supervised baseline predicts (paper, Table 1).

    The Gaussian is represented by its quantiles at (i - 1/2) / n, as many as there are values.
    """
    quantiles = (np.arange(len(values)) + 0.5) / len(values)
    return earth_movers_distance(values, mean + deviation * stats.norm.ppf(quantiles))


def conformation_surfaces(
    cg: CoarseGraining, reference: Array, samples: Sequence[Array]
) -> tuple[FreeEnergySurface, ...]:
    """Free-energy surfaces of bead positions, on the principal components of the reference's bead-bead distances.

    Parameters
    ----------
    cg : CoarseGraining
    reference : array, shape (n_frames, n_beads, 3)
        What the components are fitted to, and the width of the smoothing is taken from; nm.
    samples : sequence of arrays, each of shape (n_frames, n_beads, 3)

    Returns
    -------
    tuple of FreeEnergySurface
        Empty where there are fewer than `MINIMUM_FRAMES` frames or three beads, or more than one molecule.
    """
    if len(reference) < MINIMUM_FRAMES or cg.n_beads < 3 or int(cg.molecules.max()) > 0:
        return ()
    distances = bead_distances(reference)
    components = PrincipalComponents.fit(distances)
    independent = effective_sample_size(components.project(distances)[:, 0])
    projected = [components.project(bead_distances(sample)) for sample in samples]
    return tuple(free_energy_surfaces(projected, components.deviations, independent))


def _bond_emd(cg: CoarseGraining, first: Array, second: Array) -> float:
    """Distance of the distributions of all CG bonds' lengths, nm; NaN where there are no CG bonds."""
    if len(cg.bonds) == 0:
        return math.nan
    return earth_movers_distance(bond_lengths(first, cg.bonds), bond_lengths(second, cg.bonds))
