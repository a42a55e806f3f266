"""Score-based refinement of a predicted step: annealed Langevin dynamics with the Score GNN."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cgplugin.errors import UserError
from cgplugin.networks.options import NetworkOptions

NoiseEstimate = Callable[[Tensor, float], Tensor]
"""Estimate of z in a tentative change = clean change + sigma z, from change (n_beads, 3) and sigma, both in nm."""


@dataclass(frozen=True)
class Refinement:
    """How a predicted step is refined.

    Attributes
    ----------
    levels : int
        Noise levels that are gone through, the lowest of those that the Score GNN was trained on; 0: no refinement.
    steps : int
        Langevin steps at each level.
    step_size : float
        Of the Langevin steps, in units of the level's variance (epsilon / sigma_L^2 in Song and Ermon, 2019, algorithm 1).

    Raises
    ------
    UserError
        If a value makes no sense.
    """

    levels: int = 0
    steps: int = 1
    step_size: float = 0.5

    def __post_init__(self) -> None:
        if self.levels < 0 or self.steps < 1:
            raise UserError(
                f"refinement of {self.levels} levels with {self.steps} steps each: expected at least 0 levels and 1 step"
            )
        if not 0 < self.step_size <= 2:
            raise UserError(f"the step size of the refinement is {self.step_size:g}, expected above 0 and at most 2")

    @property
    def n_normal(self) -> int:
        """Sets of normal numbers that a refined step takes."""
        return self.levels * self.steps


def noise_levels(options: NetworkOptions, unit: float) -> tuple[float, ...]:
    """Standard deviations that a Score GNN is trained on, in geometric sequence from the highest, in nm.

    Parameters
    ----------
    options : NetworkOptions
    unit : float
        A bead's random displacement, nm (``Scales.residual``).
    """
    if not options.score:
        return ()
    return tuple((unit * np.geomspace(options.score_max, options.score_min, options.score_levels)).tolist())


def refine(
    change: Tensor, estimate: NoiseEstimate, levels: Sequence[float], refinement: Refinement, normal: Tensor
) -> Tensor:
    """Move a predicted change of displacement to a likely one, by annealed Langevin dynamics (paper, Methods).

    At level sigma, with the step size a in units of sigma^2: x <- x + (a sigma^2 / 2) score + sqrt(a) sigma xi, where
    score = -z / sigma (Song and Ermon, 2019, algorithm 1). The last level ends with a step of full size and without noise,
    which takes the noise of that level away (Jolicoeur-Martineau et al., 2021).

    Parameters
    ----------
    change : Tensor, shape (n_beads, 3)
        nm.
    estimate : callable
        Estimates the noise in a tentative change.
    levels : sequence of float
        The levels that the Score GNN was trained on, nm, descending.
    refinement : Refinement
    normal : Tensor, shape (n_normal, n_beads, 3)
        Standard normal numbers.

    Returns
    -------
    Tensor, shape (n_beads, 3)
    """
    if not refinement.levels:
        return change
    used = levels[-refinement.levels :]
    step = refinement.step_size
    drawn = iter(normal)
    for sigma in used:
        for _ in range(refinement.steps):
            change = change - 0.5 * step * sigma * estimate(change, sigma) + step**0.5 * sigma * next(drawn)
    return change - used[-1] * estimate(change, used[-1])


def moved_separations(separations: Tensor, moves: Tensor, edge_index: Tensor) -> Tensor:
    """Separations x_i - x_j along edges after the beads have moved, shape (n_edges, 3)."""
    with torch.no_grad():
        return separations + moves[edge_index[1]] - moves[edge_index[0]]
