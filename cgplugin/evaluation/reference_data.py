"""Reference systems: long MD of the systems that a model or a baseline is measured on, or learns a property from.

A system is a folder with a structure (``topology.pdb`` with ``system.json``, or a LAMMPS data file) and one or more
trajectories. For systems without a box, the squared radius of gyration Rg^2 of the fine system comes from ``rg2.npy``
where there is one, a series at equal intervals that starts with the run and is usually much finer than the recorded frames;
else from the longest trajectory. What ``rg2.npy`` does not say is its interval: it is found by laying the frames' Rg^2 over
the series. Systems with a box are compared by the paths of their particles, see `cgplugin.evaluation.reference`.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from cgplugin.coarse_graining.coarse_trajectory import FineTrajectory
from cgplugin.errors import UserError, one_line
from cgplugin.files import read_json
from cgplugin.observables.chains import squared_radii_of_gyration
from cgplugin.systems.lammps_files import LammpsConventions, is_data_file, is_dump_file
from cgplugin.systems.periodic import MoleculeMender
from cgplugin.systems.structure_files import TOPOLOGY_STEM, Structure, load_structure, open_trajectory
from cgplugin.systems.trajectory_files import SUFFIXES
from cgplugin.training.data import with_force_field_nearby
from cgplugin.units import time_unit

from .reference import PeriodicReference, Reference, segments_of_run

Kind = TypeVar("Kind", bound=Reference)

Array = NDArray[np.float64]

RG2_FILE = "rg2.npy"

MATCH = 2e-3
"""Relative difference between Rg^2 of a frame and of the series that rounding of recorded positions may make."""


@dataclass(frozen=True)
class ReferenceSystem(Reference):
    """Reference MD of a system without a box.

    Attributes
    ----------
    rg2 : array, shape (n,)
        Rg^2 of the fine system, nm^2; of several molecules the mean over those of more than one atom.
    interval : float
        Time between values of ``rg2``, ps.
    """

    rg2: Array = field(repr=False)
    interval: float

    @property
    def duration(self) -> float:
        """Time from the first to the last value of ``rg2``, ps."""
        return self.interval * (len(self.rg2) - 1)


def find_references(directories: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Folders with a structure, below some directories and in the order of their paths.

    Raises
    ------
    UserError
        If a directory is missing or holds none, or two systems have the same name.
    """
    found: list[Path] = []
    for directory in map(Path, directories):
        if not directory.is_dir():
            raise UserError(f"{directory}: no such folder")
        here = [Path(root) for root, _, files in os.walk(directory) if _holds_system(Path(root), files)]
        if not here:
            raise UserError(
                f"{directory}: holds no reference systems: expected folders with a LAMMPS data file (.data) or topology.pdb, "
                f"and trajectories or {RG2_FILE}"
            )
        found += sorted(here)
    return list(dict.fromkeys(found))


def _holds_system(folder: Path, files: Sequence[str]) -> bool:
    if folder.name.startswith("."):
        return False
    return f"{TOPOLOGY_STEM}.pdb" in files or any(is_data_file(name) for name in files if not name.startswith("."))


def load_references(
    directories: Iterable[str | os.PathLike[str]],
    *,
    conventions: LammpsConventions = LammpsConventions(),
    interval: float | None = None,
    rg2_interval: float | None = None,
    progress: bool = False,
) -> list[ReferenceSystem] | list[PeriodicReference]:
    """Read all reference systems below some directories, with periodic boxes or without.

    Parameters
    ----------
    directories : sequence of paths
    conventions : LammpsConventions
        For LAMMPS files; a ``forcefield.json`` beside or above them counts where none is given.
    interval : float, optional
        Time between frames in ps, overriding what files say.
    rg2_interval : float, optional
        Time between values of ``rg2.npy`` in ps; by default found, see `load_reference`.
    progress : bool
        Show a progress bar.

    Raises
    ------
    UserError, lammps_reader.LammpsFormatError
        For whatever is wrong with the files, naming them; if two systems have one name, units differ, or some have a box and
        others have none.
    """
    folders = find_references(directories)
    references = [
        load_reference(folder, conventions=conventions, interval=interval, rg2_interval=rg2_interval)
        for folder in tqdm(folders, desc="reading", unit="system", disable=not progress)
    ]
    names = [reference.name for reference in references]
    for number, reference in enumerate(references):
        if (first := names.index(reference.name)) != number:
            raise UserError(
                f"{reference.path}: is called {reference.name!r} like {references[first].path}: rename one of the folders"
            )
        if reference.system.units != references[0].system.units:
            raise UserError(f"{references[0].path} and {reference.path} are in different units: use one kind at a time")
    periodic = [reference for reference in references if isinstance(reference, PeriodicReference)]
    alone = [reference for reference in references if isinstance(reference, ReferenceSystem)]
    if periodic and alone:
        raise UserError(f"{periodic[0].path} has a periodic box and {alone[0].path} has none: use one kind at a time")
    return periodic or alone


def load_chains(
    directories: Iterable[str | os.PathLike[str]],
    *,
    conventions: LammpsConventions = LammpsConventions(),
    interval: float | None = None,
    progress: bool = False,
) -> list[ReferenceSystem]:
    """Read reference systems without boxes; see `load_references`.

    Raises
    ------
    UserError
        Also if they have boxes.
    """
    found = load_references(directories, conventions=conventions, interval=interval, progress=progress)
    return _all_of(ReferenceSystem, found, "has a periodic box: Rg^2 is a property of chains without one")


def load_electrolytes(
    directories: Iterable[str | os.PathLike[str]],
    *,
    conventions: LammpsConventions = LammpsConventions(),
    interval: float | None = None,
    progress: bool = False,
) -> list[PeriodicReference]:
    """Read reference systems with periodic boxes; see `load_references`.

    Raises
    ------
    UserError
        Also if they have none.
    """
    found = load_references(directories, conventions=conventions, interval=interval, progress=progress)
    return _all_of(PeriodicReference, found, "has no periodic box: diffusivities are compared of systems with one")


def _all_of(kind: type[Kind], found: Sequence[Reference], otherwise: str) -> list[Kind]:
    """References of one kind; `load_references` never mixes them."""
    result = [reference for reference in found if isinstance(reference, kind)]
    if not result:
        raise UserError(f"{found[0].path}: {otherwise}")
    return result


def load_reference(
    folder: Path,
    *,
    conventions: LammpsConventions = LammpsConventions(),
    interval: float | None = None,
    rg2_interval: float | None = None,
) -> ReferenceSystem | PeriodicReference:
    """Read one folder; see `load_references`.

    Without a box there is a series of Rg^2. The interval of ``rg2.npy`` is the one that is given, or ``rg2_interval`` in
    ``meta.json``, or the one at which the Rg^2 of the longest trajectory's frames is found in the series, frame by frame.

    Raises
    ------
    UserError, lammps_reader.LammpsFormatError
        If there is neither ``rg2.npy`` nor a trajectory, a file is damaged, or the two are not of one run.
    """
    data_files = [item for item in folder.iterdir() if is_data_file(item)]
    own = with_force_field_nearby(conventions, data_files[0]) if data_files else conventions
    structure = load_structure(folder, own)
    trajectories = tuple(_open_trajectories(folder, structure, own, interval))
    described = folder / "meta.json"
    meta = read_json(described) if described.is_file() else {}
    given = meta.get("seconds", structure.system.provenance.get("seconds"))
    seconds = float(given) if isinstance(given, int | float) else None
    name = structure.system.name
    if structure.box_vectors is None:
        rg2, spacing = _rg2_series(folder, structure, trajectories, meta, rg2_interval)
        return ReferenceSystem(name, folder, structure, trajectories, seconds, rg2, spacing)
    if not trajectories:
        raise UserError(f"{folder}: has no trajectory: nothing to compare with")
    return PeriodicReference(name, folder, structure, trajectories, seconds, segments_of_run(trajectories))


def _rg2_series(
    folder: Path,
    structure: Structure,
    trajectories: Sequence[FineTrajectory],
    meta: dict[str, Any],
    rg2_interval: float | None,
) -> tuple[Array, float]:
    """Rg^2 of a run and the time between its values, ps."""
    path = folder / RG2_FILE
    if not path.is_file():
        if not trajectories:
            raise UserError(f"{folder}: has neither {RG2_FILE} nor a trajectory: nothing to compare with")
        longest = trajectories[0]
        series = rg2_of_frames(structure, longest)
        if len(series) < 2:
            raise UserError(f"{longest.source}: has a single frame, expected a trajectory")
        return series, longest.interval
    series = _read_series(path)
    spacing = rg2_interval if rg2_interval is not None else meta.get("rg2_interval")
    if spacing is None:
        spacing = _interval_of(series, path, structure, trajectories)
    if not isinstance(spacing, int | float) or not 0 < spacing < np.inf:
        raise UserError(f"{folder / 'meta.json'}: 'rg2_interval' is {spacing!r}, expected a positive time")
    return series, float(spacing)


def rg2_of_frames(structure: Structure, trajectory: FineTrajectory, n_frames: int | None = None) -> Array:
    """Rg^2 of the fine system in the first (or all) frames of a trajectory, shape (n_frames,), nm^2.

    Raises
    ------
    UserError
        If a position is not finite, or no molecule has more than one atom.
    """
    system = structure.system
    chains = np.flatnonzero(np.bincount(system.molecules) > 1)
    if len(chains) == 0:
        raise UserError(f"{structure.source}: has no bonds, so that there is no chain whose Rg^2 could be compared")
    mender = MoleculeMender(system)
    parts: list[Array] = []
    done = 0
    for block in trajectory.blocks():
        positions = block.positions
        if not np.isfinite(positions).all():
            frame, atom, _ = np.argwhere(~np.isfinite(positions))[0]
            raise UserError(f"{trajectory.source}: the position of atom {atom} in frame {done + frame} is not finite")
        if block.box_vectors is not None and not trajectory.unwrapped:
            positions = mender.make_whole(positions, block.box_vectors)
        parts.append(squared_radii_of_gyration(positions, system.masses, system.molecules)[:, chains].mean(axis=1))
        done += len(positions)
        if n_frames is not None and done >= n_frames:
            break
    return np.concatenate(parts)[:n_frames]


def _open_trajectories(
    folder: Path, structure: Structure, conventions: LammpsConventions, interval: float | None
) -> list[FineTrajectory]:
    files = sorted(item for item in folder.iterdir() if item.is_file() and not item.name.startswith("."))
    found = [
        open_trajectory(item, structure, conventions, interval)
        for item in files
        if is_dump_file(item) or item.suffix in SUFFIXES
    ]
    return sorted(found, key=lambda item: -item.n_frames * item.interval)


def _read_series(path: Path) -> Array:
    try:
        values = np.load(path, allow_pickle=False)
        series = np.asarray(values, dtype=np.float64)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: cannot be read ({one_line(error)})") from error
    if series.ndim != 1 or len(series) < 2:
        raise UserError(f"{path}: has shape {series.shape}, expected a series of at least two numbers")
    if len(bad := np.flatnonzero(~(series > 0) | ~np.isfinite(series))):
        raise UserError(f"{path}: value {bad[0]} is {series[bad[0]]}, expected a positive Rg^2")
    return series


def _interval_of(series: Array, path: Path, structure: Structure, trajectories: Sequence[FineTrajectory]) -> float:
    if not trajectories:
        raise UserError(f"{path}: nothing tells the time between its values: give --rg2-interval")
    longest = trajectories[0]
    frames = rg2_of_frames(structure, longest)
    stride = stride_of_frames(series, frames)
    if stride is None:
        raise UserError(
            f"{path}: the Rg^2 of the {len(frames)} frames in {Path(longest.source).name} is not found in it at equal "
            f"distances: they are not of one run, or it is too short ({len(series)} values); --rg2-interval gives its "
            f"interval in {time_unit(structure.system.units)}"
        )
    return longest.interval / stride


def stride_of_frames(series: Array, frames: Array) -> int | None:
    """How many values of a series lie between the frames of a trajectory of the same run.

    Parameters
    ----------
    series : array, shape (n,)
        Rg^2, at equal intervals.
    frames : array, shape (n_frames,)
        Rg^2 of recorded frames; the interval between them is a whole number of the series' ones.

    Returns
    -------
    int or None
        None if no stride and offset make all frames agree with the series within `MATCH`. Where several do (a few
        frames, or much alike), the ones that agree best.
    """
    if len(frames) < 2:
        return None
    near = [np.flatnonzero(np.abs(series - value) < MATCH * value) for value in frames[:2]]
    best, choice = np.inf, None
    for first in near[0]:
        for stride in near[1][near[1] > first] - first:
            matched = series[first :: int(stride)][: len(frames)]
            if len(matched) < len(frames):
                continue
            deviation = float((np.abs(matched - frames) / frames).max())
            if deviation < min(best, MATCH):
                best, choice = deviation, int(stride)
    return choice
