"""Names of units, and times with a unit as a user types them.

Inside, everything is in OpenMM's units: nm, ps, g/mol, kJ/mol, K, elementary charges. Reduced Lennard-Jones units map
onto them one to one (sigma = 1 nm, epsilon = 1 kJ/mol, m = 1 g/mol, hence tau = 1 ps exactly), so that only the names
shown to the user differ.
"""

import math
import re
from typing import Literal, get_args

from .errors import UserError

Units = Literal["lj", "openmm"]
"""``lj``: reduced units (sigma, tau); ``openmm``: nm and ps."""

BOLTZMANN = 0.00831446261815324
"""Boltzmann constant in kJ/mol/K; T* = 1 of reduced units is ``1 / BOLTZMANN`` = 120.272 K."""

_PICOSECONDS = {"fs": 1e-3, "ps": 1.0, "ns": 1e3, "us": 1e6, "ms": 1e9}


def check_units(value: str) -> Units:
    """Return ``value`` if it names a unit system that we know."""
    if value not in get_args(Units):
        raise UserError(f"unknown units {value!r}: expected one of {', '.join(get_args(Units))}")
    return value  # type: ignore[return-value]


def length_unit(units: Units) -> str:
    """Name of the unit of length."""
    return "sigma" if units == "lj" else "nm"


def time_unit(units: Units) -> str:
    """Name of the unit of time."""
    return "tau" if units == "lj" else "ps"


def parse_time(text: str, units: Units) -> float:
    """Time in ps (tau for reduced units) from ``"250"``, ``"250tau"`` or ``"1.5 ns"``.

    A bare number is in the unit of the data: tau for reduced units, ps otherwise.

    Raises
    ------
    UserError
        If it is no positive time, or has a unit that the data's units cannot be converted to.
    """
    match = re.fullmatch(r"\s*([0-9.eE+-]+)\s*([A-Za-z]*)\s*", text)
    try:
        value = float(match[1]) if match else math.nan
    except ValueError:
        value = math.nan
    if not match or not 0 < value < math.inf:
        raise UserError(f"{text!r} is not a positive time, for example 250{time_unit(units)}")
    suffix = match[2]
    if units == "lj":
        if suffix not in ("", "tau"):
            raise UserError(f"time {text!r}: the model is in reduced units, give a number of tau")
        return value
    if suffix and suffix not in _PICOSECONDS:
        raise UserError(f"time {text!r}: unknown unit {suffix!r}, expected one of {', '.join(_PICOSECONDS)}")
    return value * _PICOSECONDS.get(suffix, 1.0)
