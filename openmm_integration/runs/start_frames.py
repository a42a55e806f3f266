"""The first frames of a learned simulation: by MD, the beginning of a trajectory, or learned steps from a structure at rest."""

from collections import deque
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cgplugin.coarse_graining.coarse_trajectory import FineTrajectory, coarsen_frames
from cgplugin.coarse_graining.coarsening import CoarseGraining
from cgplugin.errors import UserError
from cgplugin.learned.learned_model import LearnedModel
from cgplugin.learned.simulator import LearnedSimulator, SimulationDivergedError
from cgplugin.systems.force_field import BeadSpringForceField
from cgplugin.systems.periodic import MoleculeMender
from cgplugin.systems.structure_files import Structure

from .warm_up import (
    is_equilibrated,
    known_force_field,
    openmm_system_beside,
    seed_of,
    system_file,
    warm_up,
    warm_up_system,
)

Array = NDArray[np.float64]

StartFrom = Literal["auto", "md", "structure"]
"""What makes the first frames of a structure: ``md``, a short OpenMM run; ``structure``, learned steps from rest; ``auto``, those
where a box of bead-spring molecules is in equilibrium already, a short OpenMM run elsewhere."""

SETTLING_STEPS = 3
"""Learned steps after which nothing is left of a start from rest: the first moves beads 2 % too little, the second right."""


def from_structures(
    model: LearnedModel,
    parts: Sequence[CoarseGraining],
    structures: Sequence[Structure],
    *,
    start: StartFrom,
    seed: int,
    force_field: BeadSpringForceField | None = None,
    platform: str | None = None,
    threads: int | None = None,
) -> list[Array]:
    """Start frames of structures, of each as `StartFrom` says.

    Parameters
    ----------
    model : LearnedModel
    parts : sequence of CoarseGraining
        Of the structures.
    structures : sequence of Structure
        With whole molecules. One entry per replica.
    start : str
    seed : int
        Of velocities and noise.
    force_field : BeadSpringForceField, optional
        By default the structure's own, or else the one that the model was trained with.
    platform, threads
        See `choose_platform`.

    Returns
    -------
    list of arrays, each of shape (n_history + 1, n_beads, 3)
        nm, unwrapped, one learned time step apart.

    Raises
    ------
    UserError
        If ``start`` is none of them, or nothing is known that could run MD where it takes some.
    """
    if start not in get_args(StartFrom):
        raise UserError(f"unknown start {start!r}: expected a trajectory, or one of {', '.join(get_args(StartFrom))}")
    found: dict[int, bool] = {}
    if start == "auto":
        for structure in structures:
            # replicas share their Structure
            if id(structure) not in found:
                found[id(structure)] = _is_ready(model, structure, force_field, platform, threads)
    rests = [start == "structure" or found.get(id(structure), False) for structure in structures]
    frames: dict[int, Array] = {}
    for at_rest in (True, False):
        chosen = [n for n, rest in enumerate(rests) if rest == at_rest]
        if not chosen:
            continue
        own, theirs = [parts[n] for n in chosen], [structures[n] for n in chosen]
        frames |= zip(
            chosen,
            from_rest(model, own, theirs, seed=seed)
            if at_rest
            else _by_md(model, own, theirs, seed=seed, force_field=force_field, platform=platform, threads=threads),
            strict=True,
        )
    return [frames[n] for n in range(len(structures))]


def _is_ready(
    model: LearnedModel,
    structure: Structure,
    force_field: BeadSpringForceField | None,
    platform: str | None,
    threads: int | None,
) -> bool:
    """Whether a structure in a box is known to be in equilibrium."""
    if structure.box_vectors is None or system_file(structure).is_file():
        return False
    chosen = force_field or known_force_field(model, [structure])
    return is_equilibrated(structure, chosen, platform=platform, threads=threads)


def _by_md(
    model: LearnedModel,
    parts: Sequence[CoarseGraining],
    structures: Sequence[Structure],
    *,
    seed: int,
    force_field: BeadSpringForceField | None,
    platform: str | None,
    threads: int | None,
) -> list[Array]:
    """Start frames of the beads by short MD: with the OpenMM Systems beside the structures, or else as bead-spring systems."""
    own = [openmm_system_beside(structure) for structure in structures]
    if all(item is None for item in own):
        fine = warm_up(model, structures, seed=seed, force_field=force_field, platform=platform, threads=threads)
        return [to_beads(cg, structure, f) for cg, structure, f in zip(parts, structures, fine, strict=True)]
    frames = []
    for n, (cg, structure, described) in enumerate(zip(parts, structures, own, strict=True)):
        if described is None:
            raise UserError(f"{structure.source}: has no system.xml beside it, as the other structures have")
        fine_frames = warm_up_system(model, structure, *described, seed=seed + n, platform=platform, threads=threads)
        frames.append(to_beads(cg, structure, fine_frames))
    return frames


def from_rest(
    model: LearnedModel, parts: Sequence[CoarseGraining], structures: Sequence[Structure], *, seed: int
) -> list[Array]:
    """Start frames by learned steps from beads at rest: no MD, and no force field.

    A bead forgets its displacement within one learned time step, all but some per cent, so that `SETTLING_STEPS` steps from
    displacements of zero lead to the displacements of equilibrium. The structure itself must be a likely one.

    Parameters
    ----------
    model : LearnedModel
    parts : sequence of CoarseGraining
        Of the structures.
    structures : sequence of Structure
        With whole molecules. One entry per replica; replicas get noise of their own.
    seed : int

    Returns
    -------
    list of arrays, each of shape (n_history + 1, n_beads, 3)
        nm, unwrapped, one learned time step apart.

    Raises
    ------
    UserError
        If a position is no longer finite.
    """
    boxes = [structure.box_vectors for structure in structures]
    # noise of its own: the simulation that follows draws that of its steps by its seed
    simulator = LearnedSimulator(model, parts, seed=seed_of(seed, 0x57), box_vectors=boxes)
    resting = [cg.positions(item.positions[None]) for cg, item in zip(parts, structures, strict=True)]
    state = simulator.start([np.repeat(beads, model.n_history + 1, axis=0) for beads in resting])
    frames: deque[Array] = deque(maxlen=model.n_history + 1)
    for _ in range(SETTLING_STEPS + model.n_history):
        try:
            state = simulator.step(state).state
        except SimulationDivergedError as error:
            raise UserError(f"{error}: the structure is no likely one, relax it first (by --start md)") from error
        frames.append(state.positions.cpu().numpy())
    cuts = np.cumsum([cg.n_beads for cg in parts])[:-1]
    return np.split(np.stack(frames), cuts, axis=1)


def from_trajectory(model: LearnedModel, cg: CoarseGraining, trajectory: FineTrajectory) -> Array:
    """Start frames of the beads from the beginning of a recorded trajectory.

    Returns
    -------
    array, shape (n_history + 1, n_beads, 3)
        nm, unwrapped.

    Raises
    ------
    UserError
        If it is too short, or the learned time step is no multiple of its interval.
    """
    stride = round(model.time_step / trajectory.interval)
    if stride < 1 or abs(stride * trajectory.interval - model.time_step) > 1e-6 * model.time_step:
        raise UserError(
            f"{trajectory.source}: the model's time step of {model.time_step:g} is no multiple of the interval of "
            f"{trajectory.interval:g} between its frames"
        )
    needed = model.n_history * stride + 1
    if trajectory.n_frames < needed:
        raise UserError(f"{trajectory.source}: has {trajectory.n_frames} frames, the start takes {needed}")
    beads: list[Array] = []
    blocks = coarsen_frames(cg, trajectory.blocks(), unwrapped=trajectory.unwrapped, source=trajectory.source)
    for block, _ in blocks:
        beads.extend(block.positions)
        if len(beads) >= needed:
            break
    return np.stack(beads[:needed:stride])


def to_beads(cg: CoarseGraining, structure: Structure, frames: Array) -> Array:
    """Bead positions of atom frames (n, n_atoms, 3) that are continuous in time."""
    if structure.box_vectors is not None:
        boxes = np.broadcast_to(structure.box_vectors, (len(frames), 3, 3))
        frames = MoleculeMender(cg.system).make_whole(frames, boxes)
    return cg.positions(frames)
