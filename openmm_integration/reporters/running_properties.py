"""Properties of a system while a learned simulation of it runs: each a few numbers for the present step."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from cgplugin.analysis.electrolyte import MOST_SPECIES
from cgplugin.analysis.property_series import Rg2Recorder
from cgplugin.coarse_graining.coarsening import CoarseGraining
from cgplugin.coarse_graining.drift import drifts, without_drift
from cgplugin.errors import UserError
from cgplugin.learned.learned_model import ModelDescription
from cgplugin.learned.simulator import LearnedState, Observation
from cgplugin.observables.centres import CentresOfMass
from cgplugin.observables.chains import bond_lengths, end_to_end_distances, ends_of_molecules
from cgplugin.observables.collisions import CollisionAccumulator
from cgplugin.observables.pairs import NearPairs, PairKinds, near_pairs
from cgplugin.systems.species import ParticleSpecies

Array = NDArray[np.float64]


def observation_of(observation: Observation, beads: slice) -> Observation:
    """What an observation says of some beads, in the memory of the CPU."""
    state = observation.state
    own = LearnedState(state.positions[beads].cpu(), state.displacements[beads].cpu(), state.step)
    return replace(observation, state=own, internal_rg2=observation.internal_rg2[beads].cpu())


@dataclass(frozen=True)
class WatchedSystem:
    """The beads of one system, as properties need them.

    Attributes
    ----------
    cg : CoarseGraining
    box_vectors : array, shape (3, 3), or None
        nm.
    description : ModelDescription
        Of the model that simulates them.
    """

    cg: CoarseGraining
    box_vectors: Array | None
    description: ModelDescription = field(repr=False)

    @cached_property
    def particles(self) -> ParticleSpecies:
        """Species of the beads; roles where there are more than four species, as in ``cgplugin analyze``."""
        particles = ParticleSpecies.of_beads(self.cg.system, self.cg.mapping)
        return particles.by_role() if len(particles.species) > MOST_SPECIES else particles

    @cached_property
    def kinds(self) -> PairKinds:
        """Pairs of species."""
        return PairKinds.of(self.particles.names, self.particles.species)

    @property
    def drifts(self) -> bool:
        """Whether the motion of the common centre of mass is left out of displacements."""
        return drifts(self.cg, self.box_vectors)

    def pairs_within(self, positions: Array, cutoff: float) -> NearPairs:
        """Pairs of beads closer than a distance in nm, of nearest images in a box."""
        if self.box_vectors is not None:
            return near_pairs(positions, self.box_vectors, cutoff)
        first, second = KDTree(positions).query_pairs(cutoff, output_type="ndarray").T
        distances = np.linalg.norm(positions[first] - positions[second], axis=1)
        return NearPairs(first, second, distances, np.inf)


class RunningProperty(Protocol):
    """Gives the cells of some columns for one step."""

    @property
    def columns(self) -> Sequence[str]:
        """Names of the columns."""
        ...

    def __call__(self, observation: Observation) -> Sequence[float | int | None]:
        """A cell for each column; None for what is not known."""
        ...


class Rg2:
    """``rg2``: squared radius of gyration of the fine molecules, nm^2, with the beads' internal sizes as the model predicts them.

    The mean over the chains; the same as in ``properties.csv`` of ``cgplugin simulate``, see `Rg2Recorder`.
    """

    columns = ("rg2",)

    def __init__(self, system: WatchedSystem) -> None:
        self._recorder = Rg2Recorder([system.cg])

    def __call__(self, observation: Observation) -> Sequence[float]:
        """See `RunningProperty`."""
        self._recorder(observation)
        _, values = self._recorder.take()
        return [float(values[-1, 0])]


class EndToEnd:
    """``end_to_end``: distance between the end beads of a chain, nm, averaged over the chains."""

    columns = ("end_to_end",)

    def __init__(self, system: WatchedSystem) -> None:
        self._ends = ends_of_molecules(system.cg.bonds, system.cg.molecules)
        if len(self._ends) == 0:
            raise UserError(f"{system.cg.system.name}: has no chain of several beads: leave 'end_to_end' out")

    def __call__(self, observation: Observation) -> Sequence[float]:
        """See `RunningProperty`."""
        return [float(end_to_end_distances(observation.state.positions.numpy(), self._ends).mean())]


class Displacements:
    """``msd A``: mean squared displacement of the molecules of species A since a first frame, nm^2.

    Of the molecules' centres of mass; of several molecules in a box without the drift of the system, as in ``cgplugin analyze``.

    Attributes
    ----------
    n_molecules : int
    origin : array, shape (n_molecules, 3), or None
        Centres of mass in the first frame; None before it.
    """

    def __init__(self, system: WatchedSystem) -> None:
        particles = system.particles
        self._drifts = system.drifts
        self._centres = CentresOfMass(particles.masses, particles.molecules)
        _, first = np.unique(particles.molecules, return_index=True)
        names = np.array(particles.names)[first]
        self._members = [np.flatnonzero(names == name) for name in particles.species]
        self.columns = tuple(f"msd {name}" for name in particles.species)
        self.n_molecules = len(names)
        self.origin: Array | None = None

    def __call__(self, observation: Observation) -> Sequence[float]:
        """See `RunningProperty`."""
        centres = self._centres(observation.state.positions.numpy())
        if self._drifts:
            centres = without_drift(centres, self._centres.masses)
        if self.origin is None:
            self.origin = centres
        squared = ((centres - self.origin) ** 2).sum(axis=1)
        return [float(squared[own].mean()) for own in self._members]


class Collisions:
    """``collisions``: pairs of beads closer than a distance, bonded ones included; see `CollisionAccumulator`.

    Parameters
    ----------
    system : WatchedSystem
    distance : float or mapping from pairs of species to float
        nm; one for all pairs of species, or each its own, as in `ContactDistances.collision`.
    """

    columns = ("collisions",)

    def __init__(self, system: WatchedSystem, distance: float | Mapping[tuple[str, str], float]) -> None:
        self._system = system
        self._distances = (
            distance if isinstance(distance, Mapping) else dict.fromkeys(system.kinds.pairs, float(distance))
        )
        self._cutoff = CollisionAccumulator(system.kinds, self._distances).cutoff

    def __call__(self, observation: Observation) -> Sequence[int]:
        """See `RunningProperty`."""
        counter = CollisionAccumulator(self._system.kinds, self._distances)
        counter.update(self._system.pairs_within(observation.state.positions.numpy(), self._cutoff))
        return [int(counter.result().total[-1])]


class Neighbours:
    """``neighbours A-B``: beads of species B within a distance of a bead of species A, on average; those of its own molecule too.

    The coordination number, where the distance is the end of the first shell of g(r).

    Parameters
    ----------
    system : WatchedSystem
    distance : float
        nm.
    """

    def __init__(self, system: WatchedSystem, distance: float) -> None:
        if not distance > 0:
            raise UserError(f"the distance of neighbours is {distance}, expected more than 0")
        self._system, self._distance = system, distance
        species = system.particles.species
        self._ordered = [(a, b) for a in species for b in species]
        self.columns = tuple(f"neighbours {a}-{b}" for a, b in self._ordered)

    def __call__(self, observation: Observation) -> Sequence[float]:
        """See `RunningProperty`."""
        kinds = self._system.kinds
        pairs = self._system.pairs_within(observation.state.positions.numpy(), self._distance)
        seen = np.bincount(kinds.of_pairs(pairs.first, pairs.second), minlength=len(kinds.pairs))
        number = dict(zip(kinds.kinds, kinds.counts.tolist(), strict=True))
        return [float(seen[kinds.index(a, b)]) * (2 if a == b else 1) / number[a] for a, b in self._ordered]


class Stretch:
    """``stretch``: longest CG bond over the longest in the training data.

    Above 1 the model sees what it was not trained on; ``cgplugin simulate`` warns above 1.5.
    """

    columns = ("stretch",)

    def __init__(self, system: WatchedSystem) -> None:
        self._bonds, self._longest = system.cg.bonds, system.description.longest_bond
        if len(self._bonds) == 0 or not self._longest > 0:
            raise UserError(f"{system.cg.system.name}: it or the model has no CG bonds: leave 'stretch' out")

    def __call__(self, observation: Observation) -> Sequence[float]:
        """See `RunningProperty`."""
        return [float(bond_lengths(observation.state.positions.numpy(), self._bonds).max()) / self._longest]


class Surprise:
    """``surprise``: how large the last step was, beyond the linear prior, in units of the training data.

    With d the displacement of a bead in the last step, d_0 that in the one before, and the prior's mean change
    -damping d_0 - spring sum_bonds (x_i - x_j) (zero in a model without prior), it is the root mean square over beads and
    directions of (d - d_0 - prior) / residual. The standard deviation of the same in the training data, ``residual``, is in
    the model's header (`cgplugin.training.normalisation.fit_scales`). So it is 1 on average over the training data, with a
    spread of about 1 / sqrt(6 n_beads) from step to step, and somewhat higher or lower in a system of other composition. If it
    grows, or leaves the neighbourhood of 1, the model is outside of what it learned.
    """

    columns = ("surprise",)

    def __init__(self, system: WatchedSystem) -> None:
        description = system.description
        if description.n_history < 2:
            raise UserError("'surprise' needs a model that sees two past displacements: leave it out")
        self._bonds = system.cg.bonds
        scales = description.scales
        self._residual, self._spring, self._damping = (
            scales[name] for name in ("residual", "prior_spring", "prior_damping")
        )

    def __call__(self, observation: Observation) -> Sequence[float]:
        """See `RunningProperty`."""
        state = observation.state
        latest, before = state.displacements[:, 0].numpy(), state.displacements[:, 1].numpy()
        previous = state.positions.numpy() - latest
        pulls = np.zeros_like(previous)
        i, j = self._bonds.T
        np.add.at(pulls, i, previous[i] - previous[j])
        np.add.at(pulls, j, previous[j] - previous[i])
        left = latest - before + self._damping * before + self._spring * pulls
        return [float(np.sqrt((left**2).mean())) / self._residual]


PLAIN_PROPERTIES: Mapping[str, Callable[[WatchedSystem], RunningProperty]] = {
    "rg2": Rg2,
    "end_to_end": EndToEnd,
    "msd": Displacements,
    "stretch": Stretch,
    "surprise": Surprise,
}
"""Properties that need no further number, by the name that a user asks for them with."""
