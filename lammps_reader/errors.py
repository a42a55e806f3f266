"""The one exception of the readers, and their warning."""

import os
from pathlib import Path


class LammpsFormatError(ValueError):
    """A file that LAMMPS could not have written; one line with file, line, fault and cure.

    Attributes
    ----------
    path : Path
    line : int or None
        From 1; None where the fault has no single line.
    reason : str
        The message without file and line.
    """

    def __init__(self, path: str | os.PathLike[str], line: int | None, message: str) -> None:
        where = f"{os.fspath(path)}:{line}" if line is not None else os.fspath(path)
        super().__init__(f"{where}: {message}")
        self.path = Path(path)
        self.line = line
        self.reason = message


class LammpsFormatWarning(UserWarning):
    """Something of a file is not as a user would expect, and what is read is less or other than it says; one line with file."""
