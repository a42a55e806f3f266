"""How fast everything is, in one run on one machine: prints the tables, and writes them as JSON.

    python -m benchmarks.speed --shared ../shared --out benchmarks/speed/results.json [--only steps ...] [--compile small ...]

Times are processor time of one thread, medians over rounds in which the contestants take turns, since the machine may be shared.
"""

import argparse
import itertools
import json
import statistics
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch

from cgplugin import LearnedModel
from cgplugin.files import write_json

from .comparison import compare
from .engines import LammpsRun, OpenmmRun
from .learned_steps import BareSteps, measure_steps
from .measuring import machine, markdown, matrix_peak, take_turns
from .original_sizes import against_original, electrolyte
from .start_up import start_up
from .systems import FineSystem, long_chain, paper_size_model, recorded, simulator_of
from .training import measure_training

if TYPE_CHECKING:
    from collections.abc import Callable

MODELS = Path(__file__).parents[2] / "models"
BATCHES = (1, 10, 40, 400)
NETWORKS = ("small", "fast", "paper size", "electrolyte")
N_LONG = 4
N_PACKED = 20
"""Chains in one Context of OpenMM."""


class Benchmark:
    """The tables, each a method that prints it and returns its rows.

    Parameters
    ----------
    shared : Path
        Folder with the reference data: ``polymer`` and ``electrolyte``.
    scratch : Path
    rounds : int
    compiled : sequence of str
        Of `NETWORKS`, those that are measured compiled as well.
    """

    def __init__(self, shared: Path, scratch: Path, rounds: int, compiled: Sequence[str] = ()) -> None:
        self.scratch, self.rounds, self.compiled = scratch, rounds, compiled
        names = ("polymer.pt", "polymer_fast.pt", "electrolyte.pt")
        self.polymer, self.fast, self.electrolyte = (self._of_today(name) for name in names)
        paths = sorted((shared / "polymer" / "devtest").glob("*/topology.data"))
        self.chains = [recorded(path, "polymer") for path in paths[:10]]
        self.boxes = [recorded(shared / "electrolyte" / "devtest" / "000" / "topology.data", "electrolyte")]
        self.training_data = sorted(path for path in (shared / "polymer" / "train").iterdir() if path.is_dir())[:24]
        self.paper_size = paper_size_model(scratch, self.chains, LearnedModel.load(self.polymer))
        self._long: list[FineSystem] = []

    def _of_today(self, name: str) -> Path:
        """A shipped model with the code of this version, which a file of an earlier one does not have."""
        networks, description = LearnedModel.read_networks(MODELS / name)
        return LearnedModel.export(networks, description, self.scratch / name)

    def _ways(self, network: str) -> tuple[bool, ...]:
        """Whether compiled, for every way in which a network is measured."""
        return (False, True) if network in self.compiled else (False,)

    @property
    def long_chains(self) -> list[FineSystem]:
        """Chains of the paper's length, built when they are first asked for."""
        if not self._long:
            self._long = [long_chain(number) for number in range(N_LONG)]
        return self._long

    def steps(self) -> list[dict[str, Any]]:
        """Cost of a learned step in parts, and the networks' share of the matrix peak."""
        networks = (
            ("small", self.polymer, self.chains, BATCHES, True),
            ("fast", self.fast, self.chains, BATCHES, True),
            ("paper size", self.paper_size, self.chains, BATCHES, False),
            ("electrolyte", self.electrolyte, self.boxes, (1, 10), True),
        )
        costs = [
            measure_steps(path, name, systems, n, self.rounds, in_openmm=in_openmm, compiled=compiled)
            for name, path, systems, batches, in_openmm in networks
            for n in batches
            for compiled in self._ways(name)
        ]
        header = [
            "network",
            "systems",
            "beads",
            "edges per bead",
            "embedding, once",
            "neighbours",
            "messages",
            "refinement",
        ]
        header += ["Python", "step, ms", "OpenMM adds", "MFLOP", "GFLOP/s", "peak", "share"]
        rows = [
            [
                cost.network,
                f"{cost.n_systems}",
                f"{cost.n_beads:,}",
                f"{cost.edges_per_bead:.1f}",
                f"{cost.embedding:.2f}",
            ]
            + [f"{value:.4f}" for value in (cost.neighbours, cost.messages, cost.refinement, cost.python, cost.step)]
            + ["" if cost.openmm is None else f"{cost.openmm:.4f}", f"{1e3 * cost.gflop:.2f}"]
            + [f"{cost.gflop_per_second:.1f}", f"{cost.peak:.1f}", f"{100 * cost.share_of_peak:.0f} %"]
            for cost in costs
        ]
        print(f"\nA learned step, ms per system\n\n{markdown(header, rows)}", flush=True)
        return [asdict(cost) for cost in costs]

    def engines(self) -> list[dict[str, Any]]:
        """The same simulated time by the learned model, LAMMPS and OpenMM."""
        found = [
            *self._engines("chain", "small", self.polymer, self.chains, (1, 40, 400)),
            *self._engines("chain", "fast", self.fast, self.chains, (1, 40, 400)),
            *self._engines("long chain", "small", self.polymer, self.long_chains, (1, 40)),
            *self._engines("long chain", "fast", self.fast, self.long_chains, (1, 40)),
            *self._engines("electrolyte", "electrolyte", self.electrolyte, self.boxes, (1, 10)),
        ]
        rows = [[line["system"], line["what"], f"{line['ms']:.4g}", f"{line['times_lammps']:.1f}"] for line in found]
        print(
            f"\nThe same simulated time, per system and core\n\n{markdown(['system', '', 'ms', 'times LAMMPS'], rows)}",
            flush=True,
        )
        return found

    def _engines(
        self, name: str, network: str, path: Path, systems: list[FineSystem], batches: tuple[int, ...]
    ) -> list[dict[str, Any]]:
        models = [LearnedModel.load(path, compiled=compiled, report=print) for compiled in self._ways(network)]
        md_steps = round(models[0].time_step / systems[0].force_field.dynamics.time_step)
        lammps = [LammpsRun(fine, self.scratch) for fine in systems]
        contestants: dict[str, Callable[[], float]] = {
            "LAMMPS": lambda: statistics.mean(run.seconds(md_steps) for run in lammps)
        }
        for n, model in itertools.product(batches, models):
            bare = BareSteps(*simulator_of(model, systems, n))
            what = f"learned ({network}{', compiled' if model.compiled else ''}), batch of {n}"
            contestants[what] = lambda bare=bare, n=n: bare.seconds() / n  # type: ignore[misc]
        # side by side they need no box, and electrolytes have one
        for n in {1, N_PACKED if systems[0].box_vectors is None and name == "chain" else 1}:
            run = OpenmmRun([systems[i % len(systems)] for i in range(n)])
            contestants[f"OpenMM CPU, {n} per Context"] = lambda run=run: run.seconds(md_steps)  # type: ignore[misc]
        taken = take_turns(contestants, self.rounds)
        for run in lammps:
            run.close()
        n_atoms = statistics.mean(fine.system.n_atoms for fine in systems)
        return [
            {
                "system": f"{name}, {n_atoms:.0f} atoms, {md_steps} MD steps",
                "what": what,
                "ms": 1e3 * statistics.median(values),
                "times_lammps": statistics.median(a / b for a, b in zip(taken["LAMMPS"], values, strict=True)),
            }
            for what, values in taken.items()
        ]

    def plain(self) -> list[dict[str, Any]]:
        """Against the straightforward torch-geometric network with the same weights."""
        found = [
            compare(path, name, self.chains, n, self.rounds, compiled=name in self.compiled)
            for name, path in (("small", self.polymer), ("paper size", self.paper_size))
            for n in BATCHES[1:]
        ]
        rows = [
            [
                one.network,
                f"{one.n_systems}",
                f"{one.ours:.4f}",
                f"{one.plain:.4f}",
                f"{one.times_as_fast:.2f}",
                f"{one.largest_difference:.0e}",
            ]
            for one in itertools.chain.from_iterable(found)
        ]
        header = ["network", "systems", "ours, ms", "plain torch-geometric, ms", "times as fast", "relative difference"]
        print(f"\nDynamics GNN, per system and call\n\n{markdown(header, rows)}", flush=True)
        return [asdict(one) for one in itertools.chain.from_iterable(found)]

    def original(self) -> list[dict[str, Any]]:
        """Against the original code at its sizes, as shares of the peak."""
        found, ways = [], self._ways("paper size")
        for (what, n), compiled in itertools.product((("chain of 9 beads", 1), ("40 chains", 40)), ways):
            model = LearnedModel.load(self.paper_size, compiled=compiled, report=print)
            steps = BareSteps(*simulator_of(model, self.chains, n))
            ours, peaks = [steps.seconds() for _ in range(self.rounds)], [matrix_peak() for _ in range(self.rounds)]
            found.append(against_original(what, statistics.median(ours), statistics.median(peaks), compiled=compiled))
        found += [electrolyte(self.boxes[0], self.scratch, compiled=compiled) for compiled in ways]
        rows = [[one.what, f"{one.ours:.4g}", f"{one.original:g}", f"{one.times_as_fast:.1f}"] for one in found]
        header = ["", "ours, s per step", "original, s", "times as fast, in shares of the peak"]
        print(f"\nThe original code's sizes\n\n{markdown(header, rows)}", flush=True)
        return [asdict(one) for one in found]

    def training(self) -> dict[str, Any]:
        """Samples per second, and the share of the time that training waits for them."""
        found = measure_training(self.training_data, self.scratch)
        print(
            f"\nTraining: {found.samples_per_second:.0f} samples/s, {100 * found.waiting:.1f} % of the time waiting for data; "
            f"{found.minutes:.0f} core-minutes to models/polymer.pt",
            flush=True,
        )
        return asdict(found)

    def startup(self) -> dict[str, Any]:
        """Imports, help, model file."""
        found = start_up(self.polymer, 2)
        rows = [[name, f"{value:.2f}"] for name, value in found.items()]
        print(f"\nStart-up\n\n{markdown(['', 's'], rows)}", flush=True)
        return found


PARTS = ("steps", "engines", "plain", "original", "training", "startup")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, required=True, help="Folder of the reference data.")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="Some of the tables.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--compile", nargs="+", choices=NETWORKS, default=(), help="Networks to be measured compiled as well (minutes)."
    )
    parser.add_argument("--out", type=Path, help="JSON file; tables that are not made anew stay in it.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", DeprecationWarning)
    kept = json.loads(options.out.read_text()) if options.out and options.out.is_file() else {}
    with TemporaryDirectory() as scratch:
        benchmark = Benchmark(options.shared, Path(scratch), options.rounds, options.compile)
        print(f"{machine()}; torch {torch.__version__}; matrix peak {matrix_peak():.0f} GFLOP/s", flush=True)
        for part in options.only:
            rows = getattr(benchmark, part)()
            kept[part] = {"machine": f"{machine()}; torch {torch.__version__}", "rows": rows}
            if options.out:
                write_json(options.out, kept)


if __name__ == "__main__":
    main()
