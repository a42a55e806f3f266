"""Training data on disk: which folders hold systems, and their trajectories as beads."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from cgplugin.coarse_graining.coarse_trajectory import CoarseTrajectory, coarsen_trajectory
from cgplugin.coarse_graining.coarsening import coarsen
from cgplugin.errors import UserError
from cgplugin.systems.force_field import FILE_NAME, BeadSpringForceField
from cgplugin.systems.lammps_files import LammpsConventions, is_data_file, is_dump_file
from cgplugin.systems.structure_files import TOPOLOGY_STEM, load_structure, open_trajectory
from cgplugin.systems.trajectory_files import SUFFIXES

MEMORY_LIMIT = 2 * 2**30
"""Bytes of bead trajectories beyond which they are memory-mapped."""


@dataclass(frozen=True)
class DataFolder:
    """One system on disk: its topology and its trajectory."""

    topology: Path
    trajectory: Path


def find_data(directories: Iterable[str | os.PathLike[str]]) -> list[DataFolder]:
    """Find the systems below some directories.

    A folder holds a system if it has ``topology.pdb`` (with ``system.json``) or a LAMMPS data file, and one trajectory that goes
    with it. Several systems may share a folder if their files have equal stems (``a.data`` with ``a.lammpstrj``).

    Raises
    ------
    UserError
        If a directory is missing or holds nothing of the kind.
    """
    found: list[DataFolder] = []
    for directory in map(Path, directories):
        if not directory.is_dir():
            raise UserError(f"{directory}: no such folder")
        folders = [Path(root) for root, _, _ in os.walk(directory)]
        here = [pair for folder in sorted(folders) for pair in _pairs(folder)]
        if not here:
            raise UserError(
                f"{directory}: holds no training data: expected folders with topology.pdb, {'/'.join(SUFFIXES)} and "
                "system.json, or LAMMPS files *.data with *.lammpstrj (also .gz, .bz2)"
            )
        found += here
    return found


def _pairs(folder: Path) -> list[DataFolder]:
    if folder.name.startswith("."):
        return []
    files = sorted(item for item in folder.iterdir() if item.is_file() and not item.name.startswith("."))
    topologies = [item for item in files if is_data_file(item) or item.name == f"{TOPOLOGY_STEM}.pdb"]
    trajectories = [item for item in files if is_dump_file(item) or item.suffix in SUFFIXES]
    if len(topologies) == 1 and trajectories:
        return [DataFolder(topologies[0], _first_choice(folder, topologies[0], trajectories))]
    pairs = []
    for topology in topologies:
        stem = topology.name.split(".")[0]
        own = [item for item in trajectories if item.name.split(".")[0] == stem]
        if len(own) == 1:
            pairs.append(DataFolder(topology, own[0]))
    return pairs


def _first_choice(folder: Path, topology: Path, trajectories: Sequence[Path]) -> Path:
    """The trajectory of a folder: the only one, one with the topology's stem, or one that is called so."""
    if len(trajectories) == 1:
        return trajectories[0]
    stems = [topology.name.split(".")[0], "trajectory", "traj"]
    for stem in stems:
        own = [item for item in trajectories if item.name.split(".")[0] == stem]
        if len(own) == 1:
            return own[0]
    names = ", ".join(item.name for item in trajectories)
    raise UserError(f"{folder}: cannot choose among the trajectories {names}: name one of them trajectory.*")


def find_force_field(path: Path) -> BeadSpringForceField | None:
    """Nearest ``forcefield.json`` in the folder of a file or up to two folders above it."""
    for folder in list(path.resolve().parents)[:3]:
        if (folder / FILE_NAME).is_file():
            return BeadSpringForceField.load(folder / FILE_NAME)
    return None


def with_force_field_nearby(conventions: LammpsConventions, path: Path) -> LammpsConventions:
    """Conventions of a LAMMPS file, completed by a ``forcefield.json`` near it where nothing was given."""
    if conventions.force_field is None and conventions.units is None:
        return replace(conventions, force_field=find_force_field(path))
    return conventions


def lammps_atom_types(trajectories: Sequence[CoarseTrajectory]) -> dict[str, str]:
    """LAMMPS type numbers (as text) of the systems' force field to the names that the systems use."""
    raw = trajectories[0].cg.system.force_field
    if raw is None:
        return {}
    return {str(number): name for name, number in raw.get("lammps_type_ids", {}).items()}


def load_data(
    folders: Sequence[DataFolder],
    *,
    atoms_per_bead: int,
    partition_seed: int,
    conventions: LammpsConventions = LammpsConventions(),
    interval: float | None = None,
    scratch: Path | None = None,
    progress: bool = False,
) -> list[CoarseTrajectory]:
    """Read and coarse-grain trajectories, without the drift of several molecules in a box.

    Parameters
    ----------
    folders : sequence of DataFolder
    atoms_per_bead, partition_seed : int
        Of `coarsen`.
    conventions : LammpsConventions
        For LAMMPS files; a ``forcefield.json`` beside or above them counts where none is given.
    interval : float, optional
        Time between frames in ps, overriding what the files say.
    scratch : Path, optional
        Folder for memory-mapped arrays, used when the beads take more than `MEMORY_LIMIT`.
    progress : bool
        Show a progress bar.

    Raises
    ------
    UserError, lammps_reader.LammpsFormatError
        For whatever is wrong with the files, naming them.
    """
    result: list[CoarseTrajectory] = []
    held = 0
    for number, folder in enumerate(tqdm(folders, desc="reading", unit="system", disable=not progress)):
        own = with_force_field_nearby(conventions, folder.topology)
        structure = load_structure(folder.topology, own)
        trajectory = open_trajectory(folder.trajectory, structure, own, interval)
        cg = coarsen(structure.system, atoms_per_bead, partition_seed)
        held += 16 * trajectory.n_frames * cg.n_beads
        mapped = scratch / f"{number:06d}" if scratch is not None and held > MEMORY_LIMIT else None
        result.append(coarsen_trajectory(cg, trajectory, mapped, keep_drift=False))
    return result
