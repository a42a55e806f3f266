"""Names of atom and bond types that a model knows, as integers."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from cgplugin.errors import UserError
from cgplugin.systems.molecular_system import MolecularSystem

from .coarsening import CoarseGraining


@dataclass(frozen=True)
class Vocabulary:
    """Atom and bond types in the order of the model's embeddings."""

    atom_types: tuple[str, ...]
    bond_types: tuple[str, ...]

    @classmethod
    def of(cls, systems: Iterable[MolecularSystem]) -> "Vocabulary":
        """Collect the types of the training systems, sorted by name."""
        atoms: set[str] = set()
        bonds: set[str] = set()
        for system in systems:
            atoms.update(system.atom_types)
            bonds.update(system.bond_types)
        return cls(tuple(sorted(atoms)), tuple(sorted(bonds)))

    def check(self, system: MolecularSystem) -> None:
        """Raise a `UserError` that names the first atom or bond of a type that the model never saw."""
        for atom, name in enumerate(system.atom_types):
            if name not in self.atom_types:
                raise UserError(
                    f"{system.name}: atom {atom} has type {name!r}, which the model never saw; it knows "
                    f"{', '.join(self.atom_types)}"
                )
        for (i, j), name in zip(system.bonds.tolist(), system.bond_types, strict=True):
            if name not in self.bond_types:
                raise UserError(
                    f"{system.name}: the bond between atoms {i} and {j} has type {name!r}, which the model never saw; "
                    f"it knows {', '.join(self.bond_types) or 'none'}"
                )


class FineGraph(NamedTuple):
    """Input of the Embedding GNN: one system, or several as one graph.

    Attributes
    ----------
    atom_types, atom_masses, mapping : Tensor, shape (n_atoms,)
    bonds : Tensor, shape (2, n_bonds)
    bond_types : Tensor, shape (n_bonds,)
    n_beads : int
    """

    atom_types: Tensor
    atom_masses: Tensor
    bonds: Tensor
    bond_types: Tensor
    mapping: Tensor
    n_beads: int


def fine_graph(cg: CoarseGraining, vocabulary: Vocabulary) -> FineGraph:
    """Translate a system into the Embedding GNN's input.

    Raises
    ------
    UserError
        If it has a type that the vocabulary lacks.
    """
    vocabulary.check(cg.system)
    atoms = {name: i for i, name in enumerate(vocabulary.atom_types)}
    bonds = {name: i for i, name in enumerate(vocabulary.bond_types)}
    return FineGraph(
        torch.tensor([atoms[name] for name in cg.system.atom_types], dtype=torch.int64),
        torch.tensor(cg.system.masses, dtype=torch.float32),
        torch.tensor(cg.system.bonds.T, dtype=torch.int64),
        torch.tensor([bonds[name] for name in cg.system.bond_types], dtype=torch.int64),
        torch.tensor(cg.mapping, dtype=torch.int64),
        cg.n_beads,
    )


def join_fine_graphs(graphs: Iterable[FineGraph]) -> FineGraph:
    """Several systems as one graph."""
    parts = list(graphs)
    n_atoms = n_beads = 0
    bonds, mapping = [], []
    for part in parts:
        bonds.append(part.bonds + n_atoms)
        mapping.append(part.mapping + n_beads)
        n_atoms += len(part.atom_types)
        n_beads += part.n_beads
    return FineGraph(
        torch.cat([part.atom_types for part in parts]),
        torch.cat([part.atom_masses for part in parts]),
        torch.cat(bonds, dim=1),
        torch.cat([part.bond_types for part in parts]),
        torch.cat(mapping),
        n_beads,
    )
