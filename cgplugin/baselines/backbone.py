"""Constitutional units of a chain, derived from its bond graph alone."""

from collections import Counter

import numpy as np

from cgplugin.errors import UserError
from cgplugin.observables.chains import chain_ends
from cgplugin.systems.molecular_system import MolecularSystem


def constitutional_units(system: MolecularSystem) -> list[str]:
    """Sequence of the units of a chain: every backbone atom with what hangs off it, as text.

    The backbone is the longest path along the bonds, which at the ends may run into a side group: so it is the longest
    path through atoms of types that occur in the middle half of that one.

    A unit is written as its backbone atom's type, then its side groups in brackets, sorted, each from its bond to the
    backbone outwards: ``B1(-S1(-S2))``. Equal units have equal text, wherever they are and however atoms are numbered. A
    chain has no direction; of its two readings the alphabetically smaller one is given.

    Parameters
    ----------
    system : MolecularSystem
        One molecule without rings.

    Raises
    ------
    UserError
        If it is something else.
    """
    if int(system.molecules.max()) > 0 or len(system.bonds) != system.n_atoms - 1:
        raise UserError(f"{system.name}: is not a single chain without rings: its units cannot be told from its bonds")
    neighbours: list[list[tuple[int, str]]] = [[] for _ in range(system.n_atoms)]
    for (i, j), kind in zip(system.bonds.tolist(), system.bond_types, strict=True):
        neighbours[i].append((j, kind))
        neighbours[j].append((i, kind))
    backbone = _backbone(system, neighbours)
    on_backbone = set(backbone)

    def written(atom: int, parent: int) -> str:
        groups = sorted(
            f"({_bond(kind)}{written(other, atom)})"
            for other, kind in neighbours[atom]
            if other != parent and other not in on_backbone
        )
        return system.atom_types[atom] + "".join(groups)

    units = [written(atom, -1) for atom in backbone]
    return min(units, units[::-1])


def unit_fractions(units: list[str]) -> dict[str, float]:
    """Share of every unit of a chain."""
    return {unit: count / len(units) for unit, count in sorted(Counter(units).items())}


def _bond(kind: str) -> str:
    # where a data file has one bond type without a name there is nothing to tell apart
    return "-" if kind in ("", "1") else f"-{kind}-"


def _path(neighbours: list[list[tuple[int, str]]], first: int, last: int) -> list[int]:
    """Atoms from the first to the last, in a graph without rings."""
    came_from = {first: -1}
    stack = [first]
    while stack:
        atom = stack.pop()
        for other, _ in neighbours[atom]:
            if other not in came_from:
                came_from[other] = atom
                stack.append(other)
    path = [last]
    while path[-1] != first:
        path.append(came_from[path[-1]])
    return path


def _backbone(system: MolecularSystem, neighbours: list[list[tuple[int, str]]]) -> list[int]:
    longest = _path(neighbours, *chain_ends(system.n_atoms, system.bonds))
    quarter = len(longest) // 4
    middle = longest[quarter : len(longest) - quarter]
    inner = {system.atom_types[atom] for atom in middle}
    allowed = np.array([name in inner for name in system.atom_types])
    bonds = system.bonds[allowed[system.bonds].all(axis=1)]
    ends = chain_ends(system.n_atoms, bonds)
    return _path(neighbours, *ends) if len(bonds) else middle
