"""Text of files that may be compressed."""

import bz2
import gzip
import importlib
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
            reader = _zstandard(path).ZstdDecompressor().stream_reader(path.open("rb"), read_across_frames=True)
            return cast("BinaryIO", reader)
    return path.open("rb")


def decompression_errors() -> tuple[type[Exception], ...]:
    """What damaged compressed data raise."""
    errors: tuple[type[Exception], ...] = (EOFError, OSError, zlib.error, ValueError)
    if "zstandard" in sys.modules:
        errors += (sys.modules["zstandard"].ZstdError,)
    return errors


def _zstandard(path: Path) -> Any:
    try:
        return importlib.import_module("zstandard")
    except ImportError as error:
        raise ImportError(f"{path}: reading .zst needs the package zstandard: pip install zstandard") from error


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
