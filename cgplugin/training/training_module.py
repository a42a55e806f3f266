"""The networks with their losses and their optimiser, as Lightning trains them."""

from collections.abc import Iterable
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from cgplugin.networks.combined import LearnedNetworks
from cgplugin.networks.dynamics import Prediction, Scales

from .dataset import Batch, NoisyTarget
from .likelihood import ion_weights, negative_log_likelihood, score_loss, size_loss
from .options import TrainingOptions
from .processes import weight_of_share


class TrainingModule(lightning.LightningModule):
    """The networks, their loss and their optimiser.

    Parameters
    ----------
    networks : LearnedNetworks
    options : TrainingOptions
    scales : Scales
    """

    def __init__(self, networks: LearnedNetworks, options: TrainingOptions, scales: Scales) -> None:
        super().__init__()
        self.networks, self.options, self.scales = networks, options, scales

    def losses(self, batch: Batch, weights: Tensor | None = None) -> dict[str, Tensor]:
        """Losses per degree of freedom: ``nll``, ``size`` and, with a Score GNN, ``score``, of beads with these weights."""
        prediction = predict(self.networks, batch)
        unit = self.scales.residual
        losses = {
            "nll": negative_log_likelihood(prediction, batch.target, batch.edge_index, batch.molecules, unit, weights),
            "size": size_loss(prediction, batch.internal_rg2, self.scales.internal_rg2),
        }
        if batch.noisy is not None:
            losses["score"] = loss_of_score(self.networks, prediction, batch.noisy, weights)
        return losses

    def training_step(self, batch: Batch) -> Tensor:
        """Loss of a training batch (paper: L = L_dyn + L_score)."""
        weights = ion_weights(batch.molecules, self.options.ion_weight)
        losses = self.losses(batch, weights)
        several = self.trainer.world_size > 1
        if several:
            of_beads = weight_of_share(len(batch.target), self.device)
            of_weights = weight_of_share(float(weights.sum()), self.device)
            losses = {name: (of_beads if name == "size" else of_weights) * loss for name, loss in losses.items()}
            # DDP waits for a gradient of every parameter, and a share without CG bonds, say, has none for some
            losses["size"] = losses["size"] + 0.0 * sum(parameter.sum() for parameter in self.parameters())
        for name in ("nll", "score"):
            if name in losses:
                self.log(f"train_{name}", losses[name], prog_bar=True, batch_size=1, sync_dist=several)
        return losses["nll"] + self.options.size_weight * losses["size"] + losses.get("score", torch.tensor(0.0))

    def validation_step(self, batch: Batch) -> None:
        """Losses of a validation batch, weighted by its number of beads."""
        for name, loss in self.losses(batch).items():
            self.log(
                f"val_{name}",
                loss,
                prog_bar=name == "nll",
                batch_size=len(batch.target),
                sync_dist=self.trainer.world_size > 1,
            )

    def configure_optimizers(self) -> Any:
        """Adam with exponential decay of the learning rate (paper, Methods)."""
        return adam_with_decay(self.parameters(), self.options, self.options.learning_rate, self.options.steps)


def predict(networks: LearnedNetworks, batch: Batch) -> Prediction:
    """Prediction for the windows of a batch."""
    embedded = networks.embed(
        batch.atom_types, batch.atom_masses, batch.bonds, batch.bond_types, batch.mapping, batch.n_embedded
    )
    return networks(
        embedded[batch.embedding_row],
        batch.masses,
        batch.displacements,
        batch.edge_index,
        batch.separations,
        batch.edge_kinds,
    )


def loss_of_score(
    networks: LearnedNetworks, prediction: Prediction, noisy: NoisyTarget, weights: Tensor | None = None
) -> Tensor:
    """Loss of score matching on noisy true next positions, of beads with these weights."""
    estimate = networks.estimate_noise(
        prediction, noisy.change, noisy.edge_index, noisy.separations, noisy.edge_kinds, noisy.sigma
    )
    return score_loss(estimate, noisy.normal, weights)


def adam_with_decay(
    parameters: Iterable[nn.Parameter], options: TrainingOptions, learning_rate: float, steps: int
) -> dict[str, Any]:
    """Adam whose learning rate decays exponentially over some steps, by the factor that the options give (paper, Methods)."""
    optimizer = torch.optim.AdamW(parameters, learning_rate, weight_decay=options.weight_decay)
    decay = (options.final_learning_rate / options.learning_rate) ** (1 / steps)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, decay)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
