"""A learned simulation as an ``openmm.app.Simulation``."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from openmm import app

from cgplugin.coarse_graining.coarse_trajectory import FineTrajectory
from cgplugin.errors import UserError
from cgplugin.learned.learned_model import LearnedModel
from cgplugin.learned.refinement import Refinement
from cgplugin.learned.start_checks import checked_structure
from cgplugin.systems.force_field import BeadSpringForceField
from cgplugin.systems.lammps_files import LammpsConventions
from cgplugin.systems.structure_files import Structure, load_structure
from openmm_integration.runs.start_frames import (
    from_trajectory,
    openmm_system_beside,
    to_beads,
    warm_up,
    warm_up_system,
)

from .cg_system import CoarseSystem
from .integrator import LearnedIntegrator
from .platforms import choose_platform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgplugin.coarse_graining.coarsening import CoarseGraining

StructureLike = str | os.PathLike[str] | Structure
"""A file or folder, or a structure that was read or made."""


def learned_simulation(
    model: LearnedModel,
    structure: StructureLike | CoarseSystem | Sequence[StructureLike],
    *,
    seed: int = 0,
    replicas: int = 1,
    start: FineTrajectory | None = None,
    force_field: BeadSpringForceField | None = None,
    platform: str | None = None,
    threads: int | None = None,
    refinement: Refinement | None = None,
) -> app.Simulation:
    """Make a simulation that a trained model advances.

    Where only a structure is given, the ``n_history + 1`` frames that the model starts from are made by a short OpenMM run.

    Parameters
    ----------
    model : LearnedModel
    structure : path, Structure, CoarseSystem, or sequence of paths and Structures
        LAMMPS data file, PDB file with ``system.json`` beside it, or a folder with one of them; a `CoarseSystem` is taken
        as it is. Several structures are simulated together, in one network call per step.
    seed : int
        Of start velocities and noise.
    replicas : int
        Independent runs of each structure.
    start : FineTrajectory, optional
        Its first frames start the simulation (of a single structure); see `cgplugin.systems.structure_files.open_trajectory`.
    force_field : BeadSpringForceField, optional
        For the short run, where neither the structure nor the model knows one.
    platform, threads
        OpenMM platform; see `choose_platform`.
    refinement : Refinement, optional
        Of every step by the model's Score GNN; by default what the model says.

    Returns
    -------
    openmm.app.Simulation
        Its integrator is a `LearnedIntegrator`, whose ``cg`` is the `CoarseSystem`. One step is one learned time step. Add
        ordinary reporters and call ``step``.

    Raises
    ------
    UserError
        If a structure does not fit the model, or cannot be started.

    Examples
    --------
    >>> model = LearnedModel.load("model.pt")
    >>> simulation = learned_simulation(model, "polymer.data", seed=1)
    >>> simulation.reporters.append(app.DCDReporter("long.dcd", 10))
    >>> simulation.step(50_000)
    """
    if isinstance(structure, CoarseSystem):
        cg = structure
    else:
        listed = [structure] if isinstance(structure, (str, os.PathLike, Structure)) else list(structure)
        if not listed:
            raise UserError("there is no structure to simulate")
        conventions = LammpsConventions(force_field=force_field or model.force_field)
        loaded = [item if isinstance(item, Structure) else load_structure(Path(item), conventions) for item in listed]
        cg = prepare(
            model,
            loaded,
            seed=seed,
            replicas=replicas,
            start=start,
            force_field=force_field,
            platform=platform,
            threads=threads,
        )
    chosen, properties = choose_platform(platform, threads)
    integrator = LearnedIntegrator(model, cg, seed=seed, refinement=refinement)
    simulation = app.Simulation(cg.topology, cg.system, integrator, chosen, properties)
    if cg.start_frames is not None:
        simulation.context.setPositions(cg.positions)
        simulation.integrator.set_history(cg.start_frames)
    return simulation


def prepare(
    model: LearnedModel,
    structures: Sequence[Structure],
    *,
    seed: int = 0,
    replicas: int = 1,
    start: FineTrajectory | None = None,
    force_field: BeadSpringForceField | None = None,
    platform: str | None = None,
    threads: int | None = None,
) -> CoarseSystem:
    """Coarse-grain structures and make their start frames; see `learned_simulation`.

    The parts of the result are the replicas of the first structure, then those of the second, and so on.
    """
    if replicas < 1:
        raise UserError(f"replicas is {replicas}, expected at least 1")
    if start is not None and len(structures) != 1:
        raise UserError("a trajectory to start from belongs to a single structure")
    structures = [checked_structure(model, structure) for structure in structures]
    mappings = [model.coarsen(structure.system) for structure in structures]
    parts: list[CoarseGraining] = [cg for cg in mappings for _ in range(replicas)]
    each = [structure for structure in structures for _ in range(replicas)]
    frames: list[NDArray[np.float64]]
    own = [openmm_system_beside(structure) for structure in each]
    if start is not None:
        frames = [from_trajectory(model, mappings[0], start)] * replicas
    elif all(item is None for item in own):
        fine = warm_up(model, each, seed=seed, force_field=force_field, platform=platform, threads=threads)
        frames = [to_beads(cg, structure, f) for cg, structure, f in zip(parts, each, fine, strict=True)]
    else:
        frames = []
        for n, (cg, structure, described) in enumerate(zip(parts, each, own, strict=True)):
            if described is None:
                raise UserError(f"{structure.source}: has no system.xml beside it, as the other structures have")
            fine_frames = warm_up_system(
                model, structure, *described, seed=seed + n, platform=platform, threads=threads
            )
            frames.append(to_beads(cg, structure, fine_frames))
    boxes = [structure.box_vectors for structure in each if structure.box_vectors is not None]
    return CoarseSystem(tuple(parts), np.stack(boxes) if boxes else None, np.concatenate(frames, axis=1))
