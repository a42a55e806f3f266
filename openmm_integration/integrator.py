"""The learned integrator: a trained model as the integrator of an OpenMM Simulation."""

import itertools
import math
import weakref
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import openmm
import torch
from numpy.typing import ArrayLike, NDArray
from openmm import unit
from torch import Tensor

from cgplugin.errors import UserError
from cgplugin.learned.devices import HOST
from cgplugin.learned.learned_model import LearnedModel
from cgplugin.learned.refinement import Refinement
from cgplugin.learned.simulator import LearnedSimulator, LearnedState, Observation
from cgplugin.units import BOLTZMANN

from .cg_system import CoarseSystem
from .context_state import ContextState, find_context
from .drift import DriftRemover
from .external_forces import Additions, ExternalForces, additions_to

Observer = Callable[[Observation], None]
"""Called after every learned step."""

_WITHOUT_MODEL = (
    "this LearnedIntegrator has lost its model, as in a CompoundIntegrator or after XmlSerializer: make a Simulation with "
    "LearnedIntegrator(model, cg) itself"
)


class LearnedIntegrator(openmm.CustomIntegrator):
    """Advances beads by a learned model; one step is one learned time step.

    Each step samples the time-integrated acceleration of every bead from the model and integrates it semi-implicitly
    (`cgplugin.learned.simulator.LearnedSimulator`). Between calls of `step`, the Context holds positions (unwrapped), velocities
    (the last displacement divided by the time step), time and step count; the displacements, which the next step needs too, are
    in the per-DOF variables ``history0`` (the latest), ``history1``, ... of this integrator, so that checkpoints and states have
    them. The noise of step n depends on the seed and n alone. A run that is interrupted and resumed from a checkpoint or a
    state, in the same process or in a new one that makes the integrator with the same seed, goes on exactly as it would have.
    (Bit by bit on the CPU and the Reference platform; on a GPU but for the rounding of the positions that the platform stores.)

    What is changed by hand between two calls:

    - Positions: the displacements are kept; right after a shift of the whole system, and forgotten by the dynamics within
      ``n_history`` steps otherwise. `set_history` sets both.
    - Velocities (``setVelocitiesToTemperature`` too) are output: they have no effect, and the next step overwrites them.
    - The step count names the noise of the next step; the time is only counted on. ``setRandomNumberSeed`` changes the noise from
      the next step on; checkpoints do not hold the seed, so that runs can branch.
    - ``context.reinitialize(preserveState=True)`` changes nothing. Without ``preserveState`` the displacements are lost as the
      positions are, and those of the bead system's start frames take their place, as in a new Context.
    - ``minimizeEnergy`` minimises the energy of the user's forces (below): the model has none. Without any it does nothing.
    - The box, the step size, masses, constraints and virtual sites must stay as they are.

    Forces that were added to the System act on the beads. In each step the mean displacement gets the drift D F dt / kT, where F
    are the forces at the present positions and 2 D dt is the covariance of the noise that the model predicts for this step
    (Einstein's relation: a bead is as mobile as its random motion says). For independent noise of variance s^2 that is
    s^2 F / 2kT. A step must be short on the scale of the forces: in a well of spring constant k the stationary variance is
    (kT / k) / (1 - k s^2 / 4kT). The drift is part of the displacement, hence of what the model remembers: where a fraction r of
    a displacement is carried over to the next, beads drift 1 / (1 - r) as far in the long run, and diffuse 1 / (1 - r)^2 as fast.
    Chains of models/polymer.pt in a weak constant field drift at 0.9 of what Einstein's relation says of their diffusion.
    Forces cost an evaluation by OpenMM in each learned step; a System without any costs nothing.

    With an ``openmm.CMMotionRemover`` of frequency f in the System, every f-th step is without displacement of the centre of mass
    of each part; the beads keep their displacements relative to it.

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
    temperature : float, optional
        K; for forces in the System. By default that of the force field of the training data. The attribute may be set until
        the first step.
    device : str or torch.device
        Where the networks run: ``cpu``, ``cuda``, ``cuda:1``, ... or ``auto``.

    Attributes
    ----------
    observers : list of callable
        Each is called with an `Observation` after every learned step, whatever the reporters do.

    Raises
    ------
    UserError
        If a part of ``cg`` does not fit the model, or a number makes no sense.

    Examples
    --------
    >>> simulation = app.Simulation(cg.topology, cg.system, LearnedIntegrator(model, cg, seed=1))
    >>> simulation.context.setPositions(cg.positions)
    >>> simulation.step(1000)

    A wall, added to a simulation that is there already:

    >>> wall = openmm.CustomExternalForce("100*max(0, z - 20)^2")
    >>> for bead in range(cg.n_beads):
    ...     wall.addParticle(bead)
    >>> simulation.system.addForce(wall)
    >>> simulation.context.reinitialize(preserveState=True)
    """

    def __init__(
        self,
        model: LearnedModel,
        cg: CoarseSystem,
        *,
        seed: int = 0,
        refinement: Refinement | None = None,
        temperature: float | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        super().__init__(model.time_step * unit.picosecond)
        if not 0 <= seed < 2**31:
            raise UserError(f"seed is {seed}, expected an integer from 0 to {2**31 - 1}")
        if temperature is not None and not 0 < temperature < math.inf:
            raise UserError(f"the temperature is {temperature:g} K, expected a positive one")
        self.setRandomNumberSeed(seed)
        self.model = model
        self.cg = cg
        self.temperature = temperature
        boxes = [cg.box_of(part) for part in range(len(cg.parts))]
        self.simulator = LearnedSimulator(
            model, cg.parts, seed=seed, box_vectors=boxes, refinement=refinement, device=device
        )
        self.observers: list[Observer] = []
        self._kept = ContextState(self, model.n_history, model.time_step)
        self._refuse_to_run_without_model()
        # The velocities are displacements per step, and half m v^2 of them would look like a thermal energy.
        self.setKineticEnergyExpression("0")
        self._context: weakref.ref[openmm.Context] | None = None
        self._additions: Additions | None = None
        self._forces: ExternalForces | None = None
        self._drift = DriftRemover(cg)

    def step(self, steps: int) -> None:
        """Advance the simulation by a number of learned time steps.

        Raises
        ------
        UserError
            If the displacements before the first step are not known (see `set_history`), the Context's box was changed, or
            the System has something that a learned simulation cannot do (see `external_forces.additions_to`).
        cgplugin.learned.simulator.SimulationDivergedError
            If a position is no longer finite. The Context keeps the last state that was reported.
        """
        context = self._find_context()
        additions = self._look_at_system(context)
        before = state = self._read(context)
        self.simulator.seed = self.getRandomNumberSeed()
        try:
            for _ in range(int(steps)):
                observation = self.simulator.step(state, self._force_on(context, state))
                if additions.removes_drift(state.step):
                    observation = self._drift.without_drift(state, observation)
                if self.observers:
                    on_host = observation.to(HOST)
                    for observer in self.observers:
                        observer(on_host)
                state = observation.state
        except BaseException:
            # forces were evaluated at positions on the way
            if self._forces is not None:
                context.setPositions(before.positions.cpu().numpy())
            raise
        self._kept.write(self, context, state)

    def computeSystemTemperature(self) -> unit.Quantity:  # noqa: N802 (StateDataReporter asks for it)
        """NaN: the velocities are no thermal ones."""
        return math.nan * unit.kelvin

    def setStepSize(self, size: Any) -> None:  # noqa: N802 (as OpenMM has it)
        """Refuse any step but the model's.

        Raises
        ------
        UserError
            If it is another one.
        """
        picoseconds = size.value_in_unit(unit.picosecond) if unit.is_quantity(size) else size
        if not math.isclose(picoseconds, self.model.time_step, rel_tol=1e-9):
            raise UserError(
                f"step size of {picoseconds:g} ps, but {self.model.source} was trained for steps of "
                f"{self.model.time_step:g} ps: train a model with another --time-step"
            )

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
        self._kept.write(self, context, state)

    def __copy__(self) -> NoReturn:
        raise UserError(
            "a LearnedIntegrator cannot be copied or pickled: make another with LearnedIntegrator(model, cg)"
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> NoReturn:
        self.__copy__()

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        self.__copy__()

    def _refuse_to_run_without_model(self) -> None:
        """Make OpenMM's own step, which runs where ours is bypassed, end in an error.

        OpenMM keeps the C++ part alone in a CompoundIntegrator or after XmlSerializer. Reference and CPU platform refuse a
        computation whose target they do not know, and say its name. Others skip it: there, positions that are not a number
        stop a simulation. (A constant NaN such as 0/0 would send OpenMM's optimiser of expressions into an endless loop.)
        """
        self.addComputePerDof(_WITHOUT_MODEL, "0")
        self.addGlobalVariable("without_model", -1)
        self.addComputePerDof("x", "x*sqrt(without_model)")

    def _look_at_system(self, context: openmm.Context) -> Additions:
        """What the System has beside the beads; looked at anew only where a Force was added or taken away."""
        system = context.getSystem()
        if self._additions is None or self._additions.n_forces != system.getNumForces():
            self._additions = additions_to(system, self.cg)
            self._forces = ExternalForces(self._thermal_energy()) if self._additions.has_forces else None
        return self._additions

    def _thermal_energy(self) -> float:
        """Thermal energy kT of the learned dynamics, kJ/mol."""
        if not self.model.description.networks.get("stochastic", True):
            raise UserError(
                f"{self.model.source} has no noise, hence no mobility with which a force could move beads: remove the forces "
                "from the System, or train a model without --no-stochastic"
            )
        if self.temperature is not None:
            return BOLTZMANN * self.temperature
        force_field = self.model.force_field
        if force_field is None:
            raise UserError(
                f"forces move beads according to the temperature, which {self.model.source} does not know: give "
                "LearnedIntegrator the temperature (K) of its training data"
            )
        return force_field.dynamics.kT

    def _force_on(self, context: openmm.Context, state: LearnedState) -> Tensor | None:
        """Forces over kT on the beads, 1/nm; None where the System has no forces."""
        if self._forces is None:
            return None
        return self._forces.on(context, state.positions, self.getIntegrationForceGroups())

    def _start_state(self, frames: NDArray[np.float64]) -> LearnedState:
        offsets = self.cg.offsets
        parts = [frames[:, a:b] for a, b in itertools.pairwise(offsets)]
        return self.simulator.start(parts)

    def _read(self, context: openmm.Context) -> LearnedState:
        """State of the Context, with the displacements of the start frames where it has none."""
        found = context.getState(positions=True)
        self._check_box(found, context)
        positions = found.getPositions(asNumpy=True)._value
        state = self._kept.read(self, context, positions)
        if state is not None:
            return state
        frames = self.cg.start_frames
        if frames is None:
            raise UserError(
                "the integrator needs the last displacements of the beads: give the bead system start frames, or call "
                "set_history(frames)"
            )
        return LearnedState(torch.tensor(positions), self._start_state(frames).displacements, context.getStepCount())

    def _check_box(self, found: openmm.State, context: openmm.Context) -> None:
        """A Context always has a box, which has a meaning only where all parts have it in common."""
        box = self.cg.common_box
        if box is None:
            default = context.getSystem().getDefaultPeriodicBoxVectors()
            box = np.array([row.value_in_unit(unit.nanometer) for row in default])
        now = found.getPeriodicBoxVectors(asNumpy=True)._value
        # the quick answer first: what a call of `step` costs beside the model counts
        if not np.array_equal(now, box) and not np.allclose(now, box, rtol=1e-5, atol=1e-5):
            raise UserError(
                f"the Context's box is ({', '.join(f'{x:g}' for x in np.diagonal(now))}) nm, that of the bead system "
                f"({', '.join(f'{x:g}' for x in np.diagonal(box))}) nm: a learned simulation has a constant box; make a "
                "CoarseSystem with the new one"
            )

    def _find_context(self) -> openmm.Context:
        """The Context that this integrator is bound to, looked up once."""
        context = self._context() if self._context is not None else None
        if context is not None and getattr(context, "_integrator", None) is self:
            return context
        context = find_context(self)
        if context is None:
            raise UserError(
                "this LearnedIntegrator is not bound to a Context: make a Simulation or a Context with it first"
            )
        self._context = weakref.ref(context)
        self._additions = None
        return context
