"""Sizes and choices of the networks."""

from dataclasses import dataclass, field
from typing import Any, Literal

from .errors import UserError


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class NetworkOptions:
    """What the networks look like; the defaults make a small model that trains on two cores in minutes.

    `paper` gives the sizes and the architecture of the paper.

    Raises
    ------
    UserError
        If a size is not positive.
    """

    embedding_hidden: int = _option(32, "Width of the Embedding GNN.")
    embedding_layers: int = _option(3, "Message-passing layers of the Embedding GNN.")
    hidden: int = _option(64, "Width of the Dynamics GNN.")
    layers: int = _option(3, "Message-passing layers of the Dynamics GNN.")
    mlp_layers: int = _option(1, "Hidden layers of every MLP.")
    activation: Literal["relu", "silu"] = _option("silu", "Activation function.")
    symmetry: Literal["none", "rotation"] = _option(
        "rotation", "none: plain vectors in and out, as in the paper; rotation: equivariant by construction."
    )
    noise: Literal["diagonal", "bonded"] = _option(
        "bonded", "diagonal: independent beads, as in the paper; bonded: correlated along the CG bonds."
    )
    prior: Literal["none", "linear"] = _option(
        "linear", "linear: the network corrects a damped spring model fitted to the data, by a bounded amount."
    )
    stochastic: bool = _option(True, "Predict a distribution; otherwise the mean alone (an ablation).")

    def __post_init__(self) -> None:
        for name in ("embedding_hidden", "hidden", "mlp_layers"):
            if getattr(self, name) < 1:
                raise UserError(f"{name.replace('_', '-')} is {getattr(self, name)}, expected at least 1")
        for name in ("embedding_layers", "layers"):
            if getattr(self, name) < 0:
                raise UserError(f"{name.replace('_', '-')} is {getattr(self, name)}, expected at least 0")


PAPER = {
    "embedding_hidden": 64,
    "embedding_layers": 7,
    "hidden": 128,
    "layers": 7,
    "mlp_layers": 2,
    "activation": "relu",
    "symmetry": "none",
    "noise": "diagonal",
    "prior": "none",
}
"""Values of `NetworkOptions` for the networks of the paper."""
