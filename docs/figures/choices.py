"""Figures of docs/choosing.md: what the data say about bead size, time step, history and noise, and what ablations found.

    python docs/figures/choices.py --data ../shared/polymer/train

reads LAMMPS trajectories (every third folder), and the table of ablations of benchmarks/polymers/README.md.
"""

import argparse
import itertools
import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import shortest_path

from cgplugin.coarse_graining.coarse_trajectory import CoarseTrajectory
from cgplugin.training.data import find_data, load_data

HERE = Path(__file__).parent
ABLATIONS = HERE.parents[1] / "benchmarks" / "polymers" / "README.md"
BEAD_SIZES = (5, 10, 20)
STRIDES = (1, 2, 5, 10, 20, 40)
"""Learned time steps, in frames of 1 tau."""

HISTORY = 4

Array = NDArray[np.float64]


def regressors(trajectory: CoarseTrajectory, stride: int, n_history: int) -> tuple[Array, Array]:
    """Change of displacement, shape (n_frames, n_beads, 3), and what a linear model knows, shape (..., 1 + n_history).

    The first regressor is the pull of the CG bonds, the others are the last displacements, as of the linear prior of
    docs/method.md with a longer history.
    """
    positions = np.asarray(trajectory.positions, dtype=np.float64)
    last = len(positions) - stride
    now = np.arange(HISTORY * stride, last)
    frames = [positions[now + n * stride] for n in range(1, -n_history - 1, -1)]
    moved = [newer - older for newer, older in itertools.pairwise(frames)]
    pull = np.zeros_like(frames[1])
    for i, j in trajectory.cg.bonds:
        bond = frames[1][:, i] - frames[1][:, j]
        pull[:, i] += bond
        pull[:, j] -= bond
    return moved[0] - moved[1], np.stack([pull, *moved[1:]], axis=-1)


def residuals(trajectories: Sequence[CoarseTrajectory], stride: int, n_history: int) -> list[Array]:
    """What a linear model with one set of coefficients leaves of the change of displacement, sigma."""
    pairs = [regressors(trajectory, stride, n_history) for trajectory in trajectories]
    changes = np.concatenate([change.reshape(-1) for change, _ in pairs])
    known = np.concatenate([x.reshape(-1, x.shape[-1]) for _, x in pairs])
    coefficients, *_ = np.linalg.lstsq(known, changes, rcond=None)
    return [change - x @ coefficients for change, x in pairs]


def rms(parts: Sequence[Array]) -> float:
    """Root mean square of all numbers."""
    return float(np.sqrt(np.mean(np.concatenate([part.reshape(-1) for part in parts]) ** 2)))


def bond_length(trajectories: Sequence[CoarseTrajectory]) -> float:
    """Mean length of a CG bond, sigma."""
    lengths = []
    for trajectory in trajectories:
        i, j = trajectory.cg.bonds.T
        lengths.append(np.linalg.norm(trajectory.positions[:, i] - trajectory.positions[:, j], axis=-1).ravel())
    return float(np.concatenate(lengths).mean())


def correlations(trajectories: Sequence[CoarseTrajectory], parts: Sequence[Array], n: int) -> list[float]:
    """Correlation of the residuals of two beads against the number of CG bonds between them."""
    sums, counts = np.zeros(n), np.zeros(n)
    for trajectory, residual in zip(trajectories, parts, strict=True):
        covariance = np.einsum("fid,fjd->ij", residual, residual) / (3 * len(residual))
        apart = hops(trajectory)
        for k in range(n):
            sums[k] += covariance[apart == k].sum()
            counts[k] += (apart == k).sum()
    values = sums / counts
    return (values / values[0]).tolist()


def hops(trajectory: CoarseTrajectory) -> NDArray[np.int64]:
    """Number of CG bonds between any two beads of a connected molecule."""
    n = trajectory.cg.n_beads
    graph = np.zeros((n, n))
    graph[tuple(trajectory.cg.bonds.T)] = 1
    return shortest_path(graph, directed=False, unweighted=True).astype(np.int64)


def ablations(text: str) -> list[tuple[str, float]]:
    """Variant and mean absolute error of Rg^2 of the last table of ablations in a benchmark's page."""
    table = text.split("Five variants against")[1]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*\|$", table, re.MULTILINE)
    ]
    column = rows[0].index("Rg^2 MAE")
    return [(row[0], float(row[column])) for row in rows[2:]]


def plot_size_and_step(by_size: dict[int, list[CoarseTrajectory]], path: Path) -> None:
    """Noise per step over the bond length, and what a longer history explains of its variance."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    for size, trajectories in by_size.items():
        length = bond_length(trajectories)
        noise = [rms(residuals(trajectories, stride, 1)) for stride in STRIDES]
        left.plot(STRIDES, np.array(noise) / length, "o-", label=f"{size} atoms per bead")
        gains = [
            1 - (rms(residuals(trajectories, stride, HISTORY)) / own) ** 2
            for stride, own in zip(STRIDES, noise, strict=True)
        ]
        right.plot(STRIDES, 100 * np.array(gains), "o-", label=f"{size} atoms per bead")
    left.set(
        xlabel="time step (τ)", ylabel="noise / CG bond length", title="What a step leaves to chance", xscale="log"
    )
    right.set(
        xlabel="time step (τ)",
        ylabel="% of the variance",
        title=f"What {HISTORY} past velocities add to 1",
        xscale="log",
        ylim=(0, None),
    )
    for axes in (left, right):
        axes.set_xticks(STRIDES, [str(stride) for stride in STRIDES])
        axes.minorticks_off()
    left.legend(frameon=False)
    figure.savefig(path)


def plot_noise(by_size: dict[int, list[CoarseTrajectory]], path: Path) -> None:
    """Correlation of the noise along chains, for steps of 5 tau."""
    figure, axes = plt.subplots(figsize=(4.4, 3.2), layout="constrained")
    for offset, (size, trajectories) in zip((-0.27, 0, 0.27), by_size.items(), strict=True):
        values = correlations(trajectories, residuals(trajectories, 5, 1), 4)
        axes.bar(
            np.arange(4) + offset, values, 0.25, label=f"{size} atoms per bead: {values[0] + 2 * sum(values[1:]):.2f}"
        )
    axes.set(xlabel="CG bonds between two beads", ylabel="correlation of their noise", xticks=range(4))
    axes.legend(frameon=False, title="sum over beads")
    figure.savefig(path)


def plot_ablations(rows: Sequence[tuple[str, float]], path: Path) -> None:
    """Error of the variants."""
    figure, axes = plt.subplots(figsize=(6, 2.4), layout="constrained")
    names, errors = zip(*rows, strict=True)
    axes.barh(names, errors, color=["C7" if name == "baseline" else "C0" for name in names])
    axes.set(xlabel="mean absolute error of Rg² (σ²)")
    axes.invert_yaxis()
    figure.savefig(path)


def main() -> None:
    """Draw the figures beside this script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--every", type=int, default=3, help="use every n-th system")
    options = parser.parse_args()

    plt.rcParams["svg.hashsalt"] = "choices"
    plot_ablations(ablations(ABLATIONS.read_text()), HERE / "ablations.svg")
    folders = find_data([options.data])[:: options.every]
    by_size = {size: load_data(folders, atoms_per_bead=size, partition_seed=0) for size in BEAD_SIZES}
    plot_size_and_step(by_size, HERE / "size_and_step.svg")
    plot_noise(by_size, HERE / "noise.svg")


if __name__ == "__main__":
    main()
