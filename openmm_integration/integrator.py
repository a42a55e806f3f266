"""The learned integrator: a trained model as the integrator of an OpenMM Simulation."""

import gc
import itertools
import math
import weakref
from collections.abc import Callable

import numpy as np
import openmm
import torch
from numpy.typing import ArrayLike, NDArray
from openmm import unit

from cgplugin.errors import UserError
from cgplugin.learned.learned_model import LearnedModel
from cgplugin.learned.refinement import Refinement
from cgplugin.learned.simulator import LearnedSimulator, LearnedState, Observation

from .cg_system import CoarseSystem

Observer = Callable[[Observation], None]
"""Called after every learned step."""


class LearnedIntegrator(openmm.CustomIntegrator):
    """Advances beads by a learned model; one step is one learned time step.

    Each step samples the time-integrated acceleration of every bead from the model and integrates it semi-implicitly
    (`cgplugin.learned.simulator.LearnedSimulator`). Between calls of `step`, the Context holds positions (unwrapped), velocities
    (the last displacement divided by the time step), time and step count; the older displacements, which the next step needs
    too, are in the per-DOF variables ``history0`` (the latest), ``history1``, ... of this integrator, so that checkpoints and
    states have them. The noise of step n depends on the seed and n alone. A run that is interrupted
    and resumed from a checkpoint or a state goes on exactly as it would have.

    If positions are changed by hand, the displacements are kept: right after a shift of the whole system, and forgotten by
    the dynamics within ``n_history`` steps otherwise.

    Displacements per step are no thermal velocities. The kinetic energy is therefore zero, and the temperature not defined:
    a ``StateDataReporter`` writes nan. The potential energy is that of the forces in the System.

    Parameters
    ----------
    model : LearnedModel
    cg : CoarseSystem
        The beads; its ``system`` and ``topology`` belong into the same Simulation.
    seed : int
        Of the noise, 0 to 2^31 - 1; also ``setRandomNumberSeed``.
    refinement : Refinement, optional
        Of every step by the model's Score GNN; by default what the model says.

    Attributes
    ----------
    observers : list of callable
        Each is called with an `Observation` after every learned step, whatever the reporters do.

    Raises
    ------
    UserError
        If a part of ``cg`` does not fit the model.

    Examples
    --------
    >>> simulation = app.Simulation(cg.topology, cg.system, LearnedIntegrator(model, cg, seed=1))
    >>> simulation.context.setPositions(cg.positions)
    >>> simulation.step(1000)
    """

    def __init__(
        self, model: LearnedModel, cg: CoarseSystem, *, seed: int = 0, refinement: Refinement | None = None
    ) -> None:
        super().__init__(model.time_step * unit.picosecond)
        if not 0 <= seed < 2**31:
            raise UserError(f"seed is {seed}, expected an integer from 0 to {2**31 - 1}")
        self.setRandomNumberSeed(seed)
        self.model = model
        self.cg = cg
        boxes = [cg.box_of(part) for part in range(len(cg.parts))]
        self.simulator = LearnedSimulator(model, cg.parts, seed=seed, box_vectors=boxes, refinement=refinement)
        self.observers: list[Observer] = []
        self.addGlobalVariable("has_history", 0)
        for n in range(model.n_history):
            self.addPerDofVariable(f"history{n}", 0)
        # Only runs where our `step` is bypassed (CompoundIntegrator, a copy made by XmlSerializer): without the model
        # there is nothing to do, and NaN makes OpenMM stop instead of reporting a system at rest.
        # (A constant NaN such as 0/0 would send OpenMM's optimiser of expressions into an endless loop.)
        self.addGlobalVariable("without_model", -1)
        self.addComputePerDof("x", "x*sqrt(without_model)")
        # The velocities are displacements per step, and half m v^2 of them would look like a thermal energy.
        self.setKineticEnergyExpression("0")
        self._context: weakref.ref[openmm.Context] | None = None
        self._state: LearnedState | None = None

    def step(self, steps: int) -> None:
        """Advance the simulation by a number of learned time steps.

        Raises
        ------
        UserError
            If the displacements before the first step are not known (see `set_history`), or the Context's box was changed.
        cgplugin.learned.simulator.SimulationDivergedError
            If a position is no longer finite. The Context keeps the last state that was reported.
        """
        context = self._find_context()
        state = self._read(context)
        self.simulator.seed = self.getRandomNumberSeed()
        for _ in range(int(steps)):
            observation = self.simulator.step(state)
            for observer in self.observers:
                observer(observation)
            state = observation.state
        self._write(context, state, steps)

    def computeSystemTemperature(self) -> unit.Quantity:  # noqa: N802 (StateDataReporter asks for it)
        """NaN: the velocities are no thermal ones."""
        return math.nan * unit.kelvin

    def set_history(self, frames: ArrayLike) -> None:
        """Set positions and displacements of the Context from frames one learned time step apart.

        Parameters
        ----------
        frames : array, shape (n_history + 1, n_beads, 3)
            nm, unwrapped, the latest last.
        """
        context = self._find_context()
        start = self._start_state(np.asarray(frames, dtype=np.float64))
        state = LearnedState(start.positions, start.displacements, context.getStepCount())
        self._write(context, state, 0)

    def _start_state(self, frames: NDArray[np.float64]) -> LearnedState:
        offsets = self.cg.offsets
        parts = [frames[:, a:b] for a, b in itertools.pairwise(offsets)]
        return self.simulator.start(parts)

    def _read(self, context: openmm.Context) -> LearnedState:
        """State of the Context; the tensors of the last call where nothing has changed since."""
        found = context.getState(positions=True)
        positions = found.getPositions(asNumpy=True)._value
        self._check_box(found)
        n_done = context.getStepCount()
        known = self._state
        has_history = self.getGlobalVariableByName("has_history") > 0
        if known is not None and has_history and known.step == n_done and _close(known.positions.numpy(), positions):
            return known
        if has_history:
            columns = [self.getPerDofVariableByName(f"history{n}") for n in range(self.model.n_history)]
            history = np.stack(
                [np.array([tuple(row) for row in column], dtype=np.float64) for column in columns], axis=1
            )
            return LearnedState(torch.tensor(positions), torch.tensor(history), n_done)
        frames = self.cg.start_frames
        if frames is None:
            raise UserError(
                "the integrator needs the last displacements of the beads: give the bead system start frames, or call "
                "set_history(frames)"
            )
        start = self._start_state(frames)
        return LearnedState(torch.tensor(positions), start.displacements, n_done)

    def _check_box(self, found: openmm.State) -> None:
        box = self.cg.common_box
        if box is None:
            return
        now = found.getPeriodicBoxVectors(asNumpy=True)._value
        if not np.allclose(now, box, rtol=1e-5, atol=1e-5):
            raise UserError(
                f"the Context's box is ({', '.join(f'{x:g}' for x in np.diagonal(now))}) nm, that of the bead system "
                f"({', '.join(f'{x:g}' for x in np.diagonal(box))}) nm: a learned simulation has a constant box; make a "
                "CoarseSystem with the new one"
            )

    def _write(self, context: openmm.Context, state: LearnedState, steps: int) -> None:
        positions, history = state.positions.numpy(), state.displacements.numpy()
        context.setPositions(positions)
        context.setVelocities(history[:, 0] / self.model.time_step)
        for n in range(self.model.n_history):
            self.setPerDofVariableByName(f"history{n}", history[:, n])
        self.setGlobalVariableByName("has_history", 1)
        if steps:
            context.setTime(context.getTime() + steps * self.getStepSize())
            context.setStepCount(state.step)
        self._state = state

    def _find_context(self) -> openmm.Context:
        """The Context that this integrator is bound to.

        OpenMM's Context keeps its integrator, but the integrator cannot be asked for its Context: it is looked up among
        the objects that refer to us, once.
        """
        context = self._context() if self._context is not None else None
        if context is not None and getattr(context, "_integrator", None) is self:
            return context
        for holder in gc.get_referrers(self):
            owners = gc.get_referrers(holder) if isinstance(holder, dict) else [holder]
            for owner in owners:
                if isinstance(owner, openmm.Context) and getattr(owner, "_integrator", None) is self:
                    self._context = weakref.ref(owner)
                    return owner
        raise UserError(
            "this LearnedIntegrator is not bound to a Context: make a Simulation or a Context with it first"
        )


def _close(known: NDArray[np.float64], found: NDArray[np.float64]) -> bool:
    """Whether positions are the same but for the single precision of a GPU platform."""
    return known.shape == found.shape and bool(np.allclose(known, found, rtol=1e-6, atol=1e-6))
