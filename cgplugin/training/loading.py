"""Batches made ahead, by a process beside the training."""

import multiprocessing
import shutil
import sys
from pathlib import Path

from torch.utils.data import DataLoader, Sampler

from .dataset import Batch, Request, WindowDataset

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux has it; only its free space is looked at
SHARED_MEMORY_NEEDED = 2**29
"""Bytes; a worker hands its batches over in shared memory, and is killed where that is full (64 MiB in many containers)."""


def loader(dataset: WindowDataset, sampler: Sampler[list[Request]], num_workers: int = 0) -> DataLoader[Batch]:
    """Loader of the sampler's batches, the same and in the same order with a worker and without.

    Requests carry the seeds of their augmentation and are drawn in the training process, so that nothing depends on where a
    batch is made, or on how many were fetched before a training was interrupted.

    Parameters
    ----------
    dataset : WindowDataset
    sampler : Sampler
        Draws lists of `Request`.
    num_workers : int
        0, or 1 for a process that makes batches ahead, where `workers_allowed`.
    """
    if not num_workers or not workers_allowed():
        return DataLoader(dataset, batch_size=None, sampler=sampler)
    return DataLoader(
        dataset,
        batch_size=None,
        sampler=sampler,
        num_workers=num_workers,
        persistent_workers=True,
        # shares the trajectories, which other ways of starting would copy
        multiprocessing_context="fork",
    )


def workers_allowed() -> bool:
    """Whether a process beside this one can make its batches: forked, a child of no daemon, with room for what it hands over."""
    return (
        sys.platform == "linux"
        and not multiprocessing.current_process().daemon
        and SHARED_MEMORY.is_dir()
        and shutil.disk_usage(SHARED_MEMORY).free >= SHARED_MEMORY_NEEDED
    )
