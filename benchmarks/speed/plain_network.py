"""The same networks, with the same weights, as one writes them straight away with torch-geometric.

The first layer of an edge's MLP gets the latents of the edge, of the sender and of the receiver side by side; messages are
gathered and scattered by `torch_geometric.nn.MessagePassing`; nothing is compiled, frozen or cut into tiles.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from cgplugin import LearnedModel
from cgplugin.networks.blocks import CentredLinear, CentredNorm, InteractionLayer
from cgplugin.networks.combined import LearnedNetworks


class PlainInteractionLayer(MessagePassing):
    """`cgplugin.networks.blocks.InteractionLayer` by the book.

    Parameters
    ----------
    layer : InteractionLayer
        Where the weights come from.
    """

    def __init__(self, layer: InteractionLayer) -> None:
        super().__init__(aggr="sum", node_dim=0)
        parts = [layer.from_edge.weight, layer.from_sender.weight, layer.from_receiver.weight]
        first = nn.Linear(sum(part.shape[1] for part in parts), len(parts[0]))
        with torch.no_grad():
            first.weight.copy_(torch.cat(parts, dim=1))
            first.bias.copy_(layer.from_edge.bias)
        self.edge_mlp = nn.Sequential(first, layer.activation, *layer.edge_mlp)
        self.node_mlp = layer.node_mlp

    def forward(
        self, nodes: Tensor, edges: Tensor, edge_index: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """See `InteractionLayer.forward`."""
        update = self.edge_updater(edge_index, nodes=nodes, edges=edges)
        edges = edges + (update if weights is None else weights * update)
        received = self.propagate(edge_index, edges=edges, size=(len(nodes), len(nodes)))
        return nodes + self.node_mlp(torch.cat([nodes, received], dim=1)), edges

    def edge_update(self, nodes_j: Tensor, nodes_i: Tensor, edges: Tensor) -> Tensor:
        """Change of the edge latents."""
        return self.edge_mlp(torch.cat([edges, nodes_j, nodes_i], dim=1))

    def message(self, edges: Tensor) -> Tensor:
        """What a receiver sums."""
        return edges


def plain_networks_of(path: Path) -> LearnedNetworks:
    """Networks of a model file with plain interaction layers, linear layers and layer norms."""
    networks, _ = LearnedModel.read_networks(path)
    for network in filter(None, (networks.embedding, networks.dynamics, networks.score)):
        network.layers = nn.ModuleList([PlainInteractionLayer(layer) for layer in network.layers])
    for sequence in [module for module in networks.modules() if isinstance(module, nn.Sequential)]:
        for place, module in enumerate(sequence):
            sequence[place] = _plain(module)
    return networks.eval().requires_grad_(False)


def _plain(module: nn.Module) -> nn.Module:
    """The module of torch itself for one that is there to be fast."""
    plain: nn.Module
    if isinstance(module, CentredLinear):
        plain = nn.Linear(module.in_features, module.out_features)
    elif isinstance(module, CentredNorm):
        plain = nn.LayerNorm(module.normalized_shape, module.eps)
    else:
        return module
    plain.load_state_dict(module.state_dict())
    return plain
