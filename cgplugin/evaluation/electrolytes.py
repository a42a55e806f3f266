"""Learned simulations of periodic systems measured against reference MD, beside short MD, MD itself and baselines."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from tqdm import tqdm

from cgplugin.baselines.diffusivity import DiffusivityBaseline
from cgplugin.baselines.structure_property import check_units
from cgplugin.learned.learned_model import LearnedModel
from cgplugin.units import Units

from .bead_paths import BeadPath, LearnedPath, densest_part, learned_paths, whole_run
from .electrolyte_comparison import Comparison, ElectrolyteMethod, compare
from .electrolyte_sample import ElectrolyteSample, ElectrolyteSampler, Measurement, Pair
from .reference import PeriodicReference
from .row_names import HALVES, LEARNED, SHORT_MD

MINIMUM_RUN_FRAMES = 3
"""Fewer frames are no run: neither a learned one nor short MD."""


class SimulatedReferences(Protocol):
    """Learned simulations of references on disk; see `openmm_integration.runs.reference_runs.ReferenceRuns`."""

    @property
    def folder(self) -> Path:
        """Holds a folder per system."""
        ...

    @property
    def diverged(self) -> dict[str, str]:
        """Name of a system that has no simulation to the reason."""
        ...

    @property
    def core_seconds(self) -> float:
        """Of the learned simulations, per system."""
        ...


@dataclass(frozen=True)
class SystemSamples:
    """One system, as the plots show it.

    Attributes
    ----------
    name : str
    reference : ElectrolyteSample
    shown_pairs : tuple of pairs of str
    samples : dict of ElectrolyteSample
        Of the learned simulations, by the name of the method.
    """

    name: str
    reference: ElectrolyteSample
    shown_pairs: tuple[Pair, ...]
    samples: dict[str, ElectrolyteSample]


@dataclass(frozen=True)
class ElectrolyteEvaluation:
    """Everything that the report says.

    Attributes
    ----------
    units : str
    model : str
        File.
    time_step : float
        Learned, ps.
    methods : tuple of ElectrolyteMethod
        The learned simulation first.
    systems : tuple of SystemSamples
    diverged : dict of dicts
        Name of a method to names of systems to messages.
    short_time : float
        Length of the short MD, ps.
    simulated_time, reference_time : float
        Of the shortest learned run, and of the longest reference, ps.
    stretch_limit : float
        CG bonds longer than this make a run a stretched one, nm.
    md_seconds_per_time, learned_seconds_per_time : float
        Core-seconds per system and ps; NaN if not known.
    """

    units: Units
    model: str
    time_step: float
    methods: tuple[ElectrolyteMethod, ...]
    systems: tuple[SystemSamples, ...] = field(repr=False)
    diverged: dict[str, dict[str, str]]
    short_time: float
    simulated_time: float
    reference_time: float
    stretch_limit: float
    md_seconds_per_time: float
    learned_seconds_per_time: float

    @property
    def names(self) -> list[str]:
        """Of the systems."""
        return [system.name for system in self.systems]


def evaluate_electrolytes(
    model: LearnedModel,
    references: Sequence[PeriodicReference],
    simulated: Mapping[str, SimulatedReferences],
    *,
    short_time: float,
    stretch_limit: float,
    md_seconds_per_time: float | None = None,
    baselines: Mapping[str, DiffusivityBaseline] = {},
    progress: bool = False,
) -> ElectrolyteEvaluation:
    """Compare learned simulations, short MD, halves of the MD and baselines with the reference.

    A learned run counts up to the length of its reference, as the paper's diffusivity depends on it.

    Parameters
    ----------
    model : LearnedModel
    references : sequence of PeriodicReference
    simulated : mapping
        Name of the row (`LEARNED`, `UNREFINED`) to the learned simulations.
    short_time : float
        Length of the short MD, the beginning of the reference, ps.
    stretch_limit : float
        nm; see `ElectrolyteEvaluation`.
    md_seconds_per_time : float, optional
        Core-seconds of the MD per system and ps, for references that do not say theirs.
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
    systems: list[SystemSamples] = []
    rows: dict[str, list[tuple[Comparison, ...] | None]] = {name: [] for name in (*simulated, SHORT_MD, HALVES)}
    learned: dict[str, list[LearnedPath]] = {name: [] for name in simulated}
    for reference in tqdm(references, unit="system", desc="comparing", disable=not progress):
        cg = model.coarsen(reference.system)
        run = whole_run(cg, reference)
        sampler = ElectrolyteSampler(cg, run, model.time_step, densest_part(cg, reference))
        samples = {}
        for name, own in simulated.items():
            if reference.name not in own.diverged:
                paths = learned_paths(own.folder / reference.name, cg.n_beads)
                learned[name] += paths
                samples[name] = sampler.sample([item.path.until(reference.duration) for item in paths])
            sample = samples.get(name)
            rows[name].append(None if sample is None else compare(sampler.reference, sample, sampler.shown_pairs))
        rows[SHORT_MD].append(_compare_short(sampler, run, short_time))
        rows[HALVES].append(_compare_halves(sampler, run))
        systems.append(SystemSamples(reference.name, sampler.reference, sampler.shown_pairs, samples))
    for name, baseline in baselines.items():
        rows[name] = [_compare_baseline(baseline, *pair) for pair in zip(references, systems, strict=True)]
    md_seconds = _md_seconds_per_time(references, md_seconds_per_time)
    duration = float(np.mean([reference.duration for reference in references]))
    costs = {name: own.core_seconds for name, own in simulated.items()}
    costs |= {SHORT_MD: md_seconds * short_time, HALVES: md_seconds * duration / 2}
    methods = [
        _method(name, own, costs.get(name, math.nan), learned.get(name, []))
        for name, own in rows.items()
        if name in simulated or any(item is not None for item in own)
    ]
    simulated_time = min((item.path.duration for item in learned[LEARNED]), default=math.nan)
    n_runs = len(learned[LEARNED]) / max(1, sum(LEARNED in system.samples for system in systems))
    return ElectrolyteEvaluation(
        model.units,
        model.source,
        model.time_step,
        tuple(methods),
        tuple(systems),
        {name: dict(own.diverged) for name, own in simulated.items()},
        short_time,
        simulated_time,
        max(reference.duration for reference in references),
        stretch_limit,
        md_seconds,
        simulated[LEARNED].core_seconds / (n_runs * simulated_time) if n_runs else math.nan,
    )


def _method(
    name: str, systems: list[tuple[Comparison, ...] | None], core_seconds: float, runs: Sequence[LearnedPath]
) -> ElectrolyteMethod:
    stretched = sum(run.stretched_steps > 0 for run in runs)
    longest = max((run.longest_bond for run in runs), default=math.nan)
    return ElectrolyteMethod(name, tuple(systems), core_seconds, len(runs), stretched, longest)


def _compare_short(sampler: ElectrolyteSampler, run: BeadPath, short_time: float) -> tuple[Comparison, ...] | None:
    short = run.until(short_time)
    if short.n_frames < MINIMUM_RUN_FRAMES or short.n_frames == run.n_frames:
        return None
    return compare(sampler.reference, sampler.sample([short]), sampler.shown_pairs)


def _compare_halves(sampler: ElectrolyteSampler, run: BeadPath) -> tuple[Comparison, ...]:
    """First half as a prediction of the second: what a method can at best be seen to reach."""
    middle = run.n_frames // 2
    first, second = (sampler.sample([half]) for half in (run.part(0, middle), run.part(middle, run.n_frames)))
    return compare(second, first, sampler.shown_pairs)


def _compare_baseline(
    baseline: DiffusivityBaseline, reference: PeriodicReference, system: SystemSamples
) -> tuple[Comparison, ...]:
    """The apparent diffusivity at the length of the reference (paper, Methods)."""
    predicted = baseline.predict(reference.system, reference.duration)
    return tuple(
        Comparison(
            "diffusivity",
            species,
            system.reference.end_to_end_diffusivity(species),
            Measurement(predicted[species]),
        )
        for species in system.reference.species
    )


def _md_seconds_per_time(references: Sequence[PeriodicReference], given: float | None) -> float:
    """Core-seconds of the reference MD per system and ps: what is given, or what all references say."""
    known = [reference.seconds / reference.duration for reference in references if reference.seconds is not None]
    if given is not None:
        return given
    return float(np.mean(known)) if len(known) == len(references) else math.nan
