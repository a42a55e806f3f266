"""Run an exported simulation: OpenMM and torch alone, nothing of cgplugin (with the engine "torch").

    python openmm_torch_run.py FOLDER --steps 1000

FOLDER is what "cgplugin export MODEL STRUCTURE --engine torch --out FOLDER" wrote.
"""

import argparse
from pathlib import Path

import torch  # noqa: F401 (openmm-torch needs it to be there before openmm)

# isort: split
import openmm
from openmm import app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--interval", type=int, default=10, help="steps between frames")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--platform", default="CPU")
    options = parser.parse_args()

    system, integrator, state = (
        openmm.XmlSerializer.deserialize((options.folder / f"{name}.xml").read_text())
        for name in ("system", "integrator", "state")
    )
    integrator.setRandomNumberSeed(options.seed)
    beads = app.PDBFile(str(options.folder / "topology.pdb")).topology
    platform = openmm.Platform.getPlatformByName(options.platform)
    simulation = app.Simulation(beads, system, integrator, platform)
    simulation.context.setState(state)

    # the System has helpers behind the beads, which are not for the eye
    shown = list(range(beads.getNumAtoms()))
    trajectory = str(options.folder / "trajectory.dcd")
    simulation.reporters.append(app.DCDReporter(trajectory, options.interval, atomSubset=shown))
    simulation.step(options.steps)
    print(f"{simulation.currentStep} steps of {len(shown)} beads: {trajectory}")


if __name__ == "__main__":
    main()
