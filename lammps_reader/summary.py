"""What a file of LAMMPS holds, in a few lines."""

import os
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .box import Box
from .bytes_file import BytesFile, DamagedCompressionError
from .data import LammpsData, read_data
from .dump import Dump, open_dump
from .errors import LammpsFormatError
from .log import read_log
from .text import bare_suffix

BEGINNING = 2**16
"""Bytes by which a kind of file is told, where its name does not tell."""

_DATA_HEADER = re.compile(rb"^\s*\d+\s+atoms\s*(#.*)?$", re.MULTILINE)
_KINDS = {
    ".data": "data", ".lammpstrj": "dump", ".dump": "dump", ".yaml": "dump", ".dcd": "dcd", ".xyz": "xyz", ".log": "log",
    ".lammps": "log",
}  # fmt: skip


def summarise(path: str | os.PathLike[str], *, atom_style: str | None = None) -> list[str]:
    """Say what a data file, a dump (text, DCD, XYZ) or a log holds, in lines of text.

    Parameters
    ----------
    path : path
    atom_style : str, optional
        Of a data file that does not say it.

    Raises
    ------
    LammpsFormatError
        If the file is damaged, or none of these.
    ImportError
        If it needs a package that is not installed.
    """
    path = Path(path)
    kind = _kind(path)
    if kind == "data":
        return _data(path, read_data(path, atom_style=atom_style))
    if kind == "log":
        return _log(path)
    names = {"dump": "text dump", "dcd": "DCD file", "xyz": "XYZ file"}
    return _dump(path, names[kind], open_dump(path))


def _kind(path: Path) -> str:
    """Tell the kind of a file by how it begins, else by its name."""
    try:
        with BytesFile(path).open() as opened:
            text = opened.read(0, BEGINNING)
    except DamagedCompressionError:
        text = b""
    start = text.lstrip()
    if start.startswith(b"ITEM:"):
        return "dump"
    if text[4:8] == b"CORD":
        return "dcd"
    if start.startswith(b"LAMMPS ("):
        return "log"
    named = _KINDS.get(bare_suffix(path))
    if named is None:
        named = "data" if _DATA_HEADER.search(text) else "log" if b"\nLoop time of" in text else None
    if named is None:
        raise LammpsFormatError(path, None, "neither a data file nor a dump nor a log of LAMMPS")
    return named


def _data(path: Path, data: LammpsData) -> list[str]:
    counts = [f"{len(getattr(data, name))} {name}" for name in ("bonds", "angles", "dihedrals", "impropers")]
    n_types = len(set(data.types.tolist()))
    labels = data.type_labels.get("atom", {})
    named = f" ({', '.join(labels.values())})" if labels else ""
    lines = [
        f"{path}: data file",
        f"  atoms       {len(data.ids)} of {n_types} {'type' if n_types == 1 else 'types'}{named}",
        f"  atom style  {data.atom_style}",
        f"  topology    {', '.join(count for count in counts if not count.startswith('0 ')) or 'none'}",
    ]
    if data.molecules is not None:
        lines.append(f"  molecules   {len(set(data.molecules.tolist()))}")
    if data.charges is not None:
        lines.append(f"  charge      {data.charges.sum() + 0.0:.6g} in all")
    lines.append(f"  box         {_box(data.box)}")
    lines.append(f"  velocities  {'yes' if data.velocities is not None else 'no'}")
    if data.units is not None:
        lines.append(f"  units       {data.units}")
    return lines


def _dump(path: Path, kind: str, dump: Dump) -> list[str]:
    n_frames = len(dump)
    frame = dump.without_unwrapping()[0]
    counts = dump.n_atoms
    n_atoms = str(counts[0]) if (counts == counts[0]).all() else f"{counts.min()} to {counts.max()}"
    how = {
        True: "in the box, without image flags: unwrapped from frame to frame when read",
        False: "unwrapped",
        None: "as written; the file does not say whether they are wrapped",
    }[dump.wrapped]
    lines = [
        f"{path}: {kind}, {n_frames} {'frame' if n_frames == 1 else 'frames'}",
        f"  atoms       {n_atoms}",
        f"  steps       {_steps(dump.timesteps)}",
        f"  positions   {how}",
    ]
    if kind != "XYZ file":
        lines.append(f"  box         {_box(frame.box)}{' in the first frame' if n_frames > 1 else ''}")
    if frame.columns:
        lines.append(f"  columns     {' '.join(frame.columns)}")
    if frame.time is not None:
        lines.append(f"  time        {frame.time:g} to {dump.without_unwrapping()[-1].time:g}")
    if dump.units is not None:
        lines.append(f"  units       {dump.units}")
    return lines


def _log(path: Path) -> list[str]:
    runs = read_log(path)
    lines = [f"{path}: log, {len(runs)} {'run' if len(runs) == 1 else 'runs'}"]
    for n, run in enumerate(runs, start=1):
        steps = run.get("Step", np.zeros(0, dtype=np.int64))
        rows = f", steps {_steps(steps)}" if len(steps) else ""
        cut = "" if run.complete else ", not complete"
        lines.append(f"  run {n:<7} {run.n_rows} {'row' if run.n_rows == 1 else 'rows'}{rows}{cut}")
        lines.append(f"  columns     {' '.join(run)}")
    return lines


def _steps(steps: NDArray[np.int64]) -> str:
    """First and last step, and the interval."""
    if len(steps) == 1:
        return f"{steps[0]}"
    intervals = np.unique(np.diff(steps))
    if len(intervals) == 1:
        return f"{steps[0]} to {steps[-1]}, every {intervals[0]}"
    return f"{steps[0]} to {steps[-1]}, intervals of {intervals[0]} to {intervals[-1]}"


def _box(box: Box) -> str:
    edges = " x ".join(f"{edge:.6g}" for edge in box.hi - box.lo)
    tilted = f", tilt {' '.join(f'{tilt:.6g}' for tilt in box.tilt)}" if box.tilt.any() else ""
    axes = [axis for axis, periodic in zip("xyz", box.periodic, strict=True) if periodic]
    return f"{edges}{tilted}, {'periodic along ' + ' '.join(axes) if axes else 'not periodic'}"
