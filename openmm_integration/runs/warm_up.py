"""Short MD of a structure before a learned simulation, which relaxes it where needed."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openmm
from numpy.typing import NDArray

from cgplugin.errors import UserError
from cgplugin.learned.learned_model import LearnedModel
from cgplugin.systems.force_field import BeadSpringForceField, Dynamics
from cgplugin.systems.structure_files import Structure
from openmm_integration.ground_truth.bead_spring import create_system, energy_terms
from openmm_integration.ground_truth.molecular_dynamics import LangevinRun, PackedChains, Recording, steps_for
from openmm_integration.ground_truth.push_off import is_crude, push_off

Array = NDArray[np.float64]

SYSTEM_XML = "system.xml"

RELAXATION = 20.0
"""Times the friction time of MD before the first frame, so that velocities and bonds are at their temperature."""

RELAXATION_STEPS = 4
"""Learned time steps that this takes at most."""


def warm_up(
    model: LearnedModel,
    structures: Sequence[Structure],
    *,
    seed: int,
    force_field: BeadSpringForceField | None = None,
    platform: str | None = None,
    threads: int | None = None,
) -> list[Array]:
    """Start frames by short MD of bead-spring systems.

    Chains without a box share one OpenMM Context. Systems with one run one after the other, each in a Context of its own.

    Parameters
    ----------
    model : LearnedModel
    structures : sequence of Structure
        One entry per replica; replicas of a structure get velocities of their own.
    seed : int
    force_field : BeadSpringForceField, optional
        By default the structure's own, or else the one that the model was trained with.
    platform, threads
        See `choose_platform`.

    Returns
    -------
    list of arrays, each of shape (n_history + 1, n_atoms, 3)
        Atom positions in nm, one learned time step apart.

    Raises
    ------
    UserError
        If no force field is known, or it does not fit a structure.
    """
    chosen = force_field or known_force_field(model, structures)
    if any(structure.box_vectors is not None for structure in structures):
        return [
            warm_up_in_box(model, structure, chosen, seed=seed_of(seed, number), platform=platform, threads=threads)
            for number, structure in enumerate(structures)
        ]
    packed = PackedChains(
        chosen,
        [structure.system for structure in structures],
        [structure.positions for structure in structures],
        seed=seed_of(seed),
        platform=platform,
        threads=threads,
    )
    relaxation = _relaxation_steps(model, chosen.dynamics) * chosen.dynamics.time_step
    recording = Recording(model.n_history + 1, model.time_step, relaxation)
    frames = list(packed.record(recording))
    return [np.stack([frame[chain] for frame in frames]) for chain in range(len(structures))]


def warm_up_in_box(
    model: LearnedModel,
    structure: Structure,
    force_field: BeadSpringForceField,
    *,
    seed: int,
    platform: str | None = None,
    threads: int | None = None,
) -> Array:
    """Start frames of one bead-spring system in its box; see `warm_up`.

    Positions that come from a simulation are the first frame: velocities do not depend on them in equilibrium, so that drawing
    new ones leaves nothing to relax. Those whose bonds are not at the temperature, minimised ones for example, are relaxed
    first, and crude ones pushed apart before that.
    """
    system, box_vectors, dynamics = structure.system, structure.box_vectors, force_field.dynamics
    md = create_system(force_field, [system], box_vectors)

    def run_from(positions: Array) -> LangevinRun:
        return LangevinRun(
            md, positions, dynamics, seed=seed, platform=platform, threads=threads, name=str(structure.source)
        )

    run = run_from(structure.positions)
    relaxed = _bonds_are_thermal(run, len(system.bonds))
    if box_vectors is not None and is_crude(run.forces(), dynamics):
        pushed = push_off(
            force_field, system, structure.positions, box_vectors, seed=seed, platform=platform, threads=threads
        )
        run, relaxed = run_from(pushed), False
    relaxation = 0 if relaxed else _relaxation_steps(model, dynamics)
    recording = Recording(model.n_history + 1, model.time_step, relaxation * dynamics.time_step)
    return np.stack(list(run.record(recording)))


def is_equilibrated(
    structure: Structure,
    force_field: BeadSpringForceField,
    *,
    platform: str | None = None,
    threads: int | None = None,
) -> bool:
    """Whether a bead-spring structure comes from a simulation: bonds at the temperature, and no atoms on top of each other."""
    dynamics = force_field.dynamics
    md = create_system(force_field, [structure.system], structure.box_vectors)
    run = LangevinRun(
        md, structure.positions, dynamics, seed=0, platform=platform, threads=threads, name=str(structure.source)
    )
    return _bonds_are_thermal(run, len(structure.system.bonds)) and not is_crude(run.forces(), dynamics)


def warm_up_system(
    model: LearnedModel,
    structure: Structure,
    system: openmm.System,
    dynamics: Dynamics,
    *,
    seed: int,
    platform: str | None = None,
    threads: int | None = None,
) -> Array:
    """Start frames by short MD of any OpenMM System; see `warm_up`."""
    if system.getNumParticles() != structure.system.n_atoms:
        raise UserError(
            f"{structure.source}: has {structure.system.n_atoms} atoms, but its OpenMM System {system.getNumParticles()}"
        )
    if structure.box_vectors is not None:
        system.setDefaultPeriodicBoxVectors(*(openmm.Vec3(*row) for row in structure.box_vectors.tolist()))
    run = LangevinRun(
        system,
        structure.positions,
        dynamics,
        seed=seed_of(seed),
        platform=platform,
        threads=threads,
        minimize=True,
        name=structure.system.name,
    )
    interval = steps_for(model.time_step, dynamics.time_step, "learned time step")
    run.step(_relaxation_steps(model, dynamics))
    frames = [run.positions()]
    for _ in range(model.n_history):
        run.step(interval)
        frames.append(run.positions())
    return np.stack(frames)


def known_force_field(model: LearnedModel, structures: Sequence[Structure]) -> BeadSpringForceField:
    """Force field of the short MD: the structures' own, or else the one that the model was trained with.

    Raises
    ------
    UserError
        If there is none.
    """
    for structure in structures:
        if structure.system.force_field is not None:
            return BeadSpringForceField.from_dict(structure.system.force_field, str(structure.source))
    if model.force_field is not None:
        return model.force_field
    raise UserError(
        f"{structures[0].source}: no force field is known that could make the first {model.n_history + 1} frames: give "
        "--force-field, an OpenMM System (system.xml beside the structure), or a trajectory to start from (--start); or start "
        "from the structure alone (--start structure)"
    )


def _relaxation_steps(model: LearnedModel, dynamics: Dynamics) -> int:
    """MD steps before the first frame."""
    longest = RELAXATION_STEPS * model.time_step
    time = min(longest, RELAXATION / dynamics.friction) if dynamics.friction > 0 else longest
    return max(1, round(time / dynamics.time_step))


def _bonds_are_thermal(run: LangevinRun, n_bonds: int) -> bool:
    """Whether the bonds have the energy kT/2 each of harmonic springs at the temperature, but for fluctuations."""
    if not n_bonds:
        return False
    expected = 0.5 * run.dynamics.kT * n_bonds
    # of a sum of squares of n Gaussians, sqrt(2/n) relative to its mean
    tolerance = min(0.5, 5 * math.sqrt(2 / n_bonds))
    return abs(energy_terms(run.context)["bond"] / expected - 1) < tolerance


def seed_of(*parts: int) -> int:
    """Seed of OpenMM's range for a part of a start."""
    return int(np.random.SeedSequence((*parts, 0x5747)).generate_state(1)[0] % (2**31 - 2))


FORCES_THAT_RUN_CODE = ("PythonForce", "TorchForce")
"""OpenMM unpickles the function of the first from XML, whoever wrote it; the second has a TorchScript module."""


def _check_runs_no_code(xml: str, path: Path) -> None:
    for name in FORCES_THAT_RUN_CODE:
        if name in xml:
            raise UserError(f"{path}: has a {name}, which may run any code when it is read: leave it out of the System")


def system_file(structure: Structure) -> Path:
    """Where the OpenMM System of a structure is, if it has one."""
    return Path(structure.source).parent / SYSTEM_XML


def openmm_system_beside(structure: Structure) -> tuple[openmm.System, Dynamics] | None:
    """The OpenMM System in ``system.xml`` beside a structure, with the dynamics in its ``system.json``, if there is one.

    Raises
    ------
    UserError
        If the file is there and cannot be used.
    """
    path = system_file(structure)
    if not path.is_file():
        return None
    try:
        text = path.read_text(encoding="utf-8")
        _check_runs_no_code(text, path)
        system = openmm.XmlSerializer.deserialize(text)
    except UserError:
        raise
    except (OSError, UnicodeDecodeError, openmm.OpenMMException, ValueError) as error:
        raise UserError(f"{path}: not an OpenMM System ({' '.join(str(error).split())})") from error
    described = structure.system.provenance.get("dynamics")
    if not described:
        raise UserError(f"{path}: {path.parent / 'system.json'} does not say temperature, friction and time step")
    return system, Dynamics(**described)
