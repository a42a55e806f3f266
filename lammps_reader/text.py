"""Text of files that may be compressed."""

import bz2
import gzip
import importlib
import io
import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from .errors import LammpsFormatError

COMPRESSIONS = (".gz", ".bz2", ".zst")
"""Suffixes of files that are read through a decompressor."""


def bare_suffix(path: str | os.PathLike[str]) -> str:
    """Suffix of a file's name, without that of its compression."""
    name = Path(path)
    return Path(name.stem).suffix if name.suffix in COMPRESSIONS else name.suffix


def open_bytes(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file for reading bytes, through gzip, bzip2 or zstandard by its suffix.

    Raises
    ------
    LammpsFormatError
        If there is no such file.
    ImportError
        If a package is missing; says how to install it.
    """
    path = Path(path)
    if not path.is_file():
        raise LammpsFormatError(path, None, "no such file")
    match path.suffix:
        case ".gz":
            return cast("BinaryIO", gzip.open(path, "rb"))
        case ".bz2":
            return cast("BinaryIO", bz2.open(path, "rb"))
        case ".zst":
            return io.BufferedReader(_ZstdFile(path, zstandard_for("reading", path)), CHUNK)
    return path.open("rb")


class _ZstdFile(io.RawIOBase):
    """A zstandard file of one or several frames; one that is cut raises EOFError, where zstandard's own reader just ends."""

    def __init__(self, path: Path, zstandard: Any) -> None:
        self._file = path.open("rb")
        self._new_frame = zstandard.ZstdDecompressor().decompressobj
        self._frame: Any = None
        self._input = b""
        self._output = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._output:
            self._input = self._input or self._file.read(ZSTD_INPUT)
            if not self._input:
                if self._frame is not None:
                    raise EOFError("Compressed file ended before the end-of-stream marker was reached")
                return 0
            self._frame = self._frame or self._new_frame()
            self._output = memoryview(self._frame.decompress(self._input))
            self._input = b""
            if self._frame.eof:
                self._input, self._frame = self._frame.unused_data, None
        size = min(len(buffer), len(self._output))
        buffer[:size], self._output = self._output[:size], self._output[size:]
        return size

    def close(self) -> None:
        self._file.close()
        super().close()


ZSTD_INPUT = 2**11
"""Bytes of a zstandard file that are decompressed at once: hardly more than 64 MB, whatever they are."""


def decompression_errors() -> tuple[type[Exception], ...]:
    """What damaged compressed data raise."""
    errors: tuple[type[Exception], ...] = (EOFError, OSError, zlib.error, ValueError)
    if "zstandard" in sys.modules:
        errors += (sys.modules["zstandard"].ZstdError,)
    return errors


def zstandard_for(doing: str, path: Path) -> Any:
    """Import zstandard for reading or writing a file, or say how to install it."""
    try:
        return importlib.import_module("zstandard")
    except ImportError as error:
        raise ImportError(f"{path}: {doing} .zst needs the package zstandard: pip install zstandard") from error


CHUNK = 2**20
"""Bytes that are decompressed at a time."""


def numbered_lines(path: str | os.PathLike[str]) -> Iterator[tuple[int, str]]:
    """Lines of a text file that are not blank, with their numbers from 1; the first line is given even if it is blank.

    Nothing but a line and a chunk is held, so that a small archive of blank lines cannot fill the memory.

    Raises
    ------
    LammpsFormatError
        If the file is missing, is not text, or its compression is damaged.
    """
    number, rest = 0, b""
    try:
        with open_bytes(path) as file:
            while chunk := file.read(CHUNK):
                if number and not rest.strip() and not chunk.strip():
                    number += chunk.count(b"\n")
                    rest = b""
                    continue
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > CHUNK:
                    raise LammpsFormatError(
                        path, number + 1, "a line of more than a million characters: not a text file?"
                    )
                for line in lines:
                    number += 1
                    if number == 1 or line.strip():
                        yield number, line.decode("utf-8")
        if rest.strip() or (number == 0 and rest):
            yield number + 1, rest.decode("utf-8")
    except UnicodeDecodeError:
        raise LammpsFormatError(path, number, "not a text file") from None
    except decompression_errors() as error:
        if isinstance(error, LammpsFormatError):
            raise
        raise LammpsFormatError(path, None, f"cannot be read ({' '.join(str(error).split())})") from error
