"""All networks of a learned simulator as one module, which is trained and exported together."""

import torch
from torch import Tensor, nn

from .dynamics import DynamicsGNN, Prediction, Scales
from .embedding import EmbeddingGNN
from .options import NetworkOptions
from .score import ScoreGNN


class LearnedNetworks(nn.Module):
    """Embedding GNN, Dynamics GNN and, if ``options.score``, Score GNN.

    Parameters
    ----------
    n_atom_types, n_bond_types, n_history : int
    cutoff : float
        nm.
    mean_atom_mass : float
        g/mol.
    options : NetworkOptions
    scales : Scales
    score_cutoff : float, optional
        Of the Score GNN's edges, nm; by default ``cutoff``.
    ion_cutoff : float, optional
        Of the edges between ions, nm; by default they are like all others.
    score_ion_cutoff : float, optional
        Of the Score GNN's edges between ions, nm; by default ``ion_cutoff``.
    """

    def __init__(
        self,
        *,
        n_atom_types: int,
        n_bond_types: int,
        n_history: int,
        cutoff: float,
        mean_atom_mass: float,
        options: NetworkOptions,
        scales: Scales,
        score_cutoff: float | None = None,
        ion_cutoff: float | None = None,
        score_ion_cutoff: float | None = None,
    ) -> None:
        super().__init__()
        self.embedding = EmbeddingGNN(n_atom_types, n_bond_types, options, mean_atom_mass)
        self.dynamics = DynamicsGNN(self.embedding.n_out, n_history, cutoff, options, scales, ion_cutoff)
        reach = cutoff if score_cutoff is None else score_cutoff
        ion_reach = ion_cutoff if score_ion_cutoff is None else score_ion_cutoff
        self.score = ScoreGNN(reach, options, scales, ion_reach) if options.score else None

    @torch.jit.export
    def embed(
        self,
        atom_types: Tensor,
        atom_masses: Tensor,
        bonds: Tensor,
        bond_types: Tensor,
        mapping: Tensor,
        n_beads: int,
    ) -> Tensor:
        """Bead embeddings, once per system; see `EmbeddingGNN.forward`."""
        return self.embedding(atom_types, atom_masses, bonds, bond_types, mapping, n_beads)

    def forward(
        self,
        embedding: Tensor,
        masses: Tensor,
        displacements: Tensor,
        edge_index: Tensor,
        separations: Tensor,
        edge_kinds: Tensor,
    ) -> Prediction:
        """Distribution of the next step; see `DynamicsGNN.forward`."""
        return self.dynamics(embedding, masses, displacements, edge_index, separations, edge_kinds)

    @torch.jit.export
    def estimate_noise(
        self,
        prediction: Prediction,
        change: Tensor,
        edge_index: Tensor,
        separations: Tensor,
        edge_kinds: Tensor,
        sigma: Tensor,
    ) -> Tensor:
        """Noise in a tentative step; see `ScoreGNN.forward`."""
        if self.score is None:
            raise RuntimeError("this model has no Score GNN")
        return self.score(prediction, change, edge_index, separations, edge_kinds, sigma)
