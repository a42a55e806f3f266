"""Reporters of what a learned simulation shows while it runs: properties step by step, and radial distribution functions."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openmm
from numpy.typing import ArrayLike, NDArray
from openmm import app, unit

from cgplugin.errors import UserError, one_line
from cgplugin.files import replacing
from cgplugin.learned.simulator import Observation
from cgplugin.observables.electrolyte import N_BINS, default_range
from cgplugin.observables.radial_distribution import RadialDistributionAccumulator
from openmm_integration.integrator import LearnedIntegrator

from .running_properties import (
    PLAIN_PROPERTIES,
    Collisions,
    Displacements,
    Neighbours,
    RunningProperty,
    WatchedSystem,
    observation_of,
)
from .step_table import StepTable


class _ObservingReporter(ABC):
    """An OpenMM reporter that sees what the integrator's observers see, of one part of its `CoarseSystem`.

    Positions come from there in double precision and unwrapped, whatever the platform; the Context is asked for the time alone.
    """

    def __init__(self, file: str | os.PathLike[str], interval: int, part: int, append: bool) -> None:
        if interval < 1:
            raise UserError(f"the report interval is {interval}, expected at least 1")
        self._path, self._interval, self._part, self._append = Path(file), interval, part, append
        if append and not self._path.is_file():
            raise UserError(f"{self._path}: there is no such file to append to")
        self._integrator: LearnedIntegrator | None = None
        self._latest: Observation | None = None
        self._table: StepTable | None = None
        self._last_step: int | None = None

    def describeNextReport(self, simulation: app.Simulation) -> dict[str, Any]:  # noqa: N802 (OpenMM calls it)
        """Steps to the next report; at the first call, start to watch the simulation."""
        if self._integrator is None:
            self._watch(simulation.integrator)
        return {"steps": self._interval - simulation.currentStep % self._interval, "periodic": False, "include": []}

    def report(self, simulation: app.Simulation, state: openmm.State) -> None:
        """Take in the present step."""
        step, latest = simulation.currentStep, self._latest
        if latest is None or latest.state.step != step:
            raise UserError(f"{self._path}: step {step} was not simulated while the reporter was there")
        assert self._integrator is not None
        assert self._table is not None
        if self._last_step is None and not self._append:
            self._go_on(step, None)
        elif self._last_step is None or step <= self._last_step:
            self._go_on(step, self._table.cut_from(step))
        cg = self._integrator.cg
        own = observation_of(latest, slice(*cg.offsets[self._part : self._part + 2].tolist()))
        self._record(own, state.getTime().value_in_unit(unit.picosecond))
        self._last_step = step

    def close(self) -> None:
        """Close the file and watch no longer."""
        if self._integrator is not None and self._observe in self._integrator.observers:
            self._integrator.observers.remove(self._observe)
        if self._table is not None:
            self._table.close()

    def _watch(self, integrator: openmm.Integrator) -> None:
        if not isinstance(integrator, LearnedIntegrator):
            raise UserError(
                f"{self._path}: a {type(self).__name__} belongs to a LearnedIntegrator, not to a {type(integrator).__name__}"
            )
        cg = integrator.cg
        if not 0 <= self._part < len(cg.parts):
            raise UserError(f"{self._path}: there is no part {self._part}, only 0 to {len(cg.parts) - 1}")
        system = WatchedSystem(cg.parts[self._part], cg.box_of(self._part), integrator.model.description)
        self._table = StepTable(self._path, self._prepare(system), append=self._append)
        integrator.observers.append(self._observe)
        self._integrator = integrator

    def _observe(self, observation: Observation) -> None:
        self._latest = observation

    def _check_gap(self, last: int | None, expected: int) -> None:
        if last is not None and last != expected:
            raise UserError(
                f"{self._path}: ends at step {last}, what is to be appended follows step {expected}: load another checkpoint, "
                "give the interval that it was written with, or write to another file"
            )

    @abstractmethod
    def _prepare(self, system: WatchedSystem) -> Sequence[str]:
        """Make what is to be recorded and name the columns."""

    @abstractmethod
    def _go_on(self, step: int, last: int | None) -> None:
        """Begin, or begin again, with a step; ``last`` is the last step in the table."""

    @abstractmethod
    def _record(self, observation: Observation, time: float) -> None:
        """Take in a step."""


class PropertyReporter(_ObservingReporter):
    """Writes properties of a learned simulation to a CSV file while it runs; a line every ``reportInterval`` steps.

    Columns are ``step``, ``time`` (ps, or tau in reduced units) and those of the properties asked for, in this order:

    ============== ======================================================================================================
    property       columns
    ============== ======================================================================================================
    ``rg2``        ``rg2``: squared radius of gyration of the fine chains, with the model's property head, nm^2
    ``end_to_end`` ``end_to_end``: mean distance between the end beads of the chains, nm
    ``msd``        ``msd A``: mean squared displacement of the molecules of species A since the first line, nm^2
    ``stretch``    ``stretch``: longest CG bond over the longest in the training data; should stay near or below 1
    ``surprise``   ``surprise``: size of the last step beyond the prior, over that in the training data; should stay near 1
    ============== ======================================================================================================

    Then ``collisions`` and ``neighbours A-B``, where a distance for them is given. The classes of the same names in
    `openmm_integration.reporters.running_properties` define each. Species are those of ``cgplugin analyze``.

    With ``append``, after a restart from a checkpoint or a state, the file becomes what an uninterrupted run would have
    written, byte by byte: lines behind the restart are cut off and written again. The same happens when an earlier state is
    loaded in mid-run. The frame that ``msd`` starts from is kept in ``FILE.origin.npz``.

    Parameters
    ----------
    file : path
        Is overwritten, unless ``append``.
    reportInterval : int
        Steps between lines.
    properties : sequence of str
        Of those in the table.
    part : int
        Which system of the `CoarseSystem`; for several, add a reporter for each.
    collision_distance : float or mapping from pairs of species to float, optional
        nm; count pairs of beads that are closer. See `cgplugin.observables.electrolyte.ContactDistances`.
    neighbour_distance : float, optional
        nm; count neighbours of each species that are closer.
    append : bool
        Go on with an existing file.

    Raises
    ------
    UserError
        For an unknown property, or nothing to append to. At the first step: if the system does not have a property, or the file
        to append to has other columns or a gap.

    Examples
    --------
    >>> simulation.reporters.append(PropertyReporter("properties.csv", 10, ["rg2", "stretch"]))
    >>> simulation.step(1000)
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        reportInterval: int,  # noqa: N803 (as OpenMM's reporters have it)
        properties: Sequence[str] = ("rg2", "end_to_end", "stretch", "surprise"),
        *,
        part: int = 0,
        collision_distance: float | Mapping[tuple[str, str], float] | None = None,
        neighbour_distance: float | None = None,
        append: bool = False,
    ) -> None:
        super().__init__(file, reportInterval, part, append)
        for name in properties:
            if name not in PLAIN_PROPERTIES:
                raise UserError(f"unknown property {name!r}: expected some of {', '.join(PLAIN_PROPERTIES)}")
        self._names = tuple(dict.fromkeys(properties))
        self._collision_distance, self._neighbour_distance = collision_distance, neighbour_distance
        self._properties: list[RunningProperty] = []
        self._displacements: Displacements | None = None

    def _prepare(self, system: WatchedSystem) -> Sequence[str]:
        self._properties = [PLAIN_PROPERTIES[name](system) for name in self._names]
        if self._collision_distance is not None:
            self._properties.append(Collisions(system, self._collision_distance))
        if self._neighbour_distance is not None:
            self._properties.append(Neighbours(system, self._neighbour_distance))
        self._displacements = next((item for item in self._properties if isinstance(item, Displacements)), None)
        return ["step", "time", *(column for item in self._properties for column in item.columns)]

    def _go_on(self, step: int, last: int | None) -> None:
        self._check_gap(last, step - self._interval)
        if self._displacements is not None:
            self._displacements.origin = None if last is None else self._load_origin(self._displacements.n_molecules)

    def _record(self, observation: Observation, time: float) -> None:
        assert self._table is not None
        moved = self._displacements
        is_first = moved is not None and moved.origin is None
        row: list[Any] = [observation.state.step, time]
        for item in self._properties:
            row += item(observation)
        if is_first:
            assert moved is not None
            assert moved.origin is not None
            with replacing(self._origin_file) as temporary:
                np.savez(temporary, centres=moved.origin)
        self._table.write([row])

    @property
    def _origin_file(self) -> Path:
        return self._path.with_name(f"{self._path.name}.origin.npz")

    def _load_origin(self, n_molecules: int) -> NDArray[np.float64]:
        try:
            with np.load(self._origin_file, allow_pickle=False) as content:
                centres: NDArray[np.float64] = content["centres"]
        except (OSError, ValueError, KeyError) as error:
            raise UserError(
                f"{self._origin_file}: the frame that the displacements in {self._path} start from cannot be read "
                f"({one_line(error)}): write to another file, without append"
            ) from error
        if centres.shape != (n_molecules, 3):
            raise UserError(
                f"{self._origin_file}: has {len(centres)} molecules, the system {n_molecules}: write to another file"
            )
        return centres


class RdfReporter(_ObservingReporter):
    """Writes radial distribution functions of a learned simulation in a box to a CSV file while it runs, block by block.

    A block is the average over the ``blockFrames`` reports before a step that is a multiple of ``blockFrames * reportInterval``;
    at the end of each, a line per bin is added: ``step``, ``time`` (ps), ``frames`` (in the block), ``r`` (centre of the bin,
    nm), and ``g A-B`` for each pair of species (see `cgplugin.observables.radial_distribution`). The mean over blocks, weighted
    with ``frames``, is the g(r) of the run, and their spread tells its error. Frames behind the last whole block are in none.

    With ``append``, blocks that end behind the restart are cut off and written again, byte by byte the same if the restart is at
    the end of a block: let the interval of checkpoints be a multiple of that. Otherwise the first block has fewer ``frames``.

    Parameters
    ----------
    file : path
        Is overwritten, unless ``append``.
    reportInterval : int
        Steps between frames.
    blockFrames : int
        Frames in a block.
    part : int
        Which system of the `CoarseSystem`.
    edges : array, shape (n_bins + 1,), optional
        Edges of the bins, nm; by default 200 bins up to half of the smallest height of the box, or to where there are 200
        neighbours.
    append : bool
        Go on with an existing file.

    Raises
    ------
    UserError
        If there is nothing to append to. At the first step: if the system has no box, or the file to append to has a gap.
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        reportInterval: int,  # noqa: N803 (as OpenMM's reporters have it)
        blockFrames: int = 100,  # noqa: N803
        *,
        part: int = 0,
        edges: ArrayLike | None = None,
        append: bool = False,
    ) -> None:
        super().__init__(file, reportInterval, part, append)
        if blockFrames < 1:
            raise UserError(f"blockFrames is {blockFrames}, expected at least 1")
        self._block_steps = reportInterval * blockFrames
        self._edges = None if edges is None else np.asarray(edges, dtype=np.float64)

    def _prepare(self, system: WatchedSystem) -> Sequence[str]:
        if system.box_vectors is None:
            raise UserError(
                f"{system.cg.system.name}: has no box, so that its radial distribution function is not defined"
            )
        if self._edges is None:
            self._edges = np.linspace(0, default_range(system.cg.n_beads, [system.box_vectors]), N_BINS + 1)
        self._system = system
        self._block = RadialDistributionAccumulator(system.kinds, self._edges)
        return ["step", "time", "frames", "r", *(f"g {a}-{b}" for a, b in system.kinds.pairs)]

    def _go_on(self, step: int, last: int | None) -> None:
        assert self._edges is not None
        self._check_gap(last, (step - 1) // self._block_steps * self._block_steps)
        self._block = RadialDistributionAccumulator(self._system.kinds, self._edges)

    def _record(self, observation: Observation, time: float) -> None:
        assert self._edges is not None
        assert self._table is not None
        positions, step = observation.state.positions.numpy(), observation.state.step
        self._block.update(self._system.pairs_within(positions, float(self._edges[-1])))
        if step % self._block_steps:
            return
        block, kinds = self._block.result(), self._system.kinds
        self._block = RadialDistributionAccumulator(kinds, self._edges)
        columns = [block.centres.tolist(), *(block.g(a, b).tolist() for a, b in kinds.pairs)]
        self._table.write([step, time, block.n_frames, *cells] for cells in zip(*columns, strict=True))
