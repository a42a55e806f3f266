"""The graph networks: Embedding GNN on the fine graph, Dynamics GNN and Score GNN on the beads; all TorchScript-capable."""

from .combined import LearnedNetworks
from .dynamics import DynamicsGNN, Prediction, Scales
from .embedding import EmbeddingGNN
from .score import ScoreGNN

__all__ = ["DynamicsGNN", "EmbeddingGNN", "LearnedNetworks", "Prediction", "Scales", "ScoreGNN"]
