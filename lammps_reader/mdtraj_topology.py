"""Topologies of mdtraj."""

import importlib
from typing import Any

from .lammps_data import LammpsData

ELEMENT_TOLERANCE = 0.015
"""Difference in g/mol up to which a mass is taken to be that of an element: CH2 (14.027) is not nitrogen (14.007)."""


def to_mdtraj_topology(data: LammpsData, style: str | None = None) -> Any:
    """An ``mdtraj.Topology`` of the atoms in the order of their ids, with their bonds.

    Atoms are named by their type labels, or else by the numbers of their types; ``serial`` is the id. Where the molecule number
    changes from one atom to the next, a new chain of one residue begins; atoms without molecule are a residue each. Atoms whose
    mass is that of an element are marked as such; beads and united atoms as virtual sites.

    Parameters
    ----------
    data : LammpsData
    style : str, optional
        Unit style, which masses are in; by default what the file's title says. Without, and in ``lj``, there are no elements.

    Raises
    ------
    ImportError
        If mdtraj is missing; says how to install it.
    ValueError
        If the unit style is unknown.
    """
    try:
        mdtraj = importlib.import_module("mdtraj")
    except ImportError as error:
        raise ImportError("topologies of mdtraj need the package mdtraj: pip install mdtraj") from error
    topology = mdtraj.Topology()
    elements = {}
    for kind, mass in masses_in_grams(data, style).items():
        nearest = mdtraj.element.Element.getByMass(mass)
        if nearest is not None and abs(nearest.mass - mass) <= ELEMENT_TOLERANCE:
            elements[kind] = nearest
    names = atom_names(data)
    atoms = []
    residue, before = None, None
    for number, kind, molecule in zip(data.ids.tolist(), data.types.tolist(), molecule_numbers(data), strict=True):
        if residue is None or molecule != before or not molecule:
            chain = residue.chain if residue is not None and molecule == before else topology.add_chain()
            residue, before = topology.add_residue("MOL", chain, resSeq=molecule), molecule
        atoms.append(topology.add_atom(names[kind], elements.get(kind, mdtraj.element.virtual), residue, serial=number))
    place = dict(zip(data.ids.tolist(), atoms, strict=True))
    for _, i, j in data.bonds.tolist():
        topology.add_bond(place[i], place[j])
    return topology


def atom_names(data: LammpsData) -> dict[int, str]:
    """Name of each atom type: its label, or its number."""
    labels = data.type_labels.get("atom", {})
    return {number: labels.get(number, str(number)) for number in set(data.types.tolist())}


def molecule_numbers(data: LammpsData) -> list[int]:
    """Molecule of each atom; 0 where there is none."""
    return [0] * data.n_atoms if data.molecules is None else [int(number) for number in data.molecules]


def masses_in_grams(data: LammpsData, style: str | None) -> dict[int, float]:
    """Masses in g/mol by type, if the unit style says how; none of those in reduced units, which are of no element."""
    style = style or data.units
    return {} if style in (None, "lj") else data.to_openmm_units(style).masses
