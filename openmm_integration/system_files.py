"""Systems and trajectories of one's own OpenMM simulations, as files that training and simulation read."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import openmm
from openmm import app, unit

from cgplugin.errors import UserError
from cgplugin.files import write_text
from cgplugin.systems.force_field import Dynamics
from cgplugin.systems.molecular_system import MolecularSystem

from .topology import write_pdb


def save_system(
    directory: str | os.PathLike[str],
    topology: app.Topology,
    system: openmm.System,
    positions: Any,
    *,
    recording_interval: float,
    temperature: float,
    friction: float,
    time_step: float,
    atom_types: list[str] | None = None,
    name: str | None = None,
    unwrapped: bool = False,
) -> MolecularSystem:
    """Describe an OpenMM simulation, so that its trajectory can be trained on and new runs can be started.

    Writes ``topology.pdb``, ``system.json`` (types, masses, bonds, charges) and ``system.xml`` (the OpenMM System, for the short
    MD that starts a learned simulation). Record the trajectory as ``trajectory.dcd`` in the same folder, for example with
    ``app.DCDReporter``; unwrapped (``enforcePeriodicBox=False``) is best in a periodic box.

    Parameters
    ----------
    directory : path
        A folder per system.
    topology : app.Topology
        Its bonds decide what a molecule is.
    system : openmm.System
    positions : Quantity or array, shape (n_atoms, 3)
        nm.
    recording_interval : float
        Time between the frames of the trajectory, ps.
    temperature, friction, time_step : float
        K, 1/ps and ps: the Langevin dynamics that the trajectory was recorded with.
    atom_types : list of str, optional
        A name per atom; by default the name of its element, or of the atom where it has no element. Atoms of one type are
        the same to the model at the start, and told apart by what they are bonded to.
    name : str, optional
        By default the folder's name.
    unwrapped : bool
        Whether the trajectory is recorded with ``enforcePeriodicBox=False``: paths are then taken as they are. Otherwise
        they are followed by minimum images, and nothing may move by half the box between two frames.

    Returns
    -------
    MolecularSystem

    Raises
    ------
    UserError
        If topology and System do not fit together.
    """
    folder = Path(directory)
    atoms = list(topology.atoms())
    if len(atoms) != system.getNumParticles():
        raise UserError(f"{folder}: the topology has {len(atoms)} atoms, but the System {system.getNumParticles()}")
    types = atom_types or [atom.element.symbol if atom.element is not None else atom.name for atom in atoms]
    described = MolecularSystem(
        atom_types=tuple(types),
        masses=np.array([system.getParticleMass(i).value_in_unit(unit.dalton) for i in range(len(atoms))]),
        bonds=np.array([(bond[0].index, bond[1].index) for bond in topology.bonds()], dtype=np.int64).reshape(-1, 2),
        bond_types=tuple(str(bond.type or "bond") for bond in topology.bonds()),
        charges=_charges(system),
        units="openmm",
        name=name or folder.resolve().name,
        recording_interval=recording_interval,
        unwrapped=unwrapped,
        provenance={"dynamics": asdict(Dynamics(temperature, friction, time_step))},
    )
    if unit.is_quantity(positions):
        positions = positions.value_in_unit(unit.nanometer)
    write_pdb(folder / "topology.pdb", topology, np.array([tuple(row) for row in positions], dtype=np.float64))
    write_text(folder / "system.xml", openmm.XmlSerializer.serialize(system))
    described.save(folder / "system.json")
    return described


def _charges(system: openmm.System) -> np.ndarray | None:
    for force in system.getForces():
        if isinstance(force, openmm.NonbondedForce):
            return np.array(
                [
                    force.getParticleParameters(i)[0].value_in_unit(unit.elementary_charge)
                    for i in range(system.getNumParticles())
                ]
            )
    return None
