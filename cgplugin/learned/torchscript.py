"""The only place that touches ``torch.jit``, which is deprecated upstream and will change."""

import io
import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cgplugin.errors import UserError, one_line
from cgplugin.files import replacing

from .model_archive import HEADER, checked_archive

FORBIDDEN_OPERATORS = frozenset({"aten::save", "aten::from_file"})
"""Those of aten that write or map a file. Its thousands of others compute, or print."""

ALLOWED_PRIMITIVES = frozenset(
    f"prim::{name}"
    for name in (
        "Constant", "DictConstruct", "GetAttr", "If", "ListConstruct", "ListUnpack", "Loop", "NumToTensor", "RaiseException",
        "TupleConstruct", "TupleIndex", "TupleSlice", "TupleUnpack", "Uninitialized", "abs", "device", "dtype", "is_cuda",
        "isinstance", "layout", "max", "min", "requires_grad", "shape", "tolist", "unchecked_cast", "unchecked_unwrap_optional",
    )
)  # fmt: skip
"""Control flow and look-ups. Calls that could not be inlined, other threads, other machines and Python are not among them."""


def save(module: nn.Module, description: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Script a module and write it with its JSON description in one file, whole or not at all."""
    with warnings.catch_warnings(), replacing(path) as temporary:
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.script(module.eval())
        torch.jit.save(scripted, str(temporary), _extra_files={HEADER: json.dumps(description, indent=1)})


def load(path: str | os.PathLike[str], device: str = "cpu") -> tuple[Any, dict[str, Any]]:
    """Read a module and its description.

    Raises
    ------
    UserError
        If the file is missing, is not TorchScript, has no description of ours, or does what models of cgplugin do not do.
    """
    extra = {HEADER: ""}
    try:
        archive = checked_archive(Path(path))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            module = torch.jit.load(archive, map_location=device, _extra_files=extra)
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (RuntimeError, OSError, ValueError) as error:
        raise UserError(f"{path}: not a model of cgplugin ({one_line(error)[:120]})") from error
    for operator in sorted(_operators(module)):
        if not _is_harmless(operator):
            raise UserError(f"{path}: has the operator {operator}, which no model of cgplugin has: do not use it")
    try:
        description = json.loads(extra[HEADER])
    except (json.JSONDecodeError, RecursionError):
        raise UserError(f"{path}: a TorchScript file, but not a model of cgplugin (it lacks {HEADER})") from None
    return module, description


def _is_harmless(operator: str) -> bool:
    if operator.startswith("aten::"):
        return operator not in FORBIDDEN_OPERATORS
    return operator in ALLOWED_PRIMITIVES


def _operators(module: Any) -> set[str]:
    """Kinds of all operators in a scripted module's methods, and in what these call."""
    # the graphs are looked at, not the source text, in which a name can be spelled in many ways
    methods = (module._c._get_method(name) for name in module._c._method_names())
    return {kind for method in methods for kind in _kinds(method.inlined_graph)}


def _kinds(block: Any) -> Iterator[str]:
    for node in block.nodes():
        yield node.kind()
        for inner in node.blocks():
            yield from _kinds(inner)


def add_predict(module: Any) -> None:
    """Add a method ``predict``: ``forward`` with a plain tuple in place of its named one.

    torch makes a new Python class for each named tuple that comes out of TorchScript, which takes as long as many operators.
    """
    schema = module.forward.schema
    arguments = [argument.name for argument in schema.arguments[1:]]
    values = ", ".join(f"found[{n}]" for n in range(len(schema.returns[0].type.elements())))
    module.define(
        f"def predict(self, {', '.join(f'{name}: Tensor' for name in arguments)}):\n"
        f"    found = self.forward({', '.join(arguments)})\n"
        f"    return {values}\n"
    )


def networks_for_inference(module: Any) -> Any:
    """Freeze the loaded networks of a model, with the methods that a simulation calls; see `add_predict`."""
    add_predict(module)
    return for_inference(module, [name for name in ("predict", "embed", "estimate_noise") if hasattr(module, name)])


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
