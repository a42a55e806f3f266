"""LAMMPS data files."""

import os
from pathlib import Path

from .data_file import DataFile
from .lammps_data import ATOM_STYLES, LammpsData

__all__ = ["ATOM_STYLES", "LammpsData", "read_data"]


def read_data(path: str | os.PathLike[str], *, atom_style: str | None = None) -> LammpsData:
    """Read a data file, plain or compressed (``.gz``, ``.bz2``, ``.zst``).

    Parameters
    ----------
    path : path
    atom_style : str, optional
        One of `ATOM_STYLES`; by default the hint ``Atoms # style`` counts, or else what the columns allow.

    Raises
    ------
    LammpsFormatError
        With file, line, fault and cure, if anything in the file does not fit.

    Warns
    -----
    LammpsFormatWarning
        If the last line has no line end, so that it may have lost digits; or if ``atom_style`` has other columns than the
        style that the file says it has.
    """
    return DataFile(Path(path), atom_style).read()
