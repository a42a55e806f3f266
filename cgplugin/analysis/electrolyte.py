"""Electrolytes among the trajectories of ``cgplugin analyze``: observables of a folder, and their tables."""

from dataclasses import astuple, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cgplugin.coarse_graining.coarse_trajectory import FrameBlock
from cgplugin.errors import UserError
from cgplugin.files import write_text
from cgplugin.observables.electrolyte import ContactDistances, ElectrolyteAccumulator, ElectrolyteObservables
from cgplugin.observables.first_shell import FirstShell
from cgplugin.systems.species import ParticleSpecies
from cgplugin.tables import csv_text

from .molecule_paths import MoleculePaths
from .trajectory_folders import TrajectoryFolder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .system_analysis import SystemAnalysis

MOST_SPECIES = 4
"""With more species than this, as random copolymers have, roles take the place of names."""


class FolderElectrolyte:
    """Observables of the electrolyte in a folder, accumulated from the blocks of frames that are read anyway.

    Parameters
    ----------
    folder : TrajectoryFolder
    discard, stride : float, int
        Time at the beginning that is left out, ps, and every how many frames one is used.
    distances : ContactDistances or float
        Of a reference, where there is one; or one distance, nm, below which any two particles collide.

    Raises
    ------
    UserError
        If the reference has species that this system has not.
    """

    def __init__(
        self, folder: TrajectoryFolder, discard: float, stride: int, distances: ContactDistances | float
    ) -> None:
        self._folder, self._discard, self._stride = folder, discard, stride
        self._accumulator: ElectrolyteAccumulator | None = None
        self._n_read = 0
        particles = folder.particles
        if particles is not None and particles.molecules.max() > 0:
            if len(particles.species) > MOST_SPECIES:
                particles = particles.by_role()
            known = _for_species(distances, particles)
            missing = {name for pair in known.collision or {} for name in pair} - set(particles.species)
            if missing:
                raise UserError(
                    f"{folder.path}: has no {min(missing)}, which the contact distances are for, but "
                    f"{', '.join(particles.species)}: take those of a reference of the same species"
                )
            self._paths = MoleculePaths(particles.molecules, folder.trajectory.source)
            self._accumulator = ElectrolyteAccumulator(particles, folder.trajectory.interval * stride, distances=known)

    def update(self, block: FrameBlock) -> None:
        """Add the next block of frames, molecules whole; without a box, or with a single molecule, nothing is done."""
        frames = self._n_read + np.arange(len(block.positions))
        self._n_read += len(frames)
        if block.box_vectors is None:
            self._accumulator = None
        if self._accumulator is None or block.box_vectors is None:
            return
        positions = self._paths.follow(block.positions, block.box_vectors)
        times = self._folder.first_time + self._folder.trajectory.interval * frames
        used = (frames % self._stride == 0) & (times >= self._discard)
        self._accumulator.update(positions[used], block.box_vectors[used])

    def result(self) -> ElectrolyteObservables | None:
        """What was seen; None where there is no electrolyte."""
        return None if self._accumulator is None else self._accumulator.result()


def _for_species(distances: ContactDistances | float, particles: ParticleSpecies) -> ContactDistances:
    if isinstance(distances, ContactDistances):
        return distances
    species = particles.species
    return ContactDistances({(a, b): float(distances) for n, a in enumerate(species) for b in species[n:]})


def write_tables(result: "SystemAnalysis", folder: Path) -> None:
    """Write ``rdf.csv``, ``msd.csv``, ``collisions.csv``, ``ion_pairs.csv`` and ``contacts.json`` of an electrolyte."""
    observed = result.electrolyte
    assert observed is not None
    write_text(folder / "rdf.csv", _rdf_csv(observed))
    write_text(folder / "msd.csv", _msd_csv(observed))
    write_text(folder / "collisions.csv", _collisions_csv(observed, result.frame_times))
    if observed.ion_pairs is not None:
        pairs = observed.ion_pairs
        columns = zip(pairs.times, pairs.correlation, pairs.residence, strict=True)
        write_text(folder / "ion_pairs.csv", csv_text(["lag", "correlation", "residence"], columns))
    observed.distances.save(folder / "contacts.json")


def _rdf_csv(observed: ElectrolyteObservables) -> str:
    header, columns = ["r"], [observed.rdf.centres]
    for centre, neighbour in observed.rdf.kinds.pairs:
        header.append(f"g {centre}-{neighbour}")
        columns.append(observed.rdf.g(centre, neighbour))
    # n(r) belongs to the upper edge of a bin
    header.append("upper edge")
    columns.append(observed.rdf.edges[1:])
    for centre in observed.species:
        for neighbour in observed.species:
            header.append(f"n {centre}-{neighbour}")
            columns.append(observed.rdf.coordination(centre, neighbour))
    return csv_text(header, zip(*columns, strict=True))


def _msd_csv(observed: ElectrolyteObservables) -> str:
    header, columns = ["lag"], [observed.msd.times]
    for name in observed.species:
        header += [f"msd {name}", f"error {name}"]
        columns += [observed.msd.values(name), observed.msd.errors(name)]
    return csv_text(header, zip(*columns, strict=True))


def _collisions_csv(observed: ElectrolyteObservables, times: NDArray[np.float64]) -> str:
    pairs = [f"{a}-{b}" for a, b in observed.collisions.kinds.pairs]
    rows = zip(times.tolist(), observed.collisions.total.tolist(), observed.collisions.counts.tolist(), strict=True)
    return csv_text(["time", "all", *pairs], ([time, total, *counts] for time, total, counts in rows))


def species_csv(results: "Sequence[SystemAnalysis]") -> str:
    """Table of the species of all electrolytes: diffusivities and transference numbers."""
    header = ["system", "species", "role", "molecules", "diffusivity", "standard_error", "exponent", "first_lag"]
    header += ["last_lag", "end_to_end_diffusivity", "end_to_end_standard_error", "transference_number"]
    rows: list[list[Any]] = []
    for result in results:
        if (observed := result.electrolyte) is None:
            continue
        for name in observed.species:
            role, fit = observed.particles.role(name), observed.diffusivities[name]
            row = [result.name, name, role, observed.particles.n_molecules(name), fit.value, fit.error, fit.exponent]
            row += [fit.first_lag, fit.last_lag, *observed.msd.end_to_end_diffusivity(name)]
            rows.append([*row, observed.transference_number[0] if role == "cation" else None])
    return csv_text(header, rows)


def first_shells_csv(results: "Sequence[SystemAnalysis]") -> str:
    """Table of the first shells of all electrolytes."""
    names = [field.name for field in fields(FirstShell)]
    rows = [
        [result.name, centre, neighbour, *astuple(result.electrolyte.rdf.first_shell(centre, neighbour))]
        for result in results
        if result.electrolyte is not None
        for centre, neighbour in result.electrolyte.rdf.kinds.pairs
    ]
    return csv_text(["system", "centre", "neighbour", *names], rows)
