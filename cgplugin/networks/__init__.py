"""The graph networks: Embedding GNN on the fine graph, Dynamics GNN on the beads; all of them TorchScript-capable."""

from .combined import LearnedNetworks
from .dynamics import DynamicsGNN, Prediction, Scales
from .embedding import EmbeddingGNN

__all__ = ["DynamicsGNN", "EmbeddingGNN", "LearnedNetworks", "Prediction", "Scales"]
