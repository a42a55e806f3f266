"""Trajectories of beads, as training wants them: in memory, or memory-mapped where they are large."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cgplugin.errors import UserError
from cgplugin.systems.periodic import MoleculeMender, unwrap

from .coarsening import CoarseGraining
from .drift import drifts, without_drift


@dataclass(frozen=True)
class FrameBlock:
    """Successive frames of a fine trajectory.

    Attributes
    ----------
    positions : array, shape (n_frames, n_atoms, 3)
        nm.
    box_vectors : array, shape (n_frames, 3, 3), or None
        nm, reduced form; None where the system is not periodic.
    """

    positions: NDArray[np.float64]
    box_vectors: NDArray[np.float64] | None


class FineTrajectory(Protocol):
    """What coarse-graining needs of a trajectory; see `cgplugin.systems.trajectory_files`."""

    source: str
    n_frames: int
    interval: float
    unwrapped: bool

    def blocks(self) -> Iterator[FrameBlock]:
        """Yield the frames in order, a limited number at a time."""
        ...


@dataclass(frozen=True)
class CoarseTrajectory:
    """Path of the beads of one system.

    Attributes
    ----------
    cg : CoarseGraining
    positions : array, shape (n_frames, n_beads, 3)
        nm, unwrapped, float32 relative to `origin`; may be memory-mapped.
    internal_rg2 : array, shape (n_frames, n_beads)
        Squared radius of gyration of each bead's atoms, nm^2, float32; may be memory-mapped.
    box_vectors : array, shape (n_frames, 3, 3), or None
        nm.
    origin : array, shape (3,)
        nm, float64.
    interval : float
        Time between frames in ps.
    source : str
        Where it was read from, for messages.
    """

    cg: CoarseGraining
    positions: NDArray[np.float32] = field(repr=False)
    internal_rg2: NDArray[np.float32] = field(repr=False)
    box_vectors: NDArray[np.float64] | None = field(repr=False)
    origin: NDArray[np.float64] = field(repr=False)
    interval: float
    source: str

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.positions)


def coarsen_frames(
    cg: CoarseGraining, blocks: Iterable[FrameBlock], *, unwrapped: bool, source: str
) -> Iterator[tuple[FrameBlock, NDArray[np.float64]]]:
    """Stream frames of atoms into frames of beads.

    In a periodic box molecules are made whole first and bead paths unwrapped; the mapping is a sparse product. Unwrapped atoms
    stay on their paths, each shifted by the lattice vector that makes its molecule whole in the first frame: image flags
    of a molecule may disagree from the start, and a bond would seem as long as the box.

    Yields
    ------
    block : FrameBlock
        Positions of the beads, (n_frames, n_beads, 3).
    internal_rg2 : array, shape (n_frames, n_beads)
        nm^2.

    Raises
    ------
    UserError
        If a position is not finite, or a wrapped path cannot be followed; the message names frame and atom.
    """
    mender = MoleculeMender(cg.system)
    previous = images = None
    n_done = 0
    for block in blocks:
        fine = block.positions
        if fine.shape[1] != cg.system.n_atoms:
            raise UserError(f"{source}: has {fine.shape[1]} atoms, but the topology {cg.system.n_atoms}")
        if not np.isfinite(fine).all():
            frame, atom, _ = np.argwhere(~np.isfinite(fine))[0]
            raise UserError(f"{source}: the position of atom {atom} in frame {n_done + frame} is not finite")
        if block.box_vectors is not None and unwrapped and len(fine):
            if images is None:
                shift = mender.make_whole(fine[0], block.box_vectors[0]) - fine[0]
                images = np.round(shift @ np.linalg.inv(block.box_vectors[0]))
            fine = fine + images @ block.box_vectors
        elif block.box_vectors is not None:
            fine = mender.make_whole(fine, block.box_vectors)
        beads = cg.positions(fine)
        if block.box_vectors is not None and not unwrapped:
            beads = unwrap(beads, block.box_vectors, previous, source)
        previous = beads[-1] if len(beads) else previous
        n_done += len(fine)
        yield FrameBlock(beads, block.box_vectors), cg.internal_rg2(fine)


def coarsen_trajectory(
    cg: CoarseGraining, trajectory: FineTrajectory, scratch: Path | None = None, *, keep_drift: bool = True
) -> CoarseTrajectory:
    """Read a fine trajectory, a block at a time, into the path of its beads.

    Parameters
    ----------
    cg : CoarseGraining
    trajectory : FineTrajectory
    scratch : Path, optional
        Where given, the result is written there (two ``.npy`` files) and memory-mapped, so that it need not fit in memory.
    keep_drift : bool
        If False, the centre of mass of several molecules in a box stays where it is in the first frame; see `drift`.

    Raises
    ------
    UserError
        See `coarsen_frames`.
    """
    shape = (trajectory.n_frames, cg.n_beads)
    positions = _allocate((*shape, 3), scratch, "positions")
    internal = _allocate(shape, scratch, "internal_rg2")
    boxes: list[NDArray[np.float64]] = []
    origin = np.zeros(3)
    n_done = 0
    blocks = coarsen_frames(cg, trajectory.blocks(), unwrapped=trajectory.unwrapped, source=trajectory.source)
    for block, internal_rg2 in blocks:
        if n_done == 0:
            origin = cg.masses @ block.positions[0] / cg.masses.sum()
        part = slice(n_done, n_done + len(block.positions))
        relative = block.positions - origin
        if not keep_drift and drifts(cg, block.box_vectors):
            relative = without_drift(relative, cg.masses)
        positions[part] = relative
        internal[part] = internal_rg2
        if block.box_vectors is not None:
            boxes.append(block.box_vectors)
        n_done += len(block.positions)
    if n_done != trajectory.n_frames:
        raise UserError(f"{trajectory.source}: ends after {n_done} of {trajectory.n_frames} frames")
    box_vectors = np.concatenate(boxes) if boxes else None
    return CoarseTrajectory(cg, positions, internal, box_vectors, origin, trajectory.interval, trajectory.source)


def _allocate(shape: tuple[int, ...], scratch: Path | None, name: str) -> NDArray[np.float32]:
    if scratch is None:
        return np.empty(shape, dtype=np.float32)
    scratch.mkdir(parents=True, exist_ok=True)
    return np.lib.format.open_memmap(scratch / f"{name}.npy", mode="w+", dtype=np.float32, shape=shape)
