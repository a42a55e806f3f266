"""Embedding GNN: what a bead is made of, from the static fine graph."""

import torch
from torch import Tensor, nn

from .blocks import InteractionLayer, mlp
from .options import NetworkOptions


class EmbeddingGNN(nn.Module):
    """Bead embeddings from atom types, masses and bonds (paper, "Learning CG-bead type embeddings").

    Nodes start from a learned type embedding and the mass; edges from the sum of the embeddings of their two atoms' types
    and of the bond's type. A bead's embedding is the mean over its atoms (equation 1). Runs once per system.

    Parameters
    ----------
    n_atom_types, n_bond_types : int
        Sizes of the vocabularies.
    options : NetworkOptions
    mean_mass : float
        g/mol; atoms' masses are divided by it.
    """

    mean_mass: Tensor

    def __init__(self, n_atom_types: int, n_bond_types: int, options: NetworkOptions, mean_mass: float) -> None:
        super().__init__()
        hidden, depth, function = options.embedding_hidden, options.mlp_layers, options.activation
        self.n_out = hidden
        self.atom_type = nn.Embedding(n_atom_types, hidden)
        self.bond_type = nn.Embedding(max(n_bond_types, 1), hidden)
        self.node_encoder = mlp(hidden + 1, hidden, hidden, depth, function)
        self.edge_encoder = mlp(hidden, hidden, hidden, depth, function)
        self.layers = nn.ModuleList(
            [InteractionLayer(hidden, depth, function) for _ in range(options.embedding_layers)]
        )
        self.decoder = mlp(hidden, hidden, hidden, depth, function)
        self.register_buffer("mean_mass", torch.tensor(mean_mass, dtype=torch.float32))

    def forward(
        self,
        atom_types: Tensor,
        atom_masses: Tensor,
        bonds: Tensor,
        bond_types: Tensor,
        mapping: Tensor,
        n_beads: int,
    ) -> Tensor:
        """Embed the beads.

        Parameters
        ----------
        atom_types, atom_masses, mapping : Tensor, shape (n_atoms,)
            Indices into the vocabulary; g/mol; bead of each atom.
        bonds : Tensor, shape (2, n_bonds)
            Each bond once; messages go both ways.
        bond_types : Tensor, shape (n_bonds,)
        n_beads : int

        Returns
        -------
        Tensor, shape (n_beads, embedding_hidden)
        """
        edge_index = torch.cat([bonds, bonds.flip(0)], dim=1)
        types = self.atom_type(atom_types)
        kinds = self.bond_type(bond_types)
        edges = types[bonds[0]] + types[bonds[1]] + kinds
        edges = self.edge_encoder(torch.cat([edges, edges], dim=0))
        nodes = self.node_encoder(torch.cat([types, (atom_masses / self.mean_mass).unsqueeze(1)], dim=1))
        for layer in self.layers:
            nodes, edges = layer(nodes, edges, edge_index)
        nodes = self.decoder(nodes)
        total = torch.zeros(n_beads, nodes.size(1), dtype=nodes.dtype, device=nodes.device)
        total = total.index_add(0, mapping, nodes)
        count = torch.bincount(mapping, minlength=n_beads).to(nodes.dtype)
        return total / count.unsqueeze(1)
