"""Everything that meets OpenMM: ground-truth generation, the learned integrator, simulations and reporters.

The names below are imported when they are first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cg_system import CoarseSystem
    from .export.exported_simulation import export_simulation
    from .integrator import LearnedIntegrator
    from .lammps_conversion import lammps_topology, topology_to_lammps
    from .reporters.part_reporter import PartReporter
    from .reporters.property_reporter import PropertyReporter, RdfReporter
    from .simulation import LearnedSimulation, learned_simulation, part_reporters
    from .system_files import save_system

__all__ = [
    "CoarseSystem",
    "LearnedIntegrator",
    "LearnedSimulation",
    "PartReporter",
    "PropertyReporter",
    "RdfReporter",
    "export_simulation",
    "lammps_topology",
    "learned_simulation",
    "part_reporters",
    "save_system",
    "topology_to_lammps",
]

_HOMES = {
    "CoarseSystem": "cg_system",
    "LearnedIntegrator": "integrator",
    "LearnedSimulation": "simulation",
    "PartReporter": "reporters.part_reporter",
    "PropertyReporter": "reporters.property_reporter",
    "RdfReporter": "reporters.property_reporter",
    "export_simulation": "export.exported_simulation",
    "lammps_topology": "lammps_conversion",
    "learned_simulation": "simulation",
    "part_reporters": "simulation",
    "save_system": "system_files",
    "topology_to_lammps": "lammps_conversion",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'openmm_integration' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
