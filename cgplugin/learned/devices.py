"""Where the networks of a simulation run: on the CPU or on a GPU."""

from typing import Any

import torch
from torch import Tensor

from cgplugin.errors import UserError

from . import torchscript
from .learned_model import LearnedModel

HOST = torch.device("cpu")


def choose_device(name: str | torch.device = "cpu") -> torch.device:
    """Device by its name.

    Parameters
    ----------
    name : str or torch.device
        ``cpu``, ``cuda``, ``cuda:1`` (the second GPU), or ``auto``: the first GPU where there is one, else the CPU.

    Raises
    ------
    UserError
        If the name is unknown, or there is no such GPU here.
    """
    if str(name) == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else HOST
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"unknown device {str(name)!r}: expected cpu, cuda, cuda:N or auto")
    if device.type == "cpu":
        return HOST
    if not torch.cuda.is_available():
        why = (
            "finds no GPU"
            if torch.backends.cuda.is_built()
            else "is a build without CUDA: install the one for your CUDA"
        )
        raise UserError(f"device {str(name)!r} was asked for, but torch {torch.__version__} {why}, or use device cpu")
    number, n_devices = device.index or 0, torch.cuda.device_count()
    if number >= n_devices:
        raise UserError(f"device {str(name)!r} was asked for, but there are {n_devices} GPUs, counted from cuda:0")
    return torch.device("cuda", number)


def model_on(model: LearnedModel, device: torch.device) -> LearnedModel:
    """The model with its networks on a device; they take tensors from wherever they are, and give them there.

    Weights of frozen networks are constants, which cannot be moved: the file is read again.

    Raises
    ------
    UserError
        If the networks are compiled, which is for the CPU alone.
    """
    if device == HOST:
        return model
    if model.compiled:
        raise UserError(f"compiled networks run on the CPU, not on {device}: use device cpu, or leave --compile out")
    module, _ = torchscript.load(model.source, str(device))
    networks = _NetworksOnDevice(torchscript.networks_for_inference(module), device)
    return LearnedModel(networks, model.description, model.source)


class _NetworksOnDevice:
    """Networks that take their arguments to the device where they are."""

    def __init__(self, module: Any, device: torch.device) -> None:
        self._module, self._device = module, device

    def predict(self, *arguments: Any) -> Any:
        return self._module.predict(*map(self._taken, arguments))

    def embed(self, *arguments: Any) -> Any:
        return self._module.embed(*map(self._taken, arguments))

    def estimate_noise(self, *arguments: Any) -> Any:
        return self._module.estimate_noise(*map(self._taken, arguments))

    def _taken(self, argument: Any) -> Any:
        return argument.to(self._device) if isinstance(argument, Tensor) else argument
