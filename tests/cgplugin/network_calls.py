"""Arguments of the networks for chains of several lengths, and what counts as the same answer."""

import numpy as np
import torch
from torch import Tensor

from cgplugin import LearnedModel
from cgplugin.coarse_graining.neighbours import BatchedGraph, BeadGraph, Edges
from tests.conftest import chain

Call = tuple[Tensor, Tensor, Tensor, Edges]


def call_of_chains(model: LearnedModel, n_chains: int) -> Call:
    """Arguments of `LearnedModel.predict`; with many chains, more edges than it takes for the fast layer norm."""
    random = np.random.default_rng(4)
    graining = [model.coarsen(chain(40 + 5 * (i % 5))) for i in range(n_chains)]
    n_beads = sum(cg.n_beads for cg in graining)
    positions = np.concatenate([random.normal(size=(cg.n_beads, 3)).cumsum(axis=0) * 1.7 for cg in graining])
    return (
        torch.cat([model.embed(cg) for cg in graining]),
        torch.tensor(np.concatenate([cg.masses for cg in graining]), dtype=torch.float32),
        torch.tensor(random.normal(size=(n_beads, model.n_history, 3)), dtype=torch.float32),
        BatchedGraph([BeadGraph.of(cg) for cg in graining], 8.0).edges(torch.tensor(positions)),
    )


def close(found: Tensor, expected: Tensor) -> None:
    """Within what float32 sums in another order explain, relative to the largest value."""
    scale = max(float(expected.abs().max()), 1e-3) if len(expected) else 1.0
    torch.testing.assert_close(found, expected, rtol=0, atol=3e-5 * scale)
