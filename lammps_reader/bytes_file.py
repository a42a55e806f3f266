"""Bytes of a file by their place, plain or compressed."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Self, cast

from .text import COMPRESSIONS, decompression_errors, open_bytes

SMALL = 2**26
"""Decompressed content of up to so many bytes is kept in memory."""

SKIP = 2**20


class DamagedCompressionError(Exception):
    """The compressed data end early or are not what they should be."""


class BytesFile:
    """A file that can be read anywhere; nothing stays open between readings.

    What is compressed can be read from its start only: a small content is kept in memory after the first pass; in a larger one
    reading forward is cheap, and going back starts over.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.compressed = path.suffix in COMPRESSIONS
        self._content: bytes | None = None
        self._damage: str | None = None

    @contextmanager
    def open(self) -> Iterator["OpenBytes"]:
        """Open for reading."""
        with OpenBytes(self.path, self._content, self._damage) as opened:
            yield opened

    def keep(self) -> None:
        """Keep the content in memory, if it is small; of damaged data, what comes before the damage, and that there is one."""
        parts: list[bytes] = []
        damage, size = None, 0
        with self.open() as opened:
            try:
                while size <= SMALL and (part := opened.read(size, min(SKIP, SMALL + 1 - size))):
                    parts.append(part)
                    size += len(part)
            except DamagedCompressionError as error:
                damage = str(error)
        if size <= SMALL:
            self._content, self._damage = b"".join(parts), damage


class OpenBytes:
    """An open file; made by `BytesFile.open`."""

    def __init__(self, path: Path, content: bytes | None, damage: str | None = None) -> None:
        self._path, self._content, self._damage = path, content, damage
        self._file = self._open()
        self._at = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, start: int, size: int) -> bytes:
        """Read ``size`` bytes from ``start``, fewer at the end of the file or before damage.

        Raises
        ------
        DamagedCompressionError
            If nothing can be read from there for damage.
        """
        if self._content is not None or self._path.suffix not in COMPRESSIONS:
            self._file.seek(start)
            found = self._file.read(size)
            if size and not found and self._damage is not None:
                raise DamagedCompressionError(self._damage)
            return found
        if start < self._at:
            self._file.close()
            self._file, self._at = self._open(), 0
        while self._at < start and self._part(min(start - self._at, SKIP)):
            pass
        parts = []
        end = start + size
        try:
            while self._at < end and (part := self._part(end - self._at)):
                parts.append(part)
        except DamagedCompressionError:
            # what came before the damage is good
            if not parts:
                raise
        return b"".join(parts)

    def _part(self, size: int) -> bytes:
        """Read what a single look at the compressed data gives."""
        try:
            part = self._file.read1(size)  # type: ignore[attr-defined]
        except decompression_errors() as error:
            # an error number is that of the file system
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise DamagedCompressionError(" ".join(str(error).split())) from error
        self._at += len(part)
        return cast("bytes", part)

    def _open(self) -> BinaryIO:
        return open_bytes(self._path) if self._content is None else io.BytesIO(self._content)
