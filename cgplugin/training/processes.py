"""Training on several processes: who they are, and each one's share of a batch."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import lightning
import torch
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy
from torch import distributed

from cgplugin.errors import UserError

T = TypeVar("T")

MEETING_POINT = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")
"""Environment variables by which the processes of several nodes find each other."""


@dataclass(frozen=True)
class Processes:
    """Processes that train one model, with equal weights and each with its share of every batch.

    Those of this node are forked from the one that has read the data: they share its memory and its memory-mapped files. On
    other nodes the same program is started, with the variables of `MEETING_POINT`; each node reads the data once.

    Attributes
    ----------
    devices : int
        Processes of this node: GPUs where there are any, else CPU processes.
    nodes : int
    threads : int
        Of torch, in each of several processes.
    num_workers : int
        1: a process beside the training makes its batches ahead, where the machine allows; 0: the training makes them itself.
        The batches are the same.

    Raises
    ------
    UserError
        If a number makes no sense, or the nodes do not know of each other.
    """

    devices: int = 1
    nodes: int = 1
    threads: int = 1
    num_workers: int = 1

    def __post_init__(self) -> None:
        for name in ("devices", "nodes", "threads"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}, expected at least 1")
        if self.num_workers not in (0, 1):
            raise UserError(f"num-workers is {self.num_workers}, expected 0 or 1")
        missing = [name for name in MEETING_POINT if name not in os.environ]
        if self.nodes > 1 and missing:
            raise UserError(
                f"training on {self.nodes} nodes takes the environment variables {', '.join(missing)}: address and free port "
                "of the first node, and the number of this one, from 0"
            )

    @property
    def number(self) -> int:
        """Processes in all."""
        return self.devices * self.nodes

    @property
    def node(self) -> int:
        """Number of this node; the first writes the files."""
        return int(os.environ["NODE_RANK"]) if self.nodes > 1 else 0

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of Lightning's Trainer."""
        if self.number == 1:
            return {"devices": 1}
        # buffers are constants
        strategy = DDPStrategy(start_method="fork", broadcast_buffers=False)
        return {"devices": self.devices, "num_nodes": self.nodes, "strategy": strategy}

    @property
    def plugins(self) -> list[LightningEnvironment]:
        """Plugins of the Trainer: a batch system's own idea of the processes is not asked for."""
        return [LightningEnvironment()] if self.number > 1 else []

    @property
    def callbacks(self) -> list[lightning.Callback]:
        """Callbacks of the Trainer."""
        return [_Threads(self.threads)] if self.number > 1 else []

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Make this process fit to be forked, and leave nothing behind in its environment."""
        before = dict(os.environ)
        if self.number > 1:
            # threads of OpenMP do not survive a fork: those that exist already would be waited for in vain
            torch.set_num_threads(1)
        try:
            yield
        finally:
            # Lightning leaves its port there, where the next training would meet this one
            os.environ.clear()
            os.environ.update(before)


class _Threads(lightning.Callback):
    """Sets the number of torch's threads in a forked process."""

    def __init__(self, number: int) -> None:
        self.number = number

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:  # noqa: ARG002
        torch.set_num_threads(self.number)


def rank_and_number() -> tuple[int, int]:
    """Number of this process, and of all: 0 and 1 outside of a training on several."""
    if not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def own_share(items: Sequence[T]) -> Sequence[T]:
    """Every n-th item, so that the processes together have each once."""
    rank, number = rank_and_number()
    return items[rank::number]


def weight_of_share(share: float, device: torch.device) -> float:
    """Factor of this process's mean over its beads, of which it has this number, or sum of weights.

    The mean of the weighted losses over the processes, and of their gradients, which is what DDP takes, is then the mean over
    all beads of the batch. On one process it is 1.
    """
    _, number = rank_and_number()
    if number == 1:
        return 1.0
    total = torch.tensor(share, dtype=torch.float64, device=device)
    distributed.all_reduce(total)
    return number * share / float(total)
