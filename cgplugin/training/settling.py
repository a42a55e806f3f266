"""What the data decide: the time step, the systems kept for validation, the cutoff, and what a model says of its data."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cgplugin.coarse_graining.coarse_trajectory import CoarseTrajectory
from cgplugin.errors import UserError
from cgplugin.networks.dynamics import Scales
from cgplugin.systems.periodic import box_heights

from .options import TrainingOptions

DEFAULT_TIME_STEP_LJ = 5.0
"""tau; the learned time step that the reference polymers ask for (500 MD steps)."""


def settle(
    options: TrainingOptions, trajectories: Sequence[CoarseTrajectory], validation: Sequence[CoarseTrajectory]
) -> tuple[TrainingOptions, int]:
    """Check that the data fit together; fill in the time step; find the stride."""
    first = trajectories[0]
    for other in [*trajectories, *validation]:
        if abs(other.interval - first.interval) > 1e-6 * first.interval:
            raise UserError(
                f"{other.source}: frames are {other.interval:g} ps apart, those of {first.source} {first.interval:g} ps: "
                "record all at the same interval"
            )
        if other.cg.system.units != first.cg.system.units:
            raise UserError(
                f"{other.source}: units {other.cg.system.units!r}, those of {first.source} {first.cg.system.units!r}"
            )
        if (other.box_vectors is None) != (first.box_vectors is None):
            raise UserError(f"{other.source} and {first.source}: one has a periodic box, the other has none")
    time_step = options.time_step
    if time_step is None:
        if first.cg.system.units != "lj":
            raise UserError("give the learned time step in ps (--time-step), a multiple of the recording interval")
        # the nearest that the recording allows
        time_step = max(1, round(DEFAULT_TIME_STEP_LJ / first.interval)) * first.interval
    stride = round(time_step / first.interval)
    if stride < 1 or abs(stride * first.interval - time_step) > 1e-6 * time_step:
        raise UserError(
            f"the time step of {time_step:g} is no multiple of the recording interval of {first.interval:g} ({first.source})"
        )
    return replace(options, time_step=time_step), stride


def split_off_validation(
    trajectories: Sequence[CoarseTrajectory], options: TrainingOptions, stride: int
) -> tuple[list[CoarseTrajectory], list[CoarseTrajectory]]:
    """Set systems aside for validation; of a single system, the last part of its trajectory."""
    if len(trajectories) == 1:
        only = trajectories[0]
        window = (options.n_history + 1) * stride + 1
        cut = only.n_frames - max(window, int(only.n_frames * options.validation_fraction))
        if cut < window:
            raise UserError(
                f"{only.source}: {only.n_frames} frames are too few for training and validation, which take {2 * window}"
            )
        return [_part(only, slice(0, cut))], [_part(only, slice(cut, None))]
    n = min(max(1, round(len(trajectories) * options.validation_fraction)), len(trajectories) - 1)
    order = np.random.default_rng(options.seed).permutation(len(trajectories))
    held_out = set(order[:n].tolist())
    # a type that only a held-out system has would be known to the model and never trained
    return (
        [t for i, t in enumerate(trajectories) if i not in held_out],
        [t for i, t in enumerate(trajectories) if i in held_out],
    )


def _part(trajectory: CoarseTrajectory, frames: slice) -> CoarseTrajectory:
    box = trajectory.box_vectors
    return replace(
        trajectory,
        positions=trajectory.positions[frames],
        internal_rg2=trajectory.internal_rg2[frames],
        box_vectors=None if box is None else box[frames],
    )


def default_cutoff(scales: Scales, trajectories: Sequence[CoarseTrajectory]) -> float:
    """Three CG bond lengths, or in a small box what the minimum image allows, nm.

    Raises
    ------
    UserError
        If there are no CG bonds.
    """
    if not any(len(trajectory.cg.bonds) for trajectory in trajectories):
        raise UserError("there are no CG bonds to take the cutoff from: give --cutoff, in nm")
    boxes = [t.box_vectors for t in trajectories if t.box_vectors is not None]
    smallest = min((box_heights(box).min() for frames in boxes for box in frames), default=math.inf)
    # in a small box all that the minimum image allows, with room for the rounding
    return round(min(3 * scales.length, 0.499 * smallest), 3)


def longest_bond(trajectories: Sequence[CoarseTrajectory]) -> float:
    """Longest CG bond in any frame, nm."""
    longest = 0.0
    for trajectory in trajectories:
        i, j = trajectory.cg.bonds.T
        if len(i):
            bonds = trajectory.positions[:, i] - trajectory.positions[:, j]
            longest = max(longest, float(np.sqrt((bonds**2).sum(axis=-1).max())))
    return longest


def common_force_field(trajectories: Sequence[CoarseTrajectory]) -> dict[str, Any] | None:
    """Force field of the systems, if they all have the same."""
    first = trajectories[0].cg.system.force_field
    return first if all(t.cg.system.force_field == first for t in trajectories) else None
