"""Speed of the ground-truth generator: chains packed into one Context against one at a time.

    python benchmarks/generate/packing.py

Prints Markdown tables: bead-steps per second over the number of chains in a Context, three ways to keep the chains of a
Context from interacting, and threads against processes.
"""

import argparse
import os
import platform
import time
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import openmm

from cgplugin.systems.force_field import built_in
from cgplugin.systems.molecular_system import MolecularSystem
from openmm_integration.ground_truth.bead_spring import create_system
from openmm_integration.ground_truth.generate import GenerateSpec, sample_systems
from openmm_integration.ground_truth.molecular_dynamics import LangevinRun, PackedChains
from openmm_integration.ground_truth.polymer_builder import start_positions

WARM_UP = 500
"""MD steps before the clock starts."""

WINDOW = 5e5
"""Bead-steps between two looks at the clock."""

MECHANISMS = {
    "lattice": "sparse lattice, chains moved back to their cells (what `PackedChains` does)",
    "groups": "one place for all, an interaction group per chain",
    "ids": "one place for all, a chain number compared in the pair energy",
}


def overlapping(systems: list[MolecularSystem], mechanism: str) -> openmm.System:
    """All chains in one place, kept apart by the pair force itself."""
    system = create_system(built_in(), systems)
    pair = next(force for force in system.getForces() if isinstance(force, openmm.CustomNonbondedForce))
    if mechanism == "ids":
        pair.addPerParticleParameter("chain")
        pair.setEnergyFunction("delta(chain1 - chain2)*" + pair.getEnergyFunction())
    first = 0
    for number, chain in enumerate(systems):
        atoms = range(first, first + chain.n_atoms)
        if mechanism == "groups":
            pair.addInteractionGroup(atoms, atoms)
        else:
            for atom in atoms:
                pair.setParticleParameters(atom, [*pair.getParticleParameters(atom), number])
        first += chain.n_atoms
    return system


def measure(n_chains: int, mechanism: str, threads: int, windows: int) -> float:
    """Bead-steps per second of a Context in its fastest window: others on the machine only ever slow it down."""
    systems = sample_systems(GenerateSpec(n_systems=n_chains, seed=1), built_in())
    starts = [start_positions(system, 1.0, (1, i)) for i, system in enumerate(systems)]
    run: PackedChains | LangevinRun
    if mechanism == "lattice":
        run = PackedChains(built_in(), systems, starts, seed=1, platform="CPU", threads=threads)
    else:
        run = LangevinRun(
            overlapping(systems, mechanism),
            np.concatenate(starts),
            built_in().dynamics,
            seed=1,
            platform="CPU",
            threads=threads,
            minimize=True,
        )
    n_atoms = sum(system.n_atoms for system in systems)
    run.advance(WARM_UP)
    steps = max(WARM_UP, round(WINDOW / n_atoms))
    fastest = np.inf
    for _ in range(windows):
        begin = time.perf_counter()
        run.advance(steps)
        fastest = min(fastest, time.perf_counter() - begin)
    return float(n_atoms * steps / fastest)


def processor() -> str:
    """Model of the CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chains", type=int, nargs="+", default=[1, 2, 5, 10, 20, 40])
    parser.add_argument("--windows", type=int, default=15, help="measurements, of which the fastest counts")
    options = parser.parse_args()
    cores = os.cpu_count() or 1
    print(
        f"{processor()}, {cores} cores; OpenMM {version('openmm')}, CPU platform; fastest of {options.windows} windows\n"
    )

    print("| chains per Context | million bead-steps/s | tau/s, all chains | against one |")
    print("|---|---|---|---|")
    single = 0.0
    for n in options.chains:
        speed = measure(n, "lattice", 1, options.windows)
        single = single or speed
        mean_size = sum(s.n_atoms for s in sample_systems(GenerateSpec(n_systems=n, seed=1), built_in())) / n
        tau = speed / mean_size * built_in().dynamics.time_step
        print(f"| {n} | {speed / 1e6:.2f} | {tau:.0f} | {speed / single:.1f} |", flush=True)

    print("\n| chains kept apart by | 5 chains | 20 chains | 40 chains |")
    print("|---|---|---|---|")
    for mechanism, words in MECHANISMS.items():
        speeds = [measure(n, mechanism, 1, options.windows) for n in (5, 20, 40)]
        print(f"| {words} | {' | '.join(f'{speed / 1e6:.2f}' for speed in speeds)} |", flush=True)

    print(f"\n| {cores} cores used by | million bead-steps/s in all, 20 chains per Context |")
    print("|---|---|")
    for threads in (1, cores):
        speed = measure(20, "lattice", threads, options.windows)
        print(f"| one process, {threads} thread(s) | {speed / 1e6:.2f} |", flush=True)
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        running = [pool.submit(measure, 20, "lattice", 1, 2 * options.windows) for _ in range(cores)]
        total = sum(future.result() for future in running)
        print(f"| {cores} processes, 1 thread each | {total / 1e6:.2f} |", flush=True)


if __name__ == "__main__":
    main()
