"""Reads what LAMMPS writes: data files and text dumps. Needs numpy only."""

from .box import Box
from .data import LammpsData, read_data
from .dump import Dump, open_dump
from .errors import LammpsFormatError, LammpsFormatWarning
from .frame import Frame
from .units import UnitStyle, unit_style

__all__ = [
    "Box",
    "Dump",
    "Frame",
    "LammpsData",
    "LammpsFormatError",
    "LammpsFormatWarning",
    "UnitStyle",
    "open_dump",
    "read_data",
    "unit_style",
]
