"""A learned simulation made of stock parts of OpenMM: a System with one force and a ``CustomIntegrator``."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openmm
from openmm import app, unit

from cgplugin.errors import UserError
from cgplugin.files import replacing, write_text
from cgplugin.learned import torchscript
from cgplugin.learned.learned_model import LearnedModel
from cgplugin.learned.refinement import Refinement
from cgplugin.learned.simulator import LearnedSimulator
from openmm_integration.cg_system import CoarseSystem
from openmm_integration.topology import write_pdb

from .engines import Engine, step_force
from .layout import Layout
from .step_module import learned_step

STEP_GROUP = 1
"""Force group of the learned step: the integrator knows this one alone, so that no other force is taken for a move."""

HELPER_MASS = 1e-6
"""g/mol, of the particles that are not beads: what has no mass is not moved, and they are not to count in a density."""


@dataclass(frozen=True)
class ExportedSimulation:
    """A learned simulation that runs without a `LearnedIntegrator`; see `export_simulation`.

    Attributes
    ----------
    topology : app.Topology
        Of the beads alone. A reporter of positions needs ``atomSubset=simulation.layout.beads``; without it, it stops at
        the first frame, since the System has more particles.
    system : openmm.System
    integrator : openmm.CustomIntegrator
        Its global variable ``noise`` is 1; 0 makes every step the most likely one.
    layout : Layout
        What the particles of the System are.
    positions : Quantity, shape (n_particles, 3)
        Where to start.
    step : ScriptModule
        What the force calls.
    """

    topology: app.Topology
    system: openmm.System
    integrator: openmm.CustomIntegrator
    layout: Layout
    positions: unit.Quantity = field(repr=False)
    step: Any = field(repr=False)

    def simulation(self, platform: str = "CPU") -> app.Simulation:
        """Make an ``app.Simulation`` at the start."""
        made = app.Simulation(self.topology, self.system, self.integrator, openmm.Platform.getPlatformByName(platform))
        made.context.setPositions(self.positions)
        return made

    def save(self, directory: str | os.PathLike[str]) -> Path:
        """Write ``system.xml``, ``integrator.xml``, ``state.xml`` (the start), ``topology.pdb`` (the beads) and ``step.pt``.

        ``system.xml`` holds what is in ``step.pt`` too; the latter is for programs that make the force themselves.

        Raises
        ------
        UserError
            If a file cannot be written.
        """
        folder = Path(directory)
        copied = openmm.XmlSerializer.clone(self.integrator)
        context = openmm.Context(self.system, copied, openmm.Platform.getPlatformByName("Reference"))
        context.setPositions(self.positions)
        state = context.getState(positions=True, velocities=True, parameters=True, integratorParameters=True)
        with replacing(folder / "step.pt") as temporary:
            temporary.write_bytes(torchscript.to_bytes(self.step))
        for name, part in (("system", self.system), ("integrator", self.integrator), ("state", state)):
            write_text(folder / f"{name}.xml", openmm.XmlSerializer.serialize(part))
        beads = self.positions.value_in_unit(unit.nanometer)[: self.layout.n_beads]
        write_pdb(folder / "topology.pdb", self.topology, beads)
        return folder


def export_simulation(
    model: LearnedModel,
    cg: CoarseSystem,
    *,
    engine: Engine = "python",
    seed: int = 1,
    refinement: Refinement | None = None,
) -> ExportedSimulation:
    """Make a learned simulation out of stock parts of OpenMM, which `openmm.XmlSerializer` writes and any OpenMM program runs.

    The System holds copies of the beads (`Layout`) and one force, whose values are the moves of a whole step: neighbour
    search, network, noise and refinement. The integrator draws normal numbers and adds the moves; a step is one evaluation
    of the force. Its random numbers are OpenMM's own, hence not those of a `LearnedIntegrator` with the same seed.

    Parameters
    ----------
    model : LearnedModel
    cg : CoarseSystem
        One system with start frames, as ``learned_simulation(...).integrator.cg`` or `openmm_integration.simulation.prepare`
        give it.
    engine : str
        ``python``: OpenMM's ``PythonForce``; ``torch``: ``TorchForce`` of openmm-torch.
    seed : int
        Of the noise, from 1; later ``integrator.setRandomNumberSeed``, before a Context is made.
    refinement : Refinement, optional
        By default what the model says.

    Raises
    ------
    UserError
        If there is more than one system or no start frame, the model does not fit, or its refinement cannot be exported.

    Examples
    --------
    >>> exported = export_simulation(model, cg, seed=3)
    >>> simulation = exported.simulation()
    >>> simulation.reporters.append(app.DCDReporter("long.dcd", 10, atomSubset=exported.layout.beads))
    >>> simulation.step(1000)
    """
    if len(cg.parts) != 1:
        raise UserError(f"{len(cg.parts)} systems to export, expected one: export them one by one")
    if not 1 <= seed < 2**31:
        raise UserError(f"seed is {seed}, expected an integer from 1 to {2**31 - 1} (0 makes OpenMM choose one)")
    if cg.start_frames is None:
        raise UserError(
            f"{cg.parts[0].system.name}: an export needs the first frames: give the bead system start frames"
        )
    # checks what it is given, and makes the very state that a LearnedIntegrator would start from
    simulator = LearnedSimulator(model, cg.parts, box_vectors=[cg.box_of(0)], refinement=refinement)
    start = simulator.start([cg.start_frames])
    layout = Layout(cg.n_beads, model.n_history, 1 + simulator.refinement.n_normal)
    step = learned_step(model, cg.parts[0], layout, cg.box_of(0), simulator.refinement)
    force = step_force(step, engine, periodic=cg.common_box is not None)
    force.setForceGroup(STEP_GROUP)
    system = openmm.XmlSerializer.clone(cg.system)
    for _ in range(layout.n_particles - layout.n_beads):
        system.addParticle(HELPER_MASS)
    system.addForce(force)
    return ExportedSimulation(
        cg.topology,
        system,
        learned_steps(layout, model.time_step, seed),
        layout,
        unit.Quantity(layout.positions(start), unit.nanometer),
        step,
    )


def learned_steps(layout: Layout, time_step: float, seed: int) -> openmm.CustomIntegrator:
    """The integrator: draws normal numbers xi, moves every particle by its force, and sets the velocities that this makes.

    xi <- gaussian;  x <- x + f(x, xi);  v <- f / time_step.

    Parameters
    ----------
    layout : Layout
    time_step : float
        ps.
    seed : int
    """
    integrator = openmm.CustomIntegrator(time_step * unit.picosecond)
    integrator.setRandomNumberSeed(seed)
    integrator.addGlobalVariable("noise", 1)
    integrator.addPerDofVariable("is_normal", 0)
    integrator.setPerDofVariableByName(
        "is_normal", [openmm.Vec3(n, n, n) for n in layout.is_normal.astype(float).tolist()]
    )
    integrator.addComputePerDof("x", "select(is_normal, noise*gaussian, x)")
    integrator.addComputePerDof("v", f"f{STEP_GROUP}/dt")
    integrator.addComputePerDof("x", f"x+f{STEP_GROUP}")
    # velocities are displacements per step, and half m v^2 of them would look like a thermal energy
    integrator.setKineticEnergyExpression("0")
    return integrator
