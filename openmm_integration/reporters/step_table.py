"""CSV tables with a row per reported step, which a restarted simulation goes on with."""

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

from cgplugin.errors import UserError, one_line


class StepTable:
    """A CSV file whose first column is the step; what was written is on disk at once.

    Parameters
    ----------
    path : Path
    header : sequence of str
        Names of the columns, ``step`` the first.
    append : bool
        Go on with an existing file.

    Raises
    ------
    UserError
        If the file cannot be written, there is nothing to append to, or it has other columns.
    """

    def __init__(self, path: Path, header: Sequence[str], *, append: bool = False) -> None:
        self.path = path
        try:
            # as bytes: where to cut it is counted in them
            self._file: IO[bytes] = path.open("r+b" if append else "w+b")
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({one_line(error)})") from error
        if not append:
            self._file.write(_line(header))
            self._file.flush()
        elif (found := self._file.readline()) != _line(header):
            raise UserError(
                f"{path}: has the columns {found.decode(errors='replace').strip()!r}, those to be appended are "
                f"{','.join(header)!r}: ask for the same properties of the same system"
            )

    def cut_from(self, step: int) -> int | None:
        """Remove the rows of a step and of all that follow, and a row that was not written to its end.

        Returns
        -------
        int or None
            The last step that is left.
        """
        self._file.seek(0)
        end, last = len(self._file.readline()), None
        for line in self._file:
            number = line.split(b",", 1)[0]
            if not line.endswith(b"\n") or not number.isdigit() or int(number) >= step:
                break
            end, last = end + len(line), int(number)
        self._file.flush()
        os.truncate(self.path, end)
        self._file.seek(end)
        return last

    def write(self, rows: Iterable[Iterable[Any]]) -> None:
        """Add rows: numbers with ten digits, what is not known (None) empty."""
        self._file.writelines(_line(row) for row in rows)
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _Line(list[str]):
    """Takes what a CSV writer writes."""

    write = list.append


def _line(cells: Iterable[Any]) -> bytes:
    text = _Line()
    csv.writer(text, lineterminator="\n").writerow(
        f"{cell:.10g}" if isinstance(cell, float) else cell for cell in cells
    )
    return "".join(text).encode()
