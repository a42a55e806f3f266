"""Training: how many samples a second, and how long the loop waits for them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from torch.utils.data import DataLoader

from cgplugin.cli.main import program
from cgplugin.training.dataset import Batch
from cgplugin.training.options import TrainingOptions

SHIPPED_STEPS = 6000
"""Of models/polymer.pt, whose options are used here; see models/README.md."""

STEPS = 60


@dataclass(frozen=True)
class TrainingSpeed:
    """Processor time of the training's one thread; that of the process that makes the batches comes on top.

    Attributes
    ----------
    samples_per_second : float
        Windows of one system.
    waiting : float
        Share of the wall-clock time that the loop waits for data.
    minutes : float
        To models/polymer.pt, validation included.
    """

    samples_per_second: float
    waiting: float
    minutes: float


@dataclass
class _Fetches:
    begun: list[float] = field(default_factory=list)
    """Processor time of the training process, s."""
    wall: list[float] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)


@contextmanager
def _watched() -> Iterator[_Fetches]:
    """Time of every batch that is asked for while the context lasts, whoever makes it."""
    fetches, iterate = _Fetches(), DataLoader.__iter__

    def timed(loader: DataLoader[Batch]) -> Iterator[Batch]:
        batches = iterate(loader)
        while True:
            begun, wall = time.process_time(), time.perf_counter()
            try:
                batch = next(batches)
            except StopIteration:
                return
            fetches.begun.append(begun)
            fetches.wall.append(wall)
            fetches.waited.append(time.perf_counter() - wall)
            yield batch

    DataLoader.__iter__ = timed  # type: ignore[method-assign,assignment]
    try:
        yield fetches
    finally:
        DataLoader.__iter__ = iterate  # type: ignore[method-assign]


def measure_training(data: list[Path], folder: Path) -> TrainingSpeed:
    """Train as the shipped polymer model was, for a few steps."""
    arguments = ["train", "--out", str(folder / "trained.pt"), "--hidden", "32", "--layers", "3", "--threads", "1"]
    arguments += ["--steps", str(STEPS), "--validate-every", str(STEPS), "--averaging", "0"]
    for path in data:
        arguments += ["--data", str(path)]
    with _watched() as fetches:
        program.main(arguments, standalone_mode=False)
    # the first steps load and allocate
    begun, wall, waited = (values[10:STEPS] for values in (fetches.begun, fetches.wall, fetches.waited))
    duration = begun[-1] - begun[0]
    options = TrainingOptions()
    n_samples = options.systems_per_batch * options.windows_per_system * (len(begun) - 1)
    per_step = duration / (len(begun) - 1)
    waiting = sum(waited[:-1]) / (wall[-1] - wall[0])
    return TrainingSpeed(n_samples / duration, waiting, SHIPPED_STEPS * per_step / 60)
