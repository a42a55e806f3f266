"""Fine trajectories from files: everything that mdtraj reads, and LAMMPS text dumps."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import mdtraj
import numpy as np
from mdtraj.core.element import virtual
from numpy.typing import NDArray

from lammps_reader import open_dump
from lammps_reader.units import UnitStyle

from .coarse_trajectory import FineTrajectory, FrameBlock
from .errors import UserError, one_line
from .molecular_system import MolecularSystem
from .periodic import reduce_box_vectors

MDTRAJ_SUFFIXES = (".dcd", ".xtc", ".trr", ".h5", ".nc")
DUMP_SUFFIXES = (".lammpstrj", ".dump")
COMPRESSED = (".gz", ".bz2", ".zst")

FRAMES_PER_BLOCK_BYTES = 64 * 2**20
"""Memory for one block of frames."""


def trajectory_kind(path: str | os.PathLike[str]) -> str | None:
    """``mdtraj``, ``dump`` or None for a file's name."""
    name = Path(path)
    if name.suffix in COMPRESSED:
        return "dump" if Path(name.stem).suffix in DUMP_SUFFIXES else None
    if name.suffix in MDTRAJ_SUFFIXES:
        return "mdtraj"
    return "dump" if name.suffix in DUMP_SUFFIXES else None


def frames_per_block(n_atoms: int) -> int:
    """Frames of a block, from its memory."""
    return max(1, FRAMES_PER_BLOCK_BYTES // (24 * max(n_atoms, 1)))


class MdtrajTrajectory:
    """DCD, XTC, TRR, HDF5 or NetCDF file, read in blocks by mdtraj.

    Parameters
    ----------
    path : path
    system : MolecularSystem
        Only the number of atoms is used.
    interval : float
        Time between frames, ps; files do not say it reliably.

    Raises
    ------
    UserError
        If the file cannot be read or has another number of atoms.
    """

    unwrapped = False

    def __init__(self, path: str | os.PathLike[str], system: MolecularSystem, interval: float) -> None:
        self.source = str(path)
        self.interval = interval
        self._topology = _plain_topology(system.n_atoms)
        self._n_atoms = system.n_atoms
        if not Path(path).is_file():
            raise UserError(f"{path}: no such file")
        self._check_atoms()
        with self._reading(), mdtraj.open(self.source) as file:
            self.n_frames = len(file)
        if self.n_frames == 0:
            raise UserError(f"{self.source}: has no frames")

    def blocks(self) -> Iterator[FrameBlock]:
        """Yield the frames in order, a limited number at a time."""
        with self._reading():
            for chunk in mdtraj.iterload(self.source, top=self._topology, chunk=frames_per_block(self._n_atoms)):
                boxes = chunk.unitcell_vectors
                if boxes is not None and not np.any(boxes):
                    boxes = None
                yield FrameBlock(
                    chunk.xyz.astype(np.float64),
                    None if boxes is None else reduce_box_vectors(boxes.astype(np.float64)),
                )

    def _check_atoms(self) -> None:
        with self._reading(), mdtraj.open(self.source) as file:
            first = file.read(n_frames=1)
            found = np.shape(first[0] if isinstance(first, tuple) else first.coordinates)[1]
        if found != self._n_atoms:
            raise UserError(f"{self.source}: has {found} atoms, but the topology {self._n_atoms}")

    def _reading(self) -> "_Reading":
        return _Reading(self.source)


class _Reading:
    """Turns what a reader raises about a bad file into one line that names it."""

    def __init__(self, source: str) -> None:
        self.source = source

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, (OSError, ValueError, RuntimeError, TypeError, IndexError)) and not isinstance(
            error, UserError
        ):
            raise UserError(f"{self.source}: cannot be read ({one_line(error)})") from error


def _plain_topology(n_atoms: int) -> mdtraj.Topology:
    topology = mdtraj.Topology()
    residue = topology.add_residue("SYS", topology.add_chain())
    for _ in range(n_atoms):
        topology.add_atom("X", virtual, residue)
    return topology


class DumpTrajectory:
    """LAMMPS text dump, whole or compressed, with unwrapped positions.

    Parameters
    ----------
    path : path
    system : MolecularSystem
    interval : callable
        Time between frames in ps from the dump's time steps (and times, where it has them).
    style : UnitStyle
        Factors to OpenMM's units.

    Raises
    ------
    UserError, LammpsFormatError
        If the file cannot be read or has another number of atoms.
    """

    unwrapped = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        system: MolecularSystem,
        interval: Callable[[NDArray[np.int64]], float],
        style: UnitStyle,
    ) -> None:
        self.source = str(path)
        self._dump = open_dump(path)
        self._style = style
        self.n_frames = len(self._dump)
        if self.n_frames == 0:
            raise UserError(f"{self.source}: has no frames")
        found = len(self._dump[0].ids)
        if found != system.n_atoms:
            raise UserError(f"{self.source}: has {found} atoms, but the topology {system.n_atoms}")
        self._n_atoms = found
        self._periodic = True
        self.interval = interval(np.asarray(self._dump.timesteps))
