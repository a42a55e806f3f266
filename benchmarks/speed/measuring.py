"""How everything here is measured: processor time, contestants taking turns, on a machine that may be shared."""

import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

MATRIX = 1024
"""Rows and columns of the matrices whose product gives the peak."""


def machine() -> str:
    """Name of the processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{line.split(':')[1].strip()}, one thread"
    return f"{platform.processor()}, one thread"


def seconds(call: Callable[[], Any]) -> float:
    """Processor time of a call."""
    begin = time.process_time()
    call()
    return time.process_time() - begin


def take_turns(contestants: Mapping[str, Callable[[], float]], rounds: int, warm_up: int = 2) -> dict[str, list[float]]:
    """What each contestant measures, round by round; the first rounds, in which TorchScript optimises, are left out."""
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(warm_up + rounds):
        for name, measure in contestants.items():
            value = measure()
            if turn >= warm_up:
                taken[name].append(value)
    return taken


def matrix_peak() -> float:
    """GFLOP/s of a product of large float32 matrices."""
    a, b = torch.randn(2, MATRIX, MATRIX)
    return 2e-9 * MATRIX**3 / seconds(lambda: a @ b)


def median_ratio(values: list[float], others: list[float]) -> float:
    """Median over the rounds of value over other."""
    return statistics.median(a / b for a, b in zip(values, others, strict=True))


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """A table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
