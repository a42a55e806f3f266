"""The networks as they are used, beside the straightforward ones of `plain_network` with the same weights."""

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from cgplugin import LearnedModel
from cgplugin.coarse_graining.neighbours import BatchedGraph, BeadGraph, Edges
from cgplugin.learned.simulator import TILE_BEADS
from cgplugin.networks.dynamics import Prediction

from .measuring import median_ratio, seconds, take_turns
from .plain_network import plain_networks_of
from .systems import FineSystem, simulator_of

if TYPE_CHECKING:
    from collections.abc import Callable

TOLERANCE = 1e-4
"""Relative difference of the outputs that float32 sums in another order explain."""


@dataclass(frozen=True)
class Comparison:
    """One line of the table; ms per system and call of the Dynamics GNN."""

    network: str
    n_systems: int
    ours: float
    plain: float
    times_as_fast: float
    largest_difference: float


class _Call(NamedTuple):
    embedding: Tensor
    masses: Tensor
    displacements: Tensor
    edges: Edges


def _call(model: LearnedModel, systems: list[FineSystem], n: int) -> _Call:
    simulator, frames = simulator_of(model, systems, n)
    state = simulator.start(frames)
    graph = BatchedGraph([BeadGraph.of(cg) for cg in simulator.systems], model.description.cutoff)
    return _Call(
        torch.cat([model.embed(cg) for cg in simulator.systems]),
        torch.cat([torch.tensor(cg.masses, dtype=torch.float32) for cg in simulator.systems]),
        state.displacements.to(torch.float32),
        graph.edges(state.positions),
    )


@torch.inference_mode()
def compare(
    path: Path, name: str, systems: list[FineSystem], n_systems: int, rounds: int, *, compiled: bool
) -> list[Comparison]:
    """Check that all give the same, then let them take turns; ours in tiles, as the simulator does."""
    model, plain = LearnedModel.load(path), plain_networks_of(path)
    models = {name: model}
    if compiled:
        models[f"{name}, compiled"] = LearnedModel.load(path, compiled=True, report=print)
    whole = _call(model, systems, n_systems)
    per_tile = max(1, round(TILE_BEADS * n_systems / len(whole.masses)))
    tiles = [
        _call(
            model, systems[first % len(systems) :] + systems[: first % len(systems)], min(per_tile, n_systems - first)
        )
        for first in range(0, n_systems, per_tile)
    ]

    def ours(model: LearnedModel, calls: list[_Call]) -> list[Prediction]:
        return [model.predict(*call) for call in calls]

    def straightforward() -> Prediction:
        embedding, masses, displacements, edges = whole
        return plain(embedding, masses, displacements, edges.pairs, edges.separations, edges.kinds)

    other = straightforward()
    differences = {key: _difference(ours(one, [whole])[0], other) for key, one in models.items()}
    for key, difference in differences.items():
        if difference > TOLERANCE:
            raise RuntimeError(f"{key}, {n_systems} systems: outputs differ by {difference:.1e}")
    contestants: dict[str, Callable[[], float]] = {"plain": lambda: seconds(straightforward)}
    for key, one in models.items():
        contestants[key] = lambda one=one: seconds(lambda: ours(one, tiles))  # type: ignore[misc]
    taken = take_turns(contestants, rounds)
    ms = {key: 1e3 * statistics.median(values) / n_systems for key, values in taken.items()}
    return [
        Comparison(key, n_systems, ms[key], ms["plain"], median_ratio(taken["plain"], taken[key]), differences[key])
        for key in models
    ]


def _difference(found: Prediction, expected: Prediction) -> float:
    """Largest difference, relative to the largest value of each field."""
    return max(float((a - b).abs().max() / b.abs().max().clamp(min=1e-6)) for a, b in zip(found, expected, strict=True))
