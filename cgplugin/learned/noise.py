"""Random part of a predicted step, correlated along CG bonds, and what an external force adds to its mean."""

from torch import Tensor

from cgplugin.coarse_graining.neighbours import Edges, along_bonds
from cgplugin.networks.dynamics import Prediction


def bonded_noise(prediction: Prediction, edges: Edges, normal: Tensor) -> Tensor:
    """F xi of standard normal numbers xi, shape (n_beads, 3); see `cgplugin.networks.dynamics.Prediction`."""
    sender, receiver, mixing = _mixing(prediction, edges)
    return prediction.scale * normal.index_add(0, receiver, mixing * normal.index_select(0, sender))


def drift_of_force(prediction: Prediction, edges: Edges, force: Tensor) -> Tensor:
    """Mean displacement that an external force causes in one step, F F^T f / 2 with f the force over kT, shape (n_beads, 3).

    F F^T is the covariance of the step's noise, 2 D dt in terms of a diffusion matrix D, and D / kT the mobility (Einstein's
    relation): D f dt is how a step of Brownian dynamics takes a force (Ermak and McCammon, 1978, equation 13). For independent
    noise it is scale^2 f / 2 on each bead.
    """
    sender, receiver, mixing = _mixing(prediction, edges)
    scaled = prediction.scale * force
    transposed = scaled.index_add(0, sender, mixing * scaled.index_select(0, receiver))
    return 0.5 * bonded_noise(prediction, edges, transposed)


def _mixing(prediction: Prediction, edges: Edges) -> tuple[Tensor, Tensor, Tensor]:
    """Sender, receiver and mixing (n_mixed, 1) of the edges along which noise is mixed, where the prediction is."""
    device = prediction.mixing.device
    mixed = along_bonds(edges.kinds)
    sender, receiver = edges.pairs.index_select(1, mixed).to(device)
    return sender, receiver, prediction.mixing.index_select(0, mixed.to(device)).unsqueeze(1)
