"""Text of files that may be compressed."""

import bz2
import gzip
import os
import zlib
from pathlib import Path
from typing import IO

from .errors import LammpsFormatError


def open_bytes(path: str | os.PathLike[str]) -> IO[bytes]:
    """Open a file for reading bytes, through gzip, bzip2 or zstandard by its suffix."""
    path = Path(path)
    if not path.is_file():
        raise LammpsFormatError(path, None, "no such file")
    match path.suffix:
        case ".gz":
            return gzip.open(path, "rb")
        case ".bz2":
            return bz2.open(path, "rb")
        case ".zst":
            import zstandard

            return zstandard.open(path, "rb")
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
