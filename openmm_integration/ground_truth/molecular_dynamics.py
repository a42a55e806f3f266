"""Langevin dynamics of fine systems: one OpenMM System, or many chains packed into one Context."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import unit
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order

from cgplugin.errors import UserError, one_line
from cgplugin.systems.force_field import BeadSpringForceField, Dynamics
from cgplugin.systems.molecular_system import MolecularSystem
from cgplugin.units import BOLTZMANN
from openmm_integration.platforms import choose_platform

from .bead_spring import create_system

Array = NDArray[np.float64]

CHECK_INTERVAL = 5.0
"""Time in ps between looks at where the chains of a packed Context are."""

SAFETY = 7.0
"""Standard deviations of a chain's free diffusion between two looks that the lattice leaves room for."""

OnSteps = Callable[[int], None]
"""Called with the number of MD steps just done, for progress bars; an exception that it raises ends the run."""


def _ignore(_steps: int) -> None:
    """Progress callback that does nothing."""


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
    """

    n_frames: int
    interval: float
    relaxation: float = 0.0


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
    """Langevin dynamics of any OpenMM System from given positions.

    Velocities are drawn at the temperature from the seed, and so is the noise: the same seed gives the same bits on the same
    machine, platform and number of threads.

    Parameters
    ----------
    system : openmm.System
    positions : array, shape (n_atoms, 3)
        nm.
    dynamics : Dynamics
        Temperature, friction, MD time step.
    seed : int
        Of the velocities and of the noise, 0 to 2^31 - 2.
    platform : str, optional
        By default the fastest.
    threads : int, optional
        Of the CPU platform.
    minimize : bool
        Minimise the energy before velocities are drawn.
    name : str
        For messages.
    name_atom : callable, optional
        Gives the words for an atom in messages; by default ``"NAME: atom 3"``.

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
        name_atom: Callable[[int], str] | None = None,
    ) -> None:
        self.name = name
        self._name_atom = name_atom or (lambda atom: f"{name}: atom {atom}")
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
        if len(bad := np.flatnonzero(~np.isfinite(positions).all(axis=1))):
            raise UserError(
                f"{self._name_atom(int(bad[0]))}: OpenMM cannot start from these positions (this one is not finite)"
            )
        try:
            self.context = openmm.Context(system, self.integrator, chosen, properties)
            self.context.setPositions(positions)
            if minimize:
                openmm.LocalEnergyMinimizer.minimize(self.context, 10.0, 500)
            self.context.setVelocitiesToTemperature(dynamics.temperature * unit.kelvin, seed + 1)
        except openmm.OpenMMException as error:
            raise UserError(f"{name}: OpenMM cannot start from these positions ({one_line(error)})") from error

    def step(self, steps: int) -> None:
        """Advance by MD steps.

        Raises
        ------
        UserError
            If the dynamics blows up; the message names the atom.
        """
        if not steps:
            return
        try:
            self.integrator.step(steps)
        except openmm.OpenMMException as error:
            self.positions()
            raise UserError(f"{self.name}: the MD failed ({one_line(error)})") from error

    def positions(self) -> Array:
        """Positions in nm, unwrapped, shape (n_atoms, 3).

        Raises
        ------
        UserError
            If one is not finite; the message names the atom.
        """
        positions = np.array(self.context.getState(positions=True).getPositions(asNumpy=True)._value)
        if len(bad := np.flatnonzero(~np.isfinite(positions).all(axis=1))):
            raise UserError(
                f"{self._name_atom(int(bad[0]))} has no finite position any more: the MD time step of "
                f"{self.dynamics.time_step:g} is too long, or the start structure is at fault"
            )
        return positions

    def forces(self) -> Array:
        """Forces in kJ/mol/nm, shape (n_atoms, 3)."""
        return np.array(self.context.getState(forces=True).getForces(asNumpy=True)._value)

    def advance(self, steps: int, on_steps: OnSteps = _ignore) -> None:
        """Advance by MD steps, telling about them now and then."""
        stride = max(1, round(CHECK_INTERVAL / self.dynamics.time_step))
        while steps > 0:
            now = min(steps, stride)
            self.step(now)
            on_steps(now)
            steps -= now

    def record(self, recording: Recording, on_steps: OnSteps = _ignore) -> Iterator[Array]:
        """Relax, then yield frames: positions in nm, unwrapped, shape (n_atoms, 3)."""
        for _ in _frames(self, recording, on_steps):
            yield self.positions()


class PackedChains:
    """Many systems in one Context, so that the cores (or the GPU) have enough to do.

    Every system has a cell of its own on a lattice. The cells have room for a fully stretched chain and for its diffusion until
    the next look at where it is, `CHECK_INTERVAL` later; one that has wandered is then moved back as a whole, which changes
    nothing for it, and the path that is recorded is continuous. So no atom ever comes within the cutoff of another system's;
    should one leave its cell nevertheless, the run ends with an error.

    Parameters
    ----------
    force_field : BeadSpringForceField
    systems : sequence of MolecularSystem
    starts : sequence of arrays, each of shape (n_atoms, 3)
        nm.
    seed, platform, threads, minimize
        See `LangevinRun`.

    Attributes
    ----------
    run : LangevinRun
        All systems together; its positions are those on the lattice.
    spacing : float
        Of the lattice, nm.
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
        centres = [start.mean(axis=0) for start in starts]
        # bonds stretch by less than a fifth at the temperatures these models are for
        stretched = max(_graph_diameter(system) for system in self.systems) * 1.2 * force_field.bond_r0
        extent = max(float(np.abs(x - c).max()) for x, c in zip(starts, centres, strict=True))
        self._drift = max(_free_path(force_field.dynamics, float(system.masses.sum())) for system in self.systems)
        # an atom's place in the cell: its chain's extent, the drift that is let pass, the path until the next look
        self._room = max(stretched, extent if np.isfinite(extent) else 0.0) + 2 * self._drift
        self.spacing = 2 * self._room + force_field.cutoff
        side = int(np.ceil(len(self.systems) ** (1 / 3)))
        cells = np.stack(np.unravel_index(np.arange(len(self.systems)), (side, side, side)), axis=1)
        # around the origin, where single precision is best
        self._places = (cells - 0.5 * (side - 1)) * self.spacing
        self._shifts = np.stack([place - centre for place, centre in zip(self._places, centres, strict=True)])
        packed = np.concatenate([start + shift for start, shift in zip(starts, self._shifts, strict=True)])
        name = self.systems[0].name if len(self.systems) == 1 else f"{self.systems[0].name} to {self.systems[-1].name}"

        def name_atom(atom: int) -> str:
            part = int(np.searchsorted(offsets, atom, side="right")) - 1
            return f"{self.systems[part].name}: atom {atom - offsets[part]}"

        self.run = LangevinRun(
            create_system(force_field, self.systems),
            packed,
            force_field.dynamics,
            seed=seed,
            platform=platform,
            threads=threads,
            minimize=minimize,
            name=name,
            name_atom=name_atom,
        )

    @property
    def dynamics(self) -> Dynamics:
        """Temperature, friction, MD time step."""
        return self.run.dynamics

    def advance(self, steps: int, on_steps: OnSteps = _ignore) -> None:
        """Advance by MD steps, keeping every system in its cell.

        Raises
        ------
        UserError
            If the dynamics blows up; the message names the system and the atom.
        """
        stride = max(1, round(CHECK_INTERVAL / self.dynamics.time_step))
        while steps > 0:
            now = min(steps, stride)
            self.run.step(now)
            self._move_back()
            on_steps(now)
            steps -= now

    def _move_back(self) -> None:
        positions = self.run.positions()
        moved = False
        for chain, part in enumerate(self._parts):
            away = positions[part] - self._places[chain]
            if len(self._parts) > 1 and np.abs(away).max() > self._room:
                raise UserError(
                    f"{self.systems[chain].name}: atoms are {np.abs(away).max():.3g} nm from the middle of their cell, which has "
                    f"room for {self._room:.3g}: does it fall apart? Use a smaller MD time step or one chain per context"
                )
            drift = away.mean(axis=0)
            if np.abs(drift).max() > self._drift:
                positions[part] -= drift
                self._shifts[chain] -= drift
                moved = True
        if moved:
            self.run.context.setPositions(positions)

    def positions(self) -> list[Array]:
        """Continuous positions of every system, nm."""
        positions = self.run.positions()
        return [positions[part] - shift for part, shift in zip(self._parts, self._shifts, strict=True)]

    def record(self, recording: Recording, on_steps: OnSteps = _ignore) -> Iterator[list[Array]]:
        """Relax, then yield frames: positions of every system in nm, unwrapped, each of shape (n_atoms, 3)."""
        for _ in _frames(self, recording, on_steps):
            yield self.positions()


def _frames(run: LangevinRun | PackedChains, recording: Recording, on_steps: OnSteps) -> Iterator[int]:
    """Advance a run from frame to frame, and yield the number of the frame it is at."""
    relaxation = steps_for(recording.relaxation, run.dynamics.time_step, "relaxation")
    interval = steps_for(recording.interval, run.dynamics.time_step, "recording interval")
    run.advance(relaxation, on_steps)
    for frame in range(recording.n_frames):
        if frame:
            run.advance(interval, on_steps)
        yield frame


def _free_path(dynamics: Dynamics, mass: float) -> float:
    """Distance in nm that a freely diffusing molecule practically never exceeds, along an axis, between two looks.

    Langevin dynamics without forces: <dx^2> = 2 (kT / (m g^2)) (g t - 1 + exp(-g t)) for the friction g.
    """
    t, g = CHECK_INTERVAL, dynamics.friction
    thermal = BOLTZMANN * dynamics.temperature / mass
    return SAFETY * math.sqrt(2 * thermal / g**2 * (g * t + math.expm1(-g * t)))


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
