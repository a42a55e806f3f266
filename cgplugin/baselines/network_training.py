"""Training of the supervised networks by Lightning: the weights of the epoch with the least validation loss are kept."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import EarlyStopping, TQDMProgressBar
from torch import Tensor, nn
from torch.utils.data import DataLoader

from cgplugin.training.lightning_notices import quiet_lightning

from .options import BaselineOptions


class SupervisedTraining(lightning.LightningModule, ABC):
    """A network with its loss.

    Parameters
    ----------
    network : nn.Module
    options : BaselineOptions
    """

    network: nn.Module

    def __init__(self, network: nn.Module, options: BaselineOptions) -> None:
        super().__init__()
        self.network, self.options = network, options
        self.best: dict[str, Tensor] = {}
        self.best_loss = float("inf")

    @abstractmethod
    def loss(self, batch: list[Any]) -> Tensor:
        """Loss of a list of examples."""

    def fit_network(self, training: Sequence[Any], validation: Sequence[Any], progress: bool = False) -> None:
        """Train on a list of examples, and leave the network with the weights that were best on another."""
        batches, held_out = self._loader(training, shuffle=True), self._loader(validation, shuffle=False)
        with quiet_lightning():
            self._lightning_trainer(progress).fit(self, batches, held_out)
        self.network.load_state_dict(self.best)
        self.network.eval()

    def training_step(self, batch: list[Any]) -> Tensor:
        """Loss of a batch."""
        return self.loss(batch)

    def validation_step(self, batch: list[Any]) -> None:
        """Record the loss of a batch."""
        self.log("validation_loss", self.loss(batch), batch_size=len(batch), prog_bar=True)

    def on_validation_epoch_end(self) -> None:
        """Keep the best weights in memory: they are small."""
        loss = float(self.trainer.callback_metrics["validation_loss"])
        if loss < self.best_loss:
            self.best_loss = loss
            self.best = {name: value.clone() for name, value in self.network.state_dict().items()}

    def configure_optimizers(self) -> Any:
        """Adam with exponential decay from the first to the final learning rate over all epochs."""
        options = self.options
        optimizer = torch.optim.AdamW(self.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay)
        factor = (options.final_learning_rate / options.learning_rate) ** (1 / options.epochs)
        return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, factor)]

    def _loader(self, examples: Sequence[Any], shuffle: bool) -> "DataLoader[Any]":
        order = torch.Generator().manual_seed(self.options.seed)
        listed: Any = list(examples)
        return DataLoader(listed, batch_size=self.options.batch_size, shuffle=shuffle, collate_fn=list, generator=order)

    def _lightning_trainer(self, progress: bool) -> lightning.Trainer:
        return lightning.Trainer(
            # a few systems of some hundred atoms: nothing that a GPU would speed up
            accelerator="cpu",
            devices=1,
            max_epochs=self.options.epochs,
            gradient_clip_val=1.0,
            callbacks=[
                EarlyStopping("validation_loss", patience=self.options.patience, check_finite=True),
                *([TQDMProgressBar(refresh_rate=10)] if progress else []),
            ],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=progress,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
