"""Choice of OpenMM's platform."""

import openmm

from cgplugin.errors import UserError, one_line

PREFERENCE = ("CUDA", "HIP", "OpenCL", "CPU", "Reference")
"""Fastest first."""


def available_platforms() -> list[str]:
    """Names of the platforms that this OpenMM has, fastest first."""
    names = [openmm.Platform.getPlatform(i).getName() for i in range(openmm.Platform.getNumPlatforms())]
    return sorted(names, key=lambda name: PREFERENCE.index(name) if name in PREFERENCE else len(PREFERENCE))


def check_threads(threads: int) -> None:
    """Raise a `UserError` where there are fewer threads than one."""
    if threads < 1:
        raise UserError(f"threads is {threads}, expected at least 1")


def choose_platform(name: str | None = None, threads: int | None = None) -> tuple[openmm.Platform, dict[str, str]]:
    """Platform and its properties for a Context.

    Forces are summed in a fixed order where the platform can do so: the same seed, machine and number of threads then
    give the same bits. GPUs keep positions and velocities in double precision (``mixed``), because packed chains sit far
    from the origin.

    Parameters
    ----------
    name : str, optional
        By default the fastest one that works here.
    threads : int, optional
        Of the CPU platform; by default as many as there are cores.

    Raises
    ------
    UserError
        If the platform is unknown or does not work here, or there are fewer threads than one.
    """
    if threads is not None:
        check_threads(threads)
    names = available_platforms()
    if name is not None:
        known = {candidate.lower(): candidate for candidate in names}
        if name.lower() not in known:
            raise UserError(f"unknown platform {name!r}: this OpenMM has {', '.join(names)}")
        names = [known[name.lower()]]
    problems = []
    for candidate in names:
        platform = openmm.Platform.getPlatformByName(candidate)
        properties = _properties(platform, threads)
        try:
            _try(platform, properties)
        except openmm.OpenMMException as error:
            problems.append(f"{candidate}: {one_line(error)}")
            continue
        return platform, properties
    raise UserError(f"no platform works here ({'; '.join(problems)})")


def _properties(platform: openmm.Platform, threads: int | None) -> dict[str, str]:
    wanted = {"DeterministicForces": "true", "Precision": "mixed"}
    if threads is not None:
        wanted["Threads"] = str(threads)
    known = platform.getPropertyNames()
    return {key: value for key, value in wanted.items() if key in known}


def _try(platform: openmm.Platform, properties: dict[str, str]) -> None:
    """Make a Context: a platform may be installed without its hardware."""
    system = openmm.System()
    system.addParticle(1.0)
    openmm.Context(system, openmm.VerletIntegrator(0.001), platform, properties)
