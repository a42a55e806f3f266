"""Supervised GNN: Encoder-Processor-Decoder on the fine graph, nodes summed to one vector (paper, Methods)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from cgplugin.coarse_graining.coarsening import CoarseGraining
from cgplugin.coarse_graining.vocabulary import FineGraph, Vocabulary, fine_graph, join_fine_graphs
from cgplugin.networks.embedding import EmbeddingGNN
from cgplugin.networks.options import NetworkOptions
from cgplugin.systems.molecular_system import MolecularSystem

from .options import BaselineOptions
from .supervised import SupervisedNetwork, property_head

LAYERS, HIDDEN = 10, 128


class SupervisedGNN(SupervisedNetwork[FineGraph]):
    """Message passing on atoms and bonds, the sum over a system's atoms, and an MLP.

    The message passing is that of the `EmbeddingGNN`, with all atoms of a system in one group: its mean times the number of
    atoms is the sum. The sum is divided by the mean number of atoms of the training systems, a constant.

    Parameters
    ----------
    vocabulary : Vocabulary
    options : BaselineOptions
    mean_mass, mean_atoms : float
        Of the training systems' atoms, g/mol; of their number.
    """

    kind = "gnn"
    mean_atoms: Tensor

    def __init__(
        self, vocabulary: Vocabulary, options: BaselineOptions, mean_mass: float = 1.0, mean_atoms: float = 1.0
    ) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        hidden = options.hidden or HIDDEN
        sizes = NetworkOptions(
            embedding_hidden=hidden,
            embedding_layers=options.layers or LAYERS,
            mlp_layers=options.mlp_layers,
            activation="relu",
        )
        self.encoder = EmbeddingGNN(len(vocabulary.atom_types), len(vocabulary.bond_types), sizes, mean_mass)
        self.head = property_head(hidden, options)
        self.register_buffer("mean_atoms", torch.tensor(mean_atoms, dtype=torch.float32))

    @classmethod
    def for_systems(cls, systems: Sequence[MolecularSystem], options: BaselineOptions) -> "SupervisedGNN":
        """Untrained network for the types of the training systems."""
        masses = np.concatenate([system.masses for system in systems])
        return cls(Vocabulary.of(systems), options, float(masses.mean()), len(masses) / len(systems))

    def encode(self, system: MolecularSystem) -> FineGraph:
        """Graph of a system, with its atoms as one group."""
        whole = CoarseGraining(system, np.zeros(system.n_atoms, dtype=np.int64), system.n_atoms, 0)
        return fine_graph(whole, self.vocabulary)

    def forward(self, graphs: Sequence[FineGraph]) -> Tensor:
        """Normalised mean and standard deviation of Rg^2, shape (n_systems, 2)."""
        joined = join_fine_graphs(graphs)
        pooled = self.encoder(*joined)
        n_atoms = torch.bincount(joined.mapping, minlength=joined.n_beads).to(pooled.dtype).unsqueeze(1)
        result: Tensor = self.head(pooled * n_atoms / self.mean_atoms)
        return result

    def words(self) -> dict[str, list[str]]:
        """Vocabulary, for the file."""
        return {"atom_types": list(self.vocabulary.atom_types), "bond_types": list(self.vocabulary.bond_types)}

    @classmethod
    def from_words(cls, words: dict[str, list[str]], options: BaselineOptions) -> "SupervisedGNN":
        """Network of a file, before its weights are loaded."""
        return cls(Vocabulary(tuple(words["atom_types"]), tuple(words["bond_types"])), options)
