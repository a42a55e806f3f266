"""Langevin dynamics of fine systems: one OpenMM System, or many chains packed into one Context."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import unit
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order

from cgplugin.errors import UserError, one_line
from cgplugin.force_field import BeadSpringForceField, Dynamics
from cgplugin.molecular_system import MolecularSystem

from .bead_spring import create_system
from .platforms import choose_platform

Array = NDArray[np.float64]

CHECK_INTERVAL = 5.0
"""Time in ps between looks at where the chains of a packed Context are."""


@dataclass(frozen=True)
class Recording:
    """What a run does before and while frames are recorded; times in ps.

    Attributes
    ----------
    n_frames : int
        Frames; the first is the state after the relaxation.
    interval : float
        Between frames.
    relaxation : float
        Dynamics before the first frame.
    minimize : bool
        Minimise the energy first.
    """

    n_frames: int
    interval: float
    relaxation: float = 0.0
    minimize: bool = True


def steps_for(time: float, time_step: float, what: str) -> int:
    """Number of MD steps for a time in ps.

    Raises
    ------
    UserError
        If the time is no multiple of the step.
    """
    steps = round(time / time_step)
    if abs(steps * time_step - time) > 1e-6 * max(time, time_step):
        raise UserError(f"the {what} of {time:g} is no multiple of the MD time step of {time_step:g}")
    return steps


class LangevinRun:
    """Langevin dynamics of an OpenMM System from given positions.

    Parameters
    ----------
    system : openmm.System
    positions : array, shape (n_atoms, 3)
        nm.
    dynamics : Dynamics
        Temperature, friction, MD time step.
    seed : int
        Of the velocities and of the noise, 0 to 2^31 - 1.
    platform : str, optional
        By default the fastest.
    threads : int, optional
        Of the CPU platform.
    minimize : bool
        Minimise the energy before velocities are drawn.
    name : str
        For messages.

    Raises
    ------
    UserError
        If OpenMM cannot start from these positions.
    """

    def __init__(
        self,
        system: openmm.System,
        positions: Array,
        dynamics: Dynamics,
        *,
        seed: int,
        platform: str | None = None,
        threads: int | None = None,
        minimize: bool = False,
        name: str = "system",
    ) -> None:
        self.name = name
        self.dynamics = dynamics
        chosen, properties = choose_platform(platform, threads)
        self.platform = chosen.getName()
        self.integrator = openmm.LangevinMiddleIntegrator(
            dynamics.temperature * unit.kelvin,
            dynamics.friction / unit.picosecond,
            dynamics.time_step * unit.picosecond,
        )
        # 0 would mean "choose one yourself" to OpenMM
        self.integrator.setRandomNumberSeed(seed + 1)
        try:
            self.context = openmm.Context(system, self.integrator, chosen, properties)
            self.context.setPositions(positions)
            if minimize:
                openmm.LocalEnergyMinimizer.minimize(self.context, 10.0, 500)
            self.context.setVelocitiesToTemperature(dynamics.temperature * unit.kelvin, seed + 1)
        except openmm.OpenMMException as error:
            raise UserError(f"{name}: OpenMM cannot start from these positions ({one_line(error)})") from error

    def step(self, steps: int) -> None:
        """Advance by MD steps."""
        if steps:
            try:
                self.integrator.step(steps)
            except openmm.OpenMMException as error:
                raise UserError(f"{self.name}: the MD failed ({one_line(error)}): use a smaller time step") from error

    def positions(self) -> Array:
        """Positions in nm, unwrapped, shape (n_atoms, 3).

        Raises
        ------
        UserError
            If one is not finite; the message names the atom.
        """
        positions = self.context.getState(positions=True).getPositions(asNumpy=True)._value
        if not np.isfinite(positions).all():
            atom = int(np.argwhere(~np.isfinite(positions))[0][0])
            raise UserError(f"{self.name}: the position of atom {atom} is not finite: use a smaller MD time step")
        return np.array(positions)


class PackedChains:
    """Many chains in one Context, so that the cores (or the GPU) have enough to do.

    The chains sit on a lattice so wide that none can reach another; those that diffuse away from their place are moved back as
    a whole, which changes nothing for them, and the path that is recorded is continuous.

    Parameters
    ----------
    force_field : BeadSpringForceField
    systems : sequence of MolecularSystem
    starts : sequence of arrays, each of shape (n_atoms, 3)
        nm.
    seed, platform, threads, minimize
        See `LangevinRun`.
    """

    def __init__(
        self,
        force_field: BeadSpringForceField,
        systems: Sequence[MolecularSystem],
        starts: Sequence[Array],
        *,
        seed: int,
        platform: str | None = None,
        threads: int | None = None,
        minimize: bool = True,
    ) -> None:
        self.systems = list(systems)
        offsets = np.cumsum([0, *(system.n_atoms for system in self.systems)])
        self._parts = [slice(int(a), int(b)) for a, b in itertools.pairwise(offsets)]
        # bonds stretch by less than a fifth at the temperatures these models are for
        reach = max(_graph_diameter(system) for system in self.systems) * 1.2 * force_field.bond_r0
        self.spacing = 2 * reach + 4 * force_field.cutoff
        side = int(np.ceil(len(self.systems) ** (1 / 3)))
        places = np.stack(np.unravel_index(np.arange(len(self.systems)), (side, side, side)), axis=1)
        self._places = places * self.spacing
        self._shifts = np.stack([place - start.mean(axis=0) for place, start in zip(self._places, starts, strict=True)])
        packed = np.concatenate([start + shift for start, shift in zip(starts, self._shifts, strict=True)])
        name = self.systems[0].name if len(self.systems) == 1 else f"{self.systems[0].name} to {self.systems[-1].name}"
        self.run = LangevinRun(
            create_system(force_field, self.systems),
            packed,
            force_field.dynamics,
            seed=seed,
            platform=platform,
            threads=threads,
            minimize=minimize,
            name=name,
        )

    def advance(self, steps: int) -> None:
        """Advance by MD steps, keeping every chain near its place."""
        stride = max(1, round(CHECK_INTERVAL / self.run.dynamics.time_step))
        while steps > 0:
            now = min(steps, stride)
            self.run.step(now)
            steps -= now
            self._move_back()

    def _move_back(self) -> None:
        positions = self.run.positions()
        moved = False
        for chain, part in enumerate(self._parts):
            drift = positions[part].mean(axis=0) - self._places[chain]
            # two neighbours at a quarter of the spacing from their places still are out of reach of each other
            if np.abs(drift).max() > 0.1 * self.spacing:
                positions[part] -= drift
                self._shifts[chain] -= drift
                moved = True
        if moved:
            self.run.context.setPositions(positions)

    def positions(self) -> list[Array]:
        """Continuous positions of every chain, nm."""
        positions = self.run.positions()
        return [positions[part] - shift for part, shift in zip(self._parts, self._shifts, strict=True)]

    def record(self, recording: Recording, on_steps: Callable[[int], None] = lambda _: None) -> Iterator[list[Array]]:
        """Relax, then yield frames: positions of every chain, nm.

        Parameters
        ----------
        recording : Recording
        on_steps : callable
            Called with the number of MD steps just done, for progress bars.
        """
        time_step = self.run.dynamics.time_step
        relaxation = steps_for(recording.relaxation, time_step, "relaxation")
        chunk = max(1, round(10 * CHECK_INTERVAL / time_step))
        while relaxation > 0:
            self.advance(min(chunk, relaxation))
            on_steps(min(chunk, relaxation))
            relaxation -= chunk
        interval = steps_for(recording.interval, time_step, "recording interval")
        for frame in range(recording.n_frames):
            if frame:
                self.advance(interval)
                on_steps(interval)
            yield self.positions()


def _graph_diameter(system: MolecularSystem) -> int:
    """Bonds between the two atoms farthest apart along the bonds (exact for trees)."""
    i, j = system.bonds.T
    graph = coo_matrix((np.ones(len(i)), (i, j)), shape=(system.n_atoms, system.n_atoms)).tocsr()

    def farthest(start: int) -> tuple[int, int]:
        order, before = breadth_first_order(graph, start, directed=False)
        depth = np.zeros(system.n_atoms, dtype=np.int64)
        for atom in order[1:]:
            depth[atom] = depth[before[atom]] + 1
        return int(order[-1]), int(depth[order[-1]])

    return farthest(farthest(0)[0])[1]
