"""Parts that the networks share: MLP and interaction layer."""

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing


def activation(name: str) -> nn.Module:
    """Activation function by its name in `NetworkOptions`."""
    return {"relu": nn.ReLU, "silu": nn.SiLU}[name]()


def mlp(n_in: int, hidden: int, n_out: int, n_hidden_layers: int, function: str, norm: bool = True) -> nn.Sequential:
    """Multi-layer perceptron with ``n_hidden_layers`` hidden layers, layer norm at the end if ``norm``."""
    layers: list[nn.Module] = []
    width = n_in
    for _ in range(n_hidden_layers):
        layers += [nn.Linear(width, hidden), activation(function)]
        width = hidden
    layers.append(nn.Linear(width, n_out))
    if norm:
        layers.append(nn.LayerNorm(n_out))
    return nn.Sequential(*layers)


class InteractionLayer(MessagePassing):
    """Directed message passing with edge latents and residuals (Encoder-Processor-Decoder, paper "Methods").

    e'_ij = e_ij + MLP([e_ij, h_j, h_i]);  h'_i = h_i + MLP([h_i, sum_j e'_ij]).

    The first layer of the edge MLP is split into W_e e + (W_s h)[sender] + (W_r h)[receiver]: the same function for
    fewer operations, since there are more edges than nodes.
    """

    def __init__(self, hidden: int, mlp_layers: int, function: str) -> None:
        super().__init__(aggr="sum", node_dim=0)
        self.from_edge = nn.Linear(hidden, hidden)
        self.from_sender = nn.Linear(hidden, hidden, bias=False)
        self.from_receiver = nn.Linear(hidden, hidden, bias=False)
        self.activation = activation(function)
        self.edge_mlp = mlp(hidden, hidden, hidden, mlp_layers - 1, function)
        self.node_mlp = mlp(2 * hidden, hidden, hidden, mlp_layers, function)

    def forward(
        self, nodes: Tensor, edges: Tensor, edge_index: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Advance the latents of nodes (n_nodes, hidden) and edges (n_edges, hidden) by one layer.

        ``edge_index`` (2, n_edges) holds sender and receiver; ``weights`` (n_edges, 1) multiply the change of the edges.
        """
        sender = self.from_sender(nodes)
        receiver = self.from_receiver(nodes)
        # edge_updater_type: (sender: Tensor, receiver: Tensor, edges: Tensor)
        update = self.edge_updater(edge_index, sender=sender, receiver=receiver, edges=edges)
        edges = edges + (update if weights is None else weights * update)
        # propagate_type: (edges: Tensor)
        received = self.propagate(edge_index, edges=edges, size=(nodes.size(0), nodes.size(0)))
        return nodes + self.node_mlp(torch.cat([nodes, received], dim=-1)), edges

    def edge_update(self, sender_j: Tensor, receiver_i: Tensor, edges: Tensor) -> Tensor:
        """Change of the edge latents."""
        return self.edge_mlp(self.activation(self.from_edge(edges) + sender_j + receiver_i))

    def message(self, edges: Tensor) -> Tensor:
        """What a receiver sums: the edge latents."""
        return edges
