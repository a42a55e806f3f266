"""Score-based refinement of a predicted step: from the Gaussian of the Dynamics GNN to a likely configuration."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from torch import Tensor

from cgplugin.errors import UserError
from cgplugin.networks.dynamics import Prediction
from cgplugin.networks.options import NetworkOptions

NoiseEstimate = Callable[[Tensor, float], Tensor]
"""Estimate of z in a tentative change = clean change + sigma z, from change (n_beads, 3) and sigma, both in nm."""

Sampler = Literal["flow", "langevin"]


@dataclass(frozen=True)
class Refinement:
    """How a predicted step is refined.

    Attributes
    ----------
    levels : int
        Noise levels that are gone through; 0: no refinement. ``langevin`` takes the lowest of those that the Score GNN was
        trained on, ``flow`` spreads them from the highest to the lowest.
    steps : int
        Langevin steps at each level; has no meaning for ``flow``.
    step_size : float
        Of the Langevin steps, in units of the level's variance (epsilon / sigma_L^2 in Song and Ermon, 2019, algorithm 1).
    sampler : str
        ``langevin``: annealed Langevin dynamics, as in the paper. ``flow``: noise of the highest level is added to the
        prediction, and the probability flow takes it away again; few evaluations of the network.
    skip : int
        How many of the highest levels of the Score GNN ``flow`` leaves out. With few levels, where to begin decides how far
        beads that are too close are moved apart.
    reuse : bool
        Whether the evaluation at the second level by which ``flow`` corrects its first step serves the second step as well (mode
        PEC of multistep methods, Hairer, Nørsett and Wanner, 1993, III.1): an evaluation per level, in place of one more.

    Raises
    ------
    UserError
        If a value makes no sense.
    """

    levels: int = 0
    steps: int = 1
    step_size: float = 0.5
    sampler: Sampler = "langevin"
    skip: int = 0
    reuse: bool = False

    def __post_init__(self) -> None:
        if self.levels < 0 or self.steps < 1 or self.skip < 0:
            raise UserError(
                f"refinement of {self.levels} levels with {self.steps} steps each, {self.skip} left out: expected at least 0 "
                "levels, 1 step and none left out"
            )
        if not 0 < self.step_size <= 2:
            raise UserError(f"the step size of the refinement is {self.step_size:g}, expected above 0 and at most 2")
        if self.sampler not in get_args(Sampler):
            raise UserError(f"unknown sampler {self.sampler!r}: expected one of {', '.join(get_args(Sampler))}")

    @property
    def n_normal(self) -> int:
        """Sets of normal numbers that a refined step takes."""
        if self.sampler == "flow":
            return min(self.levels, 1)
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


def flow_levels(levels: Sequence[float], refinement: Refinement) -> list[float]:
    """Those of a Score GNN's noise levels (descending) that the flow goes through, spread evenly."""
    chosen = np.linspace(refinement.skip, len(levels) - 1, refinement.levels).round().astype(int)
    return [levels[n] for n in chosen]


def refine(
    change: Tensor,
    prediction: Prediction,
    estimate: NoiseEstimate,
    levels: Sequence[float],
    refinement: Refinement,
    normal: Tensor,
) -> Tensor:
    """Move a predicted change of displacement to a likely one.

    Parameters
    ----------
    change : Tensor, shape (n_beads, 3)
        Drawn from the prediction, nm.
    prediction : Prediction
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
    if refinement.sampler == "flow":
        return _flow(change, prediction, estimate, flow_levels(levels, refinement), normal[0], refinement.reuse)
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


def _flow(
    change: Tensor,
    prediction: Prediction,
    estimate: NoiseEstimate,
    levels: Sequence[float],
    normal: Tensor,
    reuse: bool,
) -> Tensor:
    """Probability flow from the predicted Gaussian to the true distribution (Song et al., 2021, section 4.3).

    With noise of the highest level the predicted distribution and the true one are alike. The flow dx/ds = z(x, s), the expected
    noise, leads from there to the true one without noise. Independent beads N(m, c^2) have z = s (x - m) / (c^2 + s^2), which
    leaves u = (x - m) / sqrt(c^2 + s^2) where it is. In u, only what the truth differs from that is left to
    integrate: du/ds = (z - s (x - m) / (c^2 + s^2)) / sqrt(c^2 + s^2). Two-step Adams-Bashforth with steps of any length, which
    Heun's method starts: an evaluation of the network for each level, and one more unless the second is reused. (Heun's
    method all the way takes nearly twice as many and an Euler step to zero, which leaves too few beads close to each other.)

    The noise is drawn, and not had by stretching what was predicted to the width with noise: that would stretch the
    correlations along a chain as well, and its slow modes would move too far.
    """
    mean, variance = prediction.mean, prediction.scale.square()

    def width(sigma: float) -> Tensor:
        return (variance + sigma**2).sqrt()

    def slope(u: Tensor, sigma: float) -> Tensor:
        c = width(sigma)
        return estimate(mean + c * u, sigma) / c - sigma * u / c.square()

    u = (change + levels[0] * normal - mean) / width(levels[0])
    before: tuple[float, Tensor] | None = None
    ahead: Tensor | None = None
    for sigma, lower in zip(levels, [*levels[1:], 0.0], strict=True):
        step, now = lower - sigma, slope(u, sigma) if ahead is None else ahead
        ahead = None
        if before is not None:
            last_step, last = sigma - before[0], before[1]
            u = u + step * (now + 0.5 * step / last_step * (now - last))
        elif lower:
            corrected = slope(u + step * now, lower)
            u = u + step * 0.5 * (now + corrected)
            ahead = corrected if reuse else None
        else:
            u = u + step * now
        before = sigma, now
    return mean + width(0.0) * u
