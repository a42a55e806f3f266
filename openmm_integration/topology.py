"""Topologies of fine systems, and PDB files with bonds."""

import os

import numpy as np
from numpy.typing import NDArray
from openmm import Vec3, app, unit

from cgplugin.errors import UserError, one_line
from cgplugin.files import replacing
from cgplugin.systems.molecular_system import MolecularSystem

SHIFT_BEYOND = 900.0
"""Coordinates in nm that are near the end of a PDB file's eight columns."""


def to_openmm_topology(system: MolecularSystem, box_vectors: NDArray[np.float64] | None = None) -> app.Topology:
    """OpenMM topology of a fine system, with all bonds.

    A chain per molecule and a residue per atom, both named by the atom's type: PDB readers want the names of the atoms of a
    residue to differ.

    All atoms are marked as carbon. They are beads and no element at all; but where the mark is missing, readers guess from
    the name (B1: boron, S1: sulfur), and mdtraj, MDAnalysis and VMD then weigh equal beads by 10.8 and 32. The masses proper
    are in ``system.json``.
    """
    topology = app.Topology()
    atoms = []
    chain, owner = None, -1
    for number, (molecule, name) in enumerate(zip(system.molecules.tolist(), system.atom_types, strict=True)):
        if chain is None or molecule != owner:
            chain, owner = topology.addChain(), molecule
        residue = topology.addResidue(name[:3], chain, id=str(number % 9999 + 1))
        atoms.append(topology.addAtom(name[:4], app.element.carbon, residue))
    for i, j in system.bonds.tolist():
        topology.addBond(atoms[i], atoms[j])
    if box_vectors is not None:
        topology.setPeriodicBoxVectors(unit.Quantity([Vec3(*row) for row in box_vectors.tolist()], unit.nanometer))
    return topology


def write_pdb(path: str | os.PathLike[str], topology: app.Topology, positions: NDArray[np.float64]) -> None:
    """Write a PDB file with CONECT records, whole or not at all.

    Above 99,999 atoms the format is bent in ways that few programs follow: OpenMM and mdtraj read the atoms, OpenMM alone
    the bonds.

    Parameters
    ----------
    path : path
    topology : app.Topology
        Its box, if any, is written too.
    positions : array, shape (n_atoms, 3)
        nm; shifted as a whole if they are too far from the origin for the format.

    Raises
    ------
    UserError
        If the file cannot be written, or the positions are not finite or too far apart for the format.
    """
    if len(bad := np.flatnonzero(~np.isfinite(positions).all(axis=1))):
        raise UserError(f"{path}: these positions do not fit a PDB file (that of atom {bad[0]} is not finite)")
    if np.abs(positions).max() > SHIFT_BEYOND:
        positions = positions - positions.mean(axis=0)
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        try:
            app.PDBFile.writeFile(topology, unit.Quantity(positions, unit.nanometer), file, keepIds=True)
        except ValueError as error:
            raise UserError(f"{path}: these positions do not fit a PDB file ({one_line(error)})") from error
