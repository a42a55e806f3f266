"""Recorded runs as a model's beads, and learned steps that start from their frames."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cgplugin import LearnedModel
from cgplugin.coarse_graining.coarse_trajectory import CoarseTrajectory
from cgplugin.learned.refinement import Refinement
from cgplugin.learned.simulator import LearnedSimulator, LearnedState
from cgplugin.training.data import find_data, load_data


def load_paths(model: LearnedModel, folders: Sequence[Path], most: int | None = None) -> list[CoarseTrajectory]:
    """Runs in folders as ``cgplugin train`` takes them, as beads of the model; the first ``most`` of them."""
    return load_data(
        find_data(folders)[:most],
        atoms_per_bead=model.description.atoms_per_bead,
        partition_seed=model.description.partition_seed,
    )


def start_from(
    model: LearnedModel, path: CoarseTrajectory, present: NDArray[np.int64], refinement: Refinement | None = None
) -> tuple[LearnedSimulator, LearnedState]:
    """A simulator of one run at several of its frames at once, each as a system of its own, and its state there."""
    stride = round(model.time_step / path.interval)
    boxes = None if path.box_vectors is None else [path.box_vectors[frame] for frame in present]
    simulator = LearnedSimulator(model, [path.cg] * len(present), seed=1, box_vectors=boxes, refinement=refinement)
    history = [path.positions[frame - model.n_history * stride : frame + 1 : stride] for frame in present]
    return simulator, simulator.start(history)
