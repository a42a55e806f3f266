"""Writing LAMMPS data files."""

import bz2
import gzip
import itertools
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from .data_header import COEFFICIENTS, KINDS, LABEL, TOPOLOGY
from .lammps_data import ATOM_STYLES, STYLE_TOPOLOGY, LammpsData
from .text import zstandard_for

INTEGERS = ("ids", "types", "molecules", "images")

ROWS = 2**16
"""Rows that are turned into text at a time."""


def write_data(path: str | os.PathLike[str], data: LammpsData, *, title: str = "LAMMPS data file") -> None:
    """Write a data file that LAMMPS reads, whole or not at all; compressed by its suffix (``.gz``, ``.bz2``, ``.zst``).

    Numbers are written such that reading gives the same bits. Positions go into the file wrapped by ``data.images``, with
    those as image flags: reading gives the unwrapped ones again, up to the rounding of this subtraction and addition.

    LAMMPS itself does not read ``.bz2`` and ``.zst`` in every build.

    Parameters
    ----------
    path : path
    data : LammpsData
    title : str
        First line of the file, to which the unit style is added.

    Raises
    ------
    ValueError
        If parts of ``data`` do not fit together, so that LAMMPS could not read the file; nothing is written.
    ImportError
        If the package for ``.zst`` is missing; says how to install it.
    OSError
        If the file cannot be written.
    """
    n_types = check(data)
    if "\n" in title or "\r" in title:
        raise ValueError("the title of a data file is a single line")
    target = Path(path)
    with _replacing(target) as temporary, _open(temporary, target.suffix) as file:
        for part in _parts(data, n_types, title):
            file.write(part.encode())


def check(data: LammpsData) -> dict[str, int]:
    """Check that LAMMPS could read what is written, and count the types of each kind.

    Raises
    ------
    ValueError
        If not; names the part.
    """
    if data.atom_style not in ATOM_STYLES:
        raise ValueError(f"unknown atom style {data.atom_style!r}: expected one of {', '.join(ATOM_STYLES)}")
    n = len(data.ids)
    arrays: dict[str, tuple[Any, tuple[int, ...]]] = {
        "ids": (data.ids, (n,)),
        "types": (data.types, (n,)),
        "positions": (data.positions, (n, 3)),
        "images": (data.images, (n, 3)),
    }
    if "molecule" in ATOM_STYLES[data.atom_style]:
        arrays["molecules"] = data.molecules, (n,)
    if "charge" in ATOM_STYLES[data.atom_style]:
        arrays["charges"] = data.charges, (n,)
    if data.velocities is not None:
        arrays["velocities"] = data.velocities, (n, 3)
    for name, (values, shape) in arrays.items():
        if values is None:
            raise ValueError(f"{name} are missing, which atom style {data.atom_style} has")
        if name in INTEGERS and values.dtype.kind not in "iu":
            raise ValueError(f"{name} are of type {values.dtype}, expected integers")
        if values.shape != shape:
            raise ValueError(f"{name} have shape {values.shape}, expected {shape}")
        if not np.isfinite(values).all():
            raise ValueError(
                f"{name}: the value of atom {data.ids[np.argwhere(~np.isfinite(values))[0][0]]} is not finite"
            )
    if n and (data.ids.min() < 1 or (np.diff(data.ids) <= 0).any()):
        raise ValueError("ids are to be positive and sorted, each once")
    box = data.box
    if not (np.isfinite([box.lo, box.hi, box.tilt]).all() and (box.lo < box.hi).all()):
        raise ValueError(f"the box has lo = {box.lo}, hi = {box.hi}, tilt = {box.tilt}: expected lo below hi")
    _check_topology(data)
    return _count_types(data)


def _rows(data: LammpsData, kind: str) -> np.ndarray:
    return np.asarray(getattr(data, f"{kind}s"))


def _check_topology(data: LammpsData) -> None:
    for kind, n_atoms in TOPOLOGY.items():
        rows = _rows(data, kind)
        if len(rows) and kind not in STYLE_TOPOLOGY[data.atom_style]:
            raise ValueError(f"there are {kind}s, which atom style {data.atom_style} does not have")
        if rows.ndim != 2 or rows.shape[1] != 1 + n_atoms or rows.dtype.kind not in "iu":
            raise ValueError(f"{kind}s have shape {rows.shape}, expected integers of shape (n, {1 + n_atoms})")
        if len(bad := np.flatnonzero(~np.isin(rows[:, 1:], data.ids).all(axis=1))):
            raise ValueError(f"{kind} {bad[0]} joins the atoms {rows[bad[0], 1:].tolist()}, not all of which are there")
        ordered = np.sort(rows[:, 1:], axis=1)
        if len(bad := np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(axis=1))):
            raise ValueError(f"{kind} {bad[0]} has an atom twice: {rows[bad[0], 1:].tolist()}")
    keys = np.column_stack([data.bonds[:, 0], np.sort(data.bonds[:, 1:], axis=1)])
    _, first, counts = np.unique(keys, axis=0, return_index=True, return_counts=True)
    if (counts > 1).any():
        i, j = data.bonds[first[counts > 1][0], 1:]
        raise ValueError(f"the bond between the atoms {i} and {j} is there twice")


def _count_types(data: LammpsData) -> dict[str, int]:
    """Types of each kind, whatever speaks of them; masses, labels and coefficients have to be there for all or for none."""
    result = {}
    for kind in KINDS:
        used = data.types if kind == "atom" else _rows(data, kind)[:, 0]
        labels = data.type_labels.get(kind, {})
        masses = data.masses if kind == "atom" else {}
        if (used < 1).any() or any(number < 1 for number in (*labels, *masses)):
            raise ValueError(f"{kind} types count from 1")
        n_rows = [
            len(rows)
            for name, rows in data.coefficients.items()
            if COEFFICIENTS.get(name) == kind and name != "PairIJ Coeffs"
        ]
        n = max([data.n_types.get(kind, 0), int(used.max(initial=0)), *labels, *masses, *n_rows])
        for what, numbers in (("type labels", labels), ("masses", masses)):
            if numbers and len(numbers) != n:
                missing = next(number for number in itertools.count(1) if number not in numbers)
                raise ValueError(f"the {what} have no {kind} type {missing}, and there are {n}")
        if len(set(labels.values())) != len(labels) or not all(LABEL.fullmatch(label) for label in labels.values()):
            raise ValueError(
                f"{kind} type labels are to differ, without white space and not beginning with a digit, # or *"
            )
        result[kind] = n
    if not all(np.isfinite(mass) and mass > 0 for mass in data.masses.values()):
        raise ValueError("masses are to be positive")
    _check_coefficients(data, result)
    return result


def _check_coefficients(data: LammpsData, n_types: dict[str, int]) -> None:
    for name, rows in data.coefficients.items():
        if name not in COEFFICIENTS:
            raise ValueError(f"unknown section {name!r}: expected one of {', '.join(COEFFICIENTS)}")
        n = n_types[COEFFICIENTS[name]]
        expected = n * (n + 1) // 2 if name == "PairIJ Coeffs" else n
        if len(rows) != expected:
            raise ValueError(f"{name} has {len(rows)} rows, expected {expected}")
        texts = [*rows, data.coefficient_styles.get(name, "")]
        if any("\n" in text or "#" in text for text in texts) or not all(row.strip() for row in rows):
            raise ValueError(f"{name}: a row is a single line without comment")


def _parts(data: LammpsData, n_types: dict[str, int], title: str) -> Iterator[str]:
    """Text of the file, section by section."""
    yield title + (f", units = {data.units}" if data.units else "") + "\n\n"
    yield f"{data.n_atoms} atoms\n"
    yield "".join(f"{n} {kind}s\n" for kind in TOPOLOGY if (n := len(_rows(data, kind))))
    yield "".join(f"{n} {kind} types\n" for kind, n in n_types.items() if n or kind == "atom")
    yield "\n"
    for axis, lo, hi in zip("xyz", data.box.lo.tolist(), data.box.hi.tolist(), strict=True):
        yield f"{lo!r} {hi!r} {axis}lo {axis}hi\n"
    if data.box.tilt.any():
        yield "{!r} {!r} {!r} xy xz yz\n".format(*data.box.tilt.tolist())
    for kind in KINDS:
        if labels := data.type_labels.get(kind):
            yield _section(f"{kind.capitalize()} Type Labels", (f"{n} {labels[n]}" for n in sorted(labels)))
    if data.masses:
        yield _section("Masses", (f"{n} {float(data.masses[n])!r}" for n in sorted(data.masses)))
    for name, lines in data.coefficients.items():
        style = data.coefficient_styles.get(name)
        yield _section(f"{name} # {style}" if style else name, lines)
    if data.n_atoms:
        yield f"\nAtoms # {data.atom_style}\n\n"
        yield from _table(_atom_columns(data))
    if data.velocities is not None and data.n_atoms:
        yield "\nVelocities\n\n"
        yield from _table([data.ids, *data.velocities.T])
    for kind in TOPOLOGY:
        if len(rows := _rows(data, kind)):
            yield f"\n{kind.capitalize()}s\n\n"
            yield from _table([np.arange(1, 1 + len(rows)), *rows.T])


def _section(name: str, rows: Iterable[str]) -> str:
    return f"\n{name}\n\n" + "".join(f"{row}\n" for row in rows)


def _atom_columns(data: LammpsData) -> list[np.ndarray]:
    columns = {"id": data.ids, "molecule": data.molecules, "type": data.types, "charge": data.charges}
    result = [np.asarray(columns[name]) for name in ATOM_STYLES[data.atom_style]]
    if not data.images.any():
        return [*result, *data.positions.T]
    wrapped = data.positions - data.images @ data.box.vectors
    return [*result, *wrapped.T, *data.images.T]


def _table(columns: list[np.ndarray]) -> Iterator[str]:
    """Rows as text: integers as such, other numbers with all their digits."""
    form = " ".join("%d" if column.dtype.kind in "iu" else "%r" for column in columns) + "\n"
    for begin in range(0, len(columns[0]), ROWS):
        block = [column[begin : begin + ROWS].tolist() for column in columns]
        yield "".join(map(form.__mod__, zip(*block, strict=True)))


# files


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """Give a temporary name beside a file, which takes its place on success and is removed on failure."""
    handle, name = tempfile.mkstemp(prefix=f".{target.name}-", suffix=".tmp", dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(target)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


@contextmanager
def _open(path: Path, suffix: str) -> Iterator[IO[bytes]]:
    """Open for writing, through the compression of a suffix."""
    openers: dict[str, Callable[[IO[bytes]], Any]] = {
        # without name and time: the same content gives the same bytes
        ".gz": lambda file: gzip.GzipFile("", "wb", fileobj=file, mtime=0),
        ".bz2": lambda file: bz2.BZ2File(file, "wb"),
        ".zst": lambda file: zstandard_for("writing", path).ZstdCompressor().stream_writer(file, closefd=False),
    }
    with path.open("wb") as file:
        if suffix not in openers:
            yield file
            return
        with openers[suffix](file) as compressed:
            yield compressed
