"""Learned simulations of reference systems, in batches; a system that diverges does not take the others with it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from tqdm import tqdm

from cgplugin.cluster.clusters import Workers
from cgplugin.cluster.tasks import Tell, run_tasks
from cgplugin.coarse_graining.coarse_trajectory import FineTrajectory
from cgplugin.errors import UserError
from cgplugin.evaluation.reference import Reference
from cgplugin.files import file_digest, read_json, write_json
from cgplugin.learned.devices import choose_device
from cgplugin.learned.learned_model import LearnedModel
from cgplugin.learned.refinement import Refinement
from cgplugin.learned.simulator import SimulationDivergedError
from cgplugin.learned.start_checks import check_box_fits
from openmm_integration.cg_system import CoarseSystem
from openmm_integration.simulation import learned_simulation

from .batches import model_of_worker, seed_of_batch
from .resumable_run import ResumableRun, RunSettings
from .start_frames import StartFrom, from_trajectory

Start = StartFrom | Literal["reference"]

RESULTS_FILE = "reference_runs.json"
"""Of a batch: where its systems are, which have none, and what they took."""


class EverySystemDivergedError(UserError):
    """No learned simulation stays together.

    Attributes
    ----------
    diverged : dict
        Name of a system to the message.
    """

    def __init__(self, diverged: dict[str, str]) -> None:
        super().__init__(f"every system diverged: {next(iter(diverged.values()))}")
        self.diverged = diverged


@dataclass(frozen=True)
class ReferenceRuns:
    """Where the learned simulations of reference systems are, and what they took.

    Attributes
    ----------
    folder : Path
        Holds a folder per system.
    diverged : dict
        Name of a system to the message that tells when a position was no longer finite; there is no result for it.
    core_seconds : float
        CPU time per system for all its replicas, start frames included.
    """

    folder: Path
    diverged: dict[str, str]
    core_seconds: float


@dataclass(frozen=True)
class _Batch:
    """References that share a run; simulated by one process."""

    number: int
    references: Sequence[Reference]
    model: LearnedModel | str
    compiled: bool
    out: Path
    settings: RunSettings
    start: Start
    refinement: Refinement | None
    platform: str | None
    device: str
    threads: int
    resume: bool

    @property
    def name(self) -> str:
        return f"batch {self.number} ({', '.join(reference.name for reference in self.references)})"

    @property
    def results(self) -> Path:
        return self.out / RESULTS_FILE

    @property
    def made_from(self) -> dict[str, Any]:
        """All that its results depend on."""
        model = self.model if isinstance(self.model, str) else self.model.source
        return {
            "model": file_digest(model),
            "compiled": self.compiled,
            "settings": asdict(self.settings),
            "start": self.start,
            "refinement": None if self.refinement is None else asdict(self.refinement),
            "platform": self.platform,
            "device": self.device,
            "systems": [reference.name for reference in self.references],
        }

    def is_done(self) -> bool:
        """Whether an evaluation that is gone on with has simulated it to the end, from the same."""
        if not self.resume or not self.results.exists():
            return False
        found = read_json(self.results)
        return found.get("made_from") == self.made_from and (self.out / found["folder"]).is_dir()


def simulate_references(
    model: LearnedModel,
    references: Sequence[Reference],
    out: Path,
    settings: RunSettings,
    *,
    start: Start = "auto",
    refinement: Refinement | None = None,
    platform: str | None = None,
    device: str = "cpu",
    batch: int | None = None,
    workers: Workers = Workers(number=1),
    resume: bool = False,
    progress: bool = False,
    report: Callable[[str], object] | None = None,
) -> ReferenceRuns:
    """Simulate every reference system with all its replicas, in batches, into ``out/runs``.

    A batch goes through the network together. Where the position of a bead is no longer finite, its system is left out and the
    others of its batch are simulated again, into ``runs-without-NAME``: what a system does must not depend on whether others
    stay together. It depends on the seed and on which systems share its batch, never on the workers. With several batches,
    each has a folder below ``out/batches``, and ``out/runs`` has links.

    Parameters
    ----------
    model : LearnedModel
        Read from a file, where there are several workers.
    references : sequence of Reference
        All with periodic boxes, or all without.
    out : Path
    settings : RunSettings
    start : str
        ``reference``: the first frames of the reference. Others: from the structure, as for a new system; see
        `openmm_integration.simulation.learned_simulation`.
    refinement : Refinement, optional
        By default what the model says.
    platform : str, optional
        OpenMM platform.
    device : str
        Where the networks run; see `cgplugin.learned.devices.choose_device`.
    batch : int, optional
        Systems, replicas included, in a batch; by default all of them.
    workers : Workers
        Who simulates the batches; they must see ``out``.
    resume : bool
        Go on with interrupted runs; batches that are done are not started anew.
    progress : bool
        Show a progress bar.
    report : callable, optional
        Called with one line about Dask's dashboard.

    Raises
    ------
    UserError
        If a system does not fit the model or cannot be started, or there are files of another run.
    EverySystemDivergedError
        If no system stays together.
    """
    if batch is not None and batch < 1:
        raise UserError(f"batch is {batch}, expected at least 1")
    choose_device(device)
    for reference in references:
        model.check(reference.system)
        check_box_fits(model, reference.name, reference.structure.box_vectors)
    size = len(references) if batch is None else max(1, batch // settings.replicas)
    # workers elsewhere have another working directory
    place = out.absolute()
    alone = size >= len(references)
    batches = [
        _Batch(
            number,
            [_to_start(reference, start) for reference in references[first : first + size]],
            model if alone and workers.dask is None else str(Path(model.source).absolute()),
            model.compiled,
            place if alone else place / "batches" / f"{number:04d}",
            settings if alone else replace(settings, seed=seed_of_batch(settings.seed, number)),
            start,
            refinement,
            platform,
            device,
            torch.get_num_threads(),
            resume,
        )
        for number, first in enumerate(range(0, len(references), size))
    ]
    _check_folder(place, batches, resume)
    total = settings.n_steps * settings.replicas * len(references)
    with tqdm(total=total, unit="step", unit_scale=True, disable=not progress) as bar:

        def on_progress(amount: float) -> None:
            bar.update(amount)

        run_tasks(_simulate, batches, workers, on_progress, report)
    results = [read_json(item.results) for item in batches]
    diverged = {name: message for result in results for name, message in result["diverged"].items()}
    if len(diverged) == len(references):
        raise EverySystemDivergedError(diverged)
    seconds = sum(result["core_seconds"] for result in results) / (len(references) - len(diverged))
    return ReferenceRuns(out / results[0]["folder"] if alone else _link(batches, results, out), diverged, seconds)


def _to_start(reference: Reference, start: Start) -> Reference:
    """What a worker needs of a reference, without the MD that it is compared with."""
    trajectories = reference.trajectories if start == "reference" else ()
    return Reference(reference.name, reference.path, reference.structure, trajectories, None)


def _check_folder(out: Path, batches: Sequence[_Batch], resume: bool) -> None:
    """Refuse a folder with other batches, and one with files that nobody wants to go on with."""
    several = len(batches) > 1
    if several != (out / "batches").exists() and any(out.glob("runs*")):
        raise UserError(f"{out}: holds an evaluation with a batch of another size: use another folder")
    for item in batches:
        for path in sorted(item.out.glob("runs*/**/trajectory.dcd")):
            if not resume:
                raise UserError(f"{path}: exists already: use --resume to go on, or another folder")


def _link(batches: Sequence[_Batch], results: Sequence[dict[str, Any]], out: Path) -> Path:
    """Give a folder with the systems of all batches."""
    folder = out / "runs"
    folder.mkdir(exist_ok=True)
    for item, result in zip(batches, results, strict=True):
        for reference in item.references:
            if reference.name not in result["diverged"]:
                link = folder / reference.name
                link.unlink(missing_ok=True)
                link.symlink_to(Path("..", "batches", item.out.name, result["folder"], reference.name))
    return folder


def _simulate(batch: _Batch, tell: Tell) -> None:
    """Simulate the systems of a batch, without those that diverge, and write what came of it."""
    if batch.is_done():
        tell(batch.settings.n_steps * batch.settings.replicas * len(batch.references))
        return
    torch.set_num_threads(batch.threads)
    model = batch.model
    if isinstance(model, str):
        model = model_of_worker(model, compiled=batch.compiled)
    remaining, diverged = list(batch.references), dict[str, str]()
    seconds, folder = 0.0, ""
    while remaining:
        folder = "-without-".join(["runs", *diverged])
        told = 0.0

        def on_steps(amount: float) -> None:
            nonlocal told
            told += amount
            tell(amount)

        try:
            seconds = _run(model, remaining, batch, batch.out / folder, on_steps)
            break
        except SimulationDivergedError as error:
            message = str(error)
            culprit = next(item for item in remaining if message.startswith(f"{item.name}: "))
            diverged[culprit.name] = message
            remaining.remove(culprit)
            tell(-told)
    results = {"folder": folder, "diverged": diverged, "core_seconds": seconds, "made_from": batch.made_from}
    write_json(batch.results, results)


def _run(model: LearnedModel, references: Sequence[Reference], batch: _Batch, folder: Path, tell: Tell) -> float:
    """Simulate and give the core-seconds of the whole batch."""
    begin = time.process_time()
    settings = batch.settings
    from_reference = batch.start == "reference"
    structures = [reference.structure for reference in references]
    simulation = learned_simulation(
        model,
        _from_references(model, references, settings.replicas) if from_reference else structures,
        seed=settings.seed,
        replicas=1 if from_reference else settings.replicas,
        start="auto" if batch.start == "reference" else batch.start,
        platform=batch.platform,
        threads=batch.threads,
        refinement=batch.refinement,
        device=batch.device,
    )
    starting = time.process_time() - begin
    run = ResumableRun(simulation, model, folder, [reference.name for reference in references], settings)
    per_step = len(references) * settings.replicas
    # a second attempt goes on as well; files of an earlier evaluation were refused before
    run.run(resume=True, on_steps=lambda steps: tell(steps * per_step))
    return starting + run.core_seconds


def _from_references(model: LearnedModel, references: Sequence[Reference], replicas: int) -> CoarseSystem:
    parts, frames, boxes = [], [], []
    for reference in references:
        cg = model.coarsen(reference.system)
        own = from_trajectory(model, cg, _start_trajectory(reference))
        parts += [cg] * replicas
        frames += [own] * replicas
        boxes += [reference.structure.box_vectors] * replicas
    known = [box for box in boxes if box is not None]
    return CoarseSystem(tuple(parts), np.stack(known) if known else None, np.concatenate(frames, axis=1))


def _start_trajectory(reference: Reference) -> FineTrajectory:
    """The trajectory with the shortest interval; the longest is often recorded too rarely."""
    if not reference.trajectories:
        raise UserError(f"{reference.path}: has no trajectory to start from: use another --start")
    return min(reference.trajectories, key=lambda item: item.interval)
