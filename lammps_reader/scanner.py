"""Text of any size, line by line or many lines at once."""

from collections.abc import Callable
from pathlib import Path

from .errors import LammpsFormatError

CHUNK = 2**22
"""Bytes that are looked at at a time."""

MAX_LINE = 2**16
"""Longest line that is taken as one."""


class EndOfTextError(Exception):
    """The text ends where more is expected."""


class Scanner:
    """Lines of a file in order, a chunk in memory at a time.

    Parameters
    ----------
    path : Path
        For messages.
    read : callable
        Gives so many bytes from a place, fewer at the end.
    offset, line : int
        Where to begin: byte, and number of its line.

    Attributes
    ----------
    offset, line : int
        Of the line that comes next.
    """

    def __init__(self, path: Path, read: Callable[[int, int], bytes], offset: int, line: int) -> None:
        self._path, self._read = path, read
        self._text, self._at, self._rest = b"", 0, b""
        self._next = offset
        self.offset, self.line = offset, line

    def _fill(self) -> None:
        """Have at least one whole line."""
        while self._at >= len(self._text):
            chunk = self._read(self._next, CHUNK)
            if not chunk:
                raise EndOfTextError
            self._next += len(chunk)
            text = self._rest + chunk
            end = text.rfind(b"\n") + 1
            if not end and len(text) > 4 * CHUNK:
                raise LammpsFormatError(self._path, self.line, "a line of many million characters: not a text dump?")
            self._text, self._rest, self._at = text[:end], text[end:], 0

    def _advance(self, end: int, n_lines: int) -> None:
        self.offset += end - self._at
        self.line += n_lines
        self._at = end

    def next_line(self) -> bytes:
        """Take the next line, with its line end; raise `EndOfTextError` if there is none."""
        self._fill()
        end = self._text.index(b"\n", self._at) + 1
        line = self._text[self._at : end]
        if len(line) > MAX_LINE:
            raise LammpsFormatError(self._path, self.line, f"a header line of {len(line)} characters: not a text dump?")
        self._advance(end, 1)
        return line

    def peek(self) -> bytes:
        """Look at the next line, or at what there is of it."""
        try:
            self._fill()
        except EndOfTextError:
            return self._rest
        return self._text[self._at : min(self._text.index(b"\n", self._at) + 1, self._at + MAX_LINE)]

    def skip_blank(self) -> bool:
        """Skip blank lines; False at the end of the text."""
        try:
            while True:
                self._fill()
                end = self._text.index(b"\n", self._at) + 1
                if self._text[self._at : end].strip():
                    return True
                self._advance(end, 1)
        except EndOfTextError:
            # a line without line end is one that is being written, or cut
            return bool(self._rest.strip())

    def skip_rows(self, n_rows: int) -> int:
        """Skip the rows of a frame up to the next item; return how many there were."""
        missing = n_rows
        while missing:
            self._fill()
            item = self._text.find(b"ITEM:", self._at)
            end = item if item >= 0 else len(self._text)
            found = self._text.count(b"\n", self._at, end)
            if found > missing:
                end = self._at
                for _ in range(missing):
                    end = self._text.index(b"\n", end) + 1
                found, item = missing, -1
            self._advance(end, found)
            missing -= found
            if item >= 0:
                break
        return n_rows - missing
