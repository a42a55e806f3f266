"""Trajectories as the viewer of the page takes them: some frames of some beads, coloured by kind."""

import base64
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cgplugin.analysis.analyze import whole_molecules
from cgplugin.analysis.trajectory_folders import TRAJECTORY, TrajectoryFolder, find_folders
from cgplugin.files import read_json
from cgplugin.systems.molecular_system import MolecularSystem
from cgplugin.systems.periodic import wrap_molecules
from cgplugin.units import time_unit

from .figures import COLORS, symbol

MOST_BEADS = 3000
"""Beads shown; of larger systems the first molecules."""

MOST_FRAMES = 200
"""Frames shown, at equal intervals."""

MOST_POSITIONS = 600_000
"""Positions in a page, of all its trajectories: 8 bytes each in the file."""

RADIUS = 0.28
"""Radius of a bead of mean mass over the median length of its bonds."""

_STEPS = 2**16 - 1


@dataclass(frozen=True)
class TrajectoryView:
    """Frames of a trajectory for the viewer.

    Attributes
    ----------
    name : str
    times : array, shape (n_frames,)
        ps.
    time_unit : str
    positions : array, shape (n_frames, n_beads, 3)
        nm; molecules whole, in a box with their centres in it.
    box_vectors : array, shape (n_frames, 3, 3), or None
        nm.
    kinds : tuple of str
    kind : array of int, shape (n_beads,)
        Kind of each bead.
    radii : array, shape (n_beads,)
        nm, for the picture: beads have no surface.
    bonds : array of int, shape (n_bonds, 2)
    remark : str
        What is shown of what there is.
    """

    name: str
    times: NDArray[np.float64] = field(repr=False)
    time_unit: str
    positions: NDArray[np.float64] = field(repr=False)
    box_vectors: NDArray[np.float64] | None = field(repr=False)
    kinds: tuple[str, ...]
    kind: NDArray[np.int64] = field(repr=False)
    radii: NDArray[np.float64] = field(repr=False)
    bonds: NDArray[np.int64] = field(repr=False)
    remark: str

    def to_json(self) -> dict[str, Any]:
        """Content for the page; positions are 16-bit integers, little-endian in base64, of steps of ``step`` from ``origin``."""
        origin = float(self.positions.min())
        step = (float(self.positions.max()) - origin) / _STEPS or 1.0
        integers = np.rint((self.positions - origin) / step).astype("<u2")
        return {
            "name": self.name,
            "times": [float(f"{time:.6g}") for time in self.times],
            "timeUnit": self.time_unit,
            "origin": origin,
            "step": step,
            "positions": base64.b64encode(integers.tobytes()).decode("ascii"),
            "boxes": [] if self.box_vectors is None else np.round(_changes(self.box_vectors), 6).tolist(),
            "kinds": [
                {"name": name, "color": COLORS[number % len(COLORS)], "n": int((self.kind == number).sum())}
                for number, name in enumerate(self.kinds)
            ],
            "kind": self.kind.tolist(),
            "radii": np.round(self.radii, 5).tolist(),
            "bonds": self.bonds.tolist(),
            "remark": self.remark,
        }


def _changes(box_vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """A single box where it is always the same one."""
    return box_vectors[:1] if np.allclose(box_vectors, box_vectors[0], atol=1e-6) else box_vectors


def trajectory_paths(directory: Path, most: int, first: list[str]) -> tuple[list[Path], int]:
    """Folders of the trajectories to show, at most so many, and the number of all below a directory.

    Folders of the names in ``first`` come first, in that order; and each system's first replica before any second one. Runs that
    stopped before their end, as those that flew apart, are left out where there are others.
    """
    rank = {name: number for number, name in enumerate(first)}
    there = sorted(path.parent for path in directory.rglob(TRAJECTORY) if not path.parent.name.startswith("."))
    found = [path for path in there if _is_finished(path)] or there

    def order(path: Path) -> tuple[int, int, str]:
        replica = path.name.removeprefix("replica-")
        name = path.parent.name if replica != path.name else path.name
        return int(replica) if replica != path.name and replica.isdigit() else 0, rank.get(name, len(rank)), str(path)

    return sorted(found, key=order)[:most], len(found)


def _is_finished(path: Path) -> bool:
    mapping = path / "mapping.json"
    return not mapping.is_file() or (path / "summary.json").is_file() or "recording_interval" in read_json(mapping)


def view_trajectory(
    path: Path, name: str, most_positions: int = MOST_POSITIONS, interval: float | None = None
) -> TrajectoryView:
    """Read the frames to show of the trajectory in a folder.

    Parameters
    ----------
    path : Path
        As ``cgplugin simulate`` or ``generate`` write it.
    name : str
    most_positions : int
        Frames times beads are no more than this.
    interval : float, optional
        Time between frames in ps, where nothing beside the trajectory says it.

    Raises
    ------
    UserError
        If a file is missing or damaged.
    """
    folder = find_folders(path, interval)[0]
    n_atoms = len(folder.masses)
    bonds = folder.bonds
    system = MolecularSystem(("X",) * n_atoms, folder.masses, bonds, ("",) * len(bonds), name=name)
    n_beads = _whole_up_to(system.molecules, MOST_BEADS)
    n_frames = folder.trajectory.n_frames
    stride = math.ceil(n_frames / min(MOST_FRAMES, max(2, most_positions // n_beads)))
    positions, boxes = _frames(folder, system, stride)
    if boxes is None:
        # a chain that diffuses would leave the picture
        positions -= positions.mean(axis=1, keepdims=True)
    else:
        pairs = zip(positions, boxes, strict=True)
        positions = np.array([wrap_molecules(own, system.molecules, box) for own, box in pairs])
    kinds, kind = _kinds(folder)
    bonds = bonds[(bonds < n_beads).all(axis=1)]
    frames = np.arange(len(positions), dtype=np.float64)
    return TrajectoryView(
        name=name,
        times=folder.first_time + folder.trajectory.interval * stride * frames,
        time_unit=symbol(time_unit(folder.units)),
        positions=positions[:, :n_beads],
        box_vectors=boxes,
        kinds=kinds,
        kind=kind[:n_beads],
        radii=_radii(positions[0], bonds, folder.masses)[:n_beads],
        bonds=bonds,
        remark=_remark(len(positions), n_frames, stride, n_beads, n_atoms),
    )


def _whole_up_to(molecules: NDArray[np.int64], most: int) -> int:
    """Number of beads of the first molecules that are together no more than ``most``, or ``most`` of a larger one."""
    if len(molecules) <= most:
        return len(molecules)
    starts = np.flatnonzero(np.diff(molecules) != 0) + 1
    starts = starts[starts <= most]
    return int(starts[-1]) if len(starts) else most


def _frames(
    folder: TrajectoryFolder, system: MolecularSystem, stride: int
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Every ``stride``-th frame with whole molecules, and its box."""
    positions, boxes, n_read = [], [], 0
    for block in whole_molecules(folder, system):
        own = slice(-n_read % stride, None, stride)
        n_read += len(block.positions)
        positions.append(block.positions[own])
        if block.box_vectors is not None:
            boxes.append(block.box_vectors[own])
    return np.concatenate(positions), np.concatenate(boxes) if boxes else None


def _kinds(folder: TrajectoryFolder) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Names of the kinds and the kind of each bead: types of atoms, species, or roles, the first with colours enough."""
    n = len(folder.masses)
    candidates: list[tuple[str, ...]] = []
    if not (folder.path / "mapping.json").is_file() and (folder.path / "system.json").is_file():
        candidates.append(MolecularSystem.load(folder.path / "system.json").atom_types)
    if folder.particles is not None:
        candidates += [folder.particles.names, folder.particles.by_role().names]
    candidates.append(("bead",) * n)
    names = next(own for own in candidates if len(set(own)) <= len(COLORS))
    kinds = tuple(dict.fromkeys(names))
    return kinds, np.array([kinds.index(own) for own in names], dtype=np.int64)


def _radii(
    positions: NDArray[np.float64], bonds: NDArray[np.int64], masses: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Radii that leave bonds to be seen, in proportion to the cube root of the mass."""
    if len(bonds):
        length = float(np.median(np.linalg.norm(positions[bonds[:, 0]] - positions[bonds[:, 1]], axis=1)))
    else:
        # no bonds: half of the mean distance in the volume that the beads take up
        length = 0.5 * float((np.ptp(positions, axis=0).prod() / len(positions)) ** (1 / 3)) or 1.0
    return RADIUS * length * np.cbrt(masses / masses.mean())


def _remark(n_shown: int, n_frames: int, stride: int, n_beads: int, n_atoms: int) -> str:
    frames = f"all {n_frames} frames" if stride == 1 else f"{n_shown} of {n_frames} frames (every {stride}th)"
    beads = f"all {n_atoms} beads" if n_beads == n_atoms else f"the first {n_beads} of {n_atoms} beads"
    return f"{frames}, {beads}"
