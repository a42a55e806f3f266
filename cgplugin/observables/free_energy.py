"""Free-energy surfaces of bead conformations on two principal components of the bead-bead distances (paper, Fig. 3b)."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import jensenshannon

from cgplugin.errors import UserError

Array = NDArray[np.float64]

GRID = 48
"""Points of a surface along each component."""

MARGIN = 3.0
"""The grid goes this many kernel widths beyond the outermost sample."""


def bead_distances(positions: ArrayLike) -> Array:
    """Distances of all pairs of beads, which say what a conformation is whatever its place and orientation.

    Parameters
    ----------
    positions : array, shape (n_frames, n_beads, 3)
        nm, molecules whole.

    Returns
    -------
    array, shape (n_frames, n_beads (n_beads - 1) / 2)
        nm.
    """
    x = np.asarray(positions, dtype=np.float64)
    i, j = np.triu_indices(x.shape[1], 1)
    return np.linalg.norm(x[:, j] - x[:, i], axis=-1)


@dataclass(frozen=True)
class PrincipalComponents:
    """Projection onto the directions in which the data that it was fitted to vary most.

    Attributes
    ----------
    mean : array, shape (n_features,)
    components : array, shape (n_components, n_features)
        Unit vectors, the largest variance first, each signed such that its entries have a positive sum.
    deviations : array, shape (n_components,)
        Standard deviations of the fitted data along the components.
    explained : float
        Share of the variance that the components hold.
    """

    mean: Array = field(repr=False)
    components: Array = field(repr=False)
    deviations: Array
    explained: float

    @classmethod
    def fit(cls, features: ArrayLike, n_components: int = 2) -> "PrincipalComponents":
        """Find the components of features (n_samples, n_features) by singular value decomposition.

        Raises
        ------
        UserError
            If there are too few samples or features, or they vary in fewer directions.
        """
        data = np.asarray(features, dtype=np.float64)
        mean = data.mean(axis=0)
        _, singular, directions = np.linalg.svd(data - mean, full_matrices=False)
        found = int((singular > 1e-9 * max(float(singular[0]), 1e-300)).sum())
        if min(found, len(data) - 1) < n_components:
            raise UserError(
                f"{len(data)} conformations with {data.shape[1]} distances have no {n_components} principal components"
            )
        components = directions[:n_components]
        components = components * np.where(components.sum(axis=1, keepdims=True) < 0, -1, 1)
        deviations = singular[:n_components] / np.sqrt(len(data) - 1)
        explained = float((singular[:n_components] ** 2).sum() / (singular**2).sum())
        return cls(mean, components, deviations, explained)

    def project(self, features: ArrayLike) -> Array:
        """Coordinates (n_samples, n_components) of features (n_samples, n_features), in their unit."""
        return (np.asarray(features, dtype=np.float64) - self.mean) @ self.components.T


@dataclass(frozen=True)
class FreeEnergySurface:
    """Probability of two coordinates on a grid.

    Attributes
    ----------
    x, y : array, shape (n,)
        Points of the grid along the two coordinates.
    probability : array, shape (n, n)
        Of each cell, first axis x; the sum is one.
    """

    x: Array = field(repr=False)
    y: Array = field(repr=False)
    probability: Array = field(repr=False)

    @property
    def free_energy(self) -> Array:
        """F = -kT ln p in units of kT, zero at the most probable cell, infinite where nothing was sampled."""
        with np.errstate(divide="ignore"):
            return -np.log(self.probability / self.probability.max())


def free_energy_surfaces(
    samples: Sequence[ArrayLike], deviations: ArrayLike, n_independent: float, n_grid: int = GRID
) -> list[FreeEnergySurface]:
    """Surfaces of several samples of the same coordinates, on one grid and with one smoothing, so that they compare.

    Every sample is smoothed by a Gaussian kernel. By Scott's rule its width along a coordinate is s n^(-1/6), with s the
    standard deviation of the reference and n its number of independent values.

    Parameters
    ----------
    samples : sequence of arrays, each of shape (n_samples, 2)
    deviations : array, shape (2,)
        s.
    n_independent : float
        n.
    n_grid : int
        Points along each coordinate.
    """
    points = [np.asarray(sample, dtype=np.float64) for sample in samples]
    widths = np.asarray(deviations, dtype=np.float64) * max(float(n_independent), 1.0) ** (-1 / 6)
    everything = np.concatenate(points)
    low, high = everything.min(axis=0) - MARGIN * widths, everything.max(axis=0) + MARGIN * widths
    axes = [np.linspace(low[k], high[k], n_grid) for k in range(2)]
    return [FreeEnergySurface(axes[0], axes[1], _smoothed(own, axes, widths)) for own in points]


def _smoothed(points: Array, axes: Sequence[Array], widths: Array) -> Array:
    """Sum of the kernels of points (n, 2), integrated over the grid's cells by their centres, as probabilities."""
    # a product of kernels, one per coordinate
    kernels = [np.exp(-0.5 * ((axes[k][:, None] - points[:, k]) / widths[k]) ** 2) for k in range(2)]
    total = kernels[0] @ kernels[1].T
    return total / total.sum()


def divergence(first: FreeEnergySurface, second: FreeEnergySurface) -> float:
    """Jensen-Shannon divergence of two surfaces on one grid, in bits: 0 if they are equal, 1 if they never overlap."""
    assert first.probability.shape == second.probability.shape
    distance = jensenshannon(first.probability.ravel(), second.probability.ravel(), base=2)
    return float(np.nan_to_num(distance) ** 2)
