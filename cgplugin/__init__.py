"""Learned, coarse-grained molecular dynamics: molecule to beads to networks to TorchScript to properties.

The names below are imported when they are first used, so that ``import cgplugin`` is quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .errors import UserError

if TYPE_CHECKING:
    from .coarse_graining.coarsening import CoarseGraining, coarsen
    from .learned.learned_model import LearnedModel
    from .systems.molecular_system import MolecularSystem

__version__ = "0.1.0"
__all__ = ["CoarseGraining", "LearnedModel", "MolecularSystem", "UserError", "__version__", "coarsen"]

_HOMES = {
    "coarsen": "coarse_graining.coarsening",
    "CoarseGraining": "coarse_graining.coarsening",
    "LearnedModel": "learned.learned_model",
    "MolecularSystem": "systems.molecular_system",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'cgplugin' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
