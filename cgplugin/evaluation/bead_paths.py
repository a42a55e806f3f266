"""Paths of the beads of a periodic system: those of reference MD, coarse-grained, and those of learned runs."""

from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cgplugin.analysis.trajectory_folders import find_folders
from cgplugin.coarse_graining.coarse_trajectory import FineTrajectory, coarsen_trajectory
from cgplugin.coarse_graining.coarsening import CoarseGraining
from cgplugin.errors import UserError
from cgplugin.files import read_json

from .reference import PeriodicReference

Array = NDArray[np.float64]


@dataclass(frozen=True)
class BeadPath:
    """Frames of beads at equal intervals.

    Attributes
    ----------
    positions : array, shape (n_frames, n_beads, 3)
        nm, unwrapped.
    box_vectors : array, shape (n_frames, 3, 3)
        nm.
    interval : float
        Time between frames, ps.
    first_time : float
        Time of the first frame since the run began, ps.
    """

    positions: Array = field(repr=False)
    box_vectors: Array = field(repr=False)
    interval: float
    first_time: float = 0.0

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.positions)

    @property
    def duration(self) -> float:
        """Time from the first frame to the last, ps."""
        return self.interval * (self.n_frames - 1)

    @property
    def times(self) -> Array:
        """Of the frames, ps."""
        times: Array = self.first_time + self.interval * np.arange(self.n_frames, dtype=np.float64)
        return times

    def part(self, first: int, last: int) -> "BeadPath":
        """Frames from ``first`` up to, not including, ``last``."""
        start = self.first_time + first * self.interval
        return replace(
            self, positions=self.positions[first:last], box_vectors=self.box_vectors[first:last], first_time=start
        )

    def until(self, duration: float) -> "BeadPath":
        """The beginning, no longer than a duration in ps."""
        return self.part(0, int(duration / self.interval * (1 + 1e-9)) + 1)

    def every(self, stride: int, *, backwards: bool = False) -> "BeadPath":
        """Every n-th frame, counted from the first, or from the last backwards."""
        first = (self.n_frames - 1) % stride if backwards else 0
        return BeadPath(
            self.positions[first::stride],
            self.box_vectors[first::stride],
            stride * self.interval,
            self.first_time + first * self.interval,
        )

    def lag_of(self, time: float) -> int | None:
        """How many frames a time in ps is; None where it is no whole number of them, or more than there are."""
        lag = round(time / self.interval)
        whole = lag > 0 and abs(lag * self.interval - time) < 1e-6 * time
        return lag if whole and lag < self.n_frames else None


def whole_run(cg: CoarseGraining, reference: PeriodicReference) -> BeadPath:
    """The run of a reference, its segments joined at the interval of the coarsest.

    Raises
    ------
    UserError
        If a file is damaged, or a wrapped path cannot be followed.
    """
    return reduce(_joined, (_path_of(cg, segment) for segment in reference.segments))


def densest_part(cg: CoarseGraining, reference: PeriodicReference) -> BeadPath:
    """The trajectory of a reference with the shortest interval, for what happens within a learned step."""
    return _path_of(cg, min(reference.trajectories, key=lambda trajectory: trajectory.interval))


@dataclass(frozen=True)
class LearnedPath:
    """A learned run of a periodic system.

    Attributes
    ----------
    path : BeadPath
    longest_bond : float
        Longest CG bond in any step, nm.
    stretched_steps : int
        Steps with a CG bond beyond the model's limit.
    """

    path: BeadPath
    longest_bond: float
    stretched_steps: int


def learned_paths(folder: Path, n_beads: int) -> tuple[LearnedPath, ...]:
    """Read what a simulation wrote for one periodic system; its replicas are folders below it.

    Raises
    ------
    UserError
        If files are missing, damaged, or of another system.
    """
    found = []
    for replica in find_folders(folder):
        if len(replica.masses) != n_beads:
            raise UserError(f"{replica.path}: has {len(replica.masses)} beads, expected {n_beads}")
        blocks = list(replica.trajectory.blocks())
        boxes = [block.box_vectors for block in blocks if block.box_vectors is not None]
        if len(boxes) < len(blocks):
            raise UserError(f"{replica.trajectory.source}: has no box")
        summary = read_json(replica.path / "summary.json")
        interval = float(summary["time_step"]) * int(summary["report_interval"])
        # simulations write their beads unwrapped, the first frame after one interval
        path = BeadPath(
            np.concatenate([block.positions for block in blocks]), np.concatenate(boxes), interval, interval
        )
        found.append(LearnedPath(path, float(summary["longest_bond"]), int(summary["stretched_steps"])))
    return tuple(found)


def _joined(first: BeadPath, second: BeadPath) -> BeadPath:
    """Two segments that share a frame as one path, at the interval of the coarser."""
    interval = max(first.interval, second.interval)
    before = first.every(round(interval / first.interval), backwards=True)
    after = second.every(round(interval / second.interval))
    # a path that was unwrapped by itself begins in any image
    positions = after.positions + (before.positions[-1] - after.positions[0])
    return BeadPath(
        np.concatenate([before.positions, positions[1:]]),
        np.concatenate([before.box_vectors, after.box_vectors[1:]]),
        interval,
        before.first_time,
    )


def _path_of(cg: CoarseGraining, trajectory: FineTrajectory) -> BeadPath:
    path = coarsen_trajectory(cg, trajectory)
    if path.box_vectors is None:
        raise UserError(f"{trajectory.source}: has no box, but its structure has one")
    return BeadPath(path.positions.astype(np.float64) + path.origin, path.box_vectors, path.interval)
