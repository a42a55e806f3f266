"""Score-based refinement of a predicted step: from the Gaussian of the Dynamics GNN to a likely configuration."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from torch import Tensor

from cgplugin.errors import UserError
from cgplugin.networks.options import NetworkOptions

NoiseEstimate = Callable[[Tensor, float], Tensor]
"""Estimate of z in a tentative change = clean change + sigma z, from change (n_beads, 3) and sigma, both in nm."""

Sampler = Literal["diffusion", "langevin"]


@dataclass(frozen=True)
class Refinement:
    """How a predicted step is refined.

    Attributes
    ----------
    levels : int
        Noise levels that are gone through; 0: no refinement. ``langevin`` takes the lowest of those that the Score GNN was
        trained on, ``diffusion`` spreads them from the highest to the lowest.
    steps : int
        Langevin steps at each level.
    step_size : float
        Of the Langevin steps, in units of the level's variance (epsilon / sigma_L^2 in Song and Ermon, 2019, algorithm 1).
    sampler : str
        ``langevin``: annealed Langevin dynamics, as in the paper. ``diffusion``: noise of the highest level is added and
        taken away level by level, with one evaluation of the network for each: where the prediction with that noise is
        distributed as the truth with that noise, and the levels are close, the result is distributed as the truth.

    Raises
    ------
    UserError
        If a value makes no sense.
    """

    levels: int = 0
    steps: int = 1
    step_size: float = 0.5
    sampler: Sampler = "langevin"

    def __post_init__(self) -> None:
        if self.levels < 0 or self.steps < 1:
            raise UserError(
                f"refinement of {self.levels} levels with {self.steps} steps each: expected at least 0 levels and 1 step"
            )
        if not 0 < self.step_size <= 2:
            raise UserError(f"the step size of the refinement is {self.step_size:g}, expected above 0 and at most 2")
        if self.sampler not in get_args(Sampler):
            raise UserError(f"unknown sampler {self.sampler!r}: expected one of {', '.join(get_args(Sampler))}")

    @property
    def n_normal(self) -> int:
        """Sets of normal numbers that a refined step takes."""
        if self.sampler == "langevin" or not self.levels:
            return self.levels * self.steps
        return self.levels + 1


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
    change: Tensor,
    spread: Tensor,
    estimate: NoiseEstimate,
    levels: Sequence[float],
    refinement: Refinement,
    normal: Tensor,
) -> Tensor:
    """Move a predicted change of displacement to a likely one.

    Parameters
    ----------
    change : Tensor, shape (n_beads, 3)
        nm.
    spread : Tensor, shape (n_beads, 3)
        Standard deviation of the prediction, nm.
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
    if refinement.sampler == "diffusion":
        chosen = np.linspace(0, len(levels) - 1, refinement.levels).round().astype(int)
        return _diffuse(change, spread, estimate, [levels[i] for i in chosen], normal)
    return _anneal(change, estimate, levels[-refinement.levels :], refinement, normal)


def _anneal(
    change: Tensor, estimate: NoiseEstimate, levels: Sequence[float], refinement: Refinement, normal: Tensor
) -> Tensor:
    """Annealed Langevin dynamics (paper, Methods).

    At level sigma, with the step size a in units of sigma^2: x <- x + (a sigma^2 / 2) score + sqrt(a) sigma xi, where
    score = -z / sigma (Song and Ermon, 2019, algorithm 1). The last level ends with a step of full size and without noise,
    which takes the noise of that level away (Jolicoeur-Martineau et al., 2021).
    """
    step = refinement.step_size
    drawn = iter(normal)
    for sigma in levels:
        for _ in range(refinement.steps):
            change = change - 0.5 * step * sigma * estimate(change, sigma) + step**0.5 * sigma * next(drawn)
    return change - levels[-1] * estimate(change, levels[-1])


def _diffuse(
    change: Tensor, spread: Tensor, estimate: NoiseEstimate, levels: Sequence[float], normal: Tensor
) -> Tensor:
    """Ancestral sampling of the variance-exploding diffusion (Song et al., 2021, appendix F), with variances for few levels.

    From level s to the next lower level t (the last being zero) the mean is x - (s^2 - t^2) / s z, with z the expected noise. The
    variance is that of x at level t given x at level s where the clean x has variance c^2, the spread of the prediction:
    t^2 (s^2 - t^2) / s^2 + ((s^2 - t^2) / s^2)^2 c^2 s^2 / (c^2 + s^2). The second term, which vanishes where levels are close,
    is what is unknown of the clean x (Bao et al., Analytic-DPM, 2022); without it few levels would shrink the prediction.
    """
    change = change + levels[0] * normal[0]
    clean = spread.square()
    for n, (sigma, lower) in enumerate(zip(levels, [*levels[1:], 0.0], strict=True), start=1):
        removed = (sigma**2 - lower**2) / sigma**2
        change = change - removed * sigma * estimate(change, sigma)
        variance = lower**2 * removed + removed**2 * sigma**2 * clean / (clean + sigma**2)
        change = change + variance.sqrt() * normal[n]
    return change
