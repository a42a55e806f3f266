"""Folders of generated systems: written whole or not at all, and claimed by one spec."""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
from mdtraj.utils import box_vectors_to_lengths_and_angles
from numpy.typing import NDArray

from cgplugin.errors import UserError, one_line
from cgplugin.files import read_json, write_json
from cgplugin.systems.molecular_system import MolecularSystem
from openmm_integration.topology import to_openmm_topology, write_pdb

from .spec_file import DEFAULT_KIND, KIND_ENTRY

SPEC_FILE = "generate.json"

DCD_BLOCK = 200
"""Frames that are converted at a time."""


@contextmanager
def recorded(
    scratch: Path, frames: Iterable[NDArray[np.float64]], n_frames: int, n_atoms: int
) -> Iterator[NDArray[np.float32]]:
    """Frames of a run, each (n_atoms, 3) in nm, as an array (n_frames, n_atoms, 3) that exists in this context.

    It is on disk, because long recordings do not fit in memory.

    Parameters
    ----------
    scratch : Path
        File that is made and removed again.
    frames : iterable of arrays
    n_frames, n_atoms : int

    Raises
    ------
    UserError
        If the disk is full, or the folder cannot be written, here or inside the context.
    """
    try:
        with scratch.open("wb") as file:
            for frame in frames:
                file.write(frame.astype(np.float32).tobytes())
        yield np.memmap(scratch, dtype=np.float32, mode="r", shape=(n_frames, n_atoms, 3))
    except OSError as error:
        raise UserError(f"{scratch.parent}: cannot be written ({one_line(error)})") from error
    finally:
        scratch.unlink(missing_ok=True)


def write_system_folder(
    folder: Path,
    system: MolecularSystem,
    positions: NDArray[np.float32],
    box_vectors: NDArray[np.float64] | None = None,
) -> None:
    """Write one system's folder, whole or not at all; one that is there stays as it is.

    Parameters
    ----------
    folder : Path
    system : MolecularSystem
    positions : array, shape (n_frames, n_atoms, 3)
        nm, unwrapped; the first frame goes into ``topology.pdb``.
    box_vectors : array, shape (3, 3), optional
        nm, of all frames.
    """
    if folder.is_dir():
        return
    with whole_folder(folder) as hidden:
        topology = to_openmm_topology(system, box_vectors)
        write_pdb(hidden / "topology.pdb", topology, positions[0].astype(np.float64))
        write_dcd(hidden / "trajectory.dcd", positions, box_vectors)
        system.save(hidden / "system.json")


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Give a hidden folder beside ``folder``, which it becomes on success; on failure it is removed."""
    hidden = folder.parent / f".{folder.name}.partial"
    # of a run that was killed
    shutil.rmtree(hidden, ignore_errors=True)
    try:
        hidden.mkdir()
        yield hidden
        hidden.rename(folder)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def write_dcd(path: Path, positions: NDArray[np.float32], box_vectors: NDArray[np.float64] | None = None) -> None:
    """Write positions (n_frames, n_atoms, 3) in nm, and box vectors (3, 3), as a DCD file (angstrom, as the format wants)."""
    cell: dict[str, Any] = {}
    if box_vectors is not None:
        *lengths, alpha, beta, gamma = box_vectors_to_lengths_and_angles(*box_vectors)
        cell = {"cell_lengths": 10 * np.array(lengths), "cell_angles": np.array([alpha, beta, gamma])}
    try:
        with mdtraj.formats.DCDTrajectoryFile(str(path), "w", force_overwrite=True) as file:
            for first in range(0, len(positions), DCD_BLOCK):
                block = positions[first : first + DCD_BLOCK]
                repeated = {name: np.tile(values, (len(block), 1)) for name, values in cell.items()}
                file.write(10 * block, **repeated)
    except TypeError as error:
        # how mdtraj (1.11) fails when its C code reports that a write went wrong
        raise OSError(f"{path.name} could not be written: is the disk full?") from error


def claim(out: Path, described: dict[str, Any], check_number: Callable[[int, int], None] | None = None) -> None:
    """Store a spec in the folder of its systems, or refuse a folder of another one.

    Parameters
    ----------
    out : Path
    described : dict
        The spec, as JSON; its ``n_systems`` may change.
    check_number : callable, optional
        Called with the number of systems that the folder was made for and the one that is asked for, and raises where they do
        not go together.

    Raises
    ------
    UserError
        If another spec holds the folder; the message names the entries that differ.
    """
    # tuples become lists, as they are in the file
    described = json.loads(json.dumps(described))
    record = out / SPEC_FILE
    if record.exists():
        # early versions knew a single kind
        earlier = {KIND_ENTRY: DEFAULT_KIND, **read_json(record)}
        changed = [key for key in described if earlier.get(key) != described[key] and key != "n_systems"]
        if changed:
            raise UserError(f"{out}: holds systems of a spec that differs in {', '.join(changed)}: use another folder")
        if check_number is not None:
            check_number(earlier["n_systems"], described["n_systems"])
        described["n_systems"] = max(earlier["n_systems"], described["n_systems"])
        if earlier == described:
            return
    write_json(record, described)
