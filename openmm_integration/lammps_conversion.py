"""Topologies of OpenMM out of LAMMPS data, and LAMMPS data out of those."""

import numpy as np
from numpy.typing import NDArray
from openmm import Vec3, app, unit

from cgplugin.errors import UserError
from cgplugin.systems.lammps_export import system_to_lammps
from cgplugin.systems.molecular_system import MolecularSystem
from cgplugin.systems.periodic import reduce_box_vectors
from cgplugin.units import Units
from lammps_reader import LammpsData
from lammps_reader.mdtraj_topology import ELEMENT_TOLERANCE, atom_names, masses_in_grams, molecule_numbers


def lammps_topology(data: LammpsData, style: str | None = None) -> app.Topology:
    """OpenMM topology of the atoms in the order of their ids, with bonds and box vectors (nm, reduced form).

    Atoms are named by their type labels, or else by the numbers of their types; their ``id`` is that of LAMMPS. Where the
    molecule number changes from one atom to the next, a new chain of one residue begins; atoms without molecule are a residue
    each. Atoms whose mass is that of an element are marked as such, beads and united atoms are not.

    Parameters
    ----------
    data : LammpsData
    style : str, optional
        Unit style of the data; by default what the file's title says.

    Raises
    ------
    ValueError
        If the unit style is unknown.
    """
    converted = data.to_openmm_units(style)
    elements = {kind: _element(mass) for kind, mass in masses_in_grams(data, style).items()}
    names = atom_names(data)
    topology = app.Topology()
    atoms = {}
    chain, residue, before = None, None, None
    for number, kind, molecule in zip(data.ids.tolist(), data.types.tolist(), molecule_numbers(data), strict=True):
        if chain is None or molecule != before:
            chain, residue, before = topology.addChain(), None, molecule
        if residue is None or not molecule:
            residue = topology.addResidue("MOL", chain, id=str(molecule))
        atoms[number] = topology.addAtom(names[kind], elements.get(kind), residue, id=str(number))
    for _, i, j in data.bonds.tolist():
        topology.addBond(atoms[i], atoms[j])
    box = reduce_box_vectors(converted.box.vectors)
    topology.setPeriodicBoxVectors(unit.Quantity([Vec3(*row) for row in box.tolist()], unit.nanometer))
    return topology


def topology_to_lammps(
    topology: app.Topology,
    positions: NDArray[np.float64],
    *,
    masses: NDArray[np.float64] | None = None,
    charges: NDArray[np.float64] | None = None,
    velocities: NDArray[np.float64] | None = None,
    units: Units = "openmm",
) -> LammpsData:
    """LAMMPS data of an OpenMM topology, without a force field; atoms of the same name and element are of one type.

    Parameters
    ----------
    topology : app.Topology
        With its box, if any.
    positions : array, shape (n_atoms, 3)
        nm.
    masses : array, shape (n_atoms,), optional
        g/mol; by default those of the elements.
    charges : array, shape (n_atoms,), optional
        Elementary charges.
    velocities : array, shape (n_atoms, 3), optional
        nm/ps.
    units : str
        ``openmm`` gives the unit style ``real``, ``lj`` reduced units.

    Raises
    ------
    UserError
        If an atom has neither element nor mass, or the arrays do not fit.
    """
    atoms = list(topology.atoms())
    if masses is None:
        if bare := next((atom for atom in atoms if atom.element is None), None):
            raise UserError(f"atom {bare.index} ({bare.name}) is of no element: give masses")
        masses = np.array([atom.element.mass.value_in_unit(unit.dalton) for atom in atoms])
    bonds = np.array([[bond[0].index, bond[1].index] for bond in topology.bonds()], dtype=np.int64).reshape(-1, 2)
    system = MolecularSystem(
        atom_types=tuple(atom.name for atom in atoms),
        masses=masses,
        bonds=bonds,
        bond_types=tuple("-".join(sorted((atoms[i].name, atoms[j].name))) for i, j in bonds.tolist()),
        charges=charges,
        units=units,
        name="topology",
    )
    vectors = topology.getPeriodicBoxVectors()
    box = None if vectors is None else np.array(vectors.value_in_unit(unit.nanometer))
    return system_to_lammps(system, positions, box_vectors=box, velocities=velocities)


def _element(mass: float) -> app.Element | None:
    nearest = app.Element.getByMass(mass)
    if nearest is None or abs(nearest.mass.value_in_unit(unit.dalton) - mass) > ELEMENT_TOLERANCE:
        return None
    return nearest
