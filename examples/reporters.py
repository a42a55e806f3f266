"""Files of a learned simulation, properties while it runs, and a restart that appends to all of them.

    python examples/reporters.py model.pt polymer.data --steps 5000
    python examples/reporters.py model.pt polymer.data --steps 5000 --resume      # another 5000

STRUCTURE is a LAMMPS data file, or a PDB file with system.json beside it (as "cgplugin generate" writes).
"""

import argparse
import csv
from pathlib import Path

import MDAnalysis
from openmm import app

from cgplugin import LearnedModel
from openmm_integration import PropertyReporter, learned_simulation
from openmm_integration.topology import write_pdb

REPORT_INTERVAL = 10
CHECKPOINT_INTERVAL = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("structure")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--resume", action="store_true", help="go on at the last checkpoint")
    options = parser.parse_args()

    model = LearnedModel.load(options.model)
    simulation = learned_simulation(model, options.structure, seed=1)
    if options.resume:
        # before the reporters write anything: they go on at the step that it holds
        simulation.loadCheckpoint("run.chk")
    else:
        write_pdb("run.pdb", simulation.topology, simulation.integrator.cg.start_frames[-1])
    simulation.reporters += [
        app.DCDReporter("run.dcd", REPORT_INTERVAL, append=options.resume),
        PropertyReporter("properties.csv", REPORT_INTERVAL, ["rg2", "stretch", "surprise"], append=options.resume),
        app.CheckpointReporter("run.chk", CHECKPOINT_INTERVAL),
    ]
    simulation.step(options.steps)

    with Path("properties.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name in ("rg2", "stretch", "surprise"):
        print(f"mean {name}: {sum(float(row[name]) for row in rows) / len(rows):.3g}")
    # MDAnalysis takes times from the header of a DCD file; mdtraj numbers the frames
    frames = MDAnalysis.Universe("run.pdb", "run.dcd").trajectory
    print(f"{len(frames)} frames and {len(rows)} lines, the last at {frames[-1].time:.6g} ps and {rows[-1]['time']} ps")


if __name__ == "__main__":
    main()
