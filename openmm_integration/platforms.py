"""Choice of OpenMM's platform."""

import openmm

from cgplugin.errors import UserError, one_line

PREFERENCE = ("CUDA", "HIP", "OpenCL", "CPU", "Reference")
"""Fastest first."""


def available_platforms() -> list[str]:
    """Names of the platforms that this OpenMM has, fastest first."""
    names = [openmm.Platform.getPlatform(i).getName() for i in range(openmm.Platform.getNumPlatforms())]
    return sorted(names, key=lambda name: PREFERENCE.index(name) if name in PREFERENCE else len(PREFERENCE))


def choose_platform(name: str | None = None, threads: int | None = None) -> tuple[openmm.Platform, dict[str, str]]:
    """Platform and its properties for a Context.

    Parameters
    ----------
    name : str, optional
        By default the fastest one that works here.
    threads : int, optional
        Of the CPU platform.

    Raises
    ------
    UserError
        If the platform is unknown or does not work here.
    """
    names = available_platforms()
    if name is not None:
        known = {candidate.lower(): candidate for candidate in names}
        if name.lower() not in known:
            raise UserError(f"unknown platform {name!r}: this OpenMM has {', '.join(names)}")
        names = [known[name.lower()]]
    problem = ""
    for candidate in names:
        platform = openmm.Platform.getPlatformByName(candidate)
        properties = {"Threads": str(threads)} if candidate == "CPU" and threads is not None else {}
        if candidate == "CPU":
            # the same seed and number of threads give the same bits
            properties["DeterministicForces"] = "true"
        try:
            _try(platform, properties)
        except openmm.OpenMMException as error:
            problem = one_line(error)
            continue
        return platform, properties
    raise UserError(f"the platform {names[0]} does not work here ({problem})")


def _try(platform: openmm.Platform, properties: dict[str, str]) -> None:
    """Make a Context: a platform may be installed without its hardware."""
    system = openmm.System()
    system.addParticle(1.0)
    openmm.Context(system, openmm.VerletIntegrator(0.001), platform, properties)
