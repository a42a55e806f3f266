"""Tasks for Dask workers, in a module that is quickly imported by them."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from cgplugin import UserError
from cgplugin.cluster.tasks import StoppedError, Tell


@dataclass(frozen=True)
class Item:
    """A task: a name, and what the functions below make of it."""

    name: str
    value: str = ""


def count(item: Item, tell: Tell) -> None:
    for _ in range(int(item.value)):
        tell(0.5)


def endless(item: Item, tell: Tell) -> None:
    Path(item.value).write_text(str(os.getpid()))
    try:
        while True:
            tell(1.0)
            time.sleep(0.01)
    except StoppedError:
        Path(item.value).with_suffix(".stopped").touch()
        raise


def misbehave(item: Item, tell: Tell) -> None:
    """Write a file, or fail in the way that the name says; ``once`` fails the first time only."""
    attempts = Path(item.value)
    with attempts.open("a") as file:
        file.write("x")
    n = len(attempts.read_text())
    tell(1.0)
    if item.name == "refused":
        raise UserError("refused: a spec that makes no sense")
    if item.name == "wrong" or (item.name == "once" and n == 1):
        raise ValueError("of ours")
    if item.name == "deadly" or (item.name == "dies-once" and n == 1):
        os.kill(os.getpid(), signal.SIGKILL)
