"""Where the frames of a text dump are: found in one pass, remembered beside the file."""

import hashlib
import os
import tempfile
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .bytes_file import BytesFile, DamagedCompressionError
from .dump_header import FrameHeader, HeaderError, read_header
from .errors import LammpsFormatError
from .numbers import to_float
from .scanner import EndOfTextError, Scanner

CACHE_FROM = 2**21
"""Size of file from which on the index is remembered; smaller files are searched in no time."""

NOT_A_DUMP = "not a text dump: it does not begin with ITEM: TIMESTEP"

CACHE_VERSION = 2
FINGERPRINT = 2**12
"""Bytes at both ends of the indexed part that must not have changed."""

SAMPLES = 64
"""Frames whose beginnings must not have changed either."""


@dataclass(frozen=True)
class DumpIndex:
    """Places of the whole frames of a file.

    Attributes
    ----------
    offsets : array of int, shape (n_frames + 1,)
        First byte of every frame; then the end of the last.
    lines : array of int, shape (n_frames + 1,)
        Numbers of the first lines of the frames, from 1; then that of the line after the last.
    timesteps, n_atoms : array of int, shape (n_frames,)
    units : str or None
        Unit style, where the dump has ``ITEM: UNITS``.
    cut : LammpsFormatError or None
        Why what follows the last frame is not a whole one, if something does.
    """

    offsets: NDArray[np.int64] = field(repr=False)
    lines: NDArray[np.int64] = field(repr=False)
    timesteps: NDArray[np.int64] = field(repr=False)
    n_atoms: NDArray[np.int64] = field(repr=False)
    units: str | None
    cut: LammpsFormatError | None

    def __len__(self) -> int:
        return len(self.timesteps)

    def places(self) -> list[tuple[int, int, int, int]]:
        """Offset, line, time step and number of atoms of every frame."""
        columns = self.offsets[:-1], self.lines[:-1], self.timesteps, self.n_atoms
        return list(zip(*(column.tolist() for column in columns), strict=True))


def index_of(file: BytesFile, *, cache: bool) -> DumpIndex:
    """Index of a dump: from its cache, if that still holds, otherwise by reading the file once.

    The cache ``.NAME.frames.npz`` beside the file holds as long as the file has the same size, times of change (of content and
    status; the latter nobody can set back) and samples of its text. Of a file that has only grown, what is new is searched. Where
    the folder cannot be written to, there is no cache.

    Raises
    ------
    LammpsFormatError
        If the file is not a text dump, or a frame is not followed by another one.
    """
    cache = cache and file.path.is_file() and file.path.stat().st_size >= CACHE_FROM
    known = _load_cache(file) if cache else None
    if known is not None and known[1]:
        return known[0]
    before = file.path.stat() if cache else None
    index = _search(file, known[0] if known is not None else None)
    if before is not None:
        _save_cache(file, index, before)
    return index


def _search(file: BytesFile, known: DumpIndex | None) -> DumpIndex:
    places: list[tuple[int, int, int, int]] = [] if known is None else known.places()
    units = None if known is None else known.units
    end, line = (0, 1) if known is None else (int(known.offsets[-1]), int(known.lines[-1]))
    cut = count = None
    n_columns = 0
    with file.open() as opened:
        scanner = Scanner(file.path, opened.read, end, line)
        try:
            while scanner.skip_blank():
                if count is not None:
                    _check_no_more_rows(file.path, scanner, n_columns, *count)
                count = None
                begin, first_line = scanner.offset, scanner.line
                header = _header(file.path, scanner)
                count, n_columns = (first_line + header.count_line, header.n_atoms), len(header.columns)
                _skip_rows(file.path, scanner, *count)
                units = units if header.units is None else header.units
                places.append((begin, first_line, header.timestep, header.n_atoms))
                end, line = scanner.offset, scanner.line
            end, line = scanner.offset, scanner.line
        except EndOfTextError:
            counted = f" (line {count[0]} says {count[1]} atoms)" if count is not None else ""
            cut = LammpsFormatError(file.path, scanner.line, f"the file ends within frame {len(places)}{counted}")
        except DamagedCompressionError as error:
            cut = LammpsFormatError(file.path, None, f"the compressed data end early or are damaged ({error})")
    if not places:
        raise _no_frame(file, cut)
    offsets, lines, timesteps, n_atoms = np.array(places, dtype=np.int64).T
    return DumpIndex(np.append(offsets, end), np.append(lines, line), timesteps, n_atoms, units, cut)


def _header(path: Path, scanner: Scanner) -> FrameHeader:
    first = scanner.line
    try:
        return read_header(scanner.next_line)
    except HeaderError as error:
        if error.line == 0 and first == 1 and str(error).startswith("expected"):
            raise LammpsFormatError(path, 1, NOT_A_DUMP) from None
        raise LammpsFormatError(path, first + error.line, str(error)) from None


def _check_no_more_rows(path: Path, scanner: Scanner, n_columns: int, count_line: int, n_atoms: int) -> None:
    words = scanner.peek().split()
    if len(words) == n_columns > 1 and words[0] != b"ITEM:" and to_float(words[-1]) is not None:
        message = f"the frame has {n_atoms} atoms, but more rows follow, from line {scanner.line} on"
        raise LammpsFormatError(path, count_line, message)


def _skip_rows(path: Path, scanner: Scanner, count_line: int, n_atoms: int) -> None:
    found = scanner.skip_rows(n_atoms)
    if found < n_atoms:
        raise LammpsFormatError(
            path,
            count_line,
            f"the frame has {n_atoms} atoms, but the next one begins after {found}, on line {scanner.line}",
        )


def _no_frame(file: BytesFile, cut: LammpsFormatError | None) -> LammpsFormatError:
    if cut is None:
        return LammpsFormatError(file.path, None, "the file is empty")
    try:
        with file.open() as opened:
            if not opened.read(0, 6).strip().startswith(b"ITEM:"):
                return LammpsFormatError(file.path, 1, NOT_A_DUMP)
    except DamagedCompressionError:
        pass
    return LammpsFormatError(file.path, cut.line, f"{cut.reason}: no frame is whole")


def _cache_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.frames.npz")


def _fingerprint(file: BytesFile, offsets: NDArray[np.int64], end: int) -> str:
    """Hash of both ends of the first ``end`` bytes of a file, and of the beginnings of some frames."""
    digest = hashlib.sha256()
    places = [0, max(0, end - FINGERPRINT)]
    if not file.compressed:
        places += offsets[: -1 : max(1, len(offsets) // SAMPLES)].tolist()
    with file.path.open("rb") as stream:
        for place in places:
            stream.seek(place)
            digest.update(stream.read(min(FINGERPRINT, end - place)))
    return digest.hexdigest()


def _holds_together(index: DumpIndex, end: int) -> bool:
    """Whether an index may be one: a cache may have been damaged, too."""
    n_frames = len(index.timesteps)
    columns = index.offsets, index.lines, index.timesteps, index.n_atoms
    lengths = [(column.dtype == np.int64, column.shape) for column in columns]
    return (
        n_frames > 0
        and lengths == [(True, (n_frames + 1,))] * 2 + [(True, (n_frames,))] * 2
        and bool((np.diff(index.offsets) > 0).all() and (np.diff(index.lines) > 0).all())
        and index.offsets[0] >= 0
        and (index.offsets[-1] <= end or end < 0)
    )


def _load_cache(file: BytesFile) -> tuple[DumpIndex, bool] | None:
    """Index and whether it is complete, if the file begins as it did."""
    try:
        with np.load(_cache_path(file.path), allow_pickle=False) as stored:
            version, size, *changed, indexed, cut_line = stored["stat"].tolist()
            units, reason, fingerprint = stored["text"].tolist()
            cut = LammpsFormatError(file.path, cut_line or None, reason) if reason else None
            index = DumpIndex(
                stored["offsets"], stored["lines"], stored["timesteps"], stored["n_atoms"], units or None, cut
            )
        now = file.path.stat()
        if (
            version != CACHE_VERSION
            or now.st_size < indexed
            or not _holds_together(index, -1 if file.compressed else indexed)
            or fingerprint != _fingerprint(file, index.offsets, indexed)
        ):
            return None
    except (OSError, ValueError, TypeError, KeyError, EOFError, SyntaxError, zipfile.BadZipFile, zlib.error):
        # missing, of another version, or not ours: the file itself is what counts
        return None
    if [now.st_size, now.st_mtime_ns, now.st_ctime_ns] == [size, *changed]:
        return index, True
    return None if file.compressed or now.st_size <= size else (index, False)


def _save_cache(file: BytesFile, index: DumpIndex, before: os.stat_result) -> None:
    """Remember an index; ``before`` is how the file was before it was read."""
    path = _cache_path(file.path)
    indexed = before.st_size if file.compressed else int(index.offsets[-1])
    cut = index.cut
    cut_line = 0 if cut is None or cut.line is None else cut.line
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, suffix=".tmp", delete=False) as stream:
            temporary = stream.name
            np.savez(
                stream,
                stat=np.array(
                    [CACHE_VERSION, before.st_size, before.st_mtime_ns, before.st_ctime_ns, indexed, cut_line]
                ),
                text=np.array(
                    [index.units or "", "" if cut is None else cut.reason, _fingerprint(file, index.offsets, indexed)]
                ),
                offsets=index.offsets,
                lines=index.lines,
                timesteps=index.timesteps,
                n_atoms=index.n_atoms,
            )
        Path(temporary).replace(path)
    except OSError:
        # a folder that cannot be written to: the index is made anew each time
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
