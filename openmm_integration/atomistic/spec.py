"""What all-atom electrolytes to generate: a YAML or JSON file, checked once at the door."""

import os
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, get_args

from cgplugin.errors import UserError
from openmm_integration.ground_truth.spec_file import (
    check_integer,
    check_name,
    is_number,
    read_spec_file,
    spec_from_mapping,
)

from .chemistry import EndGroups
from .equilibration import Protocol
from .force_field import ION_CHARGE_SCALE


@dataclass(frozen=True)
class Composition:
    """What a box holds.

    Attributes
    ----------
    smiles : str
        Repeat unit with two ``*``, such as ``*CCO*``.
    n_units : int
        Repeat units per chain.
    n_chains : int
    n_salt : int
        LiTFSI pairs.
    end_groups : str
        ``alkyl`` or ``hydroxyl``; see `openmm_integration.atomistic.chemistry.build_chain`.
    residue : str
        Name of a repeat unit in PDB files, up to three letters or digits.
    name : str
        Of the system; by default its number.

    Raises
    ------
    UserError
        If an entry makes no sense; the message names it.
    """

    smiles: str
    n_units: int
    n_chains: int
    n_salt: int = 0
    end_groups: EndGroups = "alkyl"
    residue: str = "POL"
    name: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.smiles, str):
            raise UserError(f"smiles is {self.smiles!r}, expected a repeat unit such as '*CCO*' in quotes")
        for name, least in (("n_units", 1), ("n_chains", 1), ("n_salt", 0)):
            check_integer(name, getattr(self, name), least)
        if self.end_groups not in get_args(EndGroups):
            raise UserError(f"end_groups is {self.end_groups!r}, expected one of {', '.join(get_args(EndGroups))}")
        if not isinstance(self.residue, str) or not self.residue.isalnum() or len(self.residue) > 3:
            raise UserError(f"residue is {self.residue!r}, expected up to three letters or digits")
        check_name(self.name)


@dataclass(frozen=True)
class AtomisticSpec:
    """What to generate; times in ps, temperatures in K, pressures in bar, lengths in nm.

    Attributes
    ----------
    compositions : tuple of Composition
        A system each.
    temperature, pressure : float
    friction : float
        1/ps, of the Langevin dynamics.
    time_step : float
        Bonds of hydrogens are rigid.
    cutoff : float
        Of the Lennard-Jones interactions, and of the direct part of PME.
    ion_charge_scale : float
        Factor on the charges of the ions.
    packing_density : float
        g/cm^3, of the start structure.
    compression, annealing, density_run, annealing_temperature, compression_pressure : float
        See `openmm_integration.atomistic.equilibration.Protocol`.
    relaxation : float
        Time at the average density before the first frame.
    length : float
        Recorded time.
    recording_interval : float
    seed : int
    name : str
        Prefix of the names of systems that have none.

    Raises
    ------
    UserError
        If an entry makes no sense; the message names it.
    """

    compositions: tuple[Composition, ...] = ()
    temperature: float = 353.0
    pressure: float = 1.0
    friction: float = 1.0
    time_step: float = 0.002
    cutoff: float = 1.0
    ion_charge_scale: float = ION_CHARGE_SCALE
    packing_density: float = 0.2
    compression: float = 50.0
    annealing: float = 500.0
    density_run: float = 500.0
    annealing_temperature: float = 600.0
    compression_pressure: float = 1000.0
    relaxation: float = 500.0
    length: float = 2000.0
    recording_interval: float = 2.0
    seed: int = 0
    name: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.compositions, list | tuple) or not self.compositions:
            raise UserError(f"compositions is {self.compositions!r}, expected a list with an entry per system")
        given = [_composition(number, entry) for number, entry in enumerate(self.compositions)]
        object.__setattr__(self, "compositions", tuple(given))
        for name in ("temperature", "friction", "time_step", "cutoff", "packing_density", "annealing_temperature"):
            _check_number(self, name, positive=True)
        for name in ("length", "recording_interval", "ion_charge_scale"):
            _check_number(self, name, positive=True)
        for name in ("pressure", "compression", "annealing", "density_run", "compression_pressure", "relaxation"):
            _check_number(self, name, positive=False)
        if self.ion_charge_scale > 1:
            raise UserError(f"ion_charge_scale is {self.ion_charge_scale!r}, expected at most 1")
        check_integer("seed", self.seed, 0)
        check_name(self.name)
        if abs((self.n_frames - 1) * self.recording_interval - self.length) > 1e-6 * self.length:
            raise UserError(
                f"the length of {self.length:g} is no multiple of the recording interval of {self.recording_interval:g}"
            )
        if len(set(self.names)) < len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise UserError(f"two compositions are called {twice!r}: names are folders and must differ")

    @property
    def n_systems(self) -> int:
        """Number of systems."""
        return len(self.compositions)

    @property
    def n_frames(self) -> int:
        """Recorded frames, the first after the relaxation."""
        return round(self.length / self.recording_interval) + 1

    @property
    def names(self) -> list[str]:
        """Name of every system: its folder."""
        return [item.name or f"{self.name}{number:04d}" for number, item in enumerate(self.compositions)]

    @property
    def protocol(self) -> Protocol:
        """The equilibration."""
        return Protocol(**{item.name: getattr(self, item.name) for item in fields(Protocol)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "AtomisticSpec":
        """Read a YAML or JSON file.

        Raises
        ------
        UserError
            If the file cannot be read, or has an entry that is unknown or makes no sense.
        """
        _, content = read_spec_file(path)
        return spec_from_mapping(cls, content, Path(path))


def _composition(number: int, entry: Any) -> Composition:
    if isinstance(entry, Composition):
        return entry
    known = {item.name: item.default is MISSING for item in fields(Composition)}
    if not isinstance(entry, dict):
        raise UserError(f"composition {number} is {entry!r}, expected a mapping with {', '.join(known)}")
    for key in entry:
        if key not in known:
            raise UserError(f"composition {number}: unknown entry {key!r}, the entries are {', '.join(sorted(known))}")
    for key, needed in known.items():
        if needed and key not in entry:
            raise UserError(f"composition {number}: the entry {key!r} is missing")
    try:
        return Composition(**entry)
    except UserError as error:
        raise UserError(f"composition {number}: {error}") from error


def _check_number(owner: object, name: str, *, positive: bool) -> None:
    value = getattr(owner, name)
    if not is_number(value) or value < 0 or (positive and value == 0):
        raise UserError(f"{name} is {value!r}, expected a {'positive number' if positive else 'number of at least 0'}")
