"""The bead-spring force field as an OpenMM System."""

from collections.abc import Sequence

import numpy as np
import openmm

from cgplugin.errors import UserError
from cgplugin.systems.force_field import BeadSpringForceField
from cgplugin.systems.molecular_system import MolecularSystem

FORCE_GROUPS = {"bond": 0, "angle": 1, "pair": 2}
"""Force group of each term of the energy."""

_PAIR_ENERGY = (
    "4*epsilon*((sigma/r)^12 - (sigma/r)^6 - shift);"
    "shift = (sigma/cutoff)^12 - (sigma/cutoff)^6;"
    "sigma = 0.5*(sigma1 + sigma2); epsilon = sqrt(epsilon1*epsilon2)"
)


def create_system(force_field: BeadSpringForceField, systems: Sequence[MolecularSystem]) -> openmm.System:
    """Force field of one or many molecules as one non-periodic System.

    Pairs interact by a Lennard-Jones potential that is cut at ``force_field.cutoff`` and shifted to zero there, except for
    directly bonded ones. The energy terms have the force groups `FORCE_GROUPS`.

    Nothing here keeps the molecules apart: those that come closer than the cutoff do interact. Independent molecules share
    a Context through `PackedChains`, which keeps them out of each other's reach. (An interaction group per molecule, or a
    comparison of molecule numbers in the pair energy, would separate overlapping ones, at 2.5 and 5 times the cost for 20
    chains; see ``benchmarks/generate``.)

    Parameters
    ----------
    force_field : BeadSpringForceField
    systems : sequence of MolecularSystem
        Their atoms follow each other.

    Raises
    ------
    UserError
        If an atom has a type that the force field does not have.
    """
    if not np.isfinite(force_field.cutoff):
        raise UserError(f"{force_field.source}: the entry 'cutoff' of 'pair' is missing")
    result = openmm.System()
    bond = openmm.HarmonicBondForce()
    angle = openmm.CustomAngleForce("k*(1 + cos(theta))")
    angle.addPerAngleParameter("k")
    pair = openmm.CustomNonbondedForce(_PAIR_ENERGY)
    pair.addGlobalParameter("cutoff", force_field.cutoff)
    pair.addPerParticleParameter("sigma")
    pair.addPerParticleParameter("epsilon")
    pair.setNonbondedMethod(openmm.CustomNonbondedForce.CutoffNonPeriodic)
    pair.setCutoffDistance(force_field.cutoff)
    first = 0
    for system in systems:
        force_field.check_types(system)
        for name, mass in zip(system.atom_types, system.masses.tolist(), strict=True):
            kind = force_field.atom_types[name]
            result.addParticle(mass)
            pair.addParticle([kind.sigma, kind.epsilon])
        for i, j in (system.bonds + first).tolist():
            # LAMMPS' K (r - r0)^2 has no factor 1/2
            bond.addBond(i, j, force_field.bond_r0, 2 * force_field.bond_k)
            pair.addExclusion(i, j)
        for i, j, k in force_field.backbone_angles(system).tolist():
            angle.addAngle(i + first, j + first, k + first, [force_field.angle_k[system.atom_types[j]]])
        first += system.n_atoms
    for force, name in ((bond, "bond"), (angle, "angle"), (pair, "pair")):
        force.setForceGroup(FORCE_GROUPS[name])
        result.addForce(force)
    return result


def energy_terms(context: openmm.Context) -> dict[str, float]:
    """Bond, angle and pair energy of a Context of such a System, kJ/mol."""
    return {
        name: context.getState(energy=True, groups={group}).getPotentialEnergy()._value
        for name, group in FORCE_GROUPS.items()
    }
