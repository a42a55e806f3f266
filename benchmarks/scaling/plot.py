"""Figure of time and memory against the number of beads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import matplotlib.pyplot as plt
import numpy as np


class Row(Protocol):
    """What is drawn; see `benchmarks.scaling.__main__.Measurement`."""

    n_beads: int
    seconds: float
    neighbour_seconds: float
    memory: float


def plot(rows: Sequence[Row], path: Path) -> None:
    """Draw both panels, with a line of slope one through the first size."""
    beads = np.array([row.n_beads for row in rows], dtype=float)
    seconds = np.array([row.seconds for row in rows])
    searching = np.array([row.neighbour_seconds for row in rows])
    memory = np.array([row.memory for row in rows])
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    left.loglog(beads, seconds, "o-", label="learned step")
    left.loglog(beads, searching, "s-", label="of which edges", color="C1")
    left.loglog(beads, seconds[-1] * beads / beads[-1], "--", color="0.6", label="proportional", zorder=0)
    left.set_ylabel("processor time per step (s)")
    right.loglog(beads, memory, "o-")
    right.loglog(beads, memory[-1] * beads / beads[-1], "--", color="0.6", label="proportional", zorder=0)
    right.set_ylim(bottom=0.5 * memory.min())
    right.set_ylabel("peak memory (GiB)")
    for axes in (left, right):
        axes.set_xlabel("beads")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
