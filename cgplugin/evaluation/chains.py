"""Learned simulations of chains measured against reference MD, beside short MD, MD itself and baselines."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from cgplugin.baselines.structure_property import StructureBaseline, check_units
from cgplugin.learned.learned_model import LearnedModel
from cgplugin.observables.free_energy import FreeEnergySurface
from cgplugin.units import Units

from .agreement import Estimate, correlation, estimate, mean_absolute_error, r2, relative_deviation_of_mean
from .chain_comparison import (
    LearnedRuns,
    Prediction,
    compare_baseline,
    compare_halves,
    compare_learned,
    compare_short,
    reference_beads,
)
from .reference_data import ReferenceSystem
from .row_names import HALVES, LEARNED, SHORT_MD

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Method:
    """Predictions of one method for all systems; None for a system that it has none for.

    The bootstrap estimates are over systems; see `cgplugin.evaluation.agreement.estimate`.
    """

    name: str
    predictions: tuple[Prediction | None, ...] = field(repr=False)

    def values(self, attribute: str) -> Array:
        """One number of every system, NaN where there is none, shape (n_systems,)."""
        return np.array([math.nan if p is None else float(getattr(p, attribute)) for p in self.predictions])

    @property
    def n_systems(self) -> int:
        """Systems that it has a prediction for."""
        return sum(p is not None for p in self.predictions)

    def estimates(self) -> dict[str, Estimate]:
        """Numbers of the table (paper, Table 1 and Fig. 3), each with its interval."""
        true_means, means = self.values("true_mean"), self.values("mean")
        true_times, times = self.values("true_relaxation"), self.values("relaxation")
        return {
            "rg2_r2": estimate(r2, true_means, means),
            "rg2_mae": estimate(mean_absolute_error, true_means, means),
            "rg2_emd": estimate(np.mean, self.values("emd")),
            "rg2_correlation": estimate(correlation, true_means, means),
            "relaxation_deviation": estimate(relative_deviation_of_mean, true_times, times),
            "relaxation_correlation": estimate(correlation, true_times, times),
            "relaxation_r2": estimate(r2, true_times, times),
            "surface_divergence": estimate(np.mean, self.values("surface_divergence")),
            "bond_emd": estimate(np.mean, self.values("bond_emd")),
        }

    @property
    def n_relaxations(self) -> int:
        """Systems whose relaxation time is known, of the reference and of the method."""
        return int(np.isfinite(self.values("true_relaxation") + self.values("relaxation")).sum())

    @property
    def n_runs(self) -> int:
        """Simulations in all."""
        return sum(p.n_runs for p in self.predictions if p is not None)

    @property
    def n_stretched(self) -> int:
        """Simulations that left the region of the training data."""
        return sum(p.n_stretched for p in self.predictions if p is not None)

    @property
    def longest_bond(self) -> float:
        """In all runs, nm."""
        known = [p.longest_bond for p in self.predictions if p is not None and math.isfinite(p.longest_bond)]
        return max(known, default=math.nan)

    @property
    def core_seconds(self) -> float:
        """Mean over systems; NaN where it is not known of all."""
        known = [p.core_seconds for p in self.predictions if p is not None]
        return float(np.mean(known)) if known else math.nan


@dataclass(frozen=True)
class SystemComparison:
    """One system, as the plots show it.

    Attributes
    ----------
    reference : ReferenceSystem
    learned : LearnedRuns or None
        None if the simulation diverged.
    short : array, shape (n,)
        Beginning of the reference's Rg^2.
    surfaces : tuple of FreeEnergySurface
        Of the reference and of the learned simulation; empty where there are none.
    """

    reference: ReferenceSystem
    learned: LearnedRuns | None
    short: Array = field(repr=False)
    surfaces: tuple[FreeEnergySurface, ...] = field(repr=False)


@dataclass(frozen=True)
class Evaluation:
    """Everything that the report says.

    Attributes
    ----------
    units : str
    model : str
        File.
    methods : tuple of Method
        The learned simulation first.
    systems : tuple of SystemComparison
    diverged : dict
        Name of a system to the message; it counts in no number.
    stretch_limit : float
        CG bonds longer than this make a run a stretched one, nm.
    short_time : float
        Length of the short MD, ps.
    md_seconds_per_time : float
        Core-seconds of the reference MD per system and ps; NaN if not known.
    learned_seconds_per_time : float
        The same of the learned simulation.
    """

    units: Units
    model: str
    methods: tuple[Method, ...]
    systems: tuple[SystemComparison, ...] = field(repr=False)
    diverged: dict[str, str]
    stretch_limit: float
    short_time: float
    md_seconds_per_time: float
    learned_seconds_per_time: float

    @property
    def names(self) -> list[str]:
        """Of the systems."""
        return [comparison.reference.name for comparison in self.systems]


def evaluate(
    model: LearnedModel,
    references: Sequence[ReferenceSystem],
    runs: Path,
    *,
    short_time: float,
    stretch_limit: float,
    core_seconds: float = math.nan,
    md_seconds_per_time: float | None = None,
    diverged: Mapping[str, str] = {},
    baselines: Mapping[str, StructureBaseline] = {},
    progress: bool = False,
) -> Evaluation:
    """Compare learned simulations, short MD, halves of the MD and baselines with the reference.

    Parameters
    ----------
    model : LearnedModel
    references : sequence of ReferenceSystem
    runs : Path
        Holds a folder per system, with what ``cgplugin simulate`` writes.
    short_time : float
        Length of the short MD, the beginning of the reference, ps. References that are not longer have no such row.
    stretch_limit : float
        nm; see `Evaluation`.
    core_seconds : float
        Of the learned simulations, per system.
    md_seconds_per_time : float, optional
        Core-seconds of the MD per system and ps, for references that do not say theirs.
    diverged : mapping
        Systems that have no learned simulation, with the reason.
    baselines : mapping
        Name of the row to the baseline.
    progress : bool
        Show a progress bar.

    Raises
    ------
    UserError
        If a file is damaged, or a baseline does not know a system.
    """
    check_units(baselines, model.units)
    rows: dict[str, list[Prediction | None]] = {LEARNED: [], SHORT_MD: [], HALVES: []}
    systems = []
    for reference in tqdm(references, unit="system", desc="comparing", disable=not progress):
        cg = model.coarsen(reference.system)
        learned = None if reference.name in diverged else LearnedRuns.read(runs / reference.name, cg.n_beads)
        md_seconds = reference.seconds
        if md_seconds is None and md_seconds_per_time is not None:
            md_seconds = md_seconds_per_time * reference.duration
        md_seconds = math.nan if md_seconds is None else md_seconds
        beads = reference_beads(cg, reference)
        learned_row, surfaces = compare_learned(reference, cg, beads, learned, core_seconds)
        short = reference.rg2[: round(short_time / reference.interval) + 1]
        rows[LEARNED].append(learned_row)
        rows[SHORT_MD].append(compare_short(reference, short, md_seconds))
        rows[HALVES].append(compare_halves(reference, cg, beads, md_seconds))
        systems.append(SystemComparison(reference, learned, short, surfaces))
    for name, baseline in baselines.items():
        rows[name] = list(compare_baseline(references, baseline))
    per_time = [r.seconds / r.duration for r in references if r.seconds is not None]
    known = float(np.mean(per_time)) if len(per_time) == len(references) else md_seconds_per_time
    simulated = [c.learned.interval * sum(map(len, c.learned.series)) for c in systems if c.learned is not None]
    return Evaluation(
        model.units,
        model.source,
        tuple(Method(name, tuple(own)) for name, own in rows.items() if any(p is not None for p in own)),
        tuple(systems),
        dict(diverged),
        stretch_limit,
        short_time,
        math.nan if known is None else known,
        core_seconds / float(np.mean(simulated)) if simulated else math.nan,
    )
