"""Options of a training run; the command line and the YAML file have the same names."""

from dataclasses import dataclass, field
from typing import Any, Literal

from cgplugin.errors import UserError


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class TrainingOptions:
    """How a model is trained; `PAPER` has the values of the paper.

    Times are in ps (tau for reduced units), lengths in nm (sigma).

    Raises
    ------
    UserError
        If a value makes no sense.
    """

    time_step: float | None = _option(None, "Learned time step, in ps or tau; for reduced units about 5 tau.")
    n_history: int = _option(2, "Past velocities that the model sees.")
    atoms_per_bead: int = _option(10, "Size of a bead.")
    partition_seed: int = _option(0, "Seed of the partition into beads.")
    cutoff: float | None = _option(
        None, "Radius of the neighbour edges; three CG bond lengths, or half the box, if not given."
    )
    score_cutoff: float | None = _option(
        None, "Radius of the Score GNN's neighbour edges, around the next positions; the cutoff, if not given."
    )
    ion_cutoff: float | None = _option(
        None,
        "Radius of the edges between ions (beads that are a molecule of their own), up to the width of the box; that of all "
        "others, if not given.",
    )
    score_ion_cutoff: float | None = _option(
        None, "Radius of the Score GNN's edges between ions; that of all edges between ions, if not given."
    )
    steps: int = _option(3000, "Training steps at most; rounded up to whole validation intervals.")
    systems_per_batch: int = _option(8, "Systems in a batch.")
    windows_per_system: int = _option(16, "Samples of each system in a batch.")
    learning_rate: float = _option(1e-3, "Learning rate of Adam at the start,")
    final_learning_rate: float = _option(5e-5, "and at the end, after exponential decay.")
    weight_decay: float = _option(0.0, "Decoupled weight decay (AdamW).")
    gradient_clip: float = _option(1.0, "Largest norm of the gradient.")
    averaging: float = _option(
        0.05, "Share of the steps over which the weights are averaged (exponentially); 0: no averaging."
    )
    history_noise: float = _option(0.0, "Random-walk noise on the input history, in units of a bead's step.")
    time_reversal: bool = _option(True, "Run half of the samples backwards (equilibrium data only).")
    rotate: bool = _option(True, "Turn samples at random, where the network is not equivariant by itself.")
    ion_weight: float = _option(
        4.0, "Weight of ions (beads that are a molecule of their own) in the losses; beads of chains have 1."
    )
    size_weight: float = _option(0.1, "Weight of the loss of the beads' internal Rg^2.")
    matching_steps: int = _option(
        0,
        "With a Score GNN: further steps, in which it alone learns, so that refined steps end with as many pairs of beads at "
        "each distance as MD; rounded up likewise.",
    )
    matching_rate: float = _option(5e-4, "Learning rate at the start of these,")
    matching_weight: float = _option(0.1, "and weight of the errors in the numbers of pairs.")
    refinement_levels: int = _option(4, "With a Score GNN: noise levels that a simulation refines each step with,")
    refinement_steps: int = _option(1, "and Langevin steps at each of them,")
    refinement_sampler: Literal["flow", "langevin"] = _option(
        "flow", "flow: probability flow, few evaluations; langevin: annealed Langevin dynamics, as in the paper."
    )
    refinement_skip: int = _option(0, "Highest noise levels that flow leaves out.")
    refinement_reuse: bool = _option(
        False, "Whether flow evaluates the Score GNN once per level, in place of one more time, which is more exact."
    )
    validation_fraction: float = _option(0.1, "Share of the systems kept for validation.")
    validate_every: int = _option(200, "Training steps between validations.")
    patience: int = _option(8, "Validations without improvement before training stops.")
    seed: int = _option(0, "Seed of weights, batches and augmentation.")

    def __post_init__(self) -> None:
        for name in (
            "n_history", "atoms_per_bead", "steps", "systems_per_batch", "windows_per_system", "validate_every", "patience",
        ):  # fmt: skip
            self._require(name, getattr(self, name) >= 1, "at least 1")
        for name in ("learning_rate", "final_learning_rate", "gradient_clip", "ion_weight", "matching_rate"):
            self._require(name, getattr(self, name) > 0, "a positive number")
        self._require("refinement_steps", self.refinement_steps >= 1, "at least 1")
        for name in (
            "weight_decay", "history_noise", "size_weight", "refinement_levels", "refinement_skip", "matching_steps",
            "matching_weight",
        ):  # fmt: skip
            self._require(name, getattr(self, name) >= 0, "no negative number")
        for name in ("time_step", "cutoff", "score_cutoff", "ion_cutoff", "score_ion_cutoff"):
            self._require(name, getattr(self, name) is None or getattr(self, name) > 0, "a positive number")
        if self.score_ion_cutoff is not None and self.ion_cutoff is None:
            raise UserError("a score-ion-cutoff needs an ion-cutoff")
        self._require("averaging", 0 <= self.averaging <= 1, "a number from 0 to 1")
        self._require("validation_fraction", 0 <= self.validation_fraction < 1, "a number from 0 to below 1")

    def _require(self, name: str, met: bool, expected: str) -> None:
        if not met:
            raise UserError(f"{name.replace('_', '-')} is {getattr(self, name)}, expected {expected}")


PAPER = {
    "steps": 2_000_000,
    "learning_rate": 2e-4,
    "final_learning_rate": 2e-5,
    "validate_every": 10_000,
    "patience": 200,
    "averaging": 0.0,
    "time_reversal": False,
    "ion_weight": 1.0,
    "refinement_levels": 10,
    "refinement_steps": 10,
    "refinement_sampler": "langevin",
}
"""Values of `TrainingOptions` in the paper."""
