r"""Order among beads after learned steps from recorded frames, compared with MD composition by composition.

    python -m benchmarks.electrolytes.order models/electrolyte.pt --data ../shared/electrolyte/val \
        --data ../shared/electrolyte/train

Pairs of beads in bands of their distance, as ratios to an ideal gas, g: after one step, which shows what a single step gets
wrong, and in steps 11 to 60, where its errors have added up. The slope is that of g over the compositions, learned against MD:
1 where a model tells them apart, 0 where it gives all of them the same.
"""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from cgplugin import LearnedModel
from cgplugin.coarse_graining.coarse_trajectory import CoarseTrajectory
from cgplugin.observables.pairs import PairKinds, near_pairs
from cgplugin.observables.radial_distribution import RadialDistributionAccumulator
from cgplugin.systems.species import ParticleSpecies

from .recorded import box_of, model_and_paths, start_from

Array = NDArray[np.float64]

BANDS = np.array([0.0, 0.8, 1.7, 2.5, 3.3])
"""Edges of the bands of distance, nm."""

EARLY, LATE = (1, 1), (11, 60)
"""First and last learned step that is looked at."""

STARTS = {EARLY: 32, LATE: 4}
"""Recorded frames that steps are done from."""


def order(particles: ParticleSpecies, frames: Iterator[Array], box: Array) -> dict[tuple[str, str], Array]:
    """Values of g in each band, of each pair of roles."""
    kinds = PairKinds.of(particles.names, particles.species)
    accumulator = RadialDistributionAccumulator(kinds, BANDS)
    for frame in frames:
        accumulator.update(near_pairs(frame, box, BANDS[-1]))
    result = accumulator.result()
    return {pair: result.g(*pair) for pair in kinds.pairs}


def learned_frames(model: LearnedModel, path: CoarseTrajectory, steps: tuple[int, int]) -> Iterator[Array]:
    """Frames after learned steps from some recorded ones, all at once."""
    earliest = model.n_history * round(model.time_step / path.interval)
    present = np.linspace(earliest, path.n_frames - 1, STARTS[steps]).astype(np.int64)
    simulator, state = start_from(model, path, present)
    for step in range(1, steps[1] + 1):
        state = simulator.step(state).state
        if step >= steps[0]:
            yield from state.positions.numpy().reshape(len(present), -1, 3)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    model, paths = model_and_paths(__doc__ or "", arguments)
    roles = [ParticleSpecies.of_beads(path.cg.system, path.cg.mapping).by_role() for path in paths]
    truth = [
        order(own, iter(path.positions.astype(np.float64)), box_of(path))
        for own, path in zip(roles, paths, strict=True)
    ]
    for steps in (EARLY, LATE):
        learned = [
            order(own, learned_frames(model, path, steps), box_of(path)) for own, path in zip(roles, paths, strict=True)
        ]
        print(
            f"\nlearned steps {steps[0]} to {steps[1]}, {len(paths)} systems: g over MD's, (slope over compositions)\n"
        )
        bands = [f"{a:g} to {b:g}" for a, b in itertools.pairwise(BANDS)]
        print(f"{'':20}" + "".join(f"{band:>18}" for band in bands))
        for pair in truth[0]:
            of_md, of_model = (np.array([one[pair] for one in each]) for each in (truth, learned))
            ratios = of_model.mean(axis=0) / of_md.mean(axis=0)
            slopes = [np.polyfit(x, y, 1)[0] for x, y in zip(of_md.T, of_model.T, strict=True)]
            cells = (f"{ratio:.2f} ({slope:.2f})" for ratio, slope in zip(ratios, slopes, strict=True))
            print(f"{'-'.join(pair):20}" + "".join(f"{cell:>18}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
