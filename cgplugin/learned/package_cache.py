"""Compiled networks in the user's cache folder: made once per model and machine, found again by what they depend on."""

import hashlib
import json
import os
import platform
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
import platformdirs
import torch
from torch import nn

from cgplugin import networks as network_code
from cgplugin.errors import UserError, one_line
from cgplugin.files import replacing

FOLDER_VARIABLE = "CGPLUGIN_CACHE"
"""Environment variable with another folder."""


def cache_folder() -> Path:
    """Folder of the compiled networks, made for the user alone where it is missing: what is in it is run.

    Raises
    ------
    UserError
        If it cannot be made, or others may write to it.
    """
    chosen = os.environ.get(FOLDER_VARIABLE)
    folder = (Path(chosen) if chosen else platformdirs.user_cache_path("cgplugin", appauthor=False)) / "compiled"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        raise UserError(
            f"{folder}: compiled networks cannot be kept here ({one_line(error)}): set {FOLDER_VARIABLE}"
        ) from error
    if found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UserError(
            f"{folder}: others may write here, and what is here is run: chmod go-w, or set {FOLDER_VARIABLE}"
        )
    return folder


def key_of(module: nn.Module, options: dict[str, Any]) -> str:
    """Digest of all that a compiled network depends on, for the name of its file.

    Parameters
    ----------
    module : Module
        Its weights count.
    options : dict
        What it was built and is compiled with; JSON.
    """
    digest = hashlib.sha256(json.dumps([options, torch.__version__, *_processor()], sort_keys=True).encode())
    for source in sorted(Path(network_code.__path__[0]).glob("*.py")):
        digest.update(source.read_bytes())
    for name, values in module.state_dict().items():
        digest.update(name.encode() + values.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


def kept(name: str, make: Callable[[Path], None]) -> Path:
    """The file ``name`` of the cache, made where it is missing or damaged; other processes wait until it is there.

    Parameters
    ----------
    name : str
        With the ending ``.pt2``, a ZIP archive.
    make : callable
        Writes the file to the path that it is given.
    """
    path = cache_folder() / name
    if _is_whole(path):
        return path
    with filelock.FileLock(path.with_suffix(".lock")):
        # by another process, while this one waited
        if not _is_whole(path):
            with replacing(path) as temporary:
                make(temporary)
                temporary.chmod(0o600)
    return path


def _is_whole(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError):
        return False


def _processor() -> tuple[str, ...]:
    """What machine code depends on: the kind of processor and the instructions that it knows."""
    capability = (platform.machine(), torch.backends.cpu.get_cpu_capability())
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return (*capability, platform.processor())
    return (*capability, *dict.fromkeys(line for line in lines if line.startswith(("flags", "Features"))))
