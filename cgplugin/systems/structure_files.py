"""Structures from files: which atoms, of which types, where."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import mdtraj
import numpy as np
from numpy.typing import NDArray

from cgplugin.coarse_graining.coarse_trajectory import FineTrajectory
from cgplugin.errors import UserError, one_line
from lammps_reader.text import bare_suffix

from .lammps_files import LammpsConventions, LammpsSystem, is_data_file, is_dump_file
from .molecular_system import MolecularSystem
from .periodic import reduce_box_vectors
from .trajectory_files import SUFFIXES, MdtrajTrajectory

SYSTEM_FILE = "system.json"
TOPOLOGY_STEM = "topology"


@dataclass(frozen=True)
class Structure:
    """One configuration of a system.

    Attributes
    ----------
    system : MolecularSystem
    positions : array, shape (n_atoms, 3)
        nm; molecules whole or not.
    box_vectors : array, shape (3, 3), or None
        nm, reduced form.
    source : Path
        The file.
    """

    system: MolecularSystem
    positions: NDArray[np.float64] = field(repr=False)
    box_vectors: NDArray[np.float64] | None
    source: Path


def structure_name(path: str | os.PathLike[str]) -> str:
    """Name of a system: the file's stem, or its folder's name where the stem is ``topology``."""
    path = Path(path)
    if path.is_dir():
        return path.resolve().name
    stem = path.name.removesuffix("".join(path.suffixes[-2:]) if bare_suffix(path) != path.suffix else path.suffix)
    return path.resolve().parent.name if stem == TOPOLOGY_STEM else stem


def load_structure(path: str | os.PathLike[str], conventions: LammpsConventions = LammpsConventions()) -> Structure:
    """Read a LAMMPS data file, or a PDB file with a ``system.json`` beside it.

    Parameters
    ----------
    path : path
        The file, or a folder that holds one.
    conventions : LammpsConventions
        What LAMMPS files leave out.

    Raises
    ------
    UserError, lammps_reader.LammpsFormatError
        If the file cannot be read, or positions and system do not fit together.
    """
    path = Path(path)
    if path.is_dir():
        path = _topology_in(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if is_data_file(path):
        lammps = LammpsSystem.load(path, structure_name(path), conventions)
        return Structure(lammps.system, lammps.positions, lammps.box_vectors, path)
    if path.suffix == ".pdb":
        return _load_pdb(path)
    raise UserError(f"{path}: expected a LAMMPS data file (.data) or a PDB file with {SYSTEM_FILE} beside it")


def open_trajectory(
    path: str | os.PathLike[str],
    structure: Structure,
    conventions: LammpsConventions = LammpsConventions(),
    interval: float | None = None,
) -> FineTrajectory:
    """Open a trajectory of a structure.

    Parameters
    ----------
    path : path
        A LAMMPS dump, or what mdtraj reads.
    structure : Structure
        Its system.
    conventions : LammpsConventions
        For dumps.
    interval : float, optional
        Time between frames in ps; by default the one in ``system.json``, or the dump's.

    Raises
    ------
    UserError, lammps_reader.LammpsFormatError
        If it cannot be read, does not fit the structure, or nothing tells the time between its frames.
    """
    path = Path(path)
    if is_dump_file(path):
        return LammpsSystem.load(structure.source, structure.system.name, conventions).open_dump(path, interval)
    if path.suffix not in SUFFIXES:
        raise UserError(f"{path}: not a trajectory file that is read (LAMMPS dump, or {', '.join(SUFFIXES)})")
    interval = interval if interval is not None else structure.system.recording_interval
    if interval is None:
        raise UserError(
            f"{path}: nothing says the time between frames: put recording_interval (ps) into {SYSTEM_FILE}, or give --interval"
        )
    # what system.json says is of the trajectory beside it
    beside = path.resolve().parent == structure.source.resolve().parent
    return MdtrajTrajectory(path, structure.system.n_atoms, interval, unwrapped=structure.system.unwrapped and beside)


def _topology_in(folder: Path) -> Path:
    found = sorted(item for item in folder.iterdir() if is_data_file(item))
    pdb = folder / f"{TOPOLOGY_STEM}.pdb"
    if pdb.is_file():
        return pdb
    if len(found) != 1:
        raise UserError(f"{folder}: expected {pdb.name} or one LAMMPS data file, found {len(found)} data files")
    return found[0]


def _load_pdb(path: Path) -> Structure:
    described = path.parent / SYSTEM_FILE
    if not described.is_file():
        described = path.with_suffix(".json")
    if not described.is_file():
        raise UserError(
            f"{path}: a PDB file does not say types and masses: put {SYSTEM_FILE} beside it (openmm_integration.save_system "
            "writes it)"
        )
    system = MolecularSystem.load(described)
    try:
        frame = mdtraj.load_pdb(str(path), no_boxchk=True, standard_names=False)
    except (OSError, ValueError, RuntimeError, TypeError, IndexError, KeyError) as error:
        raise UserError(f"{path}: cannot be read ({one_line(error)})") from error
    if frame.n_atoms != system.n_atoms:
        raise UserError(f"{path}: has {frame.n_atoms} atoms, but {described.name} has {system.n_atoms}")
    box = frame.unitcell_vectors
    positions = frame.xyz[0].astype(np.float64)
    if not np.isfinite(positions).all():
        atom = int(np.argwhere(~np.isfinite(positions))[0][0])
        raise UserError(f"{path}: the position of atom {atom} is not finite")
    return Structure(system, positions, None if box is None else reduce_box_vectors(box[0].astype(np.float64)), path)
