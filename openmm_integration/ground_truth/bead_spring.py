"""The bead-spring force field as an OpenMM System."""

from collections.abc import Sequence

import numpy as np
import openmm
from numpy.typing import NDArray

from cgplugin.errors import UserError
from cgplugin.systems.force_field import COULOMB, BeadSpringForceField
from cgplugin.systems.molecular_system import MolecularSystem

FORCE_GROUPS = {"bond": 0, "angle": 1, "pair": 2, "coulomb": 3, "coulomb_reciprocal": 4}
"""Force group of each term of the energy; Coulomb terms are there where there are charges."""

_LENNARD_JONES = (
    "4*epsilon*((sigma/r)^12 - (sigma/r)^6 - shift);"
    "shift = (sigma/cutoff)^12 - (sigma/cutoff)^6;"
    "sigma = 0.5*(sigma1 + sigma2); epsilon = sqrt(epsilon1*epsilon2)"
)


def create_system(
    force_field: BeadSpringForceField,
    systems: Sequence[MolecularSystem],
    box_vectors: NDArray[np.float64] | None = None,
) -> openmm.System:
    """Force field of one or many systems as one System, periodic where a box is given.

    Pairs interact by a Lennard-Jones potential that is cut at ``force_field.cutoff`` and shifted to zero there, except for
    directly bonded ones. Charges interact by particle-mesh Ewald; of bonded pairs the Ewald sum contains the long-range part,
    erf(alpha r)/r, which OpenMM and LAMMPS subtract again, so that they do not interact at all. The energy terms have the
    force groups `FORCE_GROUPS`.

    Nothing here keeps systems apart: those that come closer than the cutoff do interact. Independent molecules without a box
    share a Context through `PackedChains`, which keeps them out of each other's reach. (An interaction group per molecule, or
    a comparison of molecule numbers in the pair energy, would separate overlapping ones, at 2.5 and 5 times the cost for 20
    chains; see ``benchmarks/generate``.)

    Parameters
    ----------
    force_field : BeadSpringForceField
    systems : sequence of MolecularSystem
        Their atoms follow each other.
    box_vectors : array, shape (3, 3), optional
        nm, rows in reduced form.

    Raises
    ------
    UserError
        If an atom has a type that the force field does not have, or another charge; if there are charges without a box; if
        the box is smaller than twice the longest cutoff or the net charge is not zero.
    """
    if not np.isfinite(force_field.cutoff):
        raise UserError(f"{force_field.source}: the entry 'cutoff' of 'pair' is missing")
    for system in systems:
        force_field.check_charges(system)
        if box_vectors is None and force_field.charges(system).any():
            raise UserError(f"{system.name}: has charges, whose force field needs a periodic box, and no box")
    if box_vectors is not None:
        check_cutoffs_fit(force_field, box_vectors, systems[0].name)
    types = [name for system in systems for name in system.atom_types]
    first_atoms = np.cumsum([0, *(system.n_atoms for system in systems[:-1])])
    bonds = np.concatenate([system.bonds + first for system, first in zip(systems, first_atoms, strict=True)])
    angles = np.concatenate(
        [force_field.backbone_angles(system) + first for system, first in zip(systems, first_atoms, strict=True)]
    )
    forces: dict[str, openmm.Force] = {
        "bond": _bond_force(force_field, bonds),
        "angle": _angle_force(force_field, types, angles),
        "pair": _pair_force(force_field, types, bonds),
    }
    if any(force_field.atom_types[name].charge for name in types):
        forces["coulomb"] = _coulomb_force(force_field, types, bonds)
    result = openmm.System()
    for mass in np.concatenate([system.masses for system in systems]).tolist():
        result.addParticle(mass)
    if box_vectors is not None:
        result.setDefaultPeriodicBoxVectors(*(openmm.Vec3(*row) for row in box_vectors.tolist()))
        forces["bond"].setUsesPeriodicBoundaryConditions(True)
        forces["angle"].setUsesPeriodicBoundaryConditions(True)
        forces["pair"].setNonbondedMethod(openmm.CustomNonbondedForce.CutoffPeriodic)
    for name, force in forces.items():
        force.setForceGroup(FORCE_GROUPS[name])
        result.addForce(force)
    return result


def check_cutoffs_fit(force_field: BeadSpringForceField, box_vectors: NDArray[np.float64], name: str) -> None:
    """Raise a `UserError` where the minimum image of a box in reduced form does not reach as far as the cutoffs."""
    smallest, needed = float(np.diagonal(box_vectors).min()), 2 * force_field.longest_cutoff
    if smallest < needed:
        raise UserError(
            f"{name}: the box is {smallest:.4g} wide, less than twice the cutoff of {force_field.longest_cutoff:g} "
            f"of {force_field.source}: take more molecules"
        )


def energy_terms(context: openmm.Context) -> dict[str, float]:
    """Energy of each term of a Context of such a System, kJ/mol; the keys are those of `FORCE_GROUPS` that it has."""
    charged = any(isinstance(force, openmm.NonbondedForce) for force in context.getSystem().getForces())
    return {
        name: context.getState(energy=True, groups={group}).getPotentialEnergy()._value
        for name, group in FORCE_GROUPS.items()
        if charged or not name.startswith("coulomb")
    }


def _bond_force(force_field: BeadSpringForceField, bonds: NDArray[np.int64]) -> openmm.HarmonicBondForce:
    force = openmm.HarmonicBondForce()
    for i, j in bonds.tolist():
        # LAMMPS' K (r - r0)^2 has no factor 1/2
        force.addBond(i, j, force_field.bond_r0, 2 * force_field.bond_k)
    return force


def _angle_force(
    force_field: BeadSpringForceField, types: Sequence[str], angles: NDArray[np.int64]
) -> openmm.CustomAngleForce:
    force = openmm.CustomAngleForce("k*(1 + cos(theta))")
    force.addPerAngleParameter("k")
    for i, j, k in angles.tolist():
        force.addAngle(i, j, k, [force_field.angle_k[types[j]]])
    return force


def _pair_force(
    force_field: BeadSpringForceField, types: Sequence[str], bonds: NDArray[np.int64]
) -> openmm.CustomNonbondedForce:
    """Lennard-Jones, shifted; without a box until told otherwise.

    A pair of types with an epsilon of its own adds what it differs by from the mixed one, switched on by flags of both types.
    A table over the types would say the same, at 4/5 of the speed on the CPU platform.
    """
    energy = _LENNARD_JONES
    flags: list[tuple[str, str]] = []
    for number, (first, second) in enumerate(force_field.epsilon_overrides):
        if not {first, second} <= set(types):
            continue
        kinds = [force_field.atom_types[name] for name in (first, second)]
        excess = force_field.epsilon(first, second) - np.sqrt(kinds[0].epsilon * kinds[1].epsilon)
        if first == second:
            # its flags match in either order
            excess /= 2
        a, b = f"is_first{number}_", f"is_second{number}_"
        energy += f" + {float(excess)!r}*({a}1*{b}2 + {b}1*{a}2)"
        flags += [(a, first), (b, second)]
    force = openmm.CustomNonbondedForce(energy)
    force.addGlobalParameter("cutoff", force_field.cutoff)
    for parameter in ("sigma", "epsilon", *(parameter for parameter, _ in flags)):
        force.addPerParticleParameter(parameter)
    for name in types:
        kind = force_field.atom_types[name]
        force.addParticle([kind.sigma, kind.epsilon, *(float(name == flagged) for _, flagged in flags)])
    for i, j in bonds.tolist():
        force.addExclusion(i, j)
    force.setNonbondedMethod(openmm.CustomNonbondedForce.CutoffNonPeriodic)
    force.setCutoffDistance(force_field.cutoff)
    return force


def _coulomb_force(
    force_field: BeadSpringForceField, types: Sequence[str], bonds: NDArray[np.int64]
) -> openmm.NonbondedForce:
    """Particle-mesh Ewald of charges that are scaled to the force field's Coulomb constant."""
    coulomb = force_field.coulomb
    assert coulomb is not None
    scale = (coulomb.constant / COULOMB) ** 0.5
    force = openmm.NonbondedForce()
    for name in types:
        force.addParticle(scale * force_field.atom_types[name].charge, 1.0, 0.0)
    for i, j in bonds.tolist():
        force.addException(i, j, 0.0, 1.0, 0.0)
    force.setNonbondedMethod(openmm.NonbondedForce.PME)
    force.setCutoffDistance(coulomb.cutoff)
    force.setEwaldErrorTolerance(coulomb.tolerance)
    force.setUseDispersionCorrection(False)
    force.setReciprocalSpaceForceGroup(FORCE_GROUPS["coulomb_reciprocal"])
    return force
