"""The folder of a training: what was trained on what, and the checkpoint that an unfinished training goes on from."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch

from cgplugin.coarse_graining.coarse_trajectory import CoarseTrajectory
from cgplugin.errors import UserError
from cgplugin.files import read_json, replacing, write_json
from cgplugin.learned.model_archive import check_unpacked_size
from cgplugin.networks.options import NetworkOptions

from .options import TrainingOptions
from .processes import Processes


def working_folder(out: Path) -> Path:
    """Folder for checkpoints and logs of a training that writes ``out``."""
    return out.with_suffix(".training")


def check_output(out: Path) -> None:
    """Find out before a long training whether its result can be written.

    Raises
    ------
    UserError
        If not.
    """
    if out.is_dir():
        raise UserError(f"{out}: is a folder, expected the name of a model file")
    with replacing(working_folder(out) / ".writable") as temporary:
        temporary.touch()
    (working_folder(out) / ".writable").unlink()


def provenance_of(
    options: TrainingOptions,
    network: NetworkOptions,
    training: Sequence[CoarseTrajectory],
    validation: Sequence[CoarseTrajectory],
) -> dict[str, Any]:
    """What decides the result of a training: options, systems, a digest of the data; and the versions that it is done with."""
    digest = hashlib.sha256()
    for trajectory in [*training, *validation]:
        digest.update(trajectory.cg.mapping.tobytes())
        digest.update(np.ascontiguousarray(trajectory.positions[:: max(1, trajectory.n_frames // 16)]).tobytes())
    return {
        "options": asdict(options),
        "network": asdict(network),
        "training_systems": [t.cg.system.name for t in training],
        "validation_systems": [t.cg.system.name for t in validation],
        "data_sha256": digest.hexdigest(),
        "versions": {name: version(name) for name in ("torch", "torch-geometric", "lightning", "numpy")},
    }


def prepare_folder(folder: Path, provenance: dict[str, Any], restart: bool, processes: Processes) -> bool:
    """Find out whether the folder holds an unfinished training of the same kind; otherwise make it one that begins.

    Raises
    ------
    UserError
        If it holds a training of another kind, or something that is no checkpoint.
    """
    record = folder / "training.json"
    if processes.nodes > 1 and restart:
        raise UserError(f"--restart on several nodes, which look at the same files: remove {folder} instead")
    if restart and folder.exists():
        shutil.rmtree(folder)
    unfinished = folder / "last.ckpt"
    if record.exists() and unfinished.exists():
        earlier = {k: v for k, v in read_json(record).items() if k != "versions"}
        current = json.loads(json.dumps({k: v for k, v in provenance.items() if k != "versions"}))
        if earlier == current:
            for checkpoint in folder.rglob("last.ckpt"):
                _check_checkpoint(checkpoint)
            return True
        changed = ", ".join(key for key in current if earlier.get(key) != current[key])
        raise UserError(
            f"{folder}: holds a training that differs in {changed}; continue it with the same options, or use --restart"
        )
    if processes.node == 0:
        write_json(record, provenance)
    return False


def _check_checkpoint(path: Path) -> None:
    """Raise a `UserError` unless the file holds tensors, numbers and text only, so that loading it runs no code."""
    try:
        check_unpacked_size(path)
        torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, UnpicklingError) as error:
        # torch's own text advises to load the file all the same
        raise UserError(
            f"{path}: not a checkpoint of cgplugin (damaged, or more than tensors and numbers): begin anew with --restart"
        ) from error
