"""Reads what LAMMPS writes: data files, dumps and logs; writes data files. Needs numpy only."""

from .box import Box
from .data import LammpsData, read_data
from .dump import Dump, open_dump
from .errors import LammpsFormatError, LammpsFormatWarning
from .frame import Frame
from .log import ThermoRun, read_log
from .mdtraj_topology import to_mdtraj_topology
from .units import UnitStyle, unit_style
from .write_data import write_data

__all__ = [
    "Box",
    "Dump",
    "Frame",
    "LammpsData",
    "LammpsFormatError",
    "LammpsFormatWarning",
    "ThermoRun",
    "UnitStyle",
    "open_dump",
    "read_data",
    "read_log",
    "to_mdtraj_topology",
    "unit_style",
    "write_data",
]
