"""Atoms that overlap are pushed apart, so that molecular dynamics can start."""

import numpy as np
import openmm
from numpy.typing import NDArray

from cgplugin.systems.force_field import BeadSpringForceField, Dynamics
from cgplugin.systems.molecular_system import MolecularSystem

from .bead_spring import create_system
from .molecular_dynamics import LangevinRun

Array = NDArray[np.float64]

SOFT_REPULSION = "0.5*amplitude*(1 + cos(3.14159265358979*min(1, r/reach))); reach = 2^(1/6)*0.5*(sigma1 + sigma2)"
"""Kremer and Grest, J. Chem. Phys. 92, 5057 (1990): finite where atoms sit on each other, zero where Lennard-Jones attracts."""

AMPLITUDES = (2.0, 8.0, 32.0, 128.0)
"""Heights of the soft repulsion in kT, one stage after the other: steep at once, it would tear bonds."""

STAGE = 2.0
"""Duration of a stage in units of the inverse friction."""

CRUDE_FORCE = 1000.0
"""Force in kT/nm that equilibrated atoms, whose contacts have some 10 kT at most, never feel."""


def push_off(
    force_field: BeadSpringForceField,
    system: MolecularSystem,
    positions: Array,
    box_vectors: Array,
    *,
    seed: int,
    platform: str | None = None,
    threads: int | None = None,
) -> Array:
    """Positions without overlaps, by Langevin dynamics with a soft repulsion that grows in place of the pair forces.

    Bonds and angles act all the time; charges do not, because opposite ones would collapse onto each other.

    Parameters
    ----------
    force_field : BeadSpringForceField
    system : MolecularSystem
    positions : array, shape (n_atoms, 3)
        nm.
    box_vectors : array, shape (3, 3)
        nm.
    seed : int
        Of velocities and noise.
    platform, threads
        See `LangevinRun`.

    Returns
    -------
    array, shape (n_atoms, 3)
        nm, paths continuous from the given positions.
    """
    dynamics = force_field.dynamics
    soft = _soft_system(force_field, system, box_vectors)
    run = LangevinRun(
        soft, positions, dynamics, seed=seed, platform=platform, threads=threads, minimize=True, name=system.name
    )
    for amplitude in AMPLITUDES:
        run.context.setParameter("amplitude", amplitude * dynamics.kT)
        run.advance(max(1, round(STAGE / dynamics.friction / dynamics.time_step)))
    return run.positions()


def is_crude(forces: Array, dynamics: Dynamics) -> bool:
    """Whether forces (n_atoms, 3) in kJ/mol/nm are too large for equilibrium: dynamics would fly apart."""
    # so that NaN, of atoms at one place, counts as crude
    return not bool((np.linalg.norm(forces, axis=1) <= CRUDE_FORCE * dynamics.kT).all())


def _soft_system(force_field: BeadSpringForceField, system: MolecularSystem, box_vectors: Array) -> openmm.System:
    """The force field with the soft repulsion in place of Lennard-Jones and Coulomb forces."""
    result = create_system(force_field, [system], box_vectors)
    hard = [
        number
        for number, force in enumerate(result.getForces())
        if isinstance(force, (openmm.NonbondedForce, openmm.CustomNonbondedForce))
    ]
    for number in reversed(hard):
        result.removeForce(number)
    soft = openmm.CustomNonbondedForce(SOFT_REPULSION)
    soft.addGlobalParameter("amplitude", AMPLITUDES[0] * force_field.dynamics.kT)
    soft.addPerParticleParameter("sigma")
    sigmas = [force_field.atom_types[name].sigma for name in system.atom_types]
    for sigma in sigmas:
        soft.addParticle([sigma])
    for i, j in system.bonds.tolist():
        soft.addExclusion(i, j)
    soft.setNonbondedMethod(openmm.CustomNonbondedForce.CutoffPeriodic)
    soft.setCutoffDistance(2 ** (1 / 6) * max(sigmas))
    result.addForce(soft)
    return result
