"""A learned simulation in Python, as one would write any OpenMM simulation.

    python examples/learned_simulation.py model.pt polymer.data --steps 5000

STRUCTURE is a LAMMPS data file, or a PDB file with system.json beside it (as "cgplugin generate" writes).
"""

import argparse
import sys

import mdtraj
from openmm import app

from cgplugin import LearnedModel
from openmm_integration import learned_simulation
from openmm_integration.topology import write_pdb


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("structure")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--out", default="long")
    options = parser.parse_args()

    model = LearnedModel.load(options.model)
    # the first frames come from a short OpenMM run of the fine system, which any structure can be given
    simulation = learned_simulation(model, options.structure, seed=1)
    cg = simulation.integrator.cg
    write_pdb(f"{options.out}.pdb", simulation.topology, cg.start_frames[-1])

    simulation.reporters.append(app.DCDReporter(f"{options.out}.dcd", 10))
    simulation.reporters.append(
        app.StateDataReporter(sys.stdout, max(options.steps // 5, 1), step=True, time=True, speed=True)
    )
    simulation.reporters.append(app.CheckpointReporter(f"{options.out}.chk", max(options.steps // 5, 1)))
    simulation.step(options.steps)

    trajectory = mdtraj.load(f"{options.out}.dcd", top=f"{options.out}.pdb")
    rg2 = mdtraj.compute_rg(trajectory) ** 2
    print(f"{trajectory.n_frames} frames of {trajectory.n_atoms} beads, mean Rg^2 of the beads {rg2.mean():.2f} nm^2")


if __name__ == "__main__":
    main()
