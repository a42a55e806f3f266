"""Reference MD of one system: what all kinds have in common, and periodic systems, whose run may lie in several files."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cgplugin.coarse_graining.coarse_trajectory import FineTrajectory
from cgplugin.errors import UserError
from cgplugin.systems.molecular_system import MolecularSystem
from cgplugin.systems.species import ParticleSpecies
from cgplugin.systems.structure_files import Structure
from cgplugin.units import time_unit

Array = NDArray[np.float64]

MINIMUM_FRAMES = 40
"""Frames of a periodic reference: with fewer there is no diffusivity from a fit and no first third to hold against a last."""

SAME_FRAME = 2e-3
"""Positions of one frame in two files differ by no more than this in any coordinate, nm: both are rounded."""


@dataclass(frozen=True)
class Reference:
    """Reference MD of one system.

    Attributes
    ----------
    name : str
    path : Path
        Its folder.
    structure : Structure
    trajectories : tuple of FineTrajectory
        The longest first.
    seconds : float or None
        Core-seconds that the MD took, where ``seconds`` in ``meta.json`` or in the provenance in ``system.json`` says so.
    """

    name: str
    path: Path
    structure: Structure = field(repr=False)
    trajectories: tuple[FineTrajectory, ...] = field(repr=False)
    seconds: float | None

    @property
    def system(self) -> MolecularSystem:
        """The fine system."""
        return self.structure.system


@dataclass(frozen=True)
class PeriodicReference(Reference):
    """Reference MD of a system in a periodic box.

    Attributes
    ----------
    segments : tuple of FineTrajectory
        Parts of the run in the order of time: each begins with the frame that the one before ends with. Often the beginning of
        a run is recorded more densely than the rest.
    """

    segments: tuple[FineTrajectory, ...] = field(repr=False)

    @property
    def interval(self) -> float:
        """Time between frames of the whole run: that of the segment with the fewest, ps."""
        return max(segment.interval for segment in self.segments)

    @property
    def duration(self) -> float:
        """Length of the run, ps."""
        return sum((segment.n_frames - 1) * segment.interval for segment in self.segments)

    def check_length(self) -> None:
        """Raise a `UserError` where the run is too short to be compared with."""
        n_frames = round(self.duration / self.interval) + 1
        if n_frames < MINIMUM_FRAMES:
            unit = time_unit(self.system.units)
            raise UserError(
                f"{self.path}: the reference has {n_frames} frames at equal intervals, {self.duration:g} {unit}: a "
                f"comparison takes at least {MINIMUM_FRAMES}; give a longer run, or one recorded more often"
            )


def comparable_species(particles: ParticleSpecies) -> ParticleSpecies:
    """Species by which systems of different molecules are compared: roles where charges are known, else names."""
    return particles if particles.charges is None else particles.by_role()


def segments_of_run(trajectories: Sequence[FineTrajectory]) -> tuple[FineTrajectory, ...]:
    """The longest trajectory with those that lead up to it and go on from it, in the order of time.

    Where two meet is found from their frames: the last of one is the first of the other. A trajectory that meets none, or whose
    interval does not fit into the others', is no part of the run.

    Parameters
    ----------
    trajectories : sequence of FineTrajectory
        At least one, the longest first.
    """
    ends = [_first_and_last(trajectory) for trajectory in trajectories] if len(trajectories) > 1 else []
    chain, left = [0], set(range(1, len(trajectories)))

    def next_to(place: int, end: int) -> int | None:
        """The trajectory that ends where the chain begins (end 0), or begins where it ends (end 1)."""
        for other in sorted(left):
            fits = _is_multiple(trajectories[other].interval, trajectories[chain[place]].interval)
            if fits and _same(ends[other][1 - end], ends[chain[place]][end]):
                return other
        return None

    for place, end in ((0, 0), (-1, 1)):
        while (other := next_to(place, end)) is not None:
            left.remove(other)
            chain.insert(0 if end == 0 else len(chain), other)
    return tuple(trajectories[number] for number in chain)


def _first_and_last(trajectory: FineTrajectory) -> tuple[Array, Array]:
    first = last = None
    for block in trajectory.blocks():
        first = block.positions[0] if first is None else first
        last = block.positions[-1]
    if first is None or last is None:
        raise UserError(f"{trajectory.source}: has no frames")
    return first, last


def _same(first: Array, second: Array) -> bool:
    return first.shape == second.shape and bool(np.abs(first - second).max() <= SAME_FRAME)


def _is_multiple(first: float, second: float) -> bool:
    """Whether one interval is a whole multiple of the other."""
    ratio = max(first, second) / min(first, second)
    return abs(ratio - round(ratio)) < 1e-6 * ratio
