"""A learned step in parts: neighbours, networks, refinement, the rest of the step, OpenMM."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from cgplugin import LearnedModel
from cgplugin.coarse_graining.neighbours import BatchedGraph, BeadGraph
from cgplugin.learned.simulator import LearnedSimulator, LearnedState
from openmm_integration import CoarseSystem
from openmm_integration.simulation import LearnedSimulation

from .measuring import matrix_peak, seconds
from .systems import Array, FineSystem, simulator_of

PARTS = {
    "neighbours": (BatchedGraph, "edges"),
    "messages": (LearnedModel, "predict"),
    "refinement": (LearnedModel, "estimate_noise"),
}
"""What is timed inside a step, and the method that does it."""

SHORT = 0.05
"""Processor time of a measurement, s; small batches make several steps in it."""


@dataclass(frozen=True)
class StepCost:
    """One line of the table; times are ms of one core per system and step.

    Attributes
    ----------
    network, n_systems, n_beads, edges_per_bead
    embedding : float
        Once per system, before the first step.
    neighbours, messages, refinement : float
        Of which in the search for neighbours, the Dynamics GNN, the Score GNN.
    python : float
        All else in a step: noise, tiles, the state.
    step : float
        Their sum.
    openmm : float or None
        What an ``openmm.app.Simulation`` adds; it has no reporter.
    gflop : float
        Operations of matrix products in a step.
    gflop_per_second : float
        Of the networks.
    peak : float
        Of a product of large matrices in the same rounds, GFLOP/s.
    """

    network: str
    n_systems: int
    n_beads: int
    edges_per_bead: float
    embedding: float
    neighbours: float
    messages: float
    refinement: float
    python: float
    step: float
    openmm: float | None
    gflop: float
    gflop_per_second: float
    peak: float

    @property
    def share_of_peak(self) -> float:
        """Of the networks."""
        return self.gflop_per_second / self.peak


@contextmanager
def stopwatch() -> Iterator[dict[str, float]]:
    """Processor time of each part while the context lasts."""
    taken = dict.fromkeys(PARTS, 0.0)

    def timed(part: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            begin = time.process_time()
            try:
                return method(*arguments)
            finally:
                taken[part] += time.process_time() - begin

        return call

    originals = {part: getattr(owner, name) for part, (owner, name) in PARTS.items()}
    for part, (owner, name) in PARTS.items():
        setattr(owner, name, timed(part, originals[part]))
    try:
        yield taken
    finally:
        for part, (owner, name) in PARTS.items():
            setattr(owner, name, originals[part])


class BareSteps:
    """The same learned step again and again, from one state."""

    def __init__(self, simulator: LearnedSimulator, frames: list[Array]) -> None:
        self.simulator, self.state = simulator, simulator.start(frames)
        self._settle()
        once = min(seconds(self.step) for _ in range(3))
        self.n_steps = max(1, round(SHORT / once))

    def _settle(self) -> None:
        # TorchScript optimises in the first calls
        for _ in range(3):
            self.step()

    def step(self) -> LearnedState:
        """One step."""
        return self.simulator.step(self.state).state

    def seconds(self) -> float:
        """Processor time of a step."""

        def some() -> None:
            for _ in range(self.n_steps):
                self.step()

        return seconds(some) / self.n_steps

    def parts(self) -> dict[str, float]:
        """Processor time of each part of a step, and of the whole ``step``."""
        with stopwatch() as taken:
            whole = self.seconds()
        return {part: value / self.n_steps for part, value in taken.items()} | {"step": whole}

    def flop(self) -> int:
        """Operations of the matrix products in a step."""
        with FlopCounterMode(display=False) as counter:
            self.step()
        return int(counter.get_total_flops())


class OpenmmSteps:
    """Steps of the same systems inside an ``openmm.app.Simulation``, beside the same steps in a bare loop."""

    def __init__(self, simulator: LearnedSimulator, frames: list[Array], n_steps: int) -> None:
        self.n_steps = 10 * max(1, n_steps // 10)
        boxes = None if simulator.boxes[0] is None else np.array(simulator.boxes)
        cg = CoarseSystem(tuple(simulator.systems), boxes, np.concatenate(frames, axis=1))
        self._simulation = LearnedSimulation(simulator.model, cg, seed=1, platform="CPU", threads=1)
        self._bare, self._state = simulator, simulator.start(frames)

    def added(self) -> float:
        """Processor time that OpenMM adds to a step."""

        def bare() -> None:
            for _ in range(self.n_steps):
                self._state = self._bare.step(self._state).state

        inside = seconds(lambda: self._simulation.step(self.n_steps))
        return (inside - seconds(bare)) / self.n_steps


def measure_steps(
    path: Path,
    name: str,
    systems: list[FineSystem],
    n_systems: int,
    rounds: int,
    *,
    in_openmm: bool,
    compiled: bool = False,
) -> StepCost:
    """Cost of a step of ``n_systems`` systems, split; ``in_openmm`` where the model's own trajectory stays physical."""
    model = LearnedModel.load(path, compiled=compiled, report=print)
    simulator, frames = simulator_of(model, systems, n_systems)
    bare = BareSteps(simulator, frames)
    openmm = OpenmmSteps(simulator, frames, bare.n_steps) if in_openmm else None
    taken: list[dict[str, float]] = []
    for _ in range(rounds):
        one = bare.parts() | {"peak": matrix_peak()}
        one["embedding"] = seconds(lambda: model.embed(simulator.systems[0]))
        if openmm is not None:
            one["openmm"] = openmm.added()
        taken.append(one)
    middle = {key: statistics.median(one[key] for one in taken) for key in taken[0]}
    # torch does not count what compiled code does: the same operations
    scripted = BareSteps(*simulator_of(LearnedModel.load(path), systems, n_systems)) if compiled else bare
    flop = scripted.flop()
    # a median of a sum is no sum of medians
    python = statistics.median(one["step"] - sum(one[part] for part in PARTS) for one in taken)
    rate = statistics.median(1e-9 * flop / (one["messages"] + one["refinement"]) for one in taken)
    per_system = {part: 1e3 * middle[part] / n_systems for part in (*PARTS, "step")}
    cutoff, ion_cutoff = model.description.cutoffs
    with torch.inference_mode():
        n_edges = sum(
            BatchedGraph([graph], cutoff, [box], ion_cutoff).edges(part).pairs.shape[1]
            for graph, box, part in _graphs(simulator, bare.state)
        )
    return StepCost(
        network=f"{name}, compiled" if compiled else name,
        n_systems=n_systems,
        n_beads=simulator.n_beads,
        edges_per_bead=n_edges / simulator.n_beads,
        embedding=1e3 * middle["embedding"],
        python=1e3 * python / n_systems,
        openmm=1e3 * middle["openmm"] / n_systems if openmm is not None else None,
        gflop=1e-9 * flop / n_systems,
        gflop_per_second=rate,
        peak=middle["peak"],
        **per_system,
    )


def _graphs(
    simulator: LearnedSimulator, state: LearnedState
) -> Iterator[tuple[BeadGraph, torch.Tensor | None, torch.Tensor]]:
    for cg, box, part in zip(simulator.systems, simulator.boxes, simulator.slices, strict=True):
        yield BeadGraph.of(cg), None if box is None else torch.from_numpy(box), state.positions[part]
