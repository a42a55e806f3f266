"""Sizes and choices of the networks."""

from dataclasses import dataclass, field
from typing import Any, Literal

from cgplugin.errors import UserError


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
    hidden: int = _option(32, "Width of the Dynamics GNN.")
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
    score: bool = _option(False, "Train a Score GNN as well, which refines every predicted step.")
    score_layers: int = _option(2, "Message-passing layers of the Score GNN.")
    score_fading: int = _option(
        6, "Influence of the Score GNN's edges of length r fades out as (1 - (r / cutoff)^n)^2, with n this number."
    )
    score_expected: bool = _option(True, "The Score GNN's edges know the separation of the two predicted means.")
    score_levels: int = _option(10, "Noise levels of the Score GNN, in geometric sequence,")
    score_max: float = _option(1.0, "from this one, in units of a bead's random displacement,")
    score_min: float = _option(0.05, "to this one.")

    def __post_init__(self) -> None:
        for name in ("embedding_hidden", "hidden", "mlp_layers"):
            if getattr(self, name) < 1:
                raise UserError(f"{name.replace('_', '-')} is {getattr(self, name)}, expected at least 1")
        for name in ("score_levels", "score_fading"):
            if getattr(self, name) < 1:
                raise UserError(f"{name.replace('_', '-')} is {getattr(self, name)}, expected at least 1")
        if not 0 < self.score_min <= self.score_max:
            raise UserError(
                f"score-min is {self.score_min:g} and score-max {self.score_max:g}, expected 0 < min <= max"
            )
        for name in ("embedding_layers", "layers", "score_layers"):
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
    "score_layers": 7,
    "score_expected": False,
}
"""Values of `NetworkOptions` for the networks of the paper."""
