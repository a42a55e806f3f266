"""Screening: many candidates through a learned simulation, in batches that can each be interrupted, and their ranking."""

import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from cgplugin.analysis.analyze import analyze_folder
from cgplugin.analysis.trajectory_folders import find_folders
from cgplugin.cluster.clusters import Workers
from cgplugin.cluster.tasks import Tell, run_tasks
from cgplugin.errors import UserError, one_line
from cgplugin.files import file_digest, read_json, sole_writer, write_json, write_text
from cgplugin.learned.devices import choose_device
from cgplugin.learned.learned_model import LearnedModel
from cgplugin.learned.simulator import SimulationDivergedError
from cgplugin.screening.ranking import CandidateResult, Property, Ranking, combine_replicas, rank
from cgplugin.systems.force_field import BeadSpringForceField
from cgplugin.systems.structure_files import Structure
from cgplugin.units import time_unit
from openmm_integration.simulation import learned_simulation

from .batches import model_of_worker, seed_of_batch
from .candidates import digest
from .resumable_run import ResumableRun, RunSettings, replica_folders
from .start_frames import StartFrom

RECORD_FILE = "screen.json"
DEFAULT_TIME_LJ = 25_000.0
"""tau; 100 times the training runs of the reference polymers: there the mean Rg^2 of a replica is certain to about 3 %."""

DEFAULT_STEPS = 5000
"""Learned steps in other units: as many as those 25,000 tau are for a time step of 5 tau."""

DISCARDED_SHARE = 0.05
"""Share of each run that is left out at its beginning by default."""


@dataclass(frozen=True)
class ScreenSettings:
    """How candidates are simulated.

    Attributes
    ----------
    n_steps : int
        Learned steps of each replica.
    replicas : int
        Independent runs of each candidate.
    batch : int
        Systems, replicas included, that share a run: they go through the network together.
    seed : int
    checkpoint_interval : int
        Learned steps between checkpoints.
    start : str
        What makes the first frames; see `openmm_integration.simulation.learned_simulation`.

    Raises
    ------
    UserError
        If a number makes no sense.
    """

    n_steps: int
    replicas: int = 4
    batch: int = 100
    seed: int = 0
    checkpoint_interval: int = 500
    start: StartFrom = "auto"

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise UserError(f"batch is {self.batch}, expected at least 1")
        if self.checkpoint_interval < 1:
            raise UserError(f"checkpoint-interval is {self.checkpoint_interval}, expected at least 1")
        # the others are checked there
        self.of_run(0)

    @property
    def report_interval(self) -> int:
        """Learned steps between frames: ten, or fewer in a run too short for that."""
        return min(10, max(1, self.n_steps // 20))

    def of_run(self, number: int) -> RunSettings:
        """Settings of a batch's run, with a seed of its own."""
        if not 0 <= self.seed < 2**31:
            raise UserError(f"seed is {self.seed}, expected an integer from 0 to {2**31 - 1}")
        seed = seed_of_batch(self.seed, number)
        interval = self.report_interval * max(1, self.checkpoint_interval // self.report_interval)
        return RunSettings(self.n_steps, self.report_interval, interval, seed, self.replicas)


@dataclass(frozen=True)
class _Batch:
    """Candidates that share a run; simulated by one process."""

    number: int
    structures: Sequence[Structure]
    model: str
    compiled: bool
    settings: ScreenSettings
    discard: float
    out: Path
    skip_bad: bool
    force_field: BeadSpringForceField | None
    platform: str | None
    device: str
    threads: int

    @property
    def name(self) -> str:
        return ", ".join(structure.system.name for structure in self.structures)

    @property
    def runs(self) -> Path:
        return self.out / "runs"

    @property
    def results(self) -> Path:
        return self.runs / f"{self.number:04d}.json"

    @property
    def excluded(self) -> Path:
        return self.runs / f"{self.number:04d}.excluded.json"

    def folder(self, n_excluded: int) -> Path:
        return self.runs / (f"{self.number:04d}" + (f"-without-{n_excluded}" if n_excluded else ""))

    @property
    def identity(self) -> dict[str, Any]:
        """What results must have in common with this batch to be its results."""
        return {"n_steps": self.settings.n_steps, "discard": self.discard}


def screen(
    model: LearnedModel,
    candidates: Sequence[Structure],
    out: str | os.PathLike[str],
    settings: ScreenSettings,
    *,
    what: Property = "rg2",
    discard: float | None = None,
    top: int | None = None,
    ascending: bool = False,
    skip_bad: bool = False,
    force_field: BeadSpringForceField | None = None,
    platform: str | None = None,
    device: str = "cpu",
    threads: int = 1,
    workers: int | None = None,
    dask: str | None = None,
    resume: bool = False,
    progress: bool = False,
    report: Callable[[str], object] | None = None,
) -> Ranking:
    """Simulate candidates with a learned model and rank them by a property.

    Batches of candidates are runs of their own (`ResumableRun`) below ``OUT/runs``; ``ranking.csv``, ``ranking.json`` and
    ``ranking.png`` appear at the end. A screening that was interrupted goes on with ``resume``: what is finished is kept, a run
    in the middle continues from its checkpoint, and the ranking is the same as without the interruption. A finished one can be
    ranked by another property, or extended in time, in the same way. Results depend on the seed and on which candidates share a
    batch, never on the number of workers.

    Several workers are processes that import the calling script anew: call this below ``if __name__ == "__main__":``.

    Parameters
    ----------
    model : LearnedModel
        Read from a file.
    candidates : sequence of Structure
        With different names; see `openmm_integration.runs.candidates.load_candidates`.
    out : path
    settings : ScreenSettings
    what : str
        The property.
    discard : float, optional
        Time at the beginning of each run that is left out, ps (tau); by default a twentieth of it.
    top, ascending
        See `cgplugin.screening.ranking.rank`.
    skip_bad : bool
        List candidates apart whose short MD cannot be started, instead of giving up.
    force_field : BeadSpringForceField, optional
        For the short MD, where neither a structure nor the model knows one.
    platform : str, optional
        OpenMM platform.
    device : str
        Where the networks run; see `cgplugin.learned.devices.choose_device`.
    threads : int
        Of torch and of OpenMM's CPU platform, per worker.
    workers : int, optional
        Processes of this machine that work on batches side by side; by default as many as there are cores for.
    dask : str, optional
        Workers elsewhere: see `cgplugin.cluster.clusters.Workers`. They must see ``out`` and the model's file.
    resume : bool
        Go on with an interrupted screening.
    progress : bool
        Show a progress bar.
    report : callable, optional
        Called with one line about Dask's dashboard.

    Raises
    ------
    UserError
        If the settings make no sense, the folder has another screening, or the disk is full; if batches fail, the others are
        done nevertheless.
    """
    # workers elsewhere have another working directory
    out = Path(out).absolute()
    described = Workers(dask, workers, threads)
    choose_device(device)
    rank([], what, model.units, top=top)  # refuses what it would refuse after hours
    discard = DISCARDED_SHARE * settings.n_steps * model.time_step if discard is None else discard
    _check_length(settings, model, discard)
    size = max(1, settings.batch // settings.replicas)
    parts = [candidates[first : first + size] for first in range(0, len(candidates), size)]
    batches = [
        _Batch(
            number, part, str(Path(model.source).absolute()), model.compiled, settings, discard, out, skip_bad, force_field,
            platform, device, threads,
        )
        for number, part in enumerate(parts)
    ]  # fmt: skip
    with sole_writer(out, "cgplugin screen"):
        _claim(out, model, candidates, settings, resume)
        missing = [batch for batch in batches if _known_results(batch) is None]
        steps = settings.n_steps * settings.replicas
        total, done = (sum(len(part) for part in list_) * steps for list_ in (parts, _finished(batches, missing)))
        with tqdm(total=total, initial=done, unit="step", unit_scale=True, disable=not progress) as bar:

            def on_progress(amount: float) -> None:
                bar.update(amount)

            run_tasks(_simulate, missing, described, on_progress, report)
        results = [result for batch in batches for result in _known_results(batch) or ()]
        ranking = rank(results, what, model.units, top=top, ascending=ascending, seed=settings.seed)
        _write(ranking, out)
    return ranking


def _finished(batches: Sequence[_Batch], missing: Sequence[_Batch]) -> list[Sequence[Structure]]:
    open_numbers = {batch.number for batch in missing}
    return [batch.structures for batch in batches if batch.number not in open_numbers]


def _check_length(settings: ScreenSettings, model: LearnedModel, discard: float) -> None:
    """Find out before the run whether enough of it will be left to analyse."""
    frame = settings.report_interval * model.time_step
    frames = np.arange(1, settings.n_steps // settings.report_interval + 1) * frame
    if discard < 0 or (frames >= discard).sum() < 2:
        unit = time_unit(model.units)
        raise UserError(
            f"a time of {settings.n_steps * model.time_step:g} {unit} with a frame every {frame:g} {unit}, of which "
            f"{discard:g} {unit} are discarded, leaves less than two frames: simulate longer, or discard less"
        )


def _claim(
    out: Path, model: LearnedModel, candidates: Sequence[Structure], settings: ScreenSettings, resume: bool
) -> None:
    """Store in the folder what is screened, or refuse a folder of something else."""
    described: dict[str, Any] = {
        "model": file_digest(model.source),
        "compiled": model.compiled,
        "replicas": settings.replicas,
        "batch": settings.batch,
        "seed": settings.seed,
        "start": settings.start,
        "candidates": {structure.system.name: digest(structure) for structure in candidates},
    }
    record = out / RECORD_FILE
    if not record.exists():
        write_json(record, described)
        return
    if not resume:
        raise UserError(f"{out}: holds a screening already: use --resume to go on, or another folder")
    # there was no choice when the first screenings were made
    earlier = {"compiled": False, "start": "auto", **read_json(record)}
    changed = [key for key in described if key != "candidates" and earlier.get(key) != described[key]]
    if changed:
        raise UserError(f"{out}: holds a screening that differs in {', '.join(changed)}: use another folder")
    before, now = earlier.get("candidates", {}), described["candidates"]
    # the order decides who shares a batch
    if list(before.items()) != list(now.items()):
        other = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        what = f"the candidate {other[0]!r}" if other else "the order of the candidates"
        raise UserError(f"{out}: holds a screening that differs in {what}: use another folder")


def _known_results(batch: _Batch) -> list[CandidateResult] | None:
    """Results of a finished batch; None if there is something to do."""
    if not batch.results.is_file():
        return None
    content = read_json(batch.results)
    if content["identity"] != batch.identity:
        return None
    return [CandidateResult.from_json(item) for item in content["candidates"]]


def _simulate(batch: _Batch, tell: Tell) -> None:
    """Simulate the candidates of a batch, and write their results."""
    torch.set_num_threads(batch.threads)
    excluded = read_json(batch.excluded) if batch.excluded.is_file() else {}
    while members := [item for item in batch.structures if item.system.name not in excluded]:
        culprits, results = _try_to_simulate(batch, members, batch.folder(len(excluded)), tell)
        if not culprits:
            break
        # the others start again without them, in another folder: a batch's noise goes by the number of its beads
        finished = batch.folder(len(excluded))
        excluded.update(culprits)
        write_json(batch.excluded, excluded)
        shutil.rmtree(finished, ignore_errors=True)
    else:
        results = []
    failed = [CandidateResult(name, failure=reason) for name, reason in excluded.items()]
    write_json(
        batch.results,
        {"identity": batch.identity, "candidates": [result.to_json() for result in [*results, *failed]]},
    )


def _try_to_simulate(
    batch: _Batch, members: Sequence[Structure], folder: Path, tell: Tell
) -> tuple[dict[str, str], list[CandidateResult]]:
    """Results of a batch; or, by name, why some of its members cannot be simulated."""
    model = model_of_worker(batch.model, compiled=batch.compiled)
    run_settings = batch.settings.of_run(batch.number)
    names = [structure.system.name for structure in members]

    def start(structures: Sequence[Structure]) -> Any:
        return learned_simulation(
            model,
            structures,
            seed=run_settings.seed,
            replicas=run_settings.replicas,
            start=batch.settings.start,
            force_field=batch.force_field,
            platform=batch.platform,
            threads=batch.threads,
            device=batch.device,
        )

    begin = time.process_time()
    try:
        simulation = start(members)
    except UserError:
        if not batch.skip_bad:
            raise
        culprits = _those_that_fail(members, start)
        if not culprits:
            raise
        return culprits, []
    warm_up_seconds = time.process_time() - begin
    run = ResumableRun(simulation, model, folder, names, run_settings)
    try:
        run.run(resume=True, on_steps=lambda steps: tell(steps * len(members) * run_settings.replicas))
    except SimulationDivergedError as error:
        culprits = {name: f"flew apart: {one_line(error)}" for name in names if str(error).startswith(f"{name}: ")}
        if not culprits:
            raise
        return culprits, []
    share = (warm_up_seconds + run.core_seconds) / len(members)
    return {}, [_result(name, folder, batch, share) for name in names]


def _those_that_fail(members: Sequence[Structure], start: Callable[[Sequence[Structure]], Any]) -> dict[str, str]:
    """Start every member alone, and give the reasons of those that fail."""
    reasons = {}
    for structure in members:
        try:
            start([structure])
        except UserError as error:
            reasons[structure.system.name] = f"cannot be started: {one_line(error)}"
    return reasons


def _result(name: str, folder: Path, batch: _Batch, core_seconds: float) -> CandidateResult:
    places = [place for place, _, _ in replica_folders(folder, [name], batch.settings.replicas)]
    analyses = [analyze_folder(find_folders(place)[0], discard=batch.discard) for place in places]
    summaries = [read_json(place / "summary.json") for place in places]
    return CandidateResult(
        name,
        combine_replicas(analyses),
        n_steps=sum(summary["n_steps"] for summary in summaries),
        stretched_steps=sum(summary["stretched_steps"] for summary in summaries),
        longest_bond=max(summary["longest_bond"] for summary in summaries),
        core_seconds=core_seconds,
    )


def _write(ranking: Ranking, out: Path) -> None:
    # matplotlib takes a second to import
    from cgplugin.screening.plot import plot_ranking

    write_json(out / "ranking.json", ranking.to_json())
    plot_ranking(ranking, out / "ranking.png")
    write_text(out / "ranking.csv", ranking.to_csv())
