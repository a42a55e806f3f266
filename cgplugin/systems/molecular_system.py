"""The fine system: atoms, their types and masses, and the bonds between them."""

import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from cgplugin.errors import UserError
from cgplugin.files import check_file_name, read_json, write_json
from cgplugin.units import Units, check_units

FORMAT = "cgplugin system"
VERSION = 1


@dataclass(frozen=True)
class MolecularSystem:
    """Everything about a system that does not move.

    Atoms and bonds are counted from 0. The same class serves atomistic systems and bead-spring models; an "atom" is a
    particle of the fine system.

    Attributes
    ----------
    atom_types : tuple of str, length n_atoms
        Name of each atom's type.
    masses : array, shape (n_atoms,)
        g/mol.
    bonds : array of int, shape (n_bonds, 2)
        Pairs of atoms, the smaller index first, sorted.
    bond_types : tuple of str, length n_bonds
        Name of each bond's type, in the order of ``bonds``.
    charges : array, shape (n_atoms,), or None
        Elementary charges.
    units : str
        ``lj`` or ``openmm``; see `cgplugin.units`.
    name : str
        For messages and folders.
    force_field : dict or None
        Description of the force field that can simulate this system, as in the ``forcefield.json`` of the generator.
    recording_interval : float or None
        Time in ps between the frames of the trajectory that was recorded with the system, where there is one. It is kept
        here because trajectory files do not say it reliably (the time in a DCD header ignores the report interval).
    unwrapped : bool
        Whether the positions of that trajectory are unwrapped, which trajectory files do not say either. Where they are not,
        molecules are made whole and followed by minimum images, which fast ones in a small box may outrun.
    provenance : dict
        Where the system comes from: generator, seeds, versions.

    Raises
    ------
    UserError
        If the arrays do not fit together: the message names the atom or the bond.
    """

    atom_types: tuple[str, ...]
    masses: NDArray[np.float64]
    bonds: NDArray[np.int64]
    bond_types: tuple[str, ...]
    charges: NDArray[np.float64] | None = None
    units: Units = "openmm"
    name: str = "system"
    force_field: dict[str, Any] | None = field(default=None, repr=False)
    recording_interval: float | None = None
    unwrapped: bool = False
    provenance: dict[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        def put(attribute: str, value: object) -> None:
            object.__setattr__(self, attribute, value)

        put("atom_types", tuple(str(name) for name in self.atom_types))
        put("bond_types", tuple(str(name) for name in self.bond_types))
        put("units", check_units(self.units))
        put("masses", _read_only(self.masses, np.float64))
        put("bonds", _read_only(np.asarray(self.bonds, dtype=np.int64).reshape(-1, 2), np.int64))
        if self.charges is not None:
            put("charges", _read_only(self.charges, np.float64))
        self._check()
        order = np.lexsort(np.sort(self.bonds, axis=1).T[::-1])
        put("bonds", _read_only(np.sort(self.bonds, axis=1)[order], np.int64))
        put("bond_types", tuple(self.bond_types[i] for i in order))

    def _check(self) -> None:
        n_atoms, bonds = self.n_atoms, self.bonds
        if n_atoms == 0:
            raise UserError(f"{self.name}: has no atoms")
        for what in ("masses", "charges"):
            values = getattr(self, what)
            if values is not None and values.shape != (n_atoms,):
                raise UserError(f"{self.name}: {len(values)} {what} for {n_atoms} atoms")
        if len(self.bond_types) != len(bonds):
            raise UserError(f"{self.name}: {len(self.bond_types)} bond types for {len(bonds)} bonds")
        if len(bad := np.flatnonzero(~(self.masses > 0) | ~np.isfinite(self.masses))):
            raise UserError(
                f"{self.name}: atom {bad[0]} ({self.atom_types[bad[0]]}) has mass {self.masses[bad[0]]}, expected a positive mass"
            )
        if len(bad := np.flatnonzero(((bonds < 0) | (bonds >= n_atoms)).any(axis=1))):
            i, j = bonds[bad[0]]
            raise UserError(f"{self.name}: bond {bad[0]} joins atoms {i} and {j}, but the atoms are 0 to {n_atoms - 1}")
        if len(bad := np.flatnonzero(bonds[:, 0] == bonds[:, 1])):
            raise UserError(f"{self.name}: bond {bad[0]} joins atom {bonds[bad[0], 0]} to itself")
        if len(bonds):
            _, first, counts = np.unique(np.sort(bonds, axis=1), axis=0, return_index=True, return_counts=True)
            if len(bad := first[counts > 1]):
                i, j = bonds[bad[0]]
                raise UserError(f"{self.name}: the bond between atoms {i} and {j} is listed twice")

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.atom_types)

    @cached_property
    def molecules(self) -> NDArray[np.int64]:
        """Molecule of each atom, shape (n_atoms,): connected components of the bonds, in the order of first atoms."""
        i, j = self.bonds.T
        graph = coo_matrix((np.ones(len(i), dtype=np.int8), (i, j)), shape=(self.n_atoms, self.n_atoms))
        _, labels = connected_components(graph, directed=False)
        _, first = np.unique(labels, return_index=True)
        rank = np.empty_like(first)
        rank[np.argsort(first)] = np.arange(len(first))
        return rank[labels].astype(np.int64)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write ``system.json``, whole or not at all."""
        write_json(
            path,
            {
                "format": FORMAT,
                "version": VERSION,
                "name": self.name,
                "units": self.units,
                "atom_types": list(self.atom_types),
                "masses": self.masses.tolist(),
                "charges": None if self.charges is None else self.charges.tolist(),
                "bonds": self.bonds.tolist(),
                "bond_types": list(self.bond_types),
                "recording_interval": self.recording_interval,
                "unwrapped": self.unwrapped,
                "force_field": self.force_field,
                "provenance": self.provenance,
            },
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "MolecularSystem":
        """Read ``system.json``.

        Raises
        ------
        UserError
            If the file is not one, is of a newer version, or its content does not fit together.
        """
        content = read_json(path)
        if content.get("format") != FORMAT:
            raise UserError(f"{path}: not a {FORMAT} file (its 'format' is {content.get('format')!r})")
        if content.get("version") != VERSION:
            raise UserError(
                f"{path}: version {content.get('version')!r}, this cgplugin reads version {VERSION}; update cgplugin"
            )
        # runs are written to folders of this name
        name = content.get("name", "system")
        check_file_name(name, path)
        try:
            return cls(
                atom_types=tuple(content["atom_types"]),
                masses=content["masses"],
                bonds=content["bonds"],
                bond_types=tuple(content["bond_types"]),
                charges=content.get("charges"),
                units=content["units"],
                name=name,
                force_field=content.get("force_field"),
                recording_interval=content.get("recording_interval"),
                unwrapped=_flag(content.get("unwrapped", False)),
                provenance=content.get("provenance") or {},
            )
        except KeyError as error:
            raise UserError(f"{path}: the entry {error} is missing") from error
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        except (TypeError, ValueError) as error:
            raise UserError(f"{path}: an entry has the wrong form ({' '.join(str(error).split())})") from error


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise UserError(f"unwrapped is {value!r}, expected true or false")
    return value


def _read_only(values: ArrayLike, dtype: type) -> NDArray[Any]:
    array: NDArray[Any] = np.array(values, dtype=dtype)
    array.setflags(write=False)
    return array
