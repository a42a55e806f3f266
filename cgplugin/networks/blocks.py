"""Parts that the networks share: MLP and interaction layer."""

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

NARROW = 64
"""Up to this width, torch normalises a row more slowly than `CentredNorm` does (measured: benchmarks/speed)."""

MANY_ROWS = 1024
"""From this many rows on that counts for more than the overhead of further operators."""


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
    if not norm:
        layers.append(nn.Linear(width, n_out))
    elif n_out > NARROW:
        layers += [nn.Linear(width, n_out), nn.LayerNorm(n_out)]
    else:
        layers += [CentredLinear(width, n_out), CentredNorm(n_out)]
    return nn.Sequential(*layers)


class CentredLinear(nn.Linear):
    """Linear layer whose outputs have their mean over the features taken off, as a layer norm would do next.

    The mean is taken off the weights. They are constants in a frozen model, so that this costs nothing there.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Rows (..., n_in) to rows (..., n_out) of zero mean."""
        weight = self.weight - self.weight.mean(dim=0, keepdim=True)
        return nn.functional.linear(input, weight, self.bias - self.bias.mean())


class CentredNorm(nn.LayerNorm):
    """Layer norm of rows that have zero mean already; the variance is a matrix product in inference."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.many_rows = MANY_ROWS

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Normalise rows (n_rows, width)."""
        if self.training or input.size(0) < self.many_rows:
            return nn.functional.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)
        width = input.size(1)
        variance = torch.mm(input * input, input.new_full((width, 1), 1.0 / width))
        inverse = torch.rsqrt(variance + self.eps)
        return torch.addcmul(self.bias, input * inverse, self.weight)


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
        # the bias of the edges is added to the nodes, of which there are fewer
        receiver = nn.functional.linear(nodes, self.from_receiver.weight, self.from_edge.bias)
        # edge_updater_type: (sender: Tensor, receiver: Tensor, edges: Tensor)
        update = self.edge_updater(edge_index, sender=sender, receiver=receiver, edges=edges)
        edges = edges + (update if weights is None else weights * update)
        # propagate_type: (edges: Tensor)
        received = self.propagate(edge_index, edges=edges, size=(nodes.size(0), nodes.size(0)))
        return nodes + self.node_mlp(torch.cat([nodes, received], dim=-1)), edges

    def edge_update(self, sender_j: Tensor, receiver_i: Tensor, edges: Tensor) -> Tensor:
        """Change of the edge latents."""
        first = torch.addmm(sender_j + receiver_i, edges, self.from_edge.weight.t())
        return self.edge_mlp(self.activation(first))

    def message(self, edges: Tensor) -> Tensor:
        """What a receiver sums: the edge latents."""
        return edges
