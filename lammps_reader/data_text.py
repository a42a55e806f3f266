"""Text of data files: lines with comments, and blocks of rows."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from .errors import LammpsFormatError
from .text import decompression_errors, open_bytes

CHUNK = 2**22
"""Bytes that are looked at at a time."""

MAX_BLANK = 2**24
"""Blank lines of so many bytes, one after the other, are in no data file: a small archive may expand to many more."""

MAX_LINE = 2**20

_CONTROL = bytes(set(range(32)) - set(b"\t\n\r\f")) + b"\x7f"
_BLANK = b" \t\r\f\n"
_CONTENT = re.compile(rb"[^ \t\r\f\n]")
_COMMENT = re.compile(rb"#[^\n]*")
_BLANK_LINE = re.compile(rb"\n[ \t\r\f]*\n")
_WORD = re.compile(rb"\n[ \t\r\f]*[A-Za-z]")


@dataclass(frozen=True)
class Line:
    """A line that is not blank: its number from 1, its text without comment, and the comment."""

    number: int
    text: str
    comment: str


@dataclass(frozen=True)
class Block:
    """Rows that follow each other.

    Attributes
    ----------
    text : bytes
        Without comments and blank lines; every row ends in a line end.
    lines : array of int, shape (n_rows,)
        Number of each row's line.
    """

    text: bytes = field(repr=False)
    lines: NDArray[np.int64] = field(repr=False)


class DataText:
    """A data file from its first line to its last, a chunk in memory at a time.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    line : int
        Number of the line that comes next.
    unfinished : bool
        The last line has no line end; known at the end.
    ended : bool
        There is nothing more.
    blank_end : bool
        The last line that was passed is blank.

    Raises
    ------
    LammpsFormatError
        Here or while reading: if the file is missing, its compression is damaged, or it is not text.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.line = 1
        self.unfinished = self.blank_end = self.ended = False
        self._text, self._at, self._rest = b"", 0, b""
        self._n_blank = 0
        try:
            self._file = open_bytes(path)
        except OSError as error:
            raise self.fail(None, f"cannot be read ({' '.join(str(error).split())})") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def fail(self, line: int | None, message: str) -> LammpsFormatError:
        """Make an error of this file."""
        return LammpsFormatError(self.path, line, message)

    def title(self) -> str | None:
        """Take the first line, whatever it holds; None if the file is empty."""
        if not self._fill():
            return None
        end = self._text.index(b"\n")
        title = self._text[:end]
        self._at, self.line = end + 1, 2
        return title.decode("utf-8", "replace").strip()

    def next_line(self) -> Line | None:
        """Take the next line that holds more than a comment; None at the end of the file."""
        while self._fill():
            found = _CONTENT.search(self._text, self._at)
            begin = len(self._text) if found is None else self._text.rfind(b"\n", 0, found.start()) + 1
            # the first line of a chunk
            begin = max(begin, self._at)
            self._pass_blank(begin)
            if found is None:
                continue
            end = self._text.index(b"\n", begin)
            text, _, comment = self._text[begin:end].partition(b"#")
            number = self.line
            self._at, self.line = end + 1, number + 1
            self._n_blank, self.blank_end = 0, False
            if text.strip():
                return Line(number, text.decode("utf-8", "replace").strip(), comment.decode("utf-8", "replace").strip())
        return None

    def rows(self) -> Iterator[Block]:
        """Take the rows up to the next line that begins with a letter, or to the end of the file."""
        while self._fill():
            if self._text[self._at : self._at + 256].lstrip(_BLANK)[:1].isalpha():
                return
            word = _WORD.search(self._text, self._at)
            end = word.start() + 1 if word else len(self._text)
            raw = self._text[self._at : end]
            text = _COMMENT.sub(b"", raw) if b"#" in raw else raw
            content = text.lstrip(_BLANK)
            first = self.line + text.count(b"\n", 0, len(text) - len(content))
            if not content:
                self._pass_blank(end)
                continue
            self._at, self._n_blank = end, 0
            self.line += raw.count(b"\n")
            content = content.rstrip(_BLANK) + b"\n"
            self.blank_end = content.count(b"\n") + first < self.line
            yield _block(content, first)

    def _pass_blank(self, end: int) -> None:
        size = end - self._at
        if not size:
            return
        self._n_blank += size
        self.line += self._text.count(b"\n", self._at, end)
        self._at, self.blank_end = end, True
        if self._n_blank > MAX_BLANK:
            raise self.fail(None, f"more than {MAX_BLANK // 2**20} MiB of blank lines: not a data file?")

    def _fill(self) -> bool:
        """Have at least one whole line; False at the end of the file."""
        while self._at >= len(self._text):
            try:
                chunk = self._file.read(CHUNK)
            except decompression_errors() as error:
                raise self.fail(None, f"cannot be read ({' '.join(str(error).split())})") from error
            if not chunk:
                self.unfinished = self.unfinished or bool(self._rest.strip())
                if not self._rest:
                    self.ended = True
                    return False
                chunk = b"\n"
            self._check(chunk)
            text = self._rest + chunk
            end = text.rfind(b"\n") + 1
            self._text, self._rest, self._at = text[:end], text[end:], 0
            if len(self._rest) > MAX_LINE:
                number = self.line + self._text.count(b"\n")
                raise self.fail(number, "a line of more than a million characters: not a text file?")
        return True

    def _check(self, chunk: bytes) -> None:
        kept = chunk.translate(None, _CONTROL)
        if len(kept) == len(chunk):
            return
        at = next(i for i, byte in enumerate(chunk) if byte in _CONTROL)
        number = self.line + chunk.count(b"\n", 0, at)
        raise self.fail(number, f"a character 0x{chunk[at]:02x}: not a text file, or damaged")


def _block(content: bytes, first: int) -> Block:
    n_lines = content.count(b"\n")
    lines = np.arange(first, first + n_lines)
    if _BLANK_LINE.search(content):
        rows = content.split(b"\n")[:-1]
        filled = [n for n, row in enumerate(rows) if row and not row.isspace()]
        content = b"".join(rows[n] + b"\n" for n in filled)
        lines = lines[filled]
    return Block(content, lines)
