"""Trajectories that LAMMPS wrote, as lazy sequences of frames."""

import glob
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Self, overload

import numpy as np
from numpy.typing import NDArray

from .data import LammpsData
from .dcd_file import DcdFile
from .errors import LammpsFormatError, LammpsFormatWarning
from .frame import Frame, FrameReader, StoredFrame, TrajectoryFile
from .text import bare_suffix
from .text_dump import TextDump
from .unwrapping import MinimumImageUnwrapping, TooFarApartError, WrappedAtoms
from .xyz_file import XyzFile


def open_dump(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    unwrap: bool | None = None,
    reference: LammpsData | None = None,
    names: Mapping[str, str] | None = None,
    cache: bool = True,
) -> "Dump":
    """Open text dumps (plain, ``.gz``, ``.bz2``, ``.zst``), or files that LAMMPS wrote as DCD (needs mdtraj) or XYZ.

    Only an index is made; frames are read when asked for, one in memory at a time.

    Parameters
    ----------
    path : path, or sequence of paths
        Several files are read one after the other; a name with ``*``, as in LAMMPS' own, stands for all files that it fits, in
        the order of their time steps.
    unwrap : bool, optional
        Of positions that are in the box and have no image flags: True unwraps them by the minimum image from frame to frame,
        False leaves them as they are. By default text dumps are unwrapped with a warning, while DCD and XYZ files, which do not
        say whether they are wrapped, are left as they are.
    reference : LammpsData, optional
        Where unwrapping starts: the first frame's atoms are put into the images nearest to its positions.
    names : mapping, optional
        Column of the dump to its LAMMPS name, where ``dump_modify colname`` changed it.
    cache : bool
        Remember the index of a large file in ``.NAME.frames.npz`` beside it.

    Raises
    ------
    LammpsFormatError
        With file, line, fault and cure, if a file is damaged. A file that is cut within a frame gives its whole frames and a
        warning.
    """
    files = [_open_file(each, names, cache) for each in _paths(path)]
    if isinstance(path, str | os.PathLike) and len(files) > 1:
        files.sort(key=lambda file: int(file.timesteps[0]))
    return Dump(files, unwrap=unwrap, reference=reference)


class Dump(Sequence[Frame]):
    """Frames of one or several files; made by `open_dump`.

    A slice is another `Dump`, as lazy as this one.

    Attributes
    ----------
    paths : tuple of Path
    timesteps, n_atoms : array of int, shape (n_frames,)
    units : str or None
        Unit style, where the dump has ``ITEM: UNITS``.
    """

    def __init__(
        self,
        files: Sequence[TrajectoryFile],
        *,
        unwrap: bool | None = None,
        reference: LammpsData | None = None,
    ) -> None:
        self.paths = tuple(file.path for file in files)
        self.units = next((file.units for file in files if file.units is not None), None)
        self._files, self._unwrap = tuple(files), unwrap
        # file, and number in it, of all frames
        self._places = [(n, k) for n, file in enumerate(files) for k in range(len(file.timesteps))]
        self._all_steps = np.concatenate([file.timesteps for file in files])
        self._all_counts = np.concatenate([file.n_atoms for file in files])
        self._selection: NDArray[np.intp] | range = range(len(self._places))
        start = None if reference is None else (reference.ids, reference.positions)
        self._start = start
        self._unwrapping = MinimumImageUnwrapping(len(self._places), start)
        self._warned = False

    @property
    def timesteps(self) -> NDArray[np.int64]:
        """Time steps, shape (n_frames,)."""
        return self._all_steps[np.asarray(self._selection)]

    @property
    def n_atoms(self) -> NDArray[np.int64]:
        """Numbers of atoms, shape (n_frames,)."""
        return self._all_counts[np.asarray(self._selection)]

    @property
    def wrapped(self) -> bool | None:
        """Whether the first frame's positions are in the box, and nothing says in which image; None if the file does not tell."""
        with _OpenFiles(self._files) as opened:
            return self._stored(opened, int(self._selection[0])).wrapped

    def without_unwrapping(self) -> "Dump":
        """Give the same frames with positions as they are written, where nothing says in which image they were."""
        part = self._select(self._selection)
        part._unwrap = False
        return part

    def __len__(self) -> int:
        return len(self._selection)

    @overload
    def __getitem__(self, index: int) -> Frame: ...
    @overload
    def __getitem__(self, index: slice) -> "Dump": ...
    def __getitem__(self, index: int | slice) -> "Frame | Dump":
        if isinstance(index, slice):
            return self._select(self._selection[index])
        number = int(self._selection[index])
        with _OpenFiles(self._files) as opened:
            return self._frame(opened, number)

    def __iter__(self) -> Iterator[Frame]:
        with _OpenFiles(self._files) as opened:
            for number in self._selection:
                yield self._frame(opened, int(number))

    def __repr__(self) -> str:
        named = ", ".join(path.name for path in self.paths[:3]) + (", ..." if len(self.paths) > 3 else "")
        return f"<Dump of {len(self)} frames: {named}>"

    def without_repeats(self) -> "Dump":
        """Frames in the order of time, each step once: what a restarted run wrote again replaces what was there."""
        kept: list[int] = []
        for number in reversed(self._selection):
            if not kept or self._all_steps[number] < self._all_steps[kept[-1]]:
                kept.append(int(number))
        kept.reverse()
        if len(self) < len(self._places):
            return self._select(np.array(kept, dtype=np.intp))
        # what was written again is no part of the path along which atoms are followed
        part = self._select(range(len(kept)))
        part._places = [self._places[number] for number in kept]
        part._all_steps, part._all_counts = self._all_steps[kept], self._all_counts[kept]
        part._unwrapping = MinimumImageUnwrapping(len(kept), self._start)
        return part

    def _select(self, selection: NDArray[np.intp] | range) -> "Dump":
        part = object.__new__(Dump)
        part.__dict__.update(self.__dict__)
        part._selection = selection
        return part

    def _stored(self, opened: "_OpenFiles", number: int) -> StoredFrame:
        file, place = self._places[number]
        return opened[file](place)

    def _frame(self, opened: "_OpenFiles", number: int) -> Frame:
        stored = self._stored(opened, number)
        unwrap = stored.wrapped if self._unwrap is None else self._unwrap and stored.wrapped is not False
        if not unwrap:
            return stored.frame
        if self._unwrap is None and not self._warned:
            self._warned = True
            warnings.warn(
                f"{self._path(number)}: positions are in the box and have no image flags; they are unwrapped by the minimum "
                "image from frame to frame (write xu yu zu, or ix iy iz as well, to be sure)",
                LammpsFormatWarning,
                stacklevel=3,
            )
        try:
            positions = self._unwrapping.positions(
                number, lambda n: _wrapped_atoms(stored if n == number else self._stored(opened, n))
            )
        except TooFarApartError as error:
            raise LammpsFormatError(
                self._path(number),
                stored.line,
                f"{error} between two frames before or at this one, too far to be unwrapped: dump more often, write xu yu zu, "
                "or use unwrap=False",
            ) from None
        frame = stored.frame
        return Frame(frame.timestep, frame.time, frame.ids, positions, frame.box, frame.columns)

    def _path(self, number: int) -> Path:
        return self.paths[self._places[number][0]]


class _OpenFiles:
    """Files that are opened when first read; one at a time stays open."""

    def __init__(self, files: Sequence[TrajectoryFile]) -> None:
        self._files = files
        self._stack = ExitStack()
        self._current: tuple[int, FrameReader] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __getitem__(self, number: int) -> FrameReader:
        if self._current is None or self._current[0] != number:
            self._stack.close()
            reader: AbstractContextManager[FrameReader] = self._files[number].open()
            self._current = number, self._stack.enter_context(reader)
        return self._current[1]


def _wrapped_atoms(stored: StoredFrame) -> WrappedAtoms:
    return WrappedAtoms(stored.frame.ids, stored.frame.positions, stored.frame.box)


def _paths(path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Path]:
    if not isinstance(path, str | os.PathLike):
        if not path:
            raise ValueError("there is no file to open")
        return [Path(each) for each in path]
    if "*" not in os.fspath(path) or Path(path).exists():
        return [Path(path)]
    # numbers in their order, so that equal first steps do not decide
    names = glob.glob(os.fspath(path))  # noqa: PTH207 - a pattern may be absolute, which Path.glob refuses
    found = sorted(names, key=lambda name: [int(n) for n in re.findall(r"\d+", Path(name).name)])
    if not found:
        raise LammpsFormatError(path, None, "no file has such a name")
    return [Path(name) for name in found]


def _open_file(path: Path, names: Mapping[str, str] | None, cache: bool) -> TrajectoryFile:
    match bare_suffix(path):
        case ".dcd":
            return DcdFile(path)
        case ".xyz":
            return XyzFile(path)
    dump = TextDump(path, names, cache=cache)
    if dump.cut is not None:
        warnings.warn(f"{dump.cut}: its {len(dump.timesteps)} whole frames are read", LammpsFormatWarning, stacklevel=4)
    return dump
