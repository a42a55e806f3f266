"""Figure of time and memory against the number of beads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter


class Row(Protocol):
    """What is drawn; see `benchmarks.scaling.__main__.Measurement`."""

    n_beads: int
    seconds: float
    neighbour_seconds: float
    memory: float


def plot(rows: Sequence[Row], path: Path) -> None:
    """Draw both panels; the time with a line of slope one through the largest size."""
    beads = np.array([row.n_beads for row in rows], dtype=float)
    seconds = np.array([row.seconds for row in rows])
    searching = np.array([row.neighbour_seconds for row in rows])
    memory = np.array([row.memory for row in rows])
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    left.loglog(beads, seconds, "o-", label="learned step")
    left.loglog(beads, searching, "s-", label="of which edges", color="C1")
    left.loglog(beads, seconds[-1] * beads / beads[-1], "--", color="0.6", label="proportional", zorder=0)
    left.legend(frameon=False)
    left.set_ylabel("processor time per step (s)")
    right.loglog(beads, memory, "o-")
    right.set_ylim(0.5 * memory.min(), 2 * memory.max())
    right.yaxis.set_major_locator(LogLocator(base=2))
    right.yaxis.set_major_formatter(ScalarFormatter())
    right.yaxis.set_minor_locator(NullLocator())
    right.set_ylabel("peak memory (GiB)")
    for axes in (left, right):
        axes.set_xlabel("beads")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
