"""Folders with a trajectory, as ``cgplugin simulate`` and ``cgplugin generate`` write them."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
from numpy.typing import NDArray

from cgplugin.errors import UserError, one_line
from cgplugin.files import read_json
from cgplugin.systems.molecular_system import MolecularSystem
from cgplugin.systems.species import ParticleSpecies
from cgplugin.systems.trajectory_files import MdtrajTrajectory
from cgplugin.units import Units

TOPOLOGY, TRAJECTORY = "topology.pdb", "trajectory.dcd"


@dataclass(frozen=True)
class TrajectoryFolder:
    """A trajectory with what is needed to analyse it.

    Attributes
    ----------
    path : Path
    name : str
    units : str
    topology : mdtraj.Topology
    masses : array, shape (n_atoms,)
        g/mol.
    trajectory : MdtrajTrajectory
    first_time : float
        Time of the first frame, ps.
    particles : ParticleSpecies or None
        Species of atoms or beads, where something beside the trajectory says them.
    properties : dict
        Columns of ``properties.csv``, where there is one.
    """

    path: Path
    name: str
    units: Units
    topology: mdtraj.Topology = field(repr=False)
    masses: NDArray[np.float64] = field(repr=False)
    trajectory: MdtrajTrajectory = field(repr=False)
    first_time: float
    particles: ParticleSpecies | None = field(repr=False)
    properties: dict[str, NDArray[np.float64]] = field(repr=False)

    @property
    def bonds(self) -> NDArray[np.int64]:
        """Bonded pairs of the topology, shape (n_bonds, 2)."""
        return np.array([(a.index, b.index) for a, b in self.topology.bonds], dtype=np.int64).reshape(-1, 2)


def find_folders(directory: str | os.PathLike[str], interval: float | None = None) -> list[TrajectoryFolder]:
    """Find the trajectories below a directory, in the order of their paths.

    Parameters
    ----------
    directory : path
    interval : float, optional
        Time between frames in ps, for folders that have neither ``summary.json`` nor ``system.json``.

    Raises
    ------
    UserError
        If there are none, or one cannot be read.
    """
    if not Path(directory).is_dir():
        raise UserError(f"{directory}: no such folder")
    found = [
        Path(root)
        for root, _, files in os.walk(directory)
        if TRAJECTORY in files and not Path(root).name.startswith(".")
    ]
    if not found:
        raise UserError(f"{directory}: holds no {TRAJECTORY}: expected what 'cgplugin simulate' or 'generate' wrote")
    return [_open(folder, Path(directory), interval) for folder in sorted(found)]


def _open(folder: Path, base: Path, interval: float | None) -> TrajectoryFolder:
    topology = _read_topology(folder / TOPOLOGY)
    name = str(folder.relative_to(base)) if folder != base else folder.resolve().name
    masses, first_time, units, particles = np.ones(topology.n_atoms), 0.0, "openmm", None
    if (folder / "mapping.json").is_file():
        mapping = read_json(folder / "mapping.json")
        masses = np.array(mapping["masses"], dtype=np.float64)
        units = mapping.get("units", units)
        interval = interval if interval is not None else mapping.get("recording_interval")
        if (folder / "summary.json").is_file():
            summary = read_json(folder / "summary.json")
            interval = summary["time_step"] * summary["report_interval"]
            first_time, units = interval, summary["units"]
        particles = _species_in(folder / "mapping.json", mapping, masses)
    elif (folder / "system.json").is_file():
        system = MolecularSystem.load(folder / "system.json")
        masses, units = system.masses, system.units
        particles = ParticleSpecies.of_atoms(system)
        interval = interval if interval is not None else system.recording_interval
    if interval is None:
        raise UserError(f"{folder}: nothing says the time between frames: give --interval")
    if len(masses) != topology.n_atoms:
        raise UserError(
            f"{folder / TOPOLOGY}: has {topology.n_atoms} atoms, but there are {len(masses)} masses beside it"
        )
    return TrajectoryFolder(
        folder,
        name,
        units,  # type: ignore[arg-type]
        topology,
        masses,
        MdtrajTrajectory(folder / TRAJECTORY, topology.n_atoms, interval),
        first_time,
        particles,
        _read_properties(folder / "properties.csv"),
    )


def _species_in(path: Path, mapping: dict[str, Any], masses: NDArray[np.float64]) -> ParticleSpecies | None:
    """Species of beads; None where the mapping was written before it said them."""
    if "species" not in mapping:
        return None
    names, molecules, charges = mapping["species"], mapping.get("molecules"), mapping.get("charges")
    for key, values, kind in (
        ("species", names, str),
        ("molecules", molecules, int),
        ("charges", charges, int | float),
    ):
        optional = key == "charges" and values is None
        if not optional and not (
            isinstance(values, list) and len(values) == len(masses) and all(isinstance(value, kind) for value in values)
        ):
            raise UserError(f"{path}: '{key}' does not have an entry for each of the {len(masses)} beads")
    return ParticleSpecies(
        tuple(names),
        np.unique(np.array(molecules), return_inverse=True)[1].astype(np.int64),
        masses,
        None if charges is None else np.array(charges, dtype=np.float64),
    )


def _read_topology(path: Path) -> mdtraj.Topology:
    try:
        return mdtraj.load_pdb(str(path), no_boxchk=True, standard_names=False).topology
    except FileNotFoundError:
        raise UserError(f"{path}: no such file: a DCD file needs its topology beside it") from None
    except (OSError, ValueError, RuntimeError, TypeError, IndexError, KeyError) as error:
        raise UserError(f"{path}: cannot be read ({one_line(error)})") from error


def _read_properties(path: Path) -> dict[str, NDArray[np.float64]]:
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    names = lines[0].split(",") if lines else []
    if not names or names[0] != "time":
        raise UserError(f"{path}:1: expected a header that starts with 'time'")
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        words = line.split(",")
        try:
            row = [float(word) for word in words]
        except ValueError:
            raise UserError(f"{path}:{number}: not a row of numbers") from None
        if len(row) != len(names) or not np.isfinite(row).all():
            raise UserError(f"{path}:{number}: expected {len(names)} finite numbers")
        rows.append(row)
    if not rows:
        raise UserError(f"{path}: has no rows")
    return dict(zip(names, np.array(rows).T, strict=True))
