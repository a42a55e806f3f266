r"""Time and memory of a learned step of an electrolyte, from a hundred to a million beads in one periodic box.

    python -m benchmarks.scaling --structure ../shared/electrolyte/train/000 --model models/electrolyte.pt \
        --force-field cgplugin/force_fields/electrolyte.json --out benchmarks/scaling

The beads of one recorded configuration are repeated in space, disturbed a little so that copies differ, and moved by learned
steps, with the model's refinement and without. Each measurement runs in a process of its own, so that its peak memory is its
own. Times are processor time of one thread, the best of a few steps, since the machine may be shared.
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

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.scaling.plot import plot
from cgplugin import LearnedModel, MolecularSystem
from cgplugin.coarse_graining.coarse_trajectory import coarsen_trajectory
from cgplugin.coarse_graining.coarsening import CoarseGraining
from cgplugin.coarse_graining.neighbours import BatchedGraph, Edges
from cgplugin.learned.refinement import Refinement
from cgplugin.learned.simulator import LearnedSimulator
from cgplugin.systems.force_field import BeadSpringForceField
from cgplugin.systems.lammps_files import LammpsConventions
from cgplugin.systems.structure_files import load_structure, open_trajectory

BYTES = 2**30

LEAST_SECONDS = 5.0
"""Processor time to be spent on steps of each size: the first ones of small systems go to TorchScript's compiler."""


@dataclass(frozen=True)
class Measurement:
    """One size, with refinement or without.

    Attributes
    ----------
    refined : bool
    n_beads : int
    n_edges : int
        Of the last graph that was made.
    seconds : float
        Processor time of a learned step.
    neighbour_seconds : float
        Of which for the edges, those of the refinement included.
    memory : float
        Peak resident memory of the process, GiB.
    memory_before : float
        The same before the first step: libraries, and the system itself.
    """

    refined: bool
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


def measure(
    model: LearnedModel, structure: Path, n_beads: int, least_steps: int, force_field: Path | None, refined: bool
) -> Measurement:
    """Steps of one size, in this process."""
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
    refinement = model.refinement if refined else Refinement()
    simulator = LearnedSimulator(model, [large], box_vectors=[box], refinement=refinement)
    state = simulator.start([start])
    before = peak_memory()
    watch = Stopwatch()
    timings: list[tuple[float, float]] = []
    while len(timings) < least_steps or sum(seconds for seconds, _ in timings) < LEAST_SECONDS:
        watch.seconds = 0.0
        begin = time.process_time()
        state = simulator.step(state).state
        timings.append((time.process_time() - begin, watch.seconds))
    seconds, searching = min(timings)
    return Measurement(refined, large.n_beads, watch.n_edges, seconds, searching, peak_memory(), before)


def exponent(sizes: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """Slope of a straight line through the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def table(rows: list[Measurement]) -> str:
    """Markdown: a line per size, and how time and memory grow."""
    lines = [
        "| beads | edges per bead | s per step | µs per bead | of which edges | peak memory, GiB |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.n_beads:,} | {row.n_edges / row.n_beads:.1f} | {row.seconds:.3g} | {1e6 * row.seconds / row.n_beads:.1f} | "
        f"{100 * row.neighbour_seconds / row.seconds:.0f} % | {row.memory:.2f} |"
        for row in rows
    ]
    if len(rows) > 1:
        sizes = np.array([row.n_beads for row in rows], dtype=float)
        slope = exponent(sizes, np.array([row.seconds for row in rows]))
        # the smallest system takes next to nothing beside the libraries
        used = np.array([row.memory - rows[0].memory_before for row in rows])
        lines += [
            "",
            f"Time grows as (beads)^{slope:.2f}, memory beyond that of the libraries as (beads)^{exponent(sizes, used):.2f}.",
        ]
    return "\n".join(lines) + "\n"


def report(rows: list[Measurement], header: str) -> str:
    """Markdown: both tables."""
    parts = [header + "\n"]
    for refined, title in ((False, "Without refinement:"), (True, "Refined:")):
        if chosen := [row for row in rows if row.refined == refined]:
            parts += [title + "\n", table(chosen)]
    return "\n".join(parts)


def write(rows: list[Measurement], header: str, out: Path) -> None:
    """Write ``scaling.json``, ``scaling.md`` and ``scaling.png``."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "scaling.md").write_text(report(rows, header), encoding="utf-8")
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
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument(
        "--force-field", type=Path, help="Names of the atom types, where the model was trained with it."
    )
    parser.add_argument("--sizes", type=float, nargs="+", default=[1e2, 1e3, 1e4, 1e5, 1e6])
    parser.add_argument("--steps", type=int, default=2, help="At least as many.")
    parser.add_argument("--out", type=Path, required=True, help="Folder for scaling.json, scaling.md and scaling.png.")
    parser.add_argument("--only", choices=("refined", "unrefined"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = LearnedModel.load(options.model)
    if options.only is not None:
        size, refined = int(options.sizes[0]), options.only == "refined"
        measured = measure(model, options.structure, size, options.steps, options.force_field, refined)
        print(json.dumps(asdict(measured)))
        return
    description = model.description
    sizes = ", ".join(f"{description.networks[name]} {name}" for name in ("hidden", "layers"))
    header = (
        f"{machine()}, one thread; {options.model.name}: {sizes}, cutoff {description.cutoff:g} σ, "
        f"{description.atoms_per_bead} atoms per bead, refinement of {model.refinement.levels} levels; best of at least "
        f"{options.steps} steps"
    )
    rows = []
    for size in sorted(options.sizes):
        for only in ("unrefined", "refined") if model.refinement.levels else ("unrefined",):
            words = [sys.executable, "-m", "benchmarks.scaling", "--only", only, "--sizes", str(size)]
            words += ["--structure", str(options.structure), "--model", str(options.model)]
            words += ["--steps", str(options.steps), "--out", str(options.out)]
            words += [] if options.force_field is None else ["--force-field", str(options.force_field)]
            done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
            rows.append(Measurement(**json.loads(done.stdout.splitlines()[-1])))
            print(rows[-1], flush=True)
            # after every one: the largest may not fit into the memory of a machine
            write(rows, header, options.out)
    print(report(rows, header))


if __name__ == "__main__":
    main()
