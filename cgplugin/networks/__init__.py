"""The graph networks: Embedding GNN on the fine graph, Dynamics GNN and Score GNN on the beads; all TorchScript-capable."""
