"""LAMMPS unit styles in OpenMM's units."""

from dataclasses import dataclass


@dataclass(frozen=True)
class UnitStyle:
    """What one unit of a LAMMPS style is in OpenMM's units.

    Attributes
    ----------
    name : str
    length : float
        nm.
    time : float
        ps.
    mass : float
        g/mol.
    charge : float
        Elementary charges.
    default_time_step : float
        LAMMPS' own default of ``timestep``, in the style's unit of time.
    """

    name: str
    length: float
    time: float
    mass: float
    charge: float
    default_time_step: float


_AVOGADRO = 6.02214076e23
_ELEMENTARY_CHARGE = 1.602176634e-19

STYLES = {
    style.name: style
    for style in (
        # sigma = 1 nm, m = 1 g/mol, epsilon = 1 kJ/mol, hence tau = 1 ps
        UnitStyle("lj", 1.0, 1.0, 1.0, 1.0, 0.005),
        UnitStyle("real", 0.1, 1e-3, 1.0, 1.0, 1.0),
        UnitStyle("metal", 0.1, 1.0, 1.0, 1.0, 0.001),
        UnitStyle("si", 1e9, 1e12, 1e3 * _AVOGADRO, 1 / _ELEMENTARY_CHARGE, 1e-8),
    )
}


def unit_style(name: str) -> UnitStyle:
    """Unit style by its LAMMPS name.

    Raises
    ------
    ValueError
        If it is not one that we convert; the message lists those that are.
    """
    if name not in STYLES:
        raise ValueError(f"unknown LAMMPS unit style {name!r}: expected one of {', '.join(STYLES)}")
    return STYLES[name]
