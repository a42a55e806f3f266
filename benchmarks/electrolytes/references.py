"""Long runs in LAMMPS of electrolytes that `cgplugin generate` made and relaxed, as references for `cgplugin evaluate`.

    cgplugin generate benchmarks/electrolytes/test_compositions.yaml --out relaxed
    python -m benchmarks.electrolytes.references relaxed --out references --time 3000

Each system goes on from its last frame. Those that are there already are kept. One core each, `--workers` side by side.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.langevin import langevin_commands
from cgplugin.files import replacing
from cgplugin.systems.force_field import built_in
from cgplugin.systems.lammps_export import lammps_commands, system_to_lammps
from cgplugin.systems.lammps_files import LammpsConventions
from cgplugin.systems.structure_files import load_structure, open_trajectory
from lammps_reader import write_data
from tests.lammps_energies import lammps_environment

_LAMMPS = """
import json, sys
from lammps import lammps
lmp = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
lmp.commands_list(json.loads(sys.stdin.read()))
"""


def run_in_lammps(folder: Path, out: Path, time: float, interval: float, seed: int) -> None:
    """``topology.data`` and ``traj.lammpstrj`` of one system in ``out``."""
    force_field, conventions = built_in("electrolyte"), LammpsConventions()
    structure = load_structure(folder / "topology.pdb", conventions)
    trajectory = open_trajectory(folder / "trajectory.dcd", structure, conventions, None)
    *_, last = trajectory.blocks()
    box = np.asarray(structure.box_vectors)
    data = system_to_lammps(structure.system, last.positions[-1], box_vectors=box, force_field=force_field)
    out.mkdir(parents=True, exist_ok=True)
    write_data(out / "topology.data", data)
    time_step = force_field.dynamics.time_step
    with replacing(out / "traj.lammpstrj") as temporary:
        commands = [
            *lammps_commands(force_field, data, out / "topology.data"),
            *langevin_commands(force_field.dynamics, seed),
            "neighbor 0.4 bin",
            "run 1000",  # velocities and thermostat settle
            "reset_timestep 0",
            f"dump 1 all custom {round(interval / time_step)} {temporary} id type xu yu zu",
            "dump_modify 1 sort id",
            f"run {round(time / time_step)}",
        ]
        subprocess.run(
            [sys.executable, "-c", _LAMMPS],
            input=json.dumps(commands),
            check=True,
            text=True,
            env={**lammps_environment(), "OMP_NUM_THREADS": "1"},
        )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("systems", type=Path, help="what `cgplugin generate` wrote")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--time", type=float, default=3000.0, help="tau")
    parser.add_argument("--interval", type=float, default=5.0, help="between frames, tau")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    options = parser.parse_args()
    folders = sorted(path.parent for path in options.systems.glob("*/topology.pdb"))
    with ThreadPoolExecutor(options.workers) as pool:
        jobs = [
            pool.submit(run_in_lammps, folder, options.out / folder.name, options.time, options.interval, seed)
            for seed, folder in enumerate(folders, start=1)
            if not (options.out / folder.name / "traj.lammpstrj").exists()
        ]
        for job in jobs:
            job.result()


if __name__ == "__main__":
    main()
