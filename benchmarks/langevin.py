"""LAMMPS commands for Langevin dynamics as the reference data were made with."""

from cgplugin.systems.force_field import Dynamics


def langevin_commands(dynamics: Dynamics, seed: int) -> list[str]:
    """Velocities, integrator, thermostat and time step, in reduced units; they follow what sets the system up."""
    thermal_energy = f"{dynamics.kT:g}"
    return [
        f"velocity all create {thermal_energy} {seed}",
        "fix 1 all nve",
        f"fix 2 all langevin {thermal_energy} {thermal_energy} {1 / dynamics.friction} {seed}",
        f"timestep {dynamics.time_step}",
    ]
