"""Molecular dynamics of the same systems: LAMMPS and OpenMM, one core each."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.langevin import langevin_commands
from cgplugin.systems.lammps_export import lammps_commands, system_to_lammps
from lammps_reader import write_data
from openmm_integration.ground_truth.bead_spring import create_system
from openmm_integration.ground_truth.molecular_dynamics import LangevinRun, PackedChains
from tests.lammps_energies import lammps_environment

from .measuring import seconds
from .systems import FineSystem

WARM_UP = 200
"""MD steps before the clock starts."""

_LAMMPS = """
import json, sys, time
from lammps import lammps
commands = json.loads(sys.stdin.readline())
lmp = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
lmp.commands_list(commands)
print("ready", flush=True)
for line in sys.stdin:
    begin = time.process_time()
    lmp.command(f"run {int(line)}")
    print(time.process_time() - begin, flush=True)
"""


class LammpsRun:
    """One system in a LAMMPS process of its own (MPI and torch do not mix well).

    Parameters
    ----------
    fine : FineSystem
    folder : Path
        For the data file.
    """

    def __init__(self, fine: FineSystem, folder: Path) -> None:
        data = system_to_lammps(fine.system, fine.positions, box_vectors=fine.box_vectors, force_field=fine.force_field)
        path = folder / f"{fine.system.name}.data"
        write_data(path, data)
        commands = lammps_commands(fine.force_field, data, path)
        # the settings of the reference data; reduced units, temperature 1
        commands += ["neighbor 0.4 bin", "neigh_modify every 1 delay 5 check yes", "minimize 0 1e-3 200 2000"]
        commands += [*langevin_commands(fine.force_field.dynamics, 1), "thermo 1000000", f"run {WARM_UP}"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LAMMPS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**lammps_environment(), "OMP_NUM_THREADS": "1"},
        )
        self._told(json.dumps(commands))

    def seconds(self, n_steps: int) -> float:
        """Processor time of MD steps."""
        return float(self._told(str(n_steps)))

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _told(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("LAMMPS ended")
        return answer


class OpenmmRun:
    """Chains side by side in one Context of OpenMM's CPU platform, or one system in its box.

    Parameters
    ----------
    systems : list of FineSystem
    """

    def __init__(self, systems: list[FineSystem]) -> None:
        self.n_systems, first = len(systems), systems[0]
        self._run: LangevinRun | PackedChains
        if first.box_vectors is None:
            self._run = PackedChains(
                first.force_field,
                [fine.system for fine in systems],
                [fine.positions for fine in systems],
                seed=1,
                platform="CPU",
                threads=1,
            )
        else:
            system = create_system(first.force_field, [first.system], first.box_vectors)
            self._run = LangevinRun(
                system, first.positions, first.force_field.dynamics, seed=1, platform="CPU", threads=1, minimize=True
            )
        self._run.advance(WARM_UP)

    def seconds(self, n_steps: int) -> float:
        """Processor time of MD steps, per system."""
        return seconds(lambda: self._run.advance(n_steps)) / self.n_systems
