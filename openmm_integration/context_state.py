"""The learned state between two calls of ``step``: in the Context and in variables of its integrator.

Checkpoints and states of OpenMM hold both, hence all that a run needs to go on.
"""

import gc
from dataclasses import replace
from hashlib import blake2b

import numpy as np
import openmm
import torch
from numpy.typing import NDArray
from openmm import unit

from cgplugin.learned.simulator import LearnedState

EXACT_PLATFORMS = ("CPU", "Reference")
"""Those that keep positions in double precision."""

TOLERANCE = 1e-6
"""nm, absolute and relative: within it, other platforms give back the positions that they were given."""

_FINGERPRINT = "history_fingerprint"


class ContextState:
    """Writes learned states into a Context and finds them again.

    The Context has positions (unwrapped), velocities (the latest displacement over the time step), time and step count. The
    displacements are in per-DOF variables of the integrator, ``history0`` (the latest), ``history1``, ...; a global variable has
    their fingerprint. It tells at the cost of one number whether the displacements are still those of the state that was written
    last, whatever was loaded meanwhile: reading per-DOF variables takes 0.5 ms for 900 beads.

    Parameters
    ----------
    integrator : openmm.CustomIntegrator
        Gets the variables.
    n_history : int
        Displacements of a state.
    time_step : float
        ps per step.
    """

    def __init__(self, integrator: openmm.CustomIntegrator, n_history: int, time_step: float) -> None:
        self._n_history, self._time_step = n_history, time_step
        self._known: LearnedState | None = None
        self._known_positions: NDArray[np.float64] | None = None
        self._known_fingerprint = 0.0
        integrator.addGlobalVariable(_FINGERPRINT, 0)
        for n in range(n_history):
            integrator.addPerDofVariable(f"history{n}", 0)

    def write(self, integrator: openmm.CustomIntegrator, context: openmm.Context, state: LearnedState) -> None:
        """Write a state; the time moves on by as many steps as the step count."""
        positions, displacements = state.positions.cpu().numpy(), state.displacements.cpu().numpy()
        context.setPositions(positions)
        context.setVelocities(displacements[:, 0] / self._time_step)
        for n in range(self._n_history):
            integrator.setPerDofVariableByName(f"history{n}", displacements[:, n])
        self._known, self._known_positions = state, positions
        self._known_fingerprint = _fingerprint(displacements)
        integrator.setGlobalVariableByName(_FINGERPRINT, self._known_fingerprint)
        time = context.getTime().value_in_unit(unit.picosecond)
        # step by step, so that the time is the same to the last bit however a run is divided
        for _ in range(state.step - context.getStepCount()):
            time += self._time_step
        context.setTime(time)
        context.setStepCount(state.step)

    def read(
        self, integrator: openmm.CustomIntegrator, context: openmm.Context, positions: NDArray[np.float64]
    ) -> LearnedState | None:
        """State of a Context that has these positions; None if it has no displacements.

        Where nothing was changed since, it is the one that was written last, bit by bit. Positions, displacements and step count
        that were set or loaded meanwhile count.
        """
        fingerprint = integrator.getGlobalVariableByName(_FINGERPRINT)
        if not fingerprint:
            return None
        known, step = self._known, context.getStepCount()
        if (
            known is not None
            and self._known_positions is not None
            and fingerprint == self._known_fingerprint
            and _same(self._known_positions, positions, context.getPlatform().getName() in EXACT_PLATFORMS)
        ):
            return replace(known, step=step)
        columns = [integrator.getPerDofVariableByName(f"history{n}") for n in range(self._n_history)]
        displacements = np.stack([np.array([tuple(row) for row in column]) for column in columns], axis=1)
        # a new Context, or one that was reinitialised without its state, has zeros and the integrator's old fingerprint
        if not displacements.any() and fingerprint != _fingerprint(displacements):
            return None
        return LearnedState(torch.tensor(positions), torch.from_numpy(displacements), step)


def _fingerprint(displacements: NDArray[np.float64]) -> float:
    """Positive number below 2^49, which a double holds exactly, that equal displacements have in common."""
    digest = blake2b(np.ascontiguousarray(displacements).data, digest_size=6).digest()
    return 1.0 + int.from_bytes(digest, "little")


def _same(known: NDArray[np.float64], found: NDArray[np.float64], exactly: bool) -> bool:
    if exactly:
        return np.array_equal(known, found)
    return known.shape == found.shape and bool(np.allclose(known, found, rtol=TOLERANCE, atol=TOLERANCE))


def find_context(integrator: openmm.Integrator) -> openmm.Context | None:
    """The Context that an integrator is bound to.

    OpenMM's Context keeps its integrator, but the integrator cannot be asked for its Context: it is looked up among the
    objects that refer to the integrator.
    """
    for holder in gc.get_referrers(integrator):
        owners = gc.get_referrers(holder) if isinstance(holder, dict) else [holder]
        for owner in owners:
            if isinstance(owner, openmm.Context) and getattr(owner, "_integrator", None) is integrator:
                return owner
    return None
