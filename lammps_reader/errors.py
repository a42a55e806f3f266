"""The one exception of the readers."""

from pathlib import Path


class LammpsFormatError(ValueError):
    """A file that LAMMPS could not have written; one line with file, line, fault and cure.

    Attributes
    ----------
    path : Path
    line : int or None
        From 1; None where the fault has no single line.
    """

    def __init__(self, path: str | Path, line: int | None, message: str) -> None:
        where = f"{path}:{line}" if line is not None else f"{path}"
        super().__init__(f"{where}: {message}")
        self.path = Path(path)
        self.line = line
