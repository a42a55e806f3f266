r"""One learned step from recorded frames, compared with MD mode by mode of the chains: where slow errors come from.

    python -m benchmarks.electrolytes.modes models/electrolyte.pt --data ../shared/electrolyte/val \
        --data ../shared/electrolyte/train

Errors of some per cent in a step of the slow modes do not show in the loss, and become errors of chain size and diffusivity in
a long run.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import networkx
import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

from cgplugin import LearnedModel
from cgplugin.coarse_graining.coarse_trajectory import CoarseTrajectory
from cgplugin.coarse_graining.coarsening import CoarseGraining
from cgplugin.coarse_graining.drift import without_drift
from cgplugin.learned.refinement import Refinement

from .recorded import load_paths, start_from

Array = NDArray[np.float64]

N_MODES = 4
"""Centre of mass, and the slowest modes."""


def along_the_chains(cg: CoarseGraining) -> list[list[int]]:
    """Beads of each linear chain in their order along it."""
    graph = networkx.Graph(cg.bonds.tolist())
    chains = []
    for beads in networkx.connected_components(graph):
        ends = sorted(bead for bead in beads if graph.degree(bead) == 1)
        chains.append(networkx.shortest_path(graph, ends[0], ends[-1]))
    return [chain for chain in chains if len(chain) > N_MODES]


def modes(positions: Array, cg: CoarseGraining) -> Array:
    """Amplitudes of the Rouse modes, shape (n_frames, n_chains, N_MODES, 3), of frames (n_frames, n_beads, 3) without drift."""
    still = without_drift(positions, cg.masses)
    return np.stack(
        [dct(still[:, chain], type=2, axis=1)[:, :N_MODES] / (2 * len(chain)) for chain in along_the_chains(cg)], axis=1
    )


def step_of(model: LearnedModel, path: CoarseTrajectory, present: NDArray[np.int64], refinement: Refinement) -> Array:
    r"""One learned step from each of some frames, all at once."""
    simulator, state = start_from(model, path, present, refinement)
    after = simulator.step(state).state.positions
    return after.numpy().reshape(len(present), -1, 3)


def statistics(before: Array, after: Array) -> Array:
    """Squared displacement; variance afterwards and correlation, over the variance before; each of shape (N_MODES,)."""
    axes = (0, 1, 3)
    variance = (before**2).mean(axes)
    return np.stack(
        [
            ((after - before) ** 2).mean(axes) * 3,
            (after**2).mean(axes) / variance,
            (after * before).mean(axes) / variance,
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument(
        "--data", type=Path, action="append", required=True, help="folders as cgplugin train takes them"
    )
    parser.add_argument("--systems", type=int, default=12)
    given = parser.parse_args(arguments)
    model = LearnedModel.load(given.model)
    paths = load_paths(model, given.data, given.systems)
    contestants = {"not refined": Refinement(), "refined": model.refinement}
    found: dict[str, list[Array]] = {name: [] for name in ("MD", *contestants)}
    for path in paths:
        stride = round(model.time_step / path.interval)
        present = np.arange(model.n_history * stride, path.n_frames - stride, 9)
        before, after = (modes(path.positions[present + n].astype(float), path.cg) for n in (0, stride))
        found["MD"].append(statistics(before, after))
        for name, refinement in contestants.items():
            moved = step_of(model, path, present, refinement)
            found[name].append(statistics(before, modes(moved, path.cg)))
    print(f"{model.source}: {model.time_step:g} ps per step, {len(paths)} systems; centre of mass and slowest modes\n")
    print(f"{'':12} {'squared displacement':32} {'variance after / before':24} correlation over a step")
    for name, values in found.items():
        moved, variance, correlation = np.mean(values, axis=0)
        rows = (" ".join(f"{x:7.3f}" for x in row) for row in (moved, variance[1:], correlation[1:]))
        print(f"{name:12} " + "    ".join(rows))


if __name__ == "__main__":
    main()
