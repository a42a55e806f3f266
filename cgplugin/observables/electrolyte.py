"""All observables of an electrolyte from one pass over its frames: reference MD as beads or atoms, and learned runs alike."""

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cgplugin.coarse_graining.drift import without_drift
from cgplugin.errors import UserError
from cgplugin.files import read_json, write_json
from cgplugin.systems.periodic import box_heights
from cgplugin.systems.species import ParticleSpecies
from cgplugin.tables import without_nan

from .centres import CentresOfMass
from .collisions import REFERENCE_RATE, CollisionAccumulator, Collisions, collision_distances
from .diffusion import Diffusivity, DisplacementAccumulator, MeanSquaredDisplacements, transference_number
from .ion_pairs import IonPairAccumulator, IonPairs
from .pairs import PairKinds, near_pairs
from .radial_distribution import RadialDistributionAccumulator, RadialDistributions

Array = NDArray[np.float64]

N_BINS = 200
"""Bins of a radial distribution function, unless edges are given."""

NEIGHBOURS = 200
"""By default the range of an RDF holds no more neighbours than this on average, so that the cost is linear in particles."""

CALIBRATION_COLLISIONS = 10
"""Collisions that the frames hold from which contact distances are found, where none are given."""

CALIBRATION_BYTES = 64 * 2**20
"""Memory for these frames."""


@dataclass(frozen=True)
class ContactDistances:
    """Distances that define what a collision and what an ion pair is; None where they are yet to be found.

    To compare a simulation with a reference, both must have the same: take those of the reference.

    Attributes
    ----------
    collision : dict from pairs of species to float, or None
        nm; see `cgplugin.observables.collisions.collision_distances`.
    ion_pair : float or None
        Distance below which a cation and an anion are a pair, nm; NaN where they have no first shell.
    """

    collision: dict[tuple[str, str], float] | None = None
    ion_pair: float | None = None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "ContactDistances":
        """Read what `save` wrote.

        Raises
        ------
        UserError
            If the file is not that.
        """
        content = read_json(path)
        try:
            collision = {(str(a), str(b)): float(distance) for a, b, distance in content["collision"]}
            ion_pair = math.nan if content["ion_pair"] is None else float(content["ion_pair"])
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: not a file of contact distances, as 'cgplugin analyze' writes it") from error
        return cls(collision, ion_pair)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write ``contacts.json``, whole or not at all."""
        collision = [[a, b, distance] for (a, b), distance in (self.collision or {}).items()]
        write_json(path, without_nan({"collision": collision, "ion_pair": self.ion_pair}))


FROM_FIRST_FRAMES = ContactDistances()
"""Both kinds of distances are found from the first frames."""


@dataclass(frozen=True)
class ElectrolyteObservables:
    """What the frames of an electrolyte say.

    Attributes
    ----------
    particles : ParticleSpecies
    interval : float
        Time between frames, ps.
    rdf : RadialDistributions
        Of all pairs of species, between particles.
    msd : MeanSquaredDisplacements
        Per species, of the molecules' centres of mass, without the drift of the system.
    collisions : Collisions
    ion_pairs : IonPairs or None
        None without cations and anions, or without a distance at which they are a pair.
    distances : ContactDistances
        That the last two go by.
    """

    particles: ParticleSpecies
    interval: float
    rdf: RadialDistributions
    msd: MeanSquaredDisplacements
    collisions: Collisions
    ion_pairs: IonPairs | None
    distances: ContactDistances

    @property
    def species(self) -> tuple[str, ...]:
        """Names of the species, ions first."""
        return self.rdf.kinds.kinds

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return self.rdf.n_frames

    @cached_property
    def diffusivities(self) -> dict[str, Diffusivity]:
        """Diffusivity of every species from the default fit."""
        return {name: self.msd.diffusivity(name) for name in self.species}

    @property
    def transference_number(self) -> tuple[float, float]:
        """Of the cations, and its standard error; NaN without cations and anions."""
        ions = [name for name in self.species if self.particles.role(name) in ("cation", "anion")]
        charges = {name: self.particles.molecular_charge(name) or 0.0 for name in ions}
        if len({charge > 0 for charge in charges.values()}) < 2:
            return math.nan, math.nan
        return transference_number(
            {name: self.diffusivities[name] for name in ions},
            {name: self.particles.n_molecules(name) for name in ions},
            charges,
        )

    @property
    def shown_pairs(self) -> tuple[tuple[str, str], ...]:
        """Pairs of species, the centre first, of which one is an ion; all where there are no ions."""
        ions = [name for name in self.species if self.particles.role(name) in ("cation", "anion")]
        pairs = self.rdf.kinds.pairs
        return tuple(pair for pair in pairs if pair[0] in ions) or pairs

    def to_json(self) -> dict[str, Any]:
        """Numbers without curves and series; what is not known is NaN."""
        rdf = []
        for centre, neighbour in self.rdf.kinds.pairs:
            shell = self.rdf.first_shell(centre, neighbour)
            rdf.append({"centre": centre, "neighbour": neighbour, **vars(shell)})
        species = {}
        for name in self.species:
            paper, paper_error = self.msd.end_to_end_diffusivity(name)
            species[name] = {
                "role": self.particles.role(name),
                "n_molecules": self.particles.n_molecules(name),
                "n_particles": self.particles.names.count(name),
                "diffusivity": vars(self.diffusivities[name]),
                "end_to_end_diffusivity": {"value": paper, "error": paper_error},
            }
        pairs = self.ion_pairs
        number, error = self.transference_number
        return {
            "n_frames": self.n_frames,
            "interval": self.interval,
            "species": species,
            "first_shells": rdf,
            "collisions": [
                {
                    "kinds": list(kinds),
                    "distance": float(self.collisions.distances[n]),
                    "per_frame": float(self.collisions.counts[:, n].mean()),
                }
                for n, kinds in enumerate(self.rdf.kinds.pairs)
            ],
            "ion_pairs": pairs and {"radius": pairs.radius, "per_frame": pairs.n_pairs, "lifetime": pairs.lifetime},
            "transference_number": {"value": number, "error": error},
        }


class ElectrolyteAccumulator:
    """Accumulates all observables of an electrolyte, a block of frames at a time.

    One search for neighbours per frame serves all that depends on pairs. Where no contact distances are given, the first
    frames are kept until they hold `CALIBRATION_COLLISIONS` collisions per pair of kinds, and are what the distances are
    found from: a run is then compared with its own beginning.

    Parameters
    ----------
    particles : ParticleSpecies
        Names that are few; `ParticleSpecies.by_role` makes them so.
    interval : float
        Time between frames, ps.
    edges : array, shape (n_bins + 1,), optional
        Edges of the bins of radial distribution functions, nm. By default `N_BINS` bins up to half the smallest height of
        the box, or to where there are `NEIGHBOURS`.
    distances : ContactDistances
        Of the reference, where there is one.

    Raises
    ------
    UserError
        If there is no frame, or the range of the edges exceeds half the box.
    """

    def __init__(
        self,
        particles: ParticleSpecies,
        interval: float,
        *,
        edges: Array | None = None,
        distances: ContactDistances = FROM_FIRST_FRAMES,
    ) -> None:
        self.particles, self.interval = particles, interval
        self.kinds = PairKinds.of(particles.names, particles.species)
        self._edges, self._distances = edges, distances
        self._centres = CentresOfMass(particles.masses, particles.molecules)
        first = np.unique(particles.molecules, return_index=True)[1]
        self._displacements = DisplacementAccumulator([particles.names[n] for n in first.tolist()], interval)
        self._waiting: list[tuple[Array, Array]] = []
        self._rdf: RadialDistributionAccumulator | None = None
        self._collisions: CollisionAccumulator | None = None
        self._ion_pairs: IonPairAccumulator | None = None

    def update(self, positions: Array, box_vectors: Array) -> None:
        """Add frames.

        Parameters
        ----------
        positions : array, shape (n_frames, n, 3)
            nm, unwrapped, with whole molecules.
        box_vectors : array, shape (n_frames, 3, 3)
            nm, rows.
        """
        if positions.shape[1] != self.particles.n:
            raise UserError(f"frames have {positions.shape[1]} particles, but there are {self.particles.n} species")
        for frame, box in zip(positions, box_vectors, strict=True):
            self._displacements.update(without_drift(self._centres(frame), self._centres.masses))
            if self._rdf is None:
                self._waiting.append((np.array(frame), np.array(box)))
                if len(self._waiting) >= self._calibration_frames:
                    self._begin()
            else:
                self._update_pairs(frame, box)

    def result(self) -> ElectrolyteObservables:
        """What was seen so far."""
        if self._rdf is None:
            self._begin()
        assert self._rdf is not None
        assert self._collisions is not None
        return ElectrolyteObservables(
            self.particles,
            self.interval,
            self._rdf.result(),
            self._displacements.result(),
            self._collisions.result(),
            None if self._ion_pairs is None else self._ion_pairs.result(),
            self._distances,
        )

    @cached_property
    def _calibration_frames(self) -> int:
        if self._distances.collision is not None and self._distances.ion_pair is not None:
            return 1
        wanted = math.ceil(CALIBRATION_COLLISIONS / (REFERENCE_RATE * self.kinds.counts.min()))
        return max(1, min(wanted, CALIBRATION_BYTES // (24 * self.particles.n)))

    def _begin(self) -> None:
        """Settle the range and the contact distances, and count the pairs of the frames that have waited for that."""
        if not self._waiting:
            raise UserError("there are no frames to analyse")
        frames, self._waiting = self._waiting, []
        if self._edges is None:
            self._edges = np.linspace(0, default_range(self.particles.n, [box for _, box in frames]), N_BINS + 1)
        self._rdf = RadialDistributionAccumulator(self.kinds, self._edges)
        self._distances = self._settled_distances(frames)
        assert self._distances.collision is not None
        assert self._distances.ion_pair is not None
        self._collisions = CollisionAccumulator(self.kinds, self._distances.collision)
        cations, anions = self.particles.with_role("cation"), self.particles.with_role("anion")
        if cations and anions and math.isfinite(self._distances.ion_pair):
            self._ion_pairs = IonPairAccumulator(
                [name in cations for name in self.particles.names],
                [name in anions for name in self.particles.names],
                self.particles.molecules,
                self._distances.ion_pair,
                self.interval,
            )
        for frame, box in frames:
            self._update_pairs(frame, box)

    def _settled_distances(self, frames: Sequence[tuple[Array, Array]]) -> ContactDistances:
        """Contact distances, those that were not given from the frames."""
        given = self._distances
        if given.collision is not None and given.ion_pair is not None:
            return given
        assert self._edges is not None
        rdf = RadialDistributionAccumulator(self.kinds, self._edges)
        for frame, box in frames:
            rdf.update(near_pairs(frame, box, float(self._edges[-1])))
        found = contact_distances(rdf.result(), self.particles)
        return ContactDistances(
            found.collision if given.collision is None else given.collision,
            found.ion_pair if given.ion_pair is None else given.ion_pair,
        )

    def _update_pairs(self, positions: Array, box_vectors: Array) -> None:
        assert self._rdf is not None
        assert self._collisions is not None
        assert self._edges is not None
        reach = max(float(self._edges[-1]), self._collisions.cutoff)
        if self._ion_pairs is not None:
            reach = max(reach, self._ion_pairs.radius)
        pairs = near_pairs(positions, box_vectors, reach)
        for accumulator in (self._rdf, self._collisions, self._ion_pairs):
            if accumulator is not None:
                accumulator.update(pairs)


def electrolyte_observables(
    frames: Iterable[tuple[Array, Array]],
    particles: ParticleSpecies,
    interval: float,
    *,
    edges: Array | None = None,
    distances: ContactDistances = FROM_FIRST_FRAMES,
) -> ElectrolyteObservables:
    """Observables of an electrolyte from blocks of frames; see `ElectrolyteAccumulator`.

    Parameters
    ----------
    frames : iterable of (positions, box_vectors)
        Blocks of shapes (n_frames, n, 3) and (n_frames, 3, 3), nm; unwrapped, with whole molecules, at equal intervals.
    particles : ParticleSpecies
    interval : float
        Time between frames, ps.
    edges : array, optional
        Edges of the bins of radial distribution functions, nm.
    distances : ContactDistances
        Of the reference that the result is to be compared with.
    """
    accumulator = ElectrolyteAccumulator(particles, interval, edges=edges, distances=distances)
    for positions, box_vectors in frames:
        accumulator.update(positions, box_vectors)
    return accumulator.result()


def contact_distances(reference: RadialDistributions, particles: ParticleSpecies) -> ContactDistances:
    """Contact distances as reference data have them: collisions that hardly ever happen, and the first shell of ions.

    Of several kinds of cations or anions the pair with the highest first peak says how far a pair of ions reaches.
    """
    shells = [
        reference.first_shell(cation, anion)
        for cation in particles.with_role("cation")
        for anion in particles.with_role("anion")
    ]
    known = [shell for shell in shells if math.isfinite(shell.end)]
    radius = max(known, key=lambda shell: shell.height).end if known else math.nan
    return ContactDistances(collision_distances(reference), radius)


def default_range(n: int, boxes: Sequence[Array]) -> float:
    """Half the smallest height of the boxes, with some reserve if they differ, or the radius that holds `NEIGHBOURS`."""
    heights = np.array([box_heights(box).min() for box in boxes])
    volume = abs(float(np.linalg.det(boxes[0])))
    reserve = 1.0 if np.ptp(heights) <= 1e-5 * heights.max() else 0.9
    full = (3 * NEIGHBOURS * volume / (4 * math.pi * n)) ** (1 / 3)
    return min(0.5 * reserve * float(heights.min()), full)
