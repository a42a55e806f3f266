r"""Ion pairs at each stage of a learned step from recorded frames, compared with MD: which network loses them.

    python -m benchmarks.electrolytes.stages models/electrolyte.pt --data ../shared/electrolyte/val \
        --data ../shared/electrolyte/train

Anions around a cation after one step: as the Dynamics GNN predicts it, after the refinement, and after a refinement that starts
from what MD did in place of the prediction. Where the last is right and the one before is not, the refinement has been given
too few pairs to begin with. Then, by their distance, the drift of cation and anion towards each other, that of MD and the
predicted mean; and how much a step changes their distance beside, in MD about that mean and as predicted for beads with noise of
their own.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from cgplugin import LearnedModel
from cgplugin.coarse_graining.coarse_trajectory import CoarseTrajectory
from cgplugin.coarse_graining.drift import without_drift
from cgplugin.coarse_graining.neighbours import BatchedGraph, BeadGraph
from cgplugin.learned.refinement import Refinement, refine
from cgplugin.systems.species import ParticleSpecies

from .recorded import box_of, model_and_paths, start_from

Array = NDArray[np.float64]

RADII = (1.7, 3.0)
"""Radii that anions are counted in, nm."""

DISTANCES = (0.8, 1.7, 2.5, 3.3, 4.1, 5.0)
"""Edges of the bands of distance for the drift, nm; up to half a box all pairs, beyond it nearest images alone."""

PREDICTED, REFINED, FROM_MD = "predicted", "refined", "refined from MD"

FRAMES = 48
"""Recorded frames of each system that a step is done from."""


class IonPairs:
    """Separations of cations and anions in frames (n_frames, n_beads, 3) of a run."""

    def __init__(self, path: CoarseTrajectory) -> None:
        roles = np.array(ParticleSpecies.of_beads(path.cg.system, path.cg.mapping).by_role().names)
        self.cations, self.anions = (np.flatnonzero(roles == role) for role in ("cation", "anion"))
        self.box = box_of(path)

    def between(self, vectors: Array) -> Array:
        """Of some vector of each bead: cations' less anions', shape (n_frames, n_cations, n_anions, 3)."""
        return vectors[:, self.cations][:, :, None] - vectors[:, self.anions][:, None]

    def separations(self, frames: Array) -> Array:
        """Of nearest images."""
        apart = self.between(frames)
        return apart - np.rint(apart @ np.linalg.inv(self.box)) @ self.box

    def coordination(self, frames: Array) -> Array:
        """Anions around a cation within each of `RADII`."""
        distances = np.linalg.norm(self.separations(frames), axis=3)
        return np.array([(distances < radius).sum(axis=2).mean() for radius in RADII])


def learned_and_true(model: LearnedModel, path: CoarseTrajectory, pairs: IonPairs) -> tuple[dict[str, Array], Array]:
    """Coordination after a step of MD and at each stage of the learned one; changes of distance in MD and as predicted.

    The changes, shape (5, n_bands), are sums over pairs: of MD's and predicted drift, of MD's squared deviation from the latter
    and the predicted variance, and last the number of pairs.
    """
    stride = round(model.time_step / path.interval)
    present = np.linspace(model.n_history * stride, path.n_frames - 1 - stride, FRAMES).astype(np.int64)
    before = path.positions[present].astype(np.float64)
    after = path.positions[present + stride].astype(np.float64)
    found = {"MD": pairs.coordination(after)}
    for stage, refinement in ((PREDICTED, Refinement()), (REFINED, None)):
        simulator, state = start_from(model, path, present, refinement)
        found[stage] = pairs.coordination(simulator.step(state).state.positions.numpy().reshape(before.shape))

    # what no simulator asks for: a refinement of something else than the prediction
    description = model.description
    graphs, boxes = [BeadGraph.of(path.cg)] * FRAMES, [torch.from_numpy(pairs.box)] * FRAMES
    present_graph, next_graph = (
        BatchedGraph(graphs, cutoff, boxes, ion_cutoff)
        for cutoff, ion_cutoff in (description.cutoffs, description.score_cutoffs)
    )
    latest = state.displacements[:, 0]
    prediction = model.predict(
        model.embed(path.cg).repeat(FRAMES, 1),
        torch.tensor(path.cg.masses, dtype=torch.float32).repeat(FRAMES),
        state.displacements.to(torch.float32),
        present_graph.edges(state.positions),
    )

    def estimate(change: torch.Tensor, sigma: float) -> torch.Tensor:
        edges = next_graph.edges(state.positions + latest + change.to(torch.float64))
        return model.estimate_noise(prediction, change, edges, sigma)

    # as in training, without the drift of the box
    moved = without_drift(after, path.cg.masses) - without_drift(before, path.cg.masses)
    change = torch.tensor(moved.reshape(-1, 3)) - latest
    refined = refine(
        change.to(torch.float32),
        prediction,
        estimate,
        description.noise_levels,
        model.refinement,
        simulator.normal(0)[1:],
    )
    found[FROM_MD] = pairs.coordination((state.positions + latest + refined).numpy().reshape(before.shape))

    apart = pairs.separations(before)
    distances = np.linalg.norm(apart, axis=3)
    bands = [(distances >= a) & (distances < b) for a, b in itertools.pairwise(DISTANCES)]
    mean = (latest + prediction.mean).numpy().reshape(before.shape)
    outwards = [(pairs.between(vectors) * apart).sum(axis=3) / distances for vectors in (moved, mean)]
    variance = prediction.scale[:, 0].square().numpy().reshape(before.shape[:2])
    of_pairs = variance[:, pairs.cations][:, :, None] + variance[:, pairs.anions][:, None]
    changes = [*outwards, (outwards[0] - outwards[1]) ** 2, of_pairs, np.ones_like(distances)]
    return found, np.array([[values[band].sum() for band in bands] for values in changes])


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    model, paths = model_and_paths(__doc__ or "", arguments)
    results = [learned_and_true(model, path, IonPairs(path)) for path in paths]

    print(f"anions around a cation, {len(paths)} systems: mean (slope over compositions against MD)\n")
    print(f"{'':20}" + "".join(f"{f'within {radius:g}':>18}" for radius in RADII))
    truth = np.array([found["MD"] for found, _ in results])
    for stage in ("MD", PREDICTED, REFINED, FROM_MD):
        own = np.array([found[stage] for found, _ in results])
        slopes = [np.polyfit(x, y, 1)[0] for x, y in zip(truth.T, own.T, strict=True)]
        cells = (f"{mean:.3f} ({slope:.2f})" for mean, slope in zip(own.mean(axis=0), slopes, strict=True))
        print(f"{stage:20}" + "".join(f"{cell:>18}" for cell in cells))

    bands = [f"{a:g} to {b:g}" for a, b in itertools.pairwise(DISTANCES)]
    print("\ndrift of cation and anion away from each other in a step, nm\n")
    print(f"{'':20}" + "".join(f"{band:>18}" for band in bands))
    of_md, of_mean, *variances, number = np.sum([changes for _, changes in results], axis=0)
    for name, sums in (("MD", of_md), ("predicted mean", of_mean)):
        print(f"{name:20}" + "".join(f"{value:>+18.3f}" for value in sums / number))
    print("\nvariance of their distance about that mean, nm^2\n")
    for name, sums in zip(("MD", "predicted"), variances, strict=True):
        print(f"{name:20}" + "".join(f"{value:>18.3f}" for value in sums / number))


if __name__ == "__main__":
    main()
