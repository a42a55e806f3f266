"""Learned simulations of reference systems, all in one batch; a system that diverges does not take the others with it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from cgplugin.coarse_graining.coarse_trajectory import FineTrajectory
from cgplugin.errors import UserError
from cgplugin.evaluation.reference import Reference
from cgplugin.learned.learned_model import LearnedModel
from cgplugin.learned.refinement import Refinement
from cgplugin.learned.simulator import SimulationDivergedError
from cgplugin.learned.start_checks import check_box_fits
from openmm_integration.cg_system import CoarseSystem
from openmm_integration.simulation import learned_simulation

from .resumable_run import ResumableRun, RunSettings
from .start_frames import from_trajectory

Start = Literal["md", "reference"]


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


def simulate_references(
    model: LearnedModel,
    references: Sequence[Reference],
    out: Path,
    settings: RunSettings,
    *,
    start: Start = "md",
    refinement: Refinement | None = None,
    platform: str | None = None,
    resume: bool = False,
    progress: bool = False,
) -> ReferenceRuns:
    """Simulate every reference system, with all replicas in one batch, into ``out/runs``.

    Where the position of a bead is no longer finite, its system is left out and the others are simulated again, into
    ``out/runs-without-NAME``: what a system does must not depend on whether others stay together.

    Parameters
    ----------
    model : LearnedModel
    references : sequence of Reference
        All with periodic boxes, or all without.
    out : Path
    settings : RunSettings
    start : str
        ``md``: first frames from a short OpenMM run, as for a new system. ``reference``: the first frames of the reference.
    refinement : Refinement, optional
        By default what the model says.
    platform : str, optional
        OpenMM platform.
    resume : bool
        Go on with interrupted runs.
    progress : bool
        Show progress bars.

    Raises
    ------
    UserError
        If a system does not fit the model or cannot be started, or there are files of another run.
    EverySystemDivergedError
        If no system stays together.
    """
    for reference in references:
        model.check(reference.system)
        check_box_fits(model, reference.name, reference.structure.box_vectors)
    remaining, diverged = list(references), dict[str, str]()
    while remaining:
        folder = out / "-without-".join(["runs", *diverged])
        try:
            seconds = _run(model, remaining, folder, settings, start, refinement, platform, resume, progress)
        except SimulationDivergedError as error:
            message = str(error)
            culprit = next(item for item in remaining if message.startswith(f"{item.name}: "))
            diverged[culprit.name] = message
            remaining.remove(culprit)
            continue
        return ReferenceRuns(folder, diverged, seconds / len(remaining))
    raise EverySystemDivergedError(diverged)


def _run(
    model: LearnedModel,
    references: Sequence[Reference],
    folder: Path,
    settings: RunSettings,
    start: Start,
    refinement: Refinement | None,
    platform: str | None,
    resume: bool,
    progress: bool,
) -> float:
    """Simulate and give the core-seconds of the whole batch."""
    begin = time.process_time()
    structures = [reference.structure for reference in references]
    prepared = _from_references(model, references, settings.replicas) if start == "reference" else structures
    simulation = learned_simulation(
        model,
        prepared,
        seed=settings.seed,
        replicas=1 if start == "reference" else settings.replicas,
        platform=platform,
        threads=torch.get_num_threads(),
        refinement=refinement,
    )
    starting = time.process_time() - begin
    run = ResumableRun(simulation, model, folder, [reference.name for reference in references], settings)
    run.run(resume=resume, progress=progress)
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
        raise UserError(f"{reference.path}: has no trajectory to start from: use --start md")
    return min(reference.trajectories, key=lambda item: item.interval)
