"""Recorded runs as a model's beads, and learned steps that start from their frames."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cgplugin import LearnedModel
from cgplugin.coarse_graining.coarse_trajectory import CoarseTrajectory
from cgplugin.learned.refinement import Refinement
from cgplugin.learned.simulator import LearnedSimulator, LearnedState
from cgplugin.training.data import find_data, load_data


def model_and_paths(description: str, arguments: Sequence[str] | None) -> tuple[LearnedModel, list[CoarseTrajectory]]:
    """What the command line of a benchmark names: a model, to run on one thread, and runs in folders."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument(
        "--data", type=Path, action="append", required=True, help="folders as cgplugin train takes them"
    )
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    model = LearnedModel.load(given.model)
    return model, load_paths(model, given.data)


def load_paths(model: LearnedModel, folders: Sequence[Path], most: int | None = None) -> list[CoarseTrajectory]:
    """Runs in folders as ``cgplugin train`` takes them, as beads of the model; the first ``most`` of them."""
    return load_data(
        find_data(folders)[:most],
        atoms_per_bead=model.description.atoms_per_bead,
        partition_seed=model.description.partition_seed,
    )


def box_of(path: CoarseTrajectory) -> NDArray[np.float64]:
    """The box, which is the same in all frames."""
    assert path.box_vectors is not None
    return path.box_vectors[0]


def start_from(
    model: LearnedModel, path: CoarseTrajectory, present: NDArray[np.int64], refinement: Refinement | None = None
) -> tuple[LearnedSimulator, LearnedState]:
    """A simulator of one run at several of its frames at once, each as a system of its own, and its state there."""
    stride = round(model.time_step / path.interval)
    boxes = None if path.box_vectors is None else [path.box_vectors[frame] for frame in present]
    simulator = LearnedSimulator(model, [path.cg] * len(present), seed=1, box_vectors=boxes, refinement=refinement)
    history = [path.positions[frame - model.n_history * stride : frame + 1 : stride] for frame in present]
    return simulator, simulator.start(history)
