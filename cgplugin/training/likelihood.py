"""Losses: negative log likelihood of the next displacement, with independent or bonded noise; beads' sizes; scores."""

import math

import torch
from torch import Tensor

from cgplugin.networks.dynamics import Prediction


def negative_log_likelihood(
    prediction: Prediction,
    target: Tensor,
    edge_index: Tensor,
    molecules: Tensor,
    unit: float,
    weights: Tensor | None = None,
) -> Tensor:
    """Mean over beads and directions of -log N(target | mean, covariance) (paper, equation 4).

    The noise is F xi per direction, with F = diag(scale) (1 + W) and W the mixing along CG bonds; a molecule's block of F is
    dense and small, so that log|det F| and F^-1 are exact. With W = 0 this is the paper's diagonal Gaussian.

    Parameters
    ----------
    prediction : Prediction
    target : Tensor, shape (n_beads, 3)
        d_{t+1} - d_t in nm.
    edge_index : Tensor, shape (2, n_edges)
    molecules : Tensor, shape (n_beads,)
        Molecule of each bead, counted through the batch, in ascending order.
    unit : float
        nm; densities are per this unit, so that the loss of data of any scale is of order one.
    weights : Tensor, shape (n_beads,), optional
        Of the beads, the same for all of a molecule; by default all alike. The mean is over what they weigh.
    """
    if weights is None:
        weights = torch.ones_like(target[:, 0])
    whitened = (target - prediction.mean) / prediction.scale
    log_det = (weights.unsqueeze(1) * (prediction.scale / unit).log()).sum()
    mixed = prediction.mixing != 0
    if bool(mixed.any()):
        whitened, extra = _unmix(whitened, prediction.mixing[mixed], edge_index[:, mixed], molecules)
        log_det = log_det + 3 * (weights * extra).sum()
    n = 3 * weights.sum()
    return 0.5 * ((weights.unsqueeze(1) * whitened.square()).sum() / n + math.log(2 * math.pi)) + log_det / n


def _unmix(values: Tensor, mixing: Tensor, edge_index: Tensor, molecules: Tensor) -> tuple[Tensor, Tensor]:
    """(1 + W)^-1 values and each bead's share of log|det(1 + W)|, molecule by molecule, padded to the largest."""
    counts = torch.bincount(molecules)
    n_molecules, largest = len(counts), int(counts.max())
    slot = torch.arange(len(molecules), device=values.device) - (counts.cumsum(0) - counts)[molecules]
    matrix = torch.eye(largest, dtype=values.dtype, device=values.device).repeat(n_molecules, 1, 1)
    sender, receiver = edge_index
    matrix = matrix.index_put((molecules[receiver], slot[receiver], slot[sender]), mixing, accumulate=True)
    padded = values.new_zeros(n_molecules, largest, 3).index_put((molecules, slot), values)
    factors, pivots = torch.linalg.lu_factor(matrix)
    solved = torch.linalg.lu_solve(factors, pivots, padded)
    log_det = factors.diagonal(dim1=-2, dim2=-1).abs().log().sum(dim=1)
    return solved[molecules, slot], (log_det / counts)[molecules]


def size_loss(prediction: Prediction, internal_rg2: Tensor, unit: float) -> Tensor:
    """Mean squared error of the beads' sizes, in units of ``unit`` nm^2."""
    return ((prediction.internal_rg2 - internal_rg2) / unit).square().mean()


def score_loss(estimate: Tensor, normal: Tensor, weights: Tensor | None = None) -> Tensor:
    """Denoising score matching, weighted by sigma^2 (paper, equation 6), per degree of freedom.

    sigma^2 |score - (x - x~) / sigma^2|^2 / 2 with score = -estimate / sigma and x~ = x + sigma normal; a mean over the beads
    with ``weights`` of shape (n_beads,), by default all alike. Each bead's best estimate is the same whatever the weights; they
    say where a network that cannot be right everywhere is to be right.
    """
    of_beads = 0.5 * (estimate - normal).square().mean(dim=1)
    return of_beads.mean() if weights is None else (weights * of_beads).sum() / weights.sum()


def ion_weights(molecules: Tensor, weight: float) -> Tensor:
    """``weight`` for beads that are a molecule of their own, 1 for others, of shape (n_beads,).

    Parameters
    ----------
    molecules : Tensor, shape (n_beads,)
        Molecule of each bead, counted through the batch.
    weight : float
    """
    alone = torch.bincount(molecules)[molecules] == 1
    return torch.where(alone, weight, 1.0)
