"""Score GNN: which way a tentative next configuration should move to become a likely one."""

import torch
from torch import Tensor, nn

from .blocks import InteractionLayer, mlp
from .dynamics import N_RADIAL, Prediction, Scales, radial_centres
from .options import NetworkOptions

EXPECTED_REACH = 1.7
"""Radial basis functions on the expected separation of two beads reach this many times as far as those on their distance."""


class ScoreGNN(nn.Module):
    """Noise-conditional score network (paper, "Learning to refine CG MD predictions with Score GNN", equations 5 to 7).

    Estimates the noise z in a tentative next configuration x + sigma z, given the present and the past through the latents of
    the Dynamics GNN; the score of the noisy next positions is -z / sigma. The estimate starts from what the Dynamics GNN's own
    Gaussian implies, sigma u / (scale^2 + sigma^2) with u the deviation from the predicted mean; the network learns what
    that leaves: the shape of the true distribution, two beads that must not meet above all.

    Edges are those of the tentative configuration: what meets there need not have been close before. Their influence vanishes
    smoothly at the cutoff, as (1 - (r / cutoff)^n)^2; with a jump, the flow of the refinement would pile beads up there.
    Ions, which attract each other from afar, may have a longer cutoff among themselves. With ``options.score_expected`` an edge
    also knows the separation of the two predicted means: whether its beads were near each other before.
    Like the Dynamics GNN it is equivariant to rotations or takes plain vectors, as ``options.symmetry`` says.

    Parameters
    ----------
    cutoff : float
        nm; spans the radial basis.
    options : NetworkOptions
    scales : Scales
    ion_cutoff : float, optional
        Of the edges between ions, kind 3, nm; where it is given, no others are between ions.
    """

    centres: Tensor

    def __init__(self, cutoff: float, options: NetworkOptions, scales: Scales, ion_cutoff: float | None = None) -> None:
        super().__init__()
        hidden, depth, function = options.hidden, options.mlp_layers, options.activation
        self.equivariant = options.symmetry == "rotation"
        self.cutoff, self.radial_width = cutoff, cutoff / N_RADIAL
        self.ion_cutoff = cutoff if ion_cutoff is None else ion_cutoff
        self.expected, self.n_expected, self.expected_reach = options.score_expected, N_RADIAL, EXPECTED_REACH
        centres = radial_centres(cutoff, ion_cutoff)
        self.half_fading = 0.5 * options.score_fading
        self.length, self.residual = scales.length, scales.residual
        n_node = hidden + 1 + (1 if self.equivariant else 3)
        n_edge = len(centres) + (4 if self.equivariant else 3)
        if self.expected:
            n_edge += N_RADIAL + (2 if self.equivariant else 3)
        self.edge_kind = nn.Embedding(3 if ion_cutoff is None else 4, 8)
        self.node_encoder = mlp(n_node, hidden, hidden, depth, function)
        self.edge_encoder = mlp(n_edge + 8, hidden, hidden, depth, function)
        self.layers = nn.ModuleList([InteractionLayer(hidden, depth, function) for _ in range(options.score_layers)])
        self.node_decoder = mlp(hidden, hidden, 1 if self.equivariant else 3, depth, function, norm=False)
        self.edge_decoder = mlp(hidden, hidden, 2 if self.equivariant else 1, depth, function, norm=False)
        with torch.no_grad():
            # training starts from the Gaussian of the Dynamics GNN
            for head in (self.node_decoder, self.edge_decoder):
                last = head[-1]
                assert isinstance(last, nn.Linear)
                last.weight.mul_(0.01)
                last.bias.zero_()
        self.register_buffer("centres", centres)

    def forward(
        self,
        prediction: Prediction,
        change: Tensor,
        edge_index: Tensor,
        separations: Tensor,
        edge_kinds: Tensor,
        sigma: Tensor,
    ) -> Tensor:
        """Estimate the noise.

        Parameters
        ----------
        prediction : Prediction
            Of the Dynamics GNN.
        change : Tensor, shape (n_beads, 3)
            Tentative d_{t+1} - d_t, nm, noise included.
        edge_index : Tensor, shape (2, n_edges)
            Of the tentative configuration, as are
        separations : Tensor, shape (n_edges, 3)
            x_i - x_j, nm.
        edge_kinds : Tensor, shape (n_edges,)
        sigma : Tensor, shape (n_beads,)
            Standard deviation of the noise, nm; equal for the beads of a molecule.

        Returns
        -------
        Tensor, shape (n_beads, 3)
            Estimate of z; the score is its negative over sigma.
        """
        sender, receiver = edge_index[0], edge_index[1]
        level = sigma.unsqueeze(1)
        # what the Gaussian implies must not be improved by changing the Gaussian
        mean, scale = prediction.mean.detach(), prediction.scale.detach()
        deviation = (change - mean) / self.residual
        distance = (separations.square().sum(dim=1) + 1e-12).sqrt()
        direction = separations / (distance + 0.1 * self.length).unsqueeze(1)
        radial = torch.exp(-0.5 * ((distance.unsqueeze(1) - self.centres) / self.radial_width).square())
        log_level = (level / self.residual).log()
        if self.equivariant:
            size = deviation.square().sum(dim=1, keepdim=True)
            node_features = torch.cat([prediction.latents, log_level, (1 + size).log()], dim=1)
            along_receiver = (deviation[receiver] * direction).sum(dim=1, keepdim=True)
            along_sender = (deviation[sender] * direction).sum(dim=1, keepdim=True)
            together = (deviation[receiver] * deviation[sender]).sum(dim=1, keepdim=True)
            stretched = (distance / self.length).unsqueeze(1)
            edge_features = torch.cat([radial, stretched, along_receiver, along_sender, together], dim=1)
        else:
            node_features = torch.cat([prediction.latents, log_level, deviation], dim=1)
            edge_features = torch.cat([radial, separations / self.length], dim=1)
        if self.expected:
            before = separations - self.residual * (deviation[receiver] - deviation[sender])
            apart = (before.square().sum(dim=1, keepdim=True) + 1e-12).sqrt()
            scaled = apart / self.expected_reach - self.centres[: self.n_expected]
            expected = [torch.exp(-0.5 * (scaled / self.radial_width).square())]
            if self.equivariant:
                turned = (before * direction).sum(dim=1, keepdim=True) / (apart + 0.1 * self.length)
                expected += [apart / self.length, turned]
            else:
                expected += [before / self.length]
            edge_features = torch.cat([edge_features] + expected, dim=1)  # noqa: RUF005 - TorchScript

        between_ions = edge_kinds == 3
        reach = torch.full_like(distance, self.cutoff).masked_fill(between_ions, self.ion_cutoff)
        fading = (1 - (distance / reach).square().pow(self.half_fading)).clamp(min=0).square()
        fades = between_ions | (edge_kinds == 0)
        weights = torch.where(fades, fading, torch.ones_like(fading)).unsqueeze(1)
        nodes = self.node_encoder(node_features)
        edges = weights * self.edge_encoder(torch.cat([edge_features, self.edge_kind(edge_kinds)], dim=1))
        for layer in self.layers:
            nodes, edges = layer(nodes, edges, edge_index, weights)

        learned = self.node_decoder(nodes)
        if self.equivariant:
            # along the separations, as forces are, and along what the neighbours deviate by, as correlated noise is
            of_edges = weights * self.edge_decoder(edges)
            pushes = of_edges[:, :1] * direction + of_edges[:, 1:] * deviation.index_select(0, sender)
            learned = (learned * deviation).index_add(0, receiver, pushes)
        return level * (change - mean) / (scale.square() + level.square()) + learned
