"""A learned simulation as an ``openmm.app.Simulation``."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from openmm import app

from cgplugin.coarse_graining.coarse_trajectory import FineTrajectory
from cgplugin.errors import UserError
from cgplugin.learned.devices import choose_device
from cgplugin.learned.learned_model import LearnedModel
from cgplugin.learned.refinement import Refinement
from cgplugin.learned.start_checks import checked_structure
from cgplugin.systems.force_field import BeadSpringForceField
from cgplugin.systems.lammps_files import LammpsConventions
from cgplugin.systems.structure_files import Structure, load_structure
from openmm_integration.runs.coarse_files import write_beads
from openmm_integration.runs.start_frames import StartFrom, from_structures, from_trajectory

from .cg_system import CoarseSystem
from .integrator import LearnedIntegrator
from .platforms import check_threads, choose_platform
from .reporters.part_reporter import PartReporter

if TYPE_CHECKING:
    from cgplugin.coarse_graining.coarsening import CoarseGraining

StructureLike = str | os.PathLike[str] | Structure
"""A file or folder, or a structure that was read or made."""


class LearnedSimulation(app.Simulation):
    """An ``openmm.app.Simulation`` whose integrator is known to be a `LearnedIntegrator`; see `learned_simulation`.

    Parameters
    ----------
    model : LearnedModel
    cg : CoarseSystem
        Where it has start frames, the Context gets them.
    seed : int
        Of the noise.
    platform, threads
        OpenMM platform; see `choose_platform`.
    refinement : Refinement, optional
        Of every step by the model's Score GNN; by default what the model says.
    temperature : float, optional
        K; for forces that are added to the System. By default that of the force field of the training data.
    device : str or torch.device
        Where the networks run; see `cgplugin.learned.devices.choose_device`.

    Attributes
    ----------
    integrator : LearnedIntegrator

    Raises
    ------
    UserError
        If the beads do not fit the model, or there is no such platform or device.
    """

    integrator: LearnedIntegrator

    def __init__(
        self,
        model: LearnedModel,
        cg: CoarseSystem,
        *,
        seed: int = 0,
        platform: str | None = None,
        threads: int | None = None,
        refinement: Refinement | None = None,
        temperature: float | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        chosen, properties = choose_platform(platform, threads)
        integrator = LearnedIntegrator(
            model, cg, seed=seed, refinement=refinement, temperature=temperature, device=device
        )
        super().__init__(cg.topology, cg.system, integrator, chosen, properties)
        if cg.start_frames is not None:
            self.context.setPositions(cg.positions)
            integrator.set_history(cg.start_frames)

    @property
    def cg(self) -> CoarseSystem:
        """The beads: `CoarseSystem.parts` are the replicas of the first structure, then those of the second, and so on."""
        return self.integrator.cg


def learned_simulation(
    model: LearnedModel,
    structure: StructureLike | CoarseSystem | Sequence[StructureLike],
    *,
    seed: int = 0,
    replicas: int = 1,
    start: FineTrajectory | StartFrom = "auto",
    force_field: BeadSpringForceField | None = None,
    platform: str | None = None,
    threads: int | None = None,
    refinement: Refinement | None = None,
    temperature: float | None = None,
    device: str | torch.device = "cpu",
) -> LearnedSimulation:
    """Make a simulation that a trained model advances.

    The model starts from ``n_history + 1`` frames. Where only a structure is given, they are made from it: see ``start``.

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
    start : str or FineTrajectory
        ``structure``: learned steps from rest, which needs no MD and no force field, but a structure in equilibrium. ``md``: a
        short OpenMM run, which relaxes the structure where needed. ``auto``: the first where a box of bead-spring molecules is
        in equilibrium already, the second elsewhere. A trajectory: its first frames (of a single structure); see
        `cgplugin.systems.structure_files.open_trajectory`.
    force_field : BeadSpringForceField, optional
        For the short run, where neither the structure nor the model knows one.
    platform : str, optional
        OpenMM's, by its name; by default the fastest that works here.
    threads : int, optional
        Of torch, for the whole process, and of OpenMM's CPU platform; by default torch keeps what it has, and OpenMM takes as
        many as there are cores.
    refinement : Refinement, optional
        Of every step by the model's Score GNN; by default what the model says.
    temperature : float, optional
        K; for forces that are added to the System. By default that of the force field of the training data.
    device : str or torch.device
        Where the networks run: ``cpu``, ``cuda``, ``cuda:1``, ... or ``auto``.

    Returns
    -------
    LearnedSimulation
        An ``openmm.app.Simulation`` whose integrator is a `LearnedIntegrator`. One step is one learned time step. Add ordinary
        reporters and call ``step``; `part_reporters` writes a file per system and replica.

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
    chosen = choose_device(device)
    if threads is not None:
        check_threads(threads)
        torch.set_num_threads(threads)
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
    return LearnedSimulation(
        model,
        cg,
        seed=seed,
        platform=platform,
        threads=threads,
        refinement=refinement,
        temperature=temperature,
        device=chosen,
    )


def part_reporters(
    simulation: LearnedSimulation,
    folder: str | os.PathLike[str],
    report_interval: int,
    *,
    wrap: bool = False,
    append: bool = False,
) -> list[PartReporter]:
    """A trajectory per system and replica, to be added to the reporters of a simulation.

    Each part gets a folder as `cgplugin simulate` makes them, ``FOLDER/NAME`` or, where a system is there several times,
    ``FOLDER/NAME/replica-N``, with ``topology.pdb``, ``mapping.json`` and ``trajectory.dcd``.

    Parameters
    ----------
    simulation : LearnedSimulation
    folder : path
    report_interval : int
        Steps between frames.
    wrap, append : bool
        See `PartReporter`.

    Raises
    ------
    UserError
        If different systems have the same name.

    Examples
    --------
    >>> simulation = learned_simulation(model, "polymer.data", replicas=8)
    >>> simulation.reporters += part_reporters(simulation, "runs", 10)
    """
    cg = simulation.cg
    positions = simulation.context.getState(positions=True).getPositions(asNumpy=True)._value
    reporters = []
    for part, place in enumerate(_part_folders(cg, Path(folder))):
        beads = positions[cg.offsets[part] : cg.offsets[part + 1]]
        place.mkdir(parents=True, exist_ok=True)
        write_beads(place, cg.parts[part], beads, cg.box_of(part), units=simulation.integrator.model.units)
        reporters.append(PartReporter(place / "trajectory.dcd", report_interval, cg, part, wrap=wrap, append=append))
    return reporters


def _part_folders(cg: CoarseSystem, folder: Path) -> list[Path]:
    """A folder for each part."""
    owners: dict[str, CoarseGraining] = {}
    for part in cg.parts:
        # replicas share their CoarseGraining
        if owners.setdefault(part.system.name, part) is not part:
            raise UserError(f"different systems are called {part.system.name!r}: rename their files or folders")
    copies = Counter(part.system.name for part in cg.parts)
    seen: Counter[str] = Counter()
    places = []
    for part in cg.parts:
        name = part.system.name
        places.append(folder / name if copies[name] == 1 else folder / name / f"replica-{seen[name]}")
        seen[name] += 1
    return places


def prepare(
    model: LearnedModel,
    structures: Sequence[Structure],
    *,
    seed: int = 0,
    replicas: int = 1,
    start: FineTrajectory | StartFrom = "auto",
    force_field: BeadSpringForceField | None = None,
    platform: str | None = None,
    threads: int | None = None,
) -> CoarseSystem:
    """Coarse-grain structures and make their start frames; see `learned_simulation`.

    The parts of the result are the replicas of the first structure, then those of the second, and so on.
    """
    if replicas < 1:
        raise UserError(f"replicas is {replicas}, expected at least 1")
    if not isinstance(start, str) and len(structures) != 1:
        raise UserError("a trajectory to start from belongs to a single structure")
    structures = [checked_structure(model, structure) for structure in structures]
    mappings = [model.coarsen(structure.system) for structure in structures]
    parts: list[CoarseGraining] = [cg for cg in mappings for _ in range(replicas)]
    each = [structure for structure in structures for _ in range(replicas)]
    if isinstance(start, str):
        frames = from_structures(
            model,
            parts,
            each,
            start=start,
            seed=seed,
            force_field=force_field,
            platform=platform,
            threads=threads,
        )
    else:
        frames = [from_trajectory(model, mappings[0], start)] * replicas
    boxes = [structure.box_vectors for structure in each if structure.box_vectors is not None]
    return CoarseSystem(tuple(parts), np.stack(boxes) if boxes else None, np.concatenate(frames, axis=1))
