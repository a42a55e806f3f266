"""The sizes at which the original code of the method was measured, as shares of the matrix peak of the machine."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.scaling.__main__ import replicate
from cgplugin import LearnedModel
from cgplugin.learned.refinement import Refinement
from cgplugin.learned.simulator import LearnedSimulator
from cgplugin.networks.options import PAPER, NetworkOptions
from tests.random_model import random_model

from .learned_steps import BareSteps
from .measuring import matrix_peak
from .systems import FineSystem, start_frames

ORIGINAL = {"chain of 9 beads": 4.9e-3, "40 chains": 88e-3, "electrolyte, 900 beads, 20 x 10": 330.0}
"""Seconds per step of the original networks, one thread with a peak of `ORIGINAL_PEAK`; figures given with the task."""

ORIGINAL_PEAK = 90.0
"""GFLOP/s."""

N_EVALUATIONS = 201
"""Of the Score GNN: 20 levels of 10 steps, and the last one, which takes the noise away."""

CUTOFF = 2.65
"""sigma; gives the 13 edges a bead that 6 angstrom give in the paper's electrolytes."""


@dataclass(frozen=True)
class OriginalSize:
    """One line of the table; seconds per step of one thread, and how much less of the peak we take."""

    what: str
    ours: float
    original: float
    times_as_fast: float


def against_original(what: str, ours: float, peak: float, *, compiled: bool) -> OriginalSize:
    """Compare seconds as operations that a machine could have done at its peak in that time."""
    original = ORIGINAL[what]
    name = f"{what}, compiled" if compiled else what
    return OriginalSize(name, ours, original, original * ORIGINAL_PEAK / (ours * peak))


def electrolyte(fine: FineSystem, folder: Path, *, compiled: bool) -> OriginalSize:
    """A step of 900 beads: one prediction and 201 evaluations of the Score GNN, each with a new search for neighbours.

    The cost of an evaluation is that of steps with two of them (one level) over that of steps with none.
    """
    path = random_model(
        folder / "electrolyte_paper_size.pt",
        [fine.system],
        cutoff=CUTOFF,
        options=NetworkOptions(**{**PAPER, "score": True}),
    )
    model = LearnedModel.load(path, compiled=compiled, report=print)
    assert fine.box_vectors is not None
    cg = model.coarsen(fine.system)
    frames = start_frames(model, cg, fine, np.random.default_rng(0))
    large, start, box = replicate(cg, frames, fine.box_vectors, 900)
    taken, peaks = [], []
    for levels in (0, 1):
        refinement = Refinement(levels, sampler="langevin")
        simulator = LearnedSimulator(model, [large], box_vectors=[box], refinement=refinement)
        steps = BareSteps(simulator, [start])
        taken.append(min(steps.seconds() for _ in range(3)))
        peaks.append(matrix_peak())
    without, two = taken
    seconds = (without + N_EVALUATIONS * (two - without) / 2) * 900 / large.n_beads
    return against_original("electrolyte, 900 beads, 20 x 10", seconds, float(np.mean(peaks)), compiled=compiled)
