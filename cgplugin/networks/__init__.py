"""The graph networks: Embedding GNN on the fine graph, Dynamics GNN on the beads; all of them TorchScript-capable."""

from .combined import LearnedNetworks
from .dynamics import DynamicsGNN, Prediction, Scales
from .embedding import EmbeddingGNN
from .options import PAPER, NetworkOptions

__all__ = ["PAPER", "DynamicsGNN", "EmbeddingGNN", "LearnedNetworks", "NetworkOptions", "Prediction", "Scales"]
