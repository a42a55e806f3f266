"""Figure of time and memory against the number of beads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullLocator


class Row(Protocol):
    """What is drawn; see `benchmarks.scaling.__main__.Measurement`."""

    refined: bool
    n_beads: int
    seconds: float
    neighbour_seconds: float
    memory: float


def plot(rows: Sequence[Row], path: Path) -> None:
    """Draw both panels; the time with lines of slope one through the largest size."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for refined, label, color in ((False, "without refinement", "C0"), (True, "refined", "C3")):
        chosen = [row for row in rows if row.refined == refined]
        if not chosen:
            continue
        beads = np.array([row.n_beads for row in chosen], dtype=float)
        seconds = np.array([row.seconds for row in chosen])
        searching = np.array([row.neighbour_seconds for row in chosen])
        left.loglog(beads, seconds[-1] * beads / beads[-1], "-", color="0.8", zorder=0)
        left.loglog(beads, seconds, "o-", color=color, label=label)
        left.loglog(beads, searching, "s:", color=color, markersize=4, label="  of which edges")
        right.loglog(beads, [row.memory for row in chosen], "o-", color=color)
    left.legend(frameon=False)
    left.set_ylabel("processor time per step (s)")
    memory = [row.memory for row in rows]
    right.set_ylim(0.5 * min(memory), 2 * max(memory))
    right.yaxis.set_major_locator(LogLocator(base=2))
    right.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    right.yaxis.set_minor_locator(NullLocator())
    right.set_ylabel("peak memory (GiB)")
    for axes in (left, right):
        axes.set_xlabel("beads")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)
