"""Batches made ahead, by a process beside the training."""

import multiprocessing
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from .dataset import Request

T = TypeVar("T")

SEMAPHORES = Path("/dev/shm")  # noqa: S108 - where Linux has those that processes share; batches take nothing of it


def loader(dataset: Dataset[T], sampler: Sampler[list[Request]], num_workers: int = 0) -> DataLoader[T]:
    """Loader of the sampler's batches, the same and in the same order with a worker and without.

    Requests carry the seeds of their augmentation and are drawn in the training process, so that nothing depends on where a
    batch is made, or on how many were fetched before a training was interrupted.

    Parameters
    ----------
    dataset : Dataset
        Takes lists of `Request`.
    sampler : Sampler
        Draws lists of `Request`.
    num_workers : int
        0, or 1 for a process that makes batches ahead, where `workers_allowed`.
    """
    if not num_workers or not workers_allowed():
        return DataLoader(dataset, batch_size=None, sampler=sampler)
    return _ArraysLoader(
        dataset,
        batch_size=None,
        sampler=sampler,
        collate_fn=_as_arrays,
        num_workers=num_workers,
        persistent_workers=True,
        # shares the trajectories, which other ways of starting would copy
        multiprocessing_context="fork",
    )


class _ArraysLoader(DataLoader[T]):
    """Takes batches from the worker as arrays, which come through a pipe at once.

    Tensors would come one by one, each in shared memory of its own that has to be asked for: 7 ms for the twenty of a batch of
    polymers, of which a training step takes 40. Where shared memory is short (64 MiB in many containers), arrays do not need it.
    """

    def __iter__(self) -> Iterator[T]:  # type: ignore[override]
        for arrays in super().__iter__():
            yield apply_to_collection(arrays, np.ndarray, torch.from_numpy)


def _as_arrays(batch: Any) -> Any:
    return apply_to_collection(batch, Tensor, Tensor.numpy)


def workers_allowed() -> bool:
    """Whether a process beside this one may make its batches: forked, a child of no daemon, with a place for its semaphores."""
    return sys.platform == "linux" and not multiprocessing.current_process().daemon and SEMAPHORES.is_dir()
