"""A learned simulation as stock OpenMM System and CustomIntegrator: ``PythonForce`` or openmm-torch does the step."""

from .exported_simulation import ExportedSimulation, export_simulation
from .layout import Layout

__all__ = ["ExportedSimulation", "Layout", "export_simulation"]
