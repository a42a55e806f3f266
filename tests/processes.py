"""Stochastic processes with exact answers, sampled without time-step error: truth for tests of learned dynamics."""

import numpy as np


def overdamped_dimer(n_frames: int, interval: float, *, relaxation: float, variance: float, seed: int) -> np.ndarray:
    """Two equal overdamped beads on a spring.

    The separation r is an Ornstein-Uhlenbeck process with <r> = 0, variance per direction ``variance`` and correlation time
    ``relaxation``. The mean position is Brownian: each bead alone would diffuse with D = variance / (4 relaxation) [since
    dr/dt = -(r / relaxation) + noise of strength 2 D_r, D_r = 2 D = variance / relaxation for two beads, that is
    D = variance / (2 relaxation)], and the mean of two with D / 2.

    Returns
    -------
    array, shape (n_frames, 2, 3)
        In equilibrium from the first frame on.
    """
    random = np.random.default_rng(seed)
    decay = np.exp(-interval / relaxation)
    separation = np.empty((n_frames, 3))
    separation[0] = random.normal(size=3) * np.sqrt(variance)
    kicks = random.normal(size=(n_frames, 3)) * np.sqrt(variance * (1 - decay**2))
    for n in range(1, n_frames):
        separation[n] = decay * separation[n - 1] + kicks[n]
    diffusion = mean_diffusion(relaxation, variance)
    centre = np.cumsum(random.normal(size=(n_frames, 3)) * np.sqrt(2 * diffusion * interval), axis=0)
    return np.stack([centre + 0.5 * separation, centre - 0.5 * separation], axis=1)


def mean_diffusion(relaxation: float, variance: float) -> float:
    """Diffusion coefficient of the mean position of `overdamped_dimer`.

    D_r = variance / relaxation (fluctuation-dissipation for the separation) = 2 D, and D_mean = D / 2.
    """
    return variance / relaxation / 4


def ornstein_uhlenbeck(n: int, correlation_steps: float, seed: int) -> np.ndarray:
    """Scalar Ornstein-Uhlenbeck process of unit variance, its correlation time in steps."""
    random = np.random.default_rng(seed)
    decay = np.exp(-1 / correlation_steps)
    kicks = random.normal(size=n)
    values = np.empty(n)
    values[0] = kicks[0]
    for i in range(1, n):
        values[i] = decay * values[i - 1] + np.sqrt(1 - decay**2) * kicks[i]
    return values
