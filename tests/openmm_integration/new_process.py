"""A learned simulation that is made in a new process, restored from a file, and simulated on.

``python -m tests.openmm_integration.new_process JOBS.json`` does what `Job` says, for several jobs.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import openmm
from openmm import app

from cgplugin import LearnedModel
from cgplugin.systems.structure_files import load_structure
from openmm_integration import CoarseSystem, LearnedIntegrator
from tests.conftest import ROOT

from .electrolytes import CONVENTIONS


@dataclass(frozen=True)
class Job:
    """Restore ``file`` (a checkpoint or a state) into a new simulation, do ``steps``, and save the positions as ``out``."""

    model: str
    structure: str
    frames: str
    platform: str
    kind: str
    file: str
    steps: int
    out: str


def simulation(model: LearnedModel, structure: str, frames: np.ndarray, platform: str, seed: int = 1) -> app.Simulation:
    """Simulation of one structure from start frames."""
    loaded = load_structure(Path(structure), CONVENTIONS)
    cg = CoarseSystem((model.coarsen(loaded.system),), loaded.box_vectors, frames)
    integrator = LearnedIntegrator(model, cg, seed=seed)
    made = app.Simulation(cg.topology, cg.system, integrator, openmm.Platform.getPlatformByName(platform))
    made.context.setPositions(cg.positions)
    return made


def run_in_new_process(jobs: Sequence[Job], folder: Path) -> list[np.ndarray]:
    """Final positions of each job, all done by one new process."""
    (folder / "jobs.json").write_text(json.dumps([asdict(job) for job in jobs]))
    words = [sys.executable, "-m", __name__, str(folder / "jobs.json")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [np.load(job.out) for job in jobs]


def main() -> None:
    for raw in json.loads(Path(sys.argv[1]).read_text()):
        job = Job(**raw)
        made = simulation(LearnedModel.load(job.model), job.structure, np.load(job.frames), job.platform)
        (made.loadCheckpoint if job.kind == "checkpoint" else made.loadState)(job.file)
        made.step(job.steps)
        np.save(job.out, made.context.getState(positions=True).getPositions(asNumpy=True)._value)


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    main()
