"""Text of files that may be compressed."""

import bz2
import gzip
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from .errors import LammpsFormatError


def open_bytes(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file for reading bytes, through gzip, bzip2 or zstandard by its suffix."""
    path = Path(path)
    if not path.is_file():
        raise LammpsFormatError(path, None, "no such file")
    match path.suffix:
        case ".gz":
            return cast("BinaryIO", gzip.open(path, "rb"))
        case ".bz2":
            return cast("BinaryIO", bz2.open(path, "rb"))
        case ".zst":
            import zstandard

            return cast("BinaryIO", zstandard.open(path, "rb"))
    return path.open("rb")


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Whole content of a file, decompressed.

    Raises
    ------
    LammpsFormatError
        If the file is missing or its compression is damaged.
    """
    try:
        with open_bytes(path) as file:
            return file.read()
    except (EOFError, OSError, zlib.error, ValueError) as error:
        if isinstance(error, LammpsFormatError):
            raise
        raise LammpsFormatError(path, None, f"cannot be read ({' '.join(str(error).split())})") from error


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
    except (EOFError, OSError, zlib.error, ValueError) as error:
        if isinstance(error, LammpsFormatError):
            raise
        raise LammpsFormatError(path, None, f"cannot be read ({' '.join(str(error).split())})") from error
