"""The only place that touches ``torch.jit``, which is deprecated upstream and will change."""

import io
import json
import os
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cgplugin.errors import UserError, one_line
from cgplugin.files import replacing

_HEADER = "cgplugin.json"


def save(module: nn.Module, description: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Script a module and write it with its JSON description in one file, whole or not at all."""
    with warnings.catch_warnings(), replacing(path) as temporary:
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.script(module.eval())
        torch.jit.save(scripted, str(temporary), _extra_files={_HEADER: json.dumps(description, indent=1)})


def load(path: str | os.PathLike[str], device: str = "cpu") -> tuple[Any, dict[str, Any]]:
    """Read a module and its description.

    Raises
    ------
    UserError
        If the file is missing, is not TorchScript or has no description of ours.
    """
    extra = {_HEADER: ""}
    try:
        with Path(path).open("rb"), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            module = torch.jit.load(str(path), map_location=device, _extra_files=extra)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (RuntimeError, OSError, ValueError) as error:
        raise UserError(f"{path}: not a model of cgplugin ({one_line(error)[:120]})") from error
    try:
        description = json.loads(extra[_HEADER])
    except json.JSONDecodeError:
        raise UserError(f"{path}: a TorchScript file, but not a model of cgplugin (it lacks {_HEADER})") from None
    return module, description


def for_inference(module: Any, keep: list[str]) -> Any:
    """Freeze a loaded module: its weights become constants and its calls are inlined; ``keep`` names further methods."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.freeze(module.eval(), preserved_attrs=keep)


def compiled(module: nn.Module) -> Any:
    """Script a module, its sub-modules that were loaded from files included."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(module.eval())


def to_bytes(scripted: Any) -> bytes:
    """A scripted module as the content of a TorchScript file."""
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(scripted, stream)
    return stream.getvalue()


def from_bytes(content: bytes) -> Any:
    """Inverse of `to_bytes`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.load(io.BytesIO(content))
