"""Baselines in files: tensors, numbers and text only, so that loading one runs no code."""

import os
import warnings
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from cgplugin.errors import UserError, one_line
from cgplugin.files import replacing
from cgplugin.learned.model_archive import check_unpacked_size

from .diffusivity import DiffusivityBaseline
from .options import BaselineOptions
from .ridge import RidgeBaseline
from .structure_property import PropertyData, StructureBaseline
from .supervised import SupervisedBaseline, SupervisedNetwork
from .supervised_gnn import SupervisedGNN
from .supervised_lstm import SupervisedLSTM

FORMAT = "cgplugin baseline"
VERSION = 1

Baseline = StructureBaseline | DiffusivityBaseline

_NETWORKS: dict[str, type[SupervisedNetwork[Any]]] = {"gnn": SupervisedGNN, "lstm": SupervisedLSTM}

KINDS = ("ridge", *_NETWORKS)
"""Names of the baselines of Rg^2."""


def train_baseline(
    kind: str,
    data: PropertyData,
    validation: PropertyData | None = None,
    options: BaselineOptions | None = None,
    progress: bool = False,
) -> StructureBaseline:
    """Fit a baseline of Rg^2 of some kind; ridge regression has neither validation systems nor options.

    Raises
    ------
    UserError
        If the kind is unknown, validation systems are missing, or the data are too few.
    """
    if kind == "ridge":
        return RidgeBaseline.fit(data)
    if kind not in _NETWORKS:
        raise UserError(f"unknown baseline {kind!r}: expected one of {', '.join(KINDS)}")
    if validation is None:
        raise UserError(f"the baseline {kind} stops by its error on validation systems: give --validation")
    return SupervisedBaseline.fit(_NETWORKS[kind], data, validation, options or BaselineOptions(), progress)


def save(baseline: Baseline, path: str | os.PathLike[str], training: dict[str, Any]) -> None:
    """Write a trained baseline and its provenance, whole or not at all."""
    content = {"format": FORMAT, "version": VERSION, "kind": baseline.kind, "training": training}
    with replacing(path) as temporary:
        torch.save({**content, **baseline.to_content()}, temporary)


def load(path: str | os.PathLike[str]) -> Baseline:
    """Read a baseline.

    Raises
    ------
    UserError
        If the file is missing, is something else, or is of a newer format.
    """
    try:
        check_unpacked_size(Path(path))
        # a TorchScript file is announced by a warning before it is refused
        with warnings.catch_warnings(action="ignore"):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except UserError:
        raise
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, UnpicklingError) as error:
        raise UserError(f"{path}: not a baseline of cgplugin ({one_line(error)[:80]})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path}: not a baseline of cgplugin ('cgplugin baseline' writes them)")
    if content.get("version") != VERSION:
        raise UserError(
            f"{path}: baseline format {content.get('version')!r}, this cgplugin reads format {VERSION}: update cgplugin"
        )
    kind = content.get("kind")
    try:
        if kind == "ridge":
            return RidgeBaseline.from_content(content)
        if kind == DiffusivityBaseline.kind:
            return DiffusivityBaseline.from_content(content)
        if kind in _NETWORKS:
            return SupervisedBaseline.from_content(_NETWORKS[kind], content)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{path}: the baseline is incomplete ({one_line(error)[:80]})") from error
    raise UserError(f"{path}: a baseline of the unknown kind {kind!r}")
