"""What OpenMM costs around a learned step, and what replicas in one network call save.

    python -m benchmarks.openmm_overhead --polymer CHAIN.data --electrolyte BOX.data

In each round, one simulator makes some steps in a bare loop, and another the same steps, bit by bit, inside an
``app.Simulation`` with reporters. Times are processor time, since the machine may be shared; figures are medians over the rounds.
"""

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from openmm import app

from cgplugin import LearnedModel
from cgplugin.files import write_json
from cgplugin.learned.simulator import LearnedSimulator
from openmm_integration import learned_simulation
from openmm_integration.simulation import LearnedSimulation, part_reporters

MODELS = Path(__file__).parents[2] / "models"
REPORT_INTERVAL = 10
N_REPLICAS = (1, 4, 16, 64)
WARM_UP_ROUNDS = 3
"""TorchScript optimises during the first calls."""

Reporters = Callable[[LearnedSimulation, Path], Sequence[Any]]


@dataclass
class Overhead:
    """One line of the first table; ms per step."""

    system: str
    n_beads: int
    reporters: str
    bare: float
    inside: float
    added: float
    ratio: float


@dataclass
class Replicas:
    """One line of the second table; ms per step and replica."""

    n_replicas: int
    milliseconds: float
    times_one: float


def dcd_reporter(_: LearnedSimulation, folder: Path) -> Sequence[Any]:
    return [app.DCDReporter(str(folder / "all.dcd"), REPORT_INTERVAL)]


def one_file_per_part(simulation: LearnedSimulation, folder: Path) -> Sequence[Any]:
    return part_reporters(simulation, folder, REPORT_INTERVAL)


CONTESTANTS: dict[str, Reporters] = {
    "none": lambda *_: [],
    f"DCDReporter every {REPORT_INTERVAL}": dcd_reporter,
    f"part_reporters every {REPORT_INTERVAL}": one_file_per_part,
}


def seconds(call: Callable[[], object]) -> float:
    """Processor time of a call."""
    begin = time.process_time()
    call()
    return time.process_time() - begin


class BareLoop:
    """The learned steps of a simulation, without OpenMM."""

    def __init__(self, simulation: LearnedSimulation) -> None:
        cg, model = simulation.cg, simulation.integrator.model
        boxes = [cg.box_of(part) for part in range(len(cg.parts))]
        seed = simulation.integrator.getRandomNumberSeed()
        self._simulator = LearnedSimulator(model, cg.parts, seed=seed, box_vectors=boxes)
        assert cg.start_frames is not None
        self.state = self._simulator.start([cg.start_frames[:, part] for part in self._simulator.slices])

    def advance(self, n_steps: int) -> None:
        """Make learned steps."""
        for _ in range(n_steps):
            self.state = self._simulator.step(self.state).state


def measure(system: str, start: LearnedSimulation, n_steps: int, rounds: int) -> list[Overhead]:
    """Overhead for one system; all contestants take turns, each beside a bare loop of its own."""
    model, cg = start.integrator.model, start.cg
    taken: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in CONTESTANTS}
    with tempfile.TemporaryDirectory() as scratch:
        pairs = {}
        for name, reporters in CONTESTANTS.items():
            simulation = learned_simulation(model, cg, seed=1, platform="CPU", threads=1)
            folder = Path(scratch, str(len(pairs)))
            folder.mkdir()
            simulation.reporters += reporters(simulation, folder)
            pairs[name] = (BareLoop(simulation), simulation)
        for turn in range(WARM_UP_ROUNDS + rounds):
            for name, (bare, simulation) in pairs.items():
                one, other = seconds(lambda b=bare: b.advance(n_steps)), seconds(lambda s=simulation: s.step(n_steps))
                if turn >= WARM_UP_ROUNDS:
                    taken[name][0].append(1e3 * one / n_steps)
                    taken[name][1].append(1e3 * other / n_steps)
        for bare, simulation in pairs.values():
            positions = simulation.context.getState(positions=True).getPositions(asNumpy=True)._value
            assert (bare.state.positions.numpy() == positions).all(), "the two did not do the same"
    rows = []
    for name, (bare_ms, inside_ms) in taken.items():
        both = list(zip(bare_ms, inside_ms, strict=True))
        added = statistics.median(inside - bare for bare, inside in both)
        ratio = statistics.median(inside / bare for bare, inside in both)
        rows.append(
            Overhead(system, cg.n_beads, name, statistics.median(bare_ms), statistics.median(inside_ms), added, ratio)
        )
    return rows


def measure_replicas(model: LearnedModel, structure: Path, rounds: int) -> list[Replicas]:
    """Cost of a step for each of several replicas in one Simulation, a file each."""
    with tempfile.TemporaryDirectory() as scratch:
        simulations = {}
        for n in N_REPLICAS:
            simulation = learned_simulation(model, structure, seed=1, replicas=n, platform="CPU", threads=1)
            simulation.reporters += part_reporters(simulation, Path(scratch, str(n)), REPORT_INTERVAL)
            simulations[n] = simulation
        taken: dict[int, list[float]] = {n: [] for n in N_REPLICAS}
        for turn in range(WARM_UP_ROUNDS + rounds):
            for n, simulation in simulations.items():
                own = seconds(lambda s=simulation: s.step(REPORT_INTERVAL))
                if turn >= WARM_UP_ROUNDS:
                    taken[n].append(1e3 * own / REPORT_INTERVAL / n)
    rows = []
    for n, values in taken.items():
        ratios = [alone / own for alone, own in zip(taken[N_REPLICAS[0]], values, strict=True)]
        rows.append(Replicas(n, statistics.median(values), statistics.median(ratios)))
    return rows


def machine() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{line.split(':')[1].strip()}, one thread"
    return f"{platform.processor()}, one thread"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--polymer", type=Path, required=True, help="A chain for models/polymer.pt.")
    parser.add_argument("--electrolyte", type=Path, help="A system in a box for models/electrolyte.pt.")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--out", type=Path, help="JSON file with the tables.")
    options = parser.parse_args()
    torch.set_num_threads(1)

    model = LearnedModel.load(MODELS / "polymer.pt")
    chain = learned_simulation(model, options.polymer, seed=1, platform="CPU", threads=1)
    n_copies = round(1000 / chain.cg.n_beads)
    many = learned_simulation(model, options.polymer, seed=1, replicas=n_copies, platform="CPU", threads=1)
    rows = measure("chain", chain, 10 * REPORT_INTERVAL, options.rounds)
    rows += measure(f"{n_copies} chains", many, REPORT_INTERVAL, options.rounds)
    if options.electrolyte:
        boxed_model = LearnedModel.load(MODELS / "electrolyte.pt")
        boxed = learned_simulation(boxed_model, options.electrolyte, seed=1, platform="CPU", threads=1)
        rows += measure("electrolyte", boxed, REPORT_INTERVAL, options.rounds)
    replicas = measure_replicas(model, options.polymer, options.rounds)

    print(f"{machine()}\n")
    print(
        "| system | beads | reporters | bare, ms | in OpenMM, ms | added, ms | ratio |\n|---|---|---|---|---|---|---|"
    )
    for row in rows:
        print(
            f"| {row.system} | {row.n_beads} | {row.reporters} | {row.bare:.3f} | {row.inside:.3f} | {row.added:.3f} | "
            f"{row.ratio:.3f} |"
        )
    print("\n| replicas | ms per step and replica | times the speed of one at a time |\n|---|---|---|")
    for line in replicas:
        print(f"| {line.n_replicas} | {line.milliseconds:.4f} | {line.times_one:.1f} |")
    if options.out:
        tables = {"overhead": [vars(row) for row in rows], "replicas": [vars(line) for line in replicas]}
        write_json(options.out, {"machine": machine(), **tables})


if __name__ == "__main__":
    main()
