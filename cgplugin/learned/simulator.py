"""The learned dynamics, without any simulation engine: state in, next state out."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from cgplugin.coarse_graining.coarsening import CoarseGraining
from cgplugin.coarse_graining.drift import drifts, without_drift
from cgplugin.coarse_graining.neighbours import BatchedGraph, BeadGraph
from cgplugin.errors import UserError

from .devices import HOST, choose_device, model_on
from .learned_model import LearnedModel
from .network_calls import Networks, PieceByPiece, WholeGraph
from .noise import bonded_noise, drift_of_force
from .refinement import Refinement, refine
from .start_checks import check_box_fits, check_no_overlap

TILE_BEADS = 512
"""Beads of small systems that go through the networks at a time: their edges then stay in the cache."""

PIECE_BEADS = 2**13
"""Beads of a large system that go through the networks at a time (see `pieces`), so that memory is bounded; with larger pieces
the networks' work fits no cache, with smaller ones most of it is done for halos (measured: benchmarks/scaling)."""


class SimulationDivergedError(RuntimeError):
    """A learned simulation has left the physical region; the message says where and when."""


@dataclass(frozen=True)
class LearnedState:
    """Everything that the next step depends on, beside the model and the seed.

    Attributes
    ----------
    positions : Tensor of float64, shape (n_beads, 3)
        nm, unwrapped.
    displacements : Tensor of float64, shape (n_beads, n_history, 3)
        nm, the latest first.
    step : int
        Steps done since the start; with the seed it names the noise of the next step.
    """

    positions: Tensor = field(repr=False)
    displacements: Tensor = field(repr=False)
    step: int = 0

    def to(self, device: torch.device) -> "LearnedState":
        """The same state with its tensors on a device."""
        return LearnedState(self.positions.to(device), self.displacements.to(device), self.step)


@dataclass(frozen=True)
class Observation:
    """What one step gives beside the state, for observers.

    Attributes
    ----------
    state : LearnedState
        After the step.
    internal_rg2 : Tensor, shape (n_beads,)
        Expected squared radius of gyration of the beads' atoms about the beads' centres after the step, nm^2.
    """

    state: LearnedState
    internal_rg2: Tensor

    def to(self, device: torch.device) -> "Observation":
        """The same with its tensors on a device."""
        return Observation(self.state.to(device), self.internal_rg2.to(device))


@dataclass(frozen=True)
class _Tile:
    """Successive systems that go through the networks together, or a single large one that does piece by piece.

    The Dynamics GNN sees the graph of the present frame, the Score GNN, where steps are refined, the next one. Graphs are
    on the host, where neighbours are searched; embedding and masses are where the networks run.
    """

    beads: slice
    graph: BatchedGraph
    next_graph: BatchedGraph | None
    embedding: Tensor = field(repr=False)
    masses: Tensor = field(repr=False)

    @property
    def is_large(self) -> bool:
        """Whether it is to be cut into pieces."""
        return len(self.masses) > 2 * PIECE_BEADS


class LearnedSimulator:
    """Advances one or many systems together, many in one network call.

    Semi-implicit Euler integration of a sampled acceleration (paper, equation 5), in displacements d = v dt:
    d' = d + (a dt^2), x' = x + d', with a dt^2 = mean + F xi from the network (`cgplugin.networks.dynamics.Prediction`), refined
    by the Score GNN where the model has one (`cgplugin.learned.refinement`).

    Parameters
    ----------
    model : LearnedModel
    systems : sequence of CoarseGraining
        Their beads follow each other in all arrays.
    seed : int
        The noise of step n is drawn from a counter-based generator keyed by (seed, n): nothing else need be stored.
    box_vectors : sequence of (array of shape (3, 3) or None), optional
        Box of each system, nm.
    refinement : Refinement, optional
        By default what the model says.
    device : str or torch.device
        Where the networks run and the state is kept: see `cgplugin.learned.devices.choose_device`, and `to`.

    Raises
    ------
    UserError
        If a system does not fit the model, or there is no such device.
    """

    def __init__(
        self,
        model: LearnedModel,
        systems: Sequence[CoarseGraining],
        *,
        seed: int = 0,
        box_vectors: Sequence[ArrayLike | None] | None = None,
        refinement: Refinement | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        if not systems:
            raise UserError("there is no system to simulate")
        self.refinement = model.refinement if refinement is None else refinement
        n_levels = len(model.description.noise_levels)
        levels, skipped = self.refinement.levels, self.refinement.skip if self.refinement.levels else 0
        if levels + skipped > n_levels:
            left_out = f" and {skipped} left out" if skipped else ""
            has = f"{n_levels}" if n_levels else "no Score GNN: train one with --score"
            raise UserError(f"{levels} levels of refinement{left_out}, but {model.source} has {has}")
        self.model = model
        self.systems = list(systems)
        self.seed = seed
        cutoff, ion_cutoff = model.description.cutoffs
        score_cutoff, score_ion_cutoff = model.description.score_cutoffs
        boxes = [None] * len(self.systems) if box_vectors is None else list(box_vectors)
        if len(boxes) != len(self.systems):
            raise UserError(f"{len(boxes)} boxes for {len(self.systems)} systems")
        self.boxes = [None if box is None else np.array(box, dtype=np.float64) for box in boxes]
        for cg, box in zip(self.systems, self.boxes, strict=True):
            check_box_fits(model, cg.system.name, box)
        tensors = [None if box is None else torch.from_numpy(box) for box in self.boxes]
        embedded: dict[int, Tensor] = {}
        graphs: dict[int, BeadGraph] = {}
        for cg in self.systems:
            # replicas share their CoarseGraining
            if id(cg) not in embedded:
                embedded[id(cg)] = model.embed(cg)
                graphs[id(cg)] = BeadGraph.of(cg)
        offsets = np.cumsum([0, *(cg.n_beads for cg in self.systems)])
        self.n_beads = int(offsets[-1])
        self.slices = [slice(int(a), int(b)) for a, b in itertools.pairwise(offsets)]
        self._tiles = []
        for own in _tiles([cg.n_beads for cg in self.systems]):
            of_tile = [graphs[id(cg)] for cg in self.systems[own]]
            self._tiles.append(
                _Tile(
                    slice(self.slices[own.start].start, self.slices[own.stop - 1].stop),
                    BatchedGraph(of_tile, cutoff, tensors[own], ion_cutoff),
                    BatchedGraph(of_tile, score_cutoff, tensors[own], score_ion_cutoff)
                    if self.refinement.levels
                    else None,
                    torch.cat([embedded[id(cg)] for cg in self.systems[own]]),
                    torch.tensor(np.concatenate([cg.masses for cg in self.systems[own]]), dtype=torch.float32),
                )
            )
        bonds = [cg.bonds + offset for cg, offset in zip(self.systems, offsets[:-1], strict=True)]
        self._bonds = torch.tensor(np.concatenate(bonds).T.copy(), dtype=torch.int64)
        self._philox = np.random.Philox(key=(0, 0))
        self._unused = self._philox.state
        self._generator = np.random.Generator(self._philox)
        self.device = HOST
        self.to(device)

    def to(self, device: str | torch.device) -> "LearnedSimulator":
        """Go on on another device, in place; states may come from anywhere.

        The noise is the same on every device: it is drawn on the host, 12 bytes per bead and set of normal numbers. Neighbours
        are searched on the host, and the networks' float32 sums depend on the device in the last bits.

        Raises
        ------
        UserError
            If there is no such device.
        """
        chosen = choose_device(device)
        if chosen != self.device:
            self.model = model_on(self.model, chosen)
            self._tiles = [
                replace(tile, embedding=tile.embedding.to(chosen), masses=tile.masses.to(chosen))
                for tile in self._tiles
            ]
            self.device = chosen
        return self

    def start(self, frames: Sequence[ArrayLike]) -> LearnedState:
        """State from the first frames of every system.

        Parameters
        ----------
        frames : sequence of arrays, each of shape (n_history + 1, n_beads, 3)
            Unwrapped bead positions in nm, one learned time step apart, the latest last; one array per system. The drift of
            several molecules in a box is taken out of the displacements (`cgplugin.coarse_graining.drift`).

        Raises
        ------
        UserError
            If a shape is wrong, a position is not finite, or two beads are at the same place.
        """
        k = self.model.n_history
        parts = []
        for cg, own, box in zip(self.systems, frames, self.boxes, strict=True):
            array = np.asarray(own, dtype=np.float64)
            if array.shape != (k + 1, cg.n_beads, 3):
                raise UserError(
                    f"{cg.system.name}: the start frames have shape {array.shape}, expected {(k + 1, cg.n_beads, 3)}: "
                    f"{k + 1} frames, {self.model.time_step:g} ps apart"
                )
            if not np.isfinite(array).all():
                bead = int(np.argwhere(~np.isfinite(array))[0][1])
                raise UserError(f"{cg.system.name}: the start position of bead {bead} is not finite")
            check_no_overlap(array[-1], box, cg.system.name, "beads")
            if drifts(cg, box):
                # as in training; the last frame stays where it is
                array = without_drift(array, cg.masses) - without_drift(array[-1:], cg.masses) + array[-1:]
            parts.append(array)
        joined = np.concatenate(parts, axis=1)
        moved = np.diff(joined, axis=0)[::-1].transpose(1, 0, 2)
        return LearnedState(torch.tensor(joined[-1]), torch.tensor(moved.copy()), 0).to(self.device)

    def step(self, state: LearnedState, force: Tensor | None = None) -> Observation:
        """Advance by one learned time step.

        Parameters
        ----------
        state : LearnedState
        force : Tensor, shape (n_beads, 3), optional
            External force on each bead at the present positions over kT, 1/nm. It adds
            `cgplugin.learned.noise.drift_of_force` to the predicted mean.

        Raises
        ------
        SimulationDivergedError
            If a position is no longer finite.
        """
        return self.advance(state, self.normal(state.step), force)

    @torch.inference_mode()
    def advance(self, state: LearnedState, normal: Tensor, force: Tensor | None = None) -> Observation:
        """Advance by one learned time step with given noise; see `normal`, and `step` for the rest."""
        state, normal = state.to(self.device), normal.to(self.device)
        self._check_finite(state.positions, state.step)
        parts = [
            self._advance_tile(tile, state, normal[:, tile.beads], None if force is None else force[tile.beads])
            for tile in self._tiles
        ]
        change = _joined([part[0] for part in parts])
        internal_rg2 = _joined([part[1] for part in parts])
        latest = state.displacements[:, 0] + change.to(torch.float64)
        positions = state.positions + latest
        displacements = torch.cat([latest.unsqueeze(1), state.displacements[:, :-1]], dim=1)
        self._check_finite(positions, state.step + 1)
        return Observation(LearnedState(positions, displacements, state.step + 1), internal_rg2)

    def _advance_tile(
        self, tile: _Tile, state: LearnedState, normal: Tensor, force: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Change of displacement, and internal sizes, of the beads of a tile."""
        positions = state.positions[tile.beads]
        moved = state.displacements[tile.beads].to(torch.float32)
        networks = self._networks(tile, tile.graph, positions)
        prediction = networks.predict(tile.embedding, tile.masses, moved)
        if force is not None:
            drift = drift_of_force(prediction, networks.edges, force.to(moved))
            prediction = prediction._replace(mean=prediction.mean + drift)
        change = prediction.mean
        if self.model.description.networks.get("stochastic", True):
            change = change + bonded_noise(prediction, networks.edges, normal[0])
        if (next_graph := tile.next_graph) is not None:
            moved_on = positions + state.displacements[tile.beads, 0]

            def estimate(tentative: Tensor, sigma: float) -> Tensor:
                next_positions = moved_on + tentative.to(torch.float64)
                networks = self._networks(tile, next_graph, next_positions)
                return networks.estimate_noise(prediction, tentative, sigma)

            change = refine(
                change, prediction, estimate, self.model.description.noise_levels, self.refinement, normal[1:]
            )
        return change, prediction.internal_rg2

    def _networks(self, tile: _Tile, graph: BatchedGraph, positions: Tensor) -> Networks:
        on_host = positions.to(HOST)
        edges = graph.edges(on_host)
        if tile.is_large:
            return PieceByPiece(self.model, edges, on_host, graph.boxes[0], PIECE_BEADS)
        return WholeGraph(self.model, edges)

    def normal(self, step: int) -> Tensor:
        """Standard normal numbers of a step, shape (1 + n_normal, n_beads, 3): of the prediction, then of the refinement."""
        # as of a new generator with this key, which would take five times as long to make
        self._unused["state"]["key"] = np.array([self.seed % 2**64, step], dtype=np.uint64)
        self._philox.state = self._unused
        shape = (1 + self.refinement.n_normal, self.n_beads, 3)
        return torch.from_numpy(self._generator.standard_normal(shape, dtype=np.float32))

    def longest_bonds(self, state: LearnedState) -> NDArray[np.float64]:
        """Longest CG bond of each system, nm; zero where there is none."""
        positions = state.positions.to(HOST)
        lengths = (positions[self._bonds[0]] - positions[self._bonds[1]]).norm(dim=1).numpy()
        counts = np.cumsum([0, *(len(cg.bonds) for cg in self.systems)])
        return np.array([lengths[a:b].max(initial=0.0) for a, b in itertools.pairwise(counts)])

    def _check_finite(self, positions: Tensor, step: int) -> None:
        if math.isfinite(float(positions.sum())):
            return
        bead = int((~torch.isfinite(positions)).any(dim=1).nonzero()[0])
        system = next(i for i, part in enumerate(self.slices) if part.start <= bead < part.stop)
        name = self.systems[system].system.name
        raise SimulationDivergedError(
            f"{name}: the position of bead {bead - self.slices[system].start} is not finite after step {step}"
        )


def _joined(of_tiles: Sequence[Tensor]) -> Tensor:
    """Values of all beads; without a copy where there is one tile."""
    return of_tiles[0] if len(of_tiles) == 1 else torch.cat(list(of_tiles))


def _tiles(sizes: Sequence[int]) -> list[slice]:
    """Successive systems of about `TILE_BEADS` beads together, at least one each, as slices of the list of systems."""
    ends = np.cumsum(sizes)
    numbers = (ends - 1) // TILE_BEADS
    cuts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(sizes)]
    return [slice(a, b) for a, b in itertools.pairwise(cuts)]
