"""Dynamics GNN: distribution of the next displacement of every bead, given the present and the recent past."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .blocks import InteractionLayer, mlp
from .options import NetworkOptions

N_RADIAL = 12
"""Radial basis functions on the distance of two beads."""

BOUND = 3.0
"""With a prior, the network's correction saturates at this many standard deviations of what the prior leaves."""


def radial_centres(cutoff: float, ion_cutoff: float | None) -> Tensor:
    """Centres of the radial basis functions, nm: `N_RADIAL` up to the cutoff, and beyond it as many as ions see farther."""
    if ion_cutoff is None or ion_cutoff <= cutoff:
        return torch.linspace(0, cutoff, N_RADIAL)
    spacing = cutoff / (N_RADIAL - 1)
    return torch.arange(math.ceil(ion_cutoff / spacing - 1e-9) + 1) * spacing


class Scales(NamedTuple):
    """Scales and the linear prior, fitted to the training data (see `cgplugin.training.normalisation`); nm and g/mol."""

    length: float
    displacement: float
    residual: float
    mass: float
    internal_rg2: float
    prior_spring: float
    prior_damping: float


class Prediction(NamedTuple):
    """Distribution of the change of displacement, and the beads' sizes.

    Attributes
    ----------
    mean : Tensor, shape (n_beads, 3)
        Mean of d_{t+1} - d_t in nm, with d_t = x_t - x_{t-1}: the time-integrated acceleration times time step squared.
    scale : Tensor, shape (n_beads, 3)
        Standard deviation of each bead's own noise, nm.
    mixing : Tensor, shape (n_edges,)
        Noise of the receiving bead i is scale_i (xi_i + sum over edges j -> i of mixing_ij xi_j), with xi standard normal.
        Zero on all edges but those of kind 1 and 2 (CG bonds and next-nearest neighbours along them).
    internal_rg2 : Tensor, shape (n_beads,)
        Expected squared radius of gyration of each bead's atoms about the bead's centre after the step, nm^2.
    latents : Tensor, shape (n_beads, hidden)
        Last-layer latents of the beads, which the Score GNN is conditioned on.
    """

    mean: Tensor
    scale: Tensor
    mixing: Tensor
    internal_rg2: Tensor
    latents: Tensor


class DynamicsGNN(nn.Module):
    """Encoder, message-passing processor, decoder (paper, "Learning CG MD with Dynamics GNN").

    Nodes know the bead's embedding, its mass and its last k displacements; edges the separation and the edge kind
    (0: within the cutoff, 1: CG bond, 2: two CG bonds apart, 3: between ions, where these have a cutoff
    of their own). With ``symmetry="none"`` vectors go in and come out as plain
    numbers, as in the paper. With ``symmetry="rotation"`` only lengths and dot products go in, and the mean is a sum of learned
    coefficients times separations and displacements, hence turns with the system exactly.

    Parameters
    ----------
    n_embedding : int
        Width of the beads' embeddings.
    n_history : int
        k, number of past displacements.
    cutoff : float
        nm; spans the radial basis.
    options : NetworkOptions
    scales : Scales
    ion_cutoff : float, optional
        Of the edges between ions, nm. Two ions may have several edges in a small box, one for each image.
    """

    centres: Tensor
    pairs: Tensor

    def __init__(
        self,
        n_embedding: int,
        n_history: int,
        cutoff: float,
        options: NetworkOptions,
        scales: Scales,
        ion_cutoff: float | None = None,
    ) -> None:
        super().__init__()
        hidden, depth, function = options.hidden, options.mlp_layers, options.activation
        self.equivariant = options.symmetry == "rotation"
        self.bonded_noise = options.noise == "bonded"
        self.stochastic = options.stochastic
        self.bounded = options.prior == "linear"
        self.n_history = n_history
        self.radial_width = cutoff / N_RADIAL
        self.limit = BOUND
        self.length, self.displacement, self.residual = scales.length, scales.displacement, scales.residual
        self.mass, self.internal_rg2 = scales.mass, scales.internal_rg2
        self.prior_spring = scales.prior_spring if options.prior == "linear" else 0.0
        self.prior_damping = scales.prior_damping if options.prior == "linear" else 0.0

        n_node = n_embedding + 1 + (n_history * (n_history + 1) // 2 if self.equivariant else 3 * n_history)
        centres = radial_centres(cutoff, ion_cutoff)
        n_edge = len(centres) + (4 if self.equivariant else 3)
        self.edge_kind = nn.Embedding(3 if ion_cutoff is None else 4, 8)
        self.node_encoder = mlp(n_node, hidden, hidden, depth, function)
        self.edge_encoder = mlp(n_edge + 8, hidden, hidden, depth, function)
        self.layers = nn.ModuleList([InteractionLayer(hidden, depth, function) for _ in range(options.layers)])
        self.node_decoder = mlp(hidden, hidden, (n_history + 1) if self.equivariant else 6, depth, function, norm=False)
        self.edge_decoder = mlp(hidden, hidden, 2, depth, function, norm=False)
        self.size_head = mlp(hidden, hidden, 1, depth, function, norm=False)
        with torch.no_grad():
            # training starts from the prior alone
            for head in (self.node_decoder, self.edge_decoder, self.size_head):
                last = head[-1]
                assert isinstance(last, nn.Linear)
                last.weight.mul_(0.01)
                last.bias.zero_()
        self.register_buffer("centres", centres)
        self.register_buffer("pairs", torch.triu_indices(n_history, n_history))

    def forward(
        self,
        embedding: Tensor,
        masses: Tensor,
        displacements: Tensor,
        edge_index: Tensor,
        separations: Tensor,
        edge_kinds: Tensor,
    ) -> Prediction:
        """Predict the distribution of the next step.

        Parameters
        ----------
        embedding : Tensor, shape (n_beads, n_embedding)
        masses : Tensor, shape (n_beads,)
            g/mol.
        displacements : Tensor, shape (n_beads, n_history, 3)
            nm, the latest first: x_t - x_{t-1}, x_{t-1} - x_{t-2}, ...
        edge_index : Tensor, shape (2, n_edges)
            Sender j and receiver i; both directions of every pair.
        separations : Tensor, shape (n_edges, 3)
            x_i - x_j in nm, minimum image in periodic systems.
        edge_kinds : Tensor, shape (n_edges,)
            0: within the cutoff, 1: CG bond, 2: two CG bonds apart, 3: between ions.
        """
        sender, receiver = edge_index[0], edge_index[1]
        distance = (separations.square().sum(dim=1) + 1e-12).sqrt()
        direction = separations / (distance + 0.1 * self.length).unsqueeze(1)
        moved = displacements / self.displacement

        radial = torch.exp(-0.5 * ((distance.unsqueeze(1) - self.centres) / self.radial_width).square())
        if self.equivariant:
            products = torch.einsum("nac,nbc->nab", moved, moved)[:, self.pairs[0], self.pairs[1]]
            node_features = torch.cat([embedding, (masses / self.mass).unsqueeze(1), products], dim=1)
            of_receiver = moved[:, 0].index_select(0, receiver)
            of_sender = moved[:, 0].index_select(0, sender)
            along_receiver = (of_receiver * direction).sum(dim=1, keepdim=True)
            along_sender = (of_sender * direction).sum(dim=1, keepdim=True)
            together = (of_receiver * of_sender).sum(dim=1, keepdim=True)
            stretched = (distance / self.length).unsqueeze(1)
            edge_features = torch.cat([radial, stretched, along_receiver, along_sender, together], dim=1)
        else:
            node_features = torch.cat([embedding, (masses / self.mass).unsqueeze(1), moved.flatten(1)], dim=1)
            edge_features = torch.cat([radial, separations / self.length], dim=1)

        nodes = self.node_encoder(node_features)
        edges = self.edge_encoder(torch.cat([edge_features, self.edge_kind(edge_kinds)], dim=1))
        for layer in self.layers:
            nodes, edges = layer(nodes, edges, edge_index)

        of_nodes = self.node_decoder(nodes)
        of_edges = self.edge_decoder(edges)
        if self.equivariant:
            coefficients = self.bound(of_edges[:, :1])
            mean = torch.zeros_like(displacements[:, 0])
            mean = mean.index_add(0, receiver, coefficients * direction)
            mean = mean + (0.5 * torch.tanh(of_nodes[:, : self.n_history]).unsqueeze(2) * moved).sum(dim=1)
            log_scale = of_nodes[:, self.n_history :].expand(-1, 3)
        else:
            mean = self.bound(of_nodes[:, :3])
            log_scale = of_nodes[:, 3:]
        mean = self.residual * mean + self.prior(displacements, edge_index, separations, edge_kinds)
        if not self.stochastic:
            log_scale = torch.zeros_like(log_scale)
        # far outside the data the noise stays within a factor of 20 of what it was on average
        scale = self.residual * torch.exp(3.0 * torch.tanh(log_scale / 3.0))

        mixing = torch.zeros_like(distance)
        if self.bonded_noise and self.stochastic:
            along_bonds = (edge_kinds == 1) | (edge_kinds == 2)
            mixing = torch.where(along_bonds, 0.5 * torch.tanh(of_edges[:, 1]), mixing)
        # what the sizes are fitted to must not steer the dynamics (paper: detached latents)
        internal_rg2 = self.internal_rg2 * torch.exp(self.size_head(nodes.detach())[:, 0])
        return Prediction(mean, scale, mixing, internal_rg2, nodes)

    def bound(self, values: Tensor) -> Tensor:
        """With a prior, let the correction saturate, so that no input can make it outweigh the springs for good."""
        return self.limit * torch.tanh(values / self.limit) if self.bounded else values

    def prior(self, displacements: Tensor, edge_index: Tensor, separations: Tensor, edge_kinds: Tensor) -> Tensor:
        """Damped springs along the CG bonds: -damping d_t - spring sum_bonds (x_i - x_j), in nm, shape (n_beads, 3)."""
        bonded = (edge_kinds == 1).to(separations.dtype).unsqueeze(1)
        pulls = torch.zeros_like(displacements[:, 0]).index_add(0, edge_index[1], bonded * separations)
        return -self.prior_damping * displacements[:, 0] - self.prior_spring * pulls
