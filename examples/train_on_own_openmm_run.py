"""Train on trajectories of one's own OpenMM simulations, then simulate longer.

    python examples/train_on_own_openmm_run.py --out own

The system here is a short chain of united atoms made in a few lines; put your own Topology, System and positions in its place.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import openmm
from openmm import app, unit

from openmm_integration import save_system

TEMPERATURE, FRICTION, TIME_STEP = 300.0, 1.0, 0.005  # K, 1/ps, ps
RECORDED_EVERY = 100  # MD steps


def butane_like_chain(n: int) -> tuple[app.Topology, openmm.System, np.ndarray]:
    """Chain of n CH2 beads: bonds, angles and a repulsive Lennard-Jones interaction."""
    topology, system = app.Topology(), openmm.System()
    chain = topology.addChain()
    carbon = app.Element.getBySymbol("C")
    atoms = [topology.addAtom("C", carbon, topology.addResidue("CH2", chain)) for _ in range(n)]
    bonds, angles = openmm.HarmonicBondForce(), openmm.HarmonicAngleForce()
    repulsion = openmm.CustomNonbondedForce("0.5*(0.35/r)^12")
    for i in range(n):
        system.addParticle(14.0)
        repulsion.addParticle()
        if i:
            topology.addBond(atoms[i - 1], atoms[i])
            bonds.addBond(i - 1, i, 0.153, 80_000)
        if i > 1:
            angles.addAngle(i - 2, i - 1, i, 1.95, 400)
    repulsion.createExclusionsFromBonds([(i - 1, i) for i in range(1, n)], 2)
    for force in (bonds, angles, repulsion):
        system.addForce(force)
    zigzag = np.stack([0.127 * np.arange(n), 0.085 * (np.arange(n) % 2), np.zeros(n)], axis=1)
    return topology, system, zigzag


def record(folder: Path, n_atoms: int, n_frames: int, seed: int) -> None:
    """Run MD with an ordinary reporter, and describe the system beside the trajectory."""
    topology, system, positions = butane_like_chain(n_atoms)
    integrator = openmm.LangevinMiddleIntegrator(
        TEMPERATURE * unit.kelvin, FRICTION / unit.picosecond, TIME_STEP * unit.picosecond
    )
    integrator.setRandomNumberSeed(seed)
    simulation = app.Simulation(topology, system, integrator)
    simulation.context.setPositions(positions)
    simulation.minimizeEnergy()
    simulation.context.setVelocitiesToTemperature(TEMPERATURE * unit.kelvin, seed)
    simulation.step(2000)
    folder.mkdir(parents=True, exist_ok=True)
    simulation.reporters.append(app.DCDReporter(str(folder / "trajectory.dcd"), RECORDED_EVERY))
    save_system(
        folder,
        topology,
        system,
        simulation.context.getState(positions=True).getPositions(),
        recording_interval=RECORDED_EVERY * TIME_STEP,
        temperature=TEMPERATURE,
        friction=FRICTION,
        time_step=TIME_STEP,
    )
    simulation.step(n_frames * RECORDED_EVERY)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("own"))
    parser.add_argument("--frames", type=int, default=200, help="recorded frames per system")
    parser.add_argument("--steps", type=int, default=400, help="training steps")
    parser.add_argument("--time", default="500ps", help="length of the learned simulation")
    options = parser.parse_args()
    out = options.out

    for number, n_atoms in enumerate((24, 28, 32, 36)):
        record(out / "data" / f"chain{n_atoms}", n_atoms, options.frames, seed=number + 1)
    record(out / "new" / "chain40", 40, 1, seed=9)

    train = ["train", "--data", out / "data", "--out", out / "model.pt", "--time-step", "1", "--atoms-per-bead", "4"]
    train += ["--steps", options.steps, "--validate-every", max(options.steps // 4, 1)]
    simulate = ["simulate", out / "model.pt", out / "new" / "chain40", "--time", options.time, "--out", out / "runs"]
    for words in (train, simulate, ["analyze", out / "runs"]):
        subprocess.run([sys.executable, "-m", "cgplugin", *map(str, words)], check=True)


if __name__ == "__main__":
    main()
