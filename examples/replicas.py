"""Many independent runs in one Simulation, a trajectory each: replicas of several chains in one network call per step.

    python examples/replicas.py model.pt first.data second.data --replicas 8 --steps 5000

Each STRUCTURE is a LAMMPS data file, or a PDB file with system.json beside it (as "cgplugin generate" writes).
"""

import argparse
from pathlib import Path

import mdtraj
import numpy as np

from cgplugin import LearnedModel
from openmm_integration import learned_simulation
from openmm_integration.simulation import part_reporters


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("structures", nargs="+")
    parser.add_argument("--replicas", type=int, default=8)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ... or auto")
    parser.add_argument("--out", type=Path, default=Path("runs"))
    options = parser.parse_args()

    model = LearnedModel.load(options.model)
    simulation = learned_simulation(model, options.structures, replicas=options.replicas, seed=1, device=options.device)
    # OUT/NAME/replica-N/trajectory.dcd, with topology.pdb beside it
    reporters = part_reporters(simulation, options.out, 10)
    simulation.reporters += reporters
    simulation.step(options.steps)
    for reporter in reporters:
        reporter.close()

    for name in dict.fromkeys(part.system.name for part in simulation.cg.parts):
        means = []
        for trajectory in sorted((options.out / name).rglob("trajectory.dcd")):
            path = mdtraj.load(trajectory, top=trajectory.with_name("topology.pdb"))
            means.append(np.mean(mdtraj.compute_rg(path) ** 2))
        error = np.std(means, ddof=1) / len(means) ** 0.5 if len(means) > 1 else np.nan
        print(f"{name}: mean Rg^2 of the beads {np.mean(means):.2f} +- {error:.2f} nm^2 from {len(means)} replicas")


if __name__ == "__main__":
    main()
