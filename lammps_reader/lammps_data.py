"""What data files hold."""

from dataclasses import dataclass, field, fields, replace

import numpy as np
from numpy.typing import NDArray

from .box import Box
from .units import unit_style

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

ATOM_STYLES: dict[str, tuple[str, ...]] = {
    "atomic": ("id", "type"),
    "bond": ("id", "molecule", "type"),
    "angle": ("id", "molecule", "type"),
    "molecular": ("id", "molecule", "type"),
    "charge": ("id", "type", "charge"),
    "full": ("id", "molecule", "type", "charge"),
}
"""Columns before x y z, per atom style."""

STYLE_TOPOLOGY: dict[str, tuple[str, ...]] = {
    "atomic": (),
    "charge": (),
    "bond": ("bond",),
    "angle": ("bond", "angle"),
    "molecular": ("bond", "angle", "dihedral", "improper"),
    "full": ("bond", "angle", "dihedral", "improper"),
}
"""Kinds of topology that LAMMPS reads, per atom style."""


@dataclass(frozen=True, eq=False)
class LammpsData:
    """Content of a data file in its own units; atoms sorted by id.

    Two are equal if all that they hold is, to the last bit.

    Attributes
    ----------
    ids, types : array of int, shape (n_atoms,)
    molecules : array of int, shape (n_atoms,), or None
    charges : array, shape (n_atoms,), or None
        None where the atom style has none.
    positions : array, shape (n_atoms, 3)
        Unwrapped with the image flags.
    images : array of int, shape (n_atoms, 3)
    velocities : array, shape (n_atoms, 3), or None
    masses : dict
        Type to mass; empty where the file has no section Masses.
    bonds, angles, dihedrals, impropers : array of int, shape (n, 1 + 2, 3 or 4)
        Rows of type and atom ids.
    box : Box
    atom_style : str
    units : str or None
        Unit style, where the title says it (as LAMMPS' and our ``write_data`` do).
    type_labels : dict
        ``atom``, ``bond``, ... to a dict of type to label.
    coefficients : dict
        Name of a coefficient section to its lines.
    coefficient_styles : dict
        Name of a coefficient section to the style in its comment (``Bond Coeffs # harmonic``), where there is one.
    n_types : dict
        ``atom``, ``bond``, ... to the number of types that the header says; there may be types that nothing uses.
    """

    ids: IntArray = field(repr=False)
    types: IntArray = field(repr=False)
    molecules: IntArray | None = field(repr=False)
    charges: FloatArray | None = field(repr=False)
    positions: FloatArray = field(repr=False)
    images: IntArray = field(repr=False)
    velocities: FloatArray | None = field(repr=False)
    masses: dict[int, float]
    bonds: IntArray = field(repr=False)
    angles: IntArray = field(repr=False)
    dihedrals: IntArray = field(repr=False)
    impropers: IntArray = field(repr=False)
    box: Box
    atom_style: str
    units: str | None
    type_labels: dict[str, dict[int, str]] = field(repr=False, default_factory=dict)
    coefficients: dict[str, list[str]] = field(repr=False, default_factory=dict)
    coefficient_styles: dict[str, str] = field(repr=False, default_factory=dict)
    n_types: dict[str, int] = field(repr=False, default_factory=dict)

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LammpsData):
            return NotImplemented
        return all(_equal(getattr(self, each.name), getattr(other, each.name)) for each in fields(self))

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.ids)

    def to_openmm_units(self, style: str | None = None) -> "LammpsData":
        """The same in nm, ps, g/mol and elementary charges, OpenMM's units.

        Coefficients are left out: their units depend on their style. Nothing says the unit style of the result.

        Parameters
        ----------
        style : str, optional
            Unit style of this data, ``lj``, ``real``, ``metal`` or ``si``; by default that which the file's title says.

        Raises
        ------
        ValueError
            If the unit style is unknown, or another than the title says.
        """
        if style is None and self.units is None:
            raise ValueError("nothing says the LAMMPS unit style: give style (lj, real, metal or si)")
        if style is not None and self.units is not None and style != self.units:
            raise ValueError(f"the file says that its unit style is {self.units}, not {style}")
        unit = unit_style(style or self.units or "")
        box = replace(
            self.box, lo=self.box.lo * unit.length, hi=self.box.hi * unit.length, tilt=self.box.tilt * unit.length
        )
        return replace(
            self,
            positions=self.positions * unit.length,
            velocities=None if self.velocities is None else self.velocities * (unit.length / unit.time),
            charges=None if self.charges is None else self.charges * unit.charge,
            masses={number: mass * unit.mass for number, mass in self.masses.items()},
            box=box,
            units=None,
            coefficients={},
            coefficient_styles={},
        )


def _equal(mine: object, other: object) -> bool:
    if isinstance(mine, Box) and isinstance(other, Box):
        return mine.periodic == other.periodic and all(
            np.array_equal(getattr(mine, name), getattr(other, name)) for name in ("lo", "hi", "tilt")
        )
    if isinstance(mine, np.ndarray) and isinstance(other, np.ndarray):
        return np.array_equal(mine, other)
    return type(mine) is type(other) and mine == other
