"""Training: how many samples a second, and how long the loop waits for them."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cgplugin.cli.main import program
from cgplugin.training.dataset import Batch, Request, WindowDataset
from cgplugin.training.options import TrainingOptions

SHIPPED_STEPS = 6000
"""Of models/polymer.pt, whose options are used here; see models/README.md."""

STEPS = 60


@dataclass(frozen=True)
class TrainingSpeed:
    """Processor time of one thread.

    Attributes
    ----------
    samples_per_second : float
        Windows of one system.
    waiting : float
        Share of the time that the loop waits for data.
    minutes : float
        To models/polymer.pt, validation included.
    """

    samples_per_second: float
    waiting: float
    minutes: float


@dataclass
class _Fetches:
    begun: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


@contextmanager
def _watched() -> Iterator[_Fetches]:
    """Time of every batch that is fetched while the context lasts."""
    fetches, fetch = _Fetches(), WindowDataset.__getitem__

    def timed(dataset: WindowDataset, requests: Sequence[Request]) -> Batch:
        begin = time.process_time()
        batch = fetch(dataset, requests)
        fetches.begun.append(begin)
        fetches.seconds.append(time.process_time() - begin)
        return batch

    WindowDataset.__getitem__ = timed  # type: ignore[method-assign]
    try:
        yield fetches
    finally:
        WindowDataset.__getitem__ = fetch  # type: ignore[method-assign]


def measure_training(data: list[Path], folder: Path) -> TrainingSpeed:
    """Train as the shipped polymer model was, for a few steps."""
    arguments = ["train", "--out", str(folder / "trained.pt"), "--hidden", "32", "--layers", "3", "--threads", "1"]
    arguments += ["--steps", str(STEPS), "--validate-every", str(STEPS), "--averaging", "0"]
    for path in data:
        arguments += ["--data", str(path)]
    with _watched() as fetches:
        program.main(arguments, standalone_mode=False)
    # the first steps load and allocate
    begun, seconds = fetches.begun[10:STEPS], fetches.seconds[10:STEPS]
    duration = begun[-1] - begun[0]
    options = TrainingOptions()
    n_samples = options.systems_per_batch * options.windows_per_system * (len(begun) - 1)
    per_step = duration / (len(begun) - 1)
    return TrainingSpeed(n_samples / duration, sum(seconds[:-1]) / duration, SHIPPED_STEPS * per_step / 60)
