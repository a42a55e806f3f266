"""Sizes and training of the supervised networks."""

from dataclasses import dataclass, field
from typing import Any

from cgplugin.errors import UserError


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class BaselineOptions:
    """Options of the supervised GNN and LSTM; the defaults are the sizes and the optimiser of the paper (Methods).

    Raises
    ------
    UserError
        If a value makes no sense.
    """

    layers: int | None = _option(None, "Message-passing layers of the GNN (10), or layers of the LSTM (2).")
    hidden: int | None = _option(None, "Width of the GNN (128) or of the LSTM (256).")
    mlp_layers: int = _option(2, "Hidden layers of the MLPs in the GNN.")
    head_hidden: int = _option(256, "Width of the two hidden layers that give the property.")
    dropout: float = _option(0.0, "Share of the head's inputs that is dropped in training.")
    weight_decay: float = _option(0.0, "Decoupled weight decay (AdamW).")
    learning_rate: float = _option(1e-3, "At the start,")
    final_learning_rate: float = _option(5e-4, "after --epochs, with exponential decay between.")
    epochs: int = _option(1500, "Passes over the training systems, at most.")
    patience: int = _option(100, "Epochs without a better validation loss after which training ends.")
    batch_size: int = _option(25, "Systems per step.")
    seed: int = _option(0, "Of start weights and of the order of systems.")

    def __post_init__(self) -> None:
        for name in ("mlp_layers", "head_hidden", "epochs", "patience", "batch_size", "layers", "hidden"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name.replace('_', '-')} is {value}, expected at least 1")
        if not 0 <= self.dropout < 1:
            raise UserError(f"dropout is {self.dropout:g}, expected 0 <= dropout < 1")
        if self.weight_decay < 0:
            raise UserError(f"weight-decay is {self.weight_decay:g}, expected at least 0")
        if not 0 < self.final_learning_rate <= self.learning_rate:
            raise UserError(
                f"learning-rate is {self.learning_rate:g} and final-learning-rate {self.final_learning_rate:g}, expected "
                "0 < final <= first"
            )
        if not 0 <= self.seed < 2**31:
            raise UserError(f"seed is {self.seed}, expected an integer from 0 to {2**31 - 1}")
