"""From a dilute start structure to a liquid at its own density: compression, annealing and a constant-pressure run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import unit

from cgplugin.errors import UserError, one_line
from openmm_integration.ground_truth.molecular_dynamics import steps_for
from openmm_integration.platforms import choose_platform

Array = NDArray[np.float64]
OnSteps = Callable[[int], None]

PER_GRAM_PER_CM3 = 1 / 602.214076
"""g/mol/nm^3 in g/cm^3."""

BAROSTAT_INTERVAL = 10
"""MD steps between attempts to change the volume."""

PUSH_OFF_FORCE = 200.0
"""Force in kJ/mol/nm, root mean square, at which the minimisation ends: well below that of thermal motion, some 1,000."""

STRETCH = 0.2
"""Time in ps between samples of the density and changes of the temperature."""

N_BLOCKS = 5
"""Blocks that the standard error of the density comes from."""


@dataclass(frozen=True)
class Protocol:
    """What a start structure goes through; times in ps, temperatures in K, pressures in bar.

    Attributes
    ----------
    temperature, pressure : float
        Of the liquid.
    friction, time_step : float
        1/ps and ps, of the Langevin dynamics.
    compression : float
        Time at ``annealing_temperature`` and ``compression_pressure``.
    annealing : float
        Time in which the temperature falls to ``temperature``, at ``pressure``.
    density_run : float
        Time at ``temperature`` and ``pressure``; its second half gives the density.
    annealing_temperature, compression_pressure : float
    """

    temperature: float
    pressure: float
    friction: float
    time_step: float
    compression: float
    annealing: float
    density_run: float
    annealing_temperature: float
    compression_pressure: float

    @property
    def n_steps(self) -> int:
        """MD steps of all stages."""
        return sum(self.steps(name) for name in ("compression", "annealing", "density_run"))

    def steps(self, stage: str) -> int:
        """MD steps of a stage.

        Raises
        ------
        UserError
            If its length is no multiple of the time step.
        """
        return steps_for(getattr(self, stage), self.time_step, stage)


@dataclass(frozen=True)
class Equilibrated:
    """A liquid in the box of its average density.

    Attributes
    ----------
    positions : array, shape (n_atoms, 3)
        nm; whole molecules.
    box_edge : float
        nm.
    density, density_error : float
        g/cm^3: mean and standard error over the second half of the constant-pressure run.
    """

    positions: Array
    box_edge: float
    density: float
    density_error: float


def equilibrate(
    system: openmm.System,
    positions: Array,
    molecules: NDArray[np.int64],
    protocol: Protocol,
    *,
    seed: int,
    platform: str | None = None,
    threads: int | None = None,
    name: str = "system",
    on_steps: OnSteps = lambda _: None,
) -> Equilibrated:
    """Equilibrate molecules that were placed at low density in a cubic box.

    Parameters
    ----------
    system : openmm.System
        Without barostat; its default box is that of the positions. It stays as it is.
    positions : array, shape (n_atoms, 3)
        nm.
    molecules : array of int, shape (n_atoms,)
        Molecule of each atom, from 0.
    protocol : Protocol
    seed : int
        Of velocities, noise and volume changes.
    platform, threads
        See `choose_platform`.
    name : str
        For messages.
    on_steps : callable
        Called with the number of MD steps just done.

    Raises
    ------
    UserError
        If the box gets smaller than twice the cutoff, or the MD blows up.
    """
    run = _PressureRun(system, positions, protocol, seed, platform, threads, name, on_steps)
    run.advance(protocol.steps("compression"), pressure=protocol.compression_pressure)
    run.cool(protocol.steps("annealing"), pressure=protocol.pressure)
    volumes = run.advance(protocol.steps("density_run"), pressure=protocol.pressure)
    volumes = volumes[len(volumes) // 2 :]
    mean = float(np.mean(volumes))
    blocks = [float(np.mean(block)) for block in np.array_split(volumes, min(N_BLOCKS, len(volumes)))]
    density = PER_GRAM_PER_CM3 * run.mass / mean
    error = density / mean * np.std(blocks, ddof=1) / np.sqrt(len(blocks)) if len(blocks) > 1 else np.nan
    final, edge = run.state()
    target = mean ** (1 / 3)
    return Equilibrated(_scale_molecules(final, molecules, target / edge), target, density, float(error))


class _PressureRun:
    """Langevin dynamics with a Monte Carlo barostat; the box stays cubic."""

    def __init__(
        self,
        system: openmm.System,
        positions: Array,
        protocol: Protocol,
        seed: int,
        platform: str | None,
        threads: int | None,
        name: str,
        on_steps: OnSteps,
    ) -> None:
        self.protocol, self.name, self.on_steps = protocol, name, on_steps
        self.mass = sum(system.getParticleMass(i)._value for i in range(system.getNumParticles()))
        with_barostat = openmm.XmlSerializer.clone(system)
        hot = protocol.annealing_temperature
        barostat = openmm.MonteCarloBarostat(protocol.pressure, hot, BAROSTAT_INTERVAL)
        barostat.setRandomNumberSeed(seed + 1)
        with_barostat.addForce(barostat)
        self.integrator = openmm.LangevinMiddleIntegrator(hot, protocol.friction, protocol.time_step)
        self.integrator.setRandomNumberSeed(seed + 1)
        chosen, properties = choose_platform(platform, threads)
        try:
            self.context = openmm.Context(with_barostat, self.integrator, chosen, properties)
            self.context.setPositions(positions)
            openmm.LocalEnergyMinimizer.minimize(self.context, PUSH_OFF_FORCE, 1000)
            self.context.setVelocitiesToTemperature(hot, seed + 1)
        except openmm.OpenMMException as error:
            self._fail(error)
        self._stretch = max(1, round(STRETCH / protocol.time_step))

    def advance(self, steps: int, pressure: float) -> list[float]:
        """Run at the present temperature, and give the volumes in nm^3 on the way, at least one."""
        self.context.setParameter(openmm.MonteCarloBarostat.Pressure(), pressure)
        volumes = []
        while steps > 0:
            volumes.append(self._step(min(steps, self._stretch)))
            steps -= self._stretch
        return volumes or [self.state()[1] ** 3]

    def cool(self, steps: int, pressure: float) -> None:
        """Lower the temperature from that of the annealing to the final one."""
        self.context.setParameter(openmm.MonteCarloBarostat.Pressure(), pressure)
        high, low = self.protocol.annealing_temperature, self.protocol.temperature
        for done in range(0, steps, self._stretch):
            self._set_temperature(high + (low - high) * done / steps)
            self._step(min(steps - done, self._stretch))
        self._set_temperature(low)

    def state(self) -> tuple[Array, float]:
        """Positions in nm, whole molecules, and the edge of the box."""
        state = self.context.getState(positions=True)
        return np.array(state.getPositions(asNumpy=True)._value), float(state.getPeriodicBoxVectors()[0][0]._value)

    def _set_temperature(self, temperature: float) -> None:
        self.integrator.setTemperature(temperature * unit.kelvin)
        self.context.setParameter(openmm.MonteCarloBarostat.Temperature(), temperature)

    def _step(self, steps: int) -> float:
        """Advance, and give the volume in nm^3."""
        try:
            self.integrator.step(steps)
        except openmm.OpenMMException as error:
            self._fail(error)
        self.on_steps(steps)
        return float(self.context.getState().getPeriodicBoxVolume()._value)

    def _fail(self, error: openmm.OpenMMException) -> NoReturn:
        words = one_line(error)
        if "twice the" in words:
            raise UserError(
                f"{self.name}: at its density the box is smaller than twice the cutoff: take more or longer chains, or a smaller "
                "cutoff"
            ) from error
        raise UserError(
            f"{self.name}: the equilibration failed ({words}): try a smaller time_step or annealing_temperature"
        ) from error


def _scale_molecules(positions: Array, molecules: NDArray[np.int64], factor: float) -> Array:
    """Move molecules as a whole, so that their centres are scaled by a factor."""
    counts = np.bincount(molecules)[:, None]
    centres = np.stack([np.bincount(molecules, positions[:, axis]) for axis in range(3)], axis=1) / counts
    return positions + ((factor - 1) * centres)[molecules]
