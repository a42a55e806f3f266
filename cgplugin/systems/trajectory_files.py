"""Fine trajectories that mdtraj reads (DCD, XTC, TRR, HDF5, NetCDF), in blocks of frames."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mdtraj
import numpy as np
from mdtraj.core.element import virtual

from cgplugin.coarse_graining.coarse_trajectory import FrameBlock
from cgplugin.errors import UserError, one_line
from lammps_reader.quiet import without_notices

from .periodic import reduce_box_vectors

SUFFIXES = (".dcd", ".xtc", ".trr", ".h5", ".nc")

BLOCK_BYTES = 64 * 2**20
"""Memory for one block of frames."""


def frames_per_block(n_atoms: int) -> int:
    """Frames of a block, from its memory."""
    return max(1, BLOCK_BYTES // (24 * max(n_atoms, 1)))


class MdtrajTrajectory:
    """A trajectory file read by mdtraj.

    Parameters
    ----------
    path : path
    n_atoms : int
        Of the topology.
    interval : float
        Time between frames, ps; files do not say it reliably.
    unwrapped : bool
        Whether its positions are; a file does not say it.

    Raises
    ------
    UserError
        If the file cannot be read or has another number of atoms.
    """

    def __init__(self, path: str | os.PathLike[str], n_atoms: int, interval: float, *, unwrapped: bool = False) -> None:
        self.source = str(path)
        self.interval = interval
        self.unwrapped = unwrapped
        self._n_atoms = n_atoms
        if not Path(path).is_file():
            raise UserError(f"{path}: no such file")
        with _reading(self.source), mdtraj.open(self.source) as file:
            self.n_frames = len(file)
            if self.n_frames == 0:
                raise UserError(f"{self.source}: has no frames")
            first = file.read(n_frames=1)
            found = np.shape(first.coordinates if hasattr(first, "coordinates") else first[0])[1]
        if found != n_atoms:
            raise UserError(f"{self.source}: has {found} atoms, but its topology has {n_atoms}")

    def blocks(self) -> Iterator[FrameBlock]:
        """Yield the frames in order, a limited number at a time."""
        topology = _plain_topology(self._n_atoms)
        with _reading(self.source):
            chunks = mdtraj.iterload(self.source, top=topology, chunk=frames_per_block(self._n_atoms))
        while True:
            # the consumer works between blocks, and may print
            with _reading(self.source):
                chunk = next(chunks, None)
            if chunk is None:
                return
            boxes = chunk.unitcell_vectors
            if boxes is not None and not np.any(boxes):
                boxes = None
            yield FrameBlock(
                chunk.xyz.astype(np.float64),
                None if boxes is None else reduce_box_vectors(boxes.astype(np.float64)),
            )


@contextmanager
def _reading(source: str) -> Iterator[None]:
    """Turn what a reader raises about a bad file into one line that names it."""
    try:
        with without_notices():
            yield
    except UserError:
        raise
    except (OSError, ValueError, RuntimeError, TypeError, IndexError) as error:
        raise UserError(f"{source}: cannot be read ({one_line(error)})") from error


def _plain_topology(n_atoms: int) -> mdtraj.Topology:
    """Topology without content: mdtraj wants one to read positions."""
    topology = mdtraj.Topology()
    residue = topology.add_residue("SYS", topology.add_chain())
    for _ in range(n_atoms):
        topology.add_atom("X", virtual, residue)
    return topology
