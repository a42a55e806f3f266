"""The two forces of OpenMM that can run a scripted step: ``PythonForce``, and ``TorchForce`` of openmm-torch."""

from collections.abc import Callable
from typing import Any, Literal, get_args

import openmm
import torch

from cgplugin.errors import UserError, one_line
from cgplugin.learned import torchscript

Engine = Literal["python", "torch"]


class StepCallback:
    """Calls a scripted step with the positions of an OpenMM State; what ``PythonForce`` wants.

    It is pickled with the TorchScript file in it, as ``XmlSerializer`` does it, and needs this package where it is read.

    Parameters
    ----------
    step : ScriptModule
        See `openmm_integration.export.step_module.LearnedStep`.
    periodic : bool
        Whether the State will have a box.
    """

    def __init__(self, step: Any, periodic: bool) -> None:
        self._step, self._periodic = step, periodic
        self._call = torchscript.for_inference(step, [])

    def __call__(self, state: openmm.State) -> tuple[float, Any]:
        """Energy, and forces of shape (n_particles, 3)."""
        positions = torch.from_numpy(state.getPositions(asNumpy=True)._value)
        box = torch.from_numpy(state.getPeriodicBoxVectors(asNumpy=True)._value) if self._periodic else None
        with torch.inference_mode():
            _, moves = self._call(positions, box)
        return 0.0, moves.numpy()

    def __reduce__(self) -> tuple[Callable[[bytes, bool], "StepCallback"], tuple[bytes, bool]]:
        return _callback_from_bytes, (torchscript.to_bytes(self._step), self._periodic)


def _callback_from_bytes(content: bytes, periodic: bool) -> StepCallback:
    return StepCallback(torchscript.from_bytes(content), periodic)


def step_force(step: Any, engine: Engine, *, periodic: bool) -> openmm.Force:
    """A force whose values are the moves of a scripted step.

    Parameters
    ----------
    step : ScriptModule
        See `openmm_integration.export.step_module.LearnedStep`.
    engine : str
        ``python``: OpenMM's own ``PythonForce``; ``torch``: ``TorchForce``, which needs no Python when it runs.
    periodic : bool
        Whether the step is to see the Context's box.

    Raises
    ------
    UserError
        If the engine is unknown or not installed.
    """
    if engine not in get_args(Engine):
        raise UserError(f"unknown engine {engine!r}: expected one of {', '.join(get_args(Engine))}")
    force = _python_force(step, periodic) if engine == "python" else _torch_force(step)
    force.setUsesPeriodicBoundaryConditions(periodic)
    return force


def _python_force(step: Any, periodic: bool) -> openmm.Force:
    if not hasattr(openmm, "PythonForce"):
        raise UserError(f"OpenMM {openmm.__version__} has no PythonForce: update it, or choose the engine 'torch'")
    return openmm.PythonForce(StepCallback(step, periodic))


def _torch_force(step: Any) -> openmm.Force:
    try:
        import openmmtorch  # type: ignore[import-not-found]
    except ImportError as error:
        raise UserError(
            f"the engine 'torch' needs openmm-torch ({one_line(error)}): see docs/openmm_torch.md, and import torch before openmm"
        ) from error
    force = openmmtorch.TorchForce(step)
    force.setOutputsForces(True)
    return force
