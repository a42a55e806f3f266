"""What one method says about one periodic system: observables of its runs, pooled, and how they change over the runs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cgplugin.coarse_graining.coarsening import CoarseGraining
from cgplugin.coarse_graining.drift import without_drift
from cgplugin.observables.chains import squared_radii_of_gyration
from cgplugin.observables.collisions import CollisionAccumulator
from cgplugin.observables.electrolyte import FROM_FIRST_FRAMES, ElectrolyteObservables, electrolyte_observables
from cgplugin.observables.first_shell import FirstShell
from cgplugin.observables.pairs import PairKinds, near_pairs
from cgplugin.observables.radial_distribution import RadialDistributions
from cgplugin.observables.statistics import standard_error
from cgplugin.systems.species import ParticleSpecies

from .bead_paths import BeadPath
from .reference import comparable_species

Array = NDArray[np.float64]
Pair = tuple[str, str]

COARSE_BINS = 40
"""Bins of an RDF when its curve as a whole is compared or shown: those of its first shell are too fine for the noise."""

CONTACTS = 1.0
"""A contact is closer than a particle of the reference has so many neighbours of a species on average."""

DRIFTING = ("displacement", "contacts", "chain size")
"""What must not change over a run."""


@dataclass(frozen=True)
class Measurement:
    """A number and its standard error, which is NaN where it is not known."""

    value: float = math.nan
    error: float = math.nan

    @classmethod
    def mean_of(cls, items: "Sequence[Measurement]") -> "Measurement":
        """Mean of independent measurements of one quantity."""
        n = len(items)
        return cls(sum(item.value for item in items) / n, math.sqrt(sum(item.error**2 for item in items)) / n)

    @classmethod
    def of_series(cls, series: Array) -> "Measurement":
        """Mean of a correlated series."""
        return cls(float(series.mean()), standard_error(series)) if len(series) else cls()

    def over(self, other: "Measurement") -> "Measurement":
        """Ratio of two independent measurements; NaN over zero."""
        if other.value == 0:
            return Measurement()
        ratio = self.value / other.value
        if self.value == 0:
            return Measurement(ratio, abs(self.error / other.value))
        return Measurement(ratio, abs(ratio) * math.hypot(self.error / self.value, other.error / other.value))


@dataclass(frozen=True)
class RunSeries:
    """Numbers of every frame of a run.

    Attributes
    ----------
    times : array, shape (n_frames,)
        ps.
    collisions, contacts : array, shape (n_frames,)
        Pairs per bead that are closer than the distance of a collision, of a contact; see `ElectrolyteSampler`.
    chain_size : array, shape (n_frames,)
        Squared radius of gyration of the beads of a molecule, averaged over those of more than one bead, nm^2; empty where
        there are none.
    displacement : array, shape (n_frames - lag,)
        Squared displacement of a bead within a time, averaged over beads and without the drift of the system, nm^2; empty
        where frames are not that far apart.
    """

    times: Array = field(repr=False)
    collisions: Array = field(repr=False)
    contacts: Array = field(repr=False)
    chain_size: Array = field(repr=False)
    displacement: Array = field(repr=False)

    def of(self, name: str) -> Array:
        """``collisions``, or one of `DRIFTING`."""
        return {
            "collisions": self.collisions,
            "displacement": self.displacement,
            "contacts": self.contacts,
            "chain size": self.chain_size,
        }[name]


@dataclass(frozen=True)
class ElectrolyteSample:
    """Observables of the independent runs of one system.

    Attributes
    ----------
    runs : tuple of ElectrolyteObservables
    series : tuple of RunSeries
        One for each run.
    """

    runs: tuple[ElectrolyteObservables, ...]
    series: tuple[RunSeries, ...]

    @property
    def species(self) -> tuple[str, ...]:
        """Names of the species, ions first."""
        return self.runs[0].species

    @property
    def n_beads(self) -> int:
        """Beads of the system."""
        return self.runs[0].particles.n

    @cached_property
    def rdf(self) -> RadialDistributions:
        """Radial distributions of all frames of all runs."""
        each = [run.rdf for run in self.runs]
        return RadialDistributions(
            each[0].kinds,
            each[0].edges,
            np.sum([rdf.counts for rdf in each], axis=0),
            np.sum([rdf.expected for rdf in each], axis=0),
            sum(rdf.n_frames for rdf in each),
            np.concatenate([rdf.block_counts for rdf in each]),
            np.concatenate([rdf.block_expected for rdf in each]),
        )

    @cached_property
    def coarse_rdf(self) -> RadialDistributions:
        """The same in `COARSE_BINS` bins."""
        fine = self.rdf
        starts = np.linspace(0, len(fine.edges) - 1, min(COARSE_BINS, len(fine.edges) - 1) + 1).round().astype(int)
        counts, expected, block_counts, block_expected = (
            np.add.reduceat(values, starts[:-1], axis=-1)
            for values in (fine.counts, fine.expected, fine.block_counts, fine.block_expected)
        )
        edges = fine.edges[starts]
        return RadialDistributions(fine.kinds, edges, counts, expected, fine.n_frames, block_counts, block_expected)

    def first_shell(self, pair: Pair) -> FirstShell:
        """First shell of the pooled RDF of a pair of species."""
        return self.rdf.first_shell(*pair)

    def height_at(self, distance: float, pair: Pair) -> float:
        """The smoothed RDF of a pair of species at a distance in nm; NaN where hardly any pair was there."""
        return float(np.interp(distance, self.rdf.centres, self.rdf.smooth(*pair)))

    def end_to_end_diffusivity(self, species: str) -> Measurement:
        """|x_T - x_0|^2 / 6T of the whole runs (paper, Methods), nm^2/ps."""
        return Measurement.mean_of([Measurement(*run.msd.end_to_end_diffusivity(species)) for run in self.runs])

    def fitted_diffusivity(self, species: str) -> Measurement:
        """From the slope of the mean squared displacement, nm^2/ps."""
        fits = [run.diffusivities[species] for run in self.runs]
        return Measurement.mean_of([Measurement(fit.value, fit.error) for fit in fits])

    @cached_property
    def collisions(self) -> Measurement:
        """Collisions per bead and frame; the error is at least that of counting."""
        total = sum(float(series.collisions.sum()) for series in self.series) * self.n_beads
        frames = sum(len(series.collisions) for series in self.series) * self.n_beads
        mean = Measurement.mean_of([Measurement.of_series(series.collisions) for series in self.series])
        return Measurement(total / frames, max(mean.error, math.sqrt(total) / frames))

    def average(self, name: str) -> Measurement:
        """Mean over the runs of one of `DRIFTING`."""
        return Measurement.mean_of([Measurement.of_series(series.of(name)) for series in self.series])

    def drift(self, name: str) -> Measurement:
        """One of `DRIFTING` in the last third of the runs over that in the first: 1 where nothing drifts."""
        thirds = [np.array_split(series.of(name), 3) for series in self.series]
        first, _, last = (
            Measurement.mean_of([Measurement.of_series(part) for part in parts]) for parts in zip(*thirds, strict=True)
        )
        return last.over(first)


class ElectrolyteSampler:
    """Takes samples of one system that can be compared with each other: all by the distances and bins of its reference.

    A collision is closer than `cgplugin.observables.collisions.collision_distances`. A contact is closer than the distance
    within which a particle has `CONTACTS` neighbours of a species on average: first shells are too flat between beads, and in
    a short run too noisy, to say where they end.

    Parameters
    ----------
    cg : CoarseGraining
    reference : BeadPath
        The whole run; what a contact and a collision is comes from it.
    step : float
        Time of the displacements that are looked at for drift, ps.
    dense : BeadPath
        Part of the reference whose frames are near enough to each other for that; may be the whole run.

    Attributes
    ----------
    reference : ElectrolyteSample
    shown_pairs : tuple of pairs of str
        Pairs of species of which one is an ion, or all of them without ions.
    """

    def __init__(self, cg: CoarseGraining, reference: BeadPath, step: float, dense: BeadPath) -> None:
        self._particles = comparable_species(ParticleSpecies.of_beads(cg.system, cg.mapping))
        self._step = step
        self._distances = FROM_FIRST_FRAMES
        self._edges: Array | None = None
        self._kinds = PairKinds.of(self._particles.names, self._particles.species)
        observed = self._observe(reference)
        self._distances, self._edges = observed.distances, observed.rdf.edges
        near = {pair: observed.rdf.distance_at(CONTACTS, *pair) for pair in self._kinds.pairs}
        self._contact_distances = {pair: distance for pair, distance in near.items() if math.isfinite(distance)}
        self.shown_pairs = observed.shown_pairs
        series = replace(self._series(reference, observed), displacement=self._displacement(dense))
        self.reference = ElectrolyteSample((observed,), (series,))

    def sample(self, paths: Sequence[BeadPath]) -> ElectrolyteSample:
        """Observables of independent runs of the system, each of at least two frames."""
        observed = tuple(self._observe(path) for path in paths)
        series = tuple(self._series(path, run) for path, run in zip(paths, observed, strict=True))
        return ElectrolyteSample(observed, series)

    def _observe(self, path: BeadPath) -> ElectrolyteObservables:
        return electrolyte_observables(
            [(path.positions, path.box_vectors)],
            self._particles,
            path.interval,
            edges=self._edges,
            distances=self._distances,
        )

    def _series(self, path: BeadPath, observed: ElectrolyteObservables) -> RunSeries:
        n = self._particles.n
        chains = np.flatnonzero(np.bincount(self._particles.molecules) > 1)
        sizes = squared_radii_of_gyration(path.positions, self._particles.masses, self._particles.molecules)[:, chains]
        return RunSeries(
            path.times,
            observed.collisions.total / n,
            self._contacts(path) / n,
            sizes.mean(axis=1) if len(chains) else np.empty(0),
            self._displacement(path),
        )

    def _displacement(self, path: BeadPath) -> Array:
        """Squared displacement of a bead within the step from each frame that has a later one, averaged over beads, nm^2."""
        lag = path.lag_of(self._step)
        if lag is None:
            return np.empty(0)
        centred = np.stack([without_drift(frame, self._particles.masses) for frame in path.positions])
        moves = centred[lag:] - centred[:-lag]
        squared: Array = np.einsum("fnd,fnd->f", moves, moves) / self._particles.n
        return squared

    def _contacts(self, path: BeadPath) -> Array:
        """Contacts in every frame; empty where no particle has as many neighbours within the range of the RDF."""
        if not self._contact_distances:
            return np.empty(0)
        contacts = CollisionAccumulator(self._kinds, self._contact_distances)
        for frame, box in zip(path.positions, path.box_vectors, strict=True):
            contacts.update(near_pairs(frame, box, contacts.cutoff))
        return contacts.result().total.astype(np.float64)
