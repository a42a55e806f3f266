"""Time and memory of a learned step of an electrolyte, from a thousand to a million beads in one periodic box.

    python -m benchmarks.scaling --structure ../shared/electrolyte/train/000 --out benchmarks/scaling [--model MODEL]

The beads of one recorded configuration are repeated in space, disturbed a little so that copies differ, and moved by learned
steps. Each size runs in a process of its own, so that its peak memory is its own. Without --model the weights are random:
the cost is that of a trained model of the same size. Times are processor time of one thread, the best of a few steps, since
the machine may be shared.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.scaling.plot import plot
from cgplugin import LearnedModel, MolecularSystem
from cgplugin.coarse_graining.coarse_trajectory import coarsen_trajectory
from cgplugin.coarse_graining.coarsening import CoarseGraining
from cgplugin.coarse_graining.neighbours import BatchedGraph, Edges
from cgplugin.learned.simulator import LearnedSimulator
from cgplugin.networks.options import NetworkOptions
from cgplugin.systems.force_field import BeadSpringForceField
from cgplugin.systems.lammps_files import LammpsConventions
from cgplugin.systems.structure_files import load_structure, open_trajectory
from tests.random_model import random_model

BYTES = 2**30


@dataclass(frozen=True)
class Measurement:
    """One size.

    Attributes
    ----------
    n_beads, n_edges : int
    seconds : float
        Processor time of a learned step.
    neighbour_seconds : float
        Of which for the edges.
    memory : float
        Peak resident memory of the process, GiB.
    memory_before : float
        The same before the first step: libraries, and the system itself.
    """

    n_beads: int
    n_edges: int
    seconds: float
    neighbour_seconds: float
    memory: float
    memory_before: float


def repeated(system: MolecularSystem, copies: int) -> MolecularSystem:
    """Copies of a system in one."""
    offsets = np.arange(copies)[:, None, None] * system.n_atoms
    return MolecularSystem(
        system.atom_types * copies,
        np.tile(system.masses, copies),
        (system.bonds[None] + offsets).reshape(-1, 2),
        system.bond_types * copies,
        units=system.units,
        name=f"{system.name} x {copies}",
    )


def replicate(
    cg: CoarseGraining, frames: NDArray[np.float64], box: NDArray[np.float64], n_beads: int
) -> tuple[CoarseGraining, NDArray[np.float64], NDArray[np.float64]]:
    """Beads, frames and box of about ``n_beads`` beads by repetition along all axes, as equal as may be."""
    counts = np.ones(3, dtype=int)
    while counts.prod() * cg.n_beads < n_beads:
        counts[(counts * np.diagonal(box)).argmin()] += 1
    cells = np.array(list(np.ndindex(*counts)))
    copies = len(cells)
    mapping = (cg.mapping[None] + np.arange(copies)[:, None] * cg.n_beads).reshape(-1)
    large = CoarseGraining(repeated(cg.system, copies), mapping, cg.atoms_per_bead, cg.seed)
    random = np.random.default_rng(0)
    shifts = (cells @ box)[:, None, None] + random.normal(size=(copies, 1, cg.n_beads, 3)) * 0.05
    replicas = (frames[None] + shifts).transpose(1, 0, 2, 3).reshape(len(frames), -1, 3)
    return large, replicas, box * counts[:, None]


class Stopwatch:
    """Adds up the time that the edges take within a step."""

    def __init__(self) -> None:
        self.seconds, self.n_edges = 0.0, 0
        search = BatchedGraph.edges

        def timed(graph: BatchedGraph, positions: torch.Tensor) -> Edges:
            begin = time.process_time()
            edges = search(graph, positions)
            self.seconds += time.process_time() - begin
            self.n_edges = len(edges.kinds)
            return edges

        BatchedGraph.edges = timed  # type: ignore[method-assign]


def peak_memory() -> float:
    """GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / BYTES


def measure(model: LearnedModel, structure: Path, n_beads: int, steps: int, force_field: Path | None) -> Measurement:
    conventions = LammpsConventions("lj", 0.01, None if force_field is None else BeadSpringForceField.load(force_field))
    loaded = load_structure(structure, conventions)
    assert loaded.box_vectors is not None
    cg = model.coarsen(loaded.system)
    dump = open_trajectory(loaded.source.parent / "traj.lammpstrj.bz2", loaded, conventions)
    path = coarsen_trajectory(cg, dump)
    stride = max(1, round(model.time_step / path.interval))
    frames = path.positions[::stride][: model.n_history + 1].astype(np.float64)
    large, start, box = replicate(cg, frames, loaded.box_vectors, n_beads)
    # the embedding is made once per system, of its molecules alone: those of the copies are those of the original
    embedding = model.embed(cg)
    model.embed = lambda large: embedding.repeat(large.n_beads // len(embedding), 1)  # type: ignore[method-assign]
    simulator = LearnedSimulator(model, [large], box_vectors=[box])
    state = simulator.start([start])
    before = peak_memory()
    watch = Stopwatch()
    timings = []
    for _ in range(steps):
        watch.seconds = 0.0
        begin = time.process_time()
        state = simulator.step(state).state
        timings.append((time.process_time() - begin, watch.seconds))
    seconds, searching = min(timings)
    return Measurement(large.n_beads, watch.n_edges, seconds, searching, peak_memory(), before)


def exponent(sizes: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """Slope of a straight line through the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def table(rows: list[Measurement], header: str) -> str:
    sizes = np.array([row.n_beads for row in rows], dtype=float)
    lines = [
        header,
        "",
        "| beads | edges per bead | s per step | µs per bead | of which edges | peak memory, GiB | kB per bead |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.n_beads:,} | {row.n_edges / row.n_beads:.1f} | {row.seconds:.3g} | {1e6 * row.seconds / row.n_beads:.1f} | "
        f"{100 * row.neighbour_seconds / row.seconds:.0f} % | {row.memory:.2f} | "
        f"{(row.memory - rows[0].memory_before) * BYTES / 1000 / row.n_beads:.1f} |"
        for row in rows
    ]
    if len(rows) > 1:
        slope = exponent(sizes, np.array([row.seconds for row in rows]))
        lines += ["", f"Time grows as (number of beads)^{slope:.2f}."]
    return "\n".join(lines) + "\n"


def write(rows: list[Measurement], header: str, out: Path) -> None:
    """Write ``scaling.json``, ``scaling.md`` and ``scaling.png``."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "scaling.md").write_text(table(rows, header), encoding="utf-8")
    content = {"header": header, "rows": [asdict(row) for row in rows]}
    (out / "scaling.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    plot(rows, out / "scaling.png")


def machine() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--structure", type=Path, required=True, help="Folder of a reference electrolyte.")
    parser.add_argument("--model", type=Path, help="By default random weights.")
    parser.add_argument(
        "--force-field", type=Path, help="Names of the atom types, where the model was trained with it."
    )
    parser.add_argument("--sizes", type=float, nargs="+", default=[1e3, 1e4, 1e5, 1e6])
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--hidden", type=int, default=32, help="Width of random networks.")
    parser.add_argument("--layers", type=int, default=2, help="Layers of random networks.")
    parser.add_argument("--cutoff", type=float, default=3.0, help="Cutoff of random networks, nm.")
    parser.add_argument("--score", action="store_true", help="Random networks refine each step with one noise level.")
    parser.add_argument("--out", type=Path, required=True, help="Folder for scaling.json, scaling.md and scaling.png.")
    parser.add_argument("--one-size", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory() as scratch:
        path = options.model
        if path is None:
            system = load_structure(options.structure, LammpsConventions("lj", 0.01)).system
            network = NetworkOptions(hidden=options.hidden, layers=options.layers, score=options.score, score_layers=1)
            path = random_model(Path(scratch) / "m.pt", [system], cutoff=options.cutoff, options=network)
        if options.one_size:
            model = LearnedModel.load(path)
            measured = measure(model, options.structure, int(options.sizes[0]), options.steps, options.force_field)
            print(json.dumps(asdict(measured)))
            return
        description = LearnedModel.load(path).description
        sizes = ", ".join(f"{description.networks[name]} {name}" for name in ("hidden", "layers"))
        header = (
            f"{machine()}, one thread; {'random weights' if options.model is None else options.model.name}: {sizes}, "
            f"cutoff {description.cutoff:g} σ, {description.atoms_per_bead} atoms per bead, "
            f"{description.refinement.get('levels', 0)} levels of refinement; best of {options.steps} steps"
        )
        rows = []
        for size in sorted(options.sizes):
            words = [sys.executable, "-m", "benchmarks.scaling", "--one-size", "--sizes", str(size)]
            words += ["--structure", str(options.structure), "--model", str(path), "--steps", str(options.steps)]
            words += ["--out", str(options.out)]
            words += [] if options.force_field is None else ["--force-field", str(options.force_field)]
            done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
            rows.append(Measurement(**json.loads(done.stdout.splitlines()[-1])))
            print(rows[-1], flush=True)
            # after every size: the largest may not fit into the memory of a machine
            write(rows, header, options.out)
    print(table(rows, header))


if __name__ == "__main__":
    main()
