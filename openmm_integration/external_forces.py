"""What a user adds to the System of a learned simulation: forces that act on the beads, and what cannot be."""

from dataclasses import dataclass

import numpy as np
import openmm
import torch
from openmm import unit
from torch import Tensor

from cgplugin.errors import UserError

from .cg_system import CG_BONDS, CoarseSystem

_BAROSTAT = "a learned simulation has a constant box"
_REFUSED = {
    "AndersenThermostat": "the model has the temperature of its training data",
    "DrudeForce": "beads have no Drude particles",
    "MonteCarloAnisotropicBarostat": _BAROSTAT,
    "MonteCarloBarostat": _BAROSTAT,
    "MonteCarloFlexibleBarostat": _BAROSTAT,
    "MonteCarloMembraneBarostat": _BAROSTAT,
    "RPMDMonteCarloBarostat": _BAROSTAT,
}
"""Class of a Force to why it makes no sense; by name, because not every OpenMM has them all."""


@dataclass(frozen=True)
class Additions:
    """What a System has beside beads and CG bonds.

    Attributes
    ----------
    n_forces : int
        Forces of the System, when it was looked at.
    has_forces : bool
        Whether any of them acts on the beads.
    drift_intervals : tuple of int
        Frequency of each CMMotionRemover, in steps.
    """

    n_forces: int
    has_forces: bool
    drift_intervals: tuple[int, ...]

    def removes_drift(self, step: int) -> bool:
        """Whether the learned step that follows ``step`` steps is to be without drift."""
        return any(step % interval == 0 for interval in self.drift_intervals)


def additions_to(system: openmm.System, cg: CoarseSystem) -> Additions:
    """Look at the System of a learned simulation.

    Raises
    ------
    UserError
        If it has something that a learned simulation cannot do: other beads or masses than ``cg``, constraints, virtual sites,
        a barostat, a thermostat.
    """
    _check_beads(system, cg)
    intervals, has_forces = [], False
    for force in system.getForces():
        kind = type(force).__name__
        if kind in _REFUSED:
            raise UserError(f"the System has a {kind}, but {_REFUSED[kind]}: remove it")
        if isinstance(force, openmm.CMMotionRemover):
            intervals.append(force.getFrequency())
        elif force.getName() != CG_BONDS:
            has_forces = True
    return Additions(system.getNumForces(), has_forces, tuple(intervals))


def _check_beads(system: openmm.System, cg: CoarseSystem) -> None:
    n = system.getNumParticles()
    if n != cg.n_beads:
        raise UserError(
            f"the System has {n} particles, the bead system {cg.n_beads}: make the Simulation with cg.system"
        )
    if system.getNumConstraints():
        i, j, _ = system.getConstraintParameters(0)
        raise UserError(f"the System constrains beads {i} and {j}, which a learned simulation cannot: add a restraint")
    for i in range(n):
        if system.isVirtualSite(i):
            raise UserError(
                f"bead {i} is a virtual site, which the model knows nothing of: make the Simulation with cg.system"
            )
    masses = np.array([system.getParticleMass(i).value_in_unit(unit.dalton) for i in range(n)])
    expected = np.concatenate([part.masses for part in cg.parts])
    if len(wrong := np.flatnonzero(~np.isclose(masses, expected, rtol=1e-6))):
        i = int(wrong[0])
        raise UserError(
            f"bead {i} has mass {masses[i]:g} in the System, {expected[i]:g} in the bead system: the model moves beads by "
            "their own mass; to hold one, add a restraint"
        )


class ExternalForces:
    """Forces of a System, over kT, on tentative positions of the beads.

    Parameters
    ----------
    kT : float
        kJ/mol.
    """

    def __init__(self, kT: float) -> None:  # noqa: N803 (as the field writes it)
        self._kT = kT

    def on(self, context: openmm.Context, positions: Tensor, groups: int) -> Tensor:
        """Forces of some force groups over kT, 1/nm, shape (n_beads, 3). Leaves the positions in the Context."""
        context.setPositions(positions.cpu().numpy())
        forces = context.getState(forces=True, groups=groups).getForces(asNumpy=True)
        return torch.from_numpy(forces.value_in_unit(unit.kilojoule_per_mole / unit.nanometer) / self._kT)
