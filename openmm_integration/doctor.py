"""OpenMM's platforms on this machine: which work, and why others do not."""

from typing import Any

import openmm
from openmm import unit


def diagnose_platforms() -> dict[str, Any]:
    """Try every platform on a system of one particle.

    Returns
    -------
    dict
        ``platforms``: a list with ``name``, ``speed`` (OpenMM's estimate, 1 for Reference) and ``error`` (None where it works);
        ``plugin_folder``; ``plugin_failures``: what OpenMM said of plug-ins that could not be loaded.
    """
    platforms = [openmm.Platform.getPlatform(i) for i in range(openmm.Platform.getNumPlatforms())]
    return {
        "platforms": [{"name": p.getName(), "speed": p.getSpeed(), "error": _error(p)} for p in platforms],
        "plugin_folder": openmm.Platform.getDefaultPluginsDirectory(),
        "plugin_failures": [" ".join(text.split()) for text in openmm.Platform.getPluginLoadFailures()],
    }


def _error(platform: openmm.Platform) -> str | None:
    """Why a step cannot be made on a platform, or None."""
    system = openmm.System()
    system.addParticle(1.0)
    try:
        context = openmm.Context(system, openmm.VerletIntegrator(0.001 * unit.picoseconds), platform)
        context.setPositions([openmm.Vec3(0, 0, 0)])
        context.getIntegrator().step(1)
    except openmm.OpenMMException as error:
        return " ".join(str(error).split())
    return None
