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
def compare(path: Path, name: str, systems: list[FineSystem], n_systems: int, rounds: int) -> Comparison:
    """Check that both give the same, then let them take turns; ours in tiles, as the simulator does."""
    model, plain = LearnedModel.load(path), plain_networks_of(path)
    whole = _call(model, systems, n_systems)
    per_tile = max(1, round(TILE_BEADS * n_systems / len(whole.masses)))
    tiles = [
        _call(
            model, systems[first % len(systems) :] + systems[: first % len(systems)], min(per_tile, n_systems - first)
        )
        for first in range(0, n_systems, per_tile)
    ]

    def ours(calls: list[_Call]) -> list[Prediction]:
        return [model.predict(*call) for call in calls]

    def straightforward() -> Prediction:
        embedding, masses, displacements, edges = whole
        return plain(embedding, masses, displacements, edges.pairs, edges.separations, edges.kinds)

    (once,), other = ours([whole]), straightforward()
    difference = max(
        float((a - b).abs().max() / b.abs().max().clamp(min=1e-6)) for a, b in zip(once, other, strict=True)
    )
    if difference > TOLERANCE:
        raise RuntimeError(f"{name}, {n_systems} systems: outputs differ by {difference:.1e}")
    contestants: dict[str, Callable[[], float]] = {
        "ours": lambda: seconds(lambda: ours(tiles)),
        "plain": lambda: seconds(straightforward),
    }
    taken = take_turns(contestants, rounds)
    ours_ms, plain_ms = (1e3 * statistics.median(taken[key]) / n_systems for key in ("ours", "plain"))
    return Comparison(name, n_systems, ours_ms, plain_ms, median_ratio(taken["plain"], taken["ours"]), difference)
