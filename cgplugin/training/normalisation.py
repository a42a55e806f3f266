"""Scales of the data and the linear prior, fitted by least squares before training."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cgplugin.coarse_graining.coarse_trajectory import CoarseTrajectory
from cgplugin.networks.dynamics import Scales

FRAMES_PER_SYSTEM = 400
"""Windows per system that are looked at: plenty for a handful of numbers."""


def fit_scales(trajectories: Sequence[CoarseTrajectory], stride: int, *, prior: bool) -> Scales:
    """Fit the damped spring model d_{t+1} - d_t = -damping d_t - spring sum_bonds (x_i - x_j), and scales of the data.

    For one bead on springs in a viscous medium the model is exact (Ornstein-Uhlenbeck process sampled every time step);
    for a chain it is the Rouse model with one effective relaxation rate. The network learns what it leaves.

    Parameters
    ----------
    trajectories : sequence of CoarseTrajectory
    stride : int
        Frames per learned time step.
    prior : bool
        If False, spring and damping are zero.
    """
    pulls, moved, changes, lengths = [], [], [], []
    for trajectory in trajectories:
        first = np.arange(trajectory.n_frames - 2 * stride)
        if len(first) > FRAMES_PER_SYSTEM:
            first = np.linspace(0, len(first) - 1, FRAMES_PER_SYSTEM).astype(int)
        before, now, after = (np.asarray(trajectory.positions[first + n * stride], dtype=np.float64) for n in range(3))
        i, j = trajectory.cg.bonds.T
        bonds = now[:, i] - now[:, j]
        ends = np.arange(now.shape[1])[:, None]
        pull = np.einsum("nb,fbd->fnd", (ends == i).astype(np.float64) - (ends == j), bonds)
        pulls.append(pull.reshape(-1))
        moved.append((now - before).reshape(-1))
        changes.append((after - 2 * now + before).reshape(-1))
        lengths.append((bonds**2).sum(axis=-1).reshape(-1))
    pull, displacement, change = (np.concatenate(values) for values in (pulls, moved, changes))
    spring = damping = 0.0
    if prior:
        spring, damping = _fit(pull, displacement, change)
    residual = change + spring * pull + damping * displacement
    squared_lengths = np.concatenate(lengths)
    step = float(displacement.std())
    return Scales(
        length=float(np.sqrt(squared_lengths.mean())) if len(squared_lengths) else 1.0,
        displacement=step,
        residual=float(residual.std()),
        mass=float(np.mean(np.concatenate([trajectory.cg.masses for trajectory in trajectories]))),
        # single-atom beads have no extent; the head then learns from a small scale
        internal_rg2=max(float(np.mean([t.internal_rg2.mean() for t in trajectories])), 1e-6),
        prior_spring=spring,
        prior_damping=damping,
    )


def _fit(
    pull: NDArray[np.float64], displacement: NDArray[np.float64], change: NDArray[np.float64]
) -> tuple[float, float]:
    """Least squares, with the spring kept attractive and the damping within what is stable."""
    has_bonds = bool(np.any(pull))
    columns = [pull, displacement] if has_bonds else [displacement]
    solution, *_ = np.linalg.lstsq(np.stack(columns, axis=1), -change, rcond=None)
    spring = max(float(solution[0]), 0.0) if has_bonds else 0.0
    return spring, float(np.clip(solution[-1], 0.0, 2.0))
