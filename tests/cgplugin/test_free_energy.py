"""Free-energy surfaces against Gaussians, whose smoothed surfaces and divergences are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from cgplugin import UserError
from cgplugin.observables.free_energy import PrincipalComponents, bead_distances, divergence, free_energy_surfaces

N = 20_000


def gaussian(rng: np.random.Generator, centre: tuple[float, float] = (0, 0), n: int = N) -> np.ndarray:
    """Two coordinates with standard deviations 2 and 1."""
    return rng.normal(size=(n, 2)) * (2, 1) + centre


def test_surface_of_a_gaussian() -> None:
    """A Gaussian smoothed by one of width h s has F = sum x^2 / (2 s^2 (1 + h^2)), in kT."""
    n = 1000
    (surface,) = free_energy_surfaces([gaussian(np.random.default_rng(0))], [2, 1], n)
    widened = 1 + n ** (-1 / 3)
    x, y = np.meshgrid(surface.x, surface.y, indexing="ij")
    expected = (x**2 / 4 + y**2) / (2 * widened)
    inside = expected < 2.5
    found = surface.free_energy - surface.free_energy[inside].min()
    np.testing.assert_allclose((found - expected)[inside], (found - expected)[inside].mean(), atol=0.25)
    assert surface.probability.sum() == pytest.approx(1)
    assert surface.free_energy.min() == 0


def test_divergence_of_two_gaussians() -> None:
    """Zero for one sample, one where nothing overlaps, and by quadrature for Gaussians half a deviation apart."""
    rng = np.random.default_rng(1)
    first = gaussian(rng)
    same = free_energy_surfaces([first, first], [2, 1], N)
    assert divergence(*same) == pytest.approx(0, abs=1e-9)
    apart = free_energy_surfaces([first, gaussian(rng, (200, 0))], [2, 1], N)
    assert divergence(*apart) == pytest.approx(1, abs=1e-6)
    shifted = free_energy_surfaces([first, gaussian(rng, (2, 0))], [2, 1], N)
    # one deviation apart, in one dimension: the other coordinate does not matter
    x = np.linspace(-8, 9, 4000)
    p, q = np.exp(-0.5 * x**2), np.exp(-0.5 * (x - 1) ** 2)
    p, q = p / p.sum(), q / q.sum()
    exact = 0.5 * (p * np.log2(2 * p / (p + q)) + q * np.log2(2 * q / (p + q))).sum()
    assert divergence(*shifted) == pytest.approx(exact, rel=0.1)
    assert divergence(*shifted) == pytest.approx(divergence(*shifted[::-1]))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_distances_do_not_see_rotations(seed: int) -> None:
    rng = np.random.default_rng(seed)
    positions = rng.normal(size=(5, 4, 3))
    turned = positions @ Rotation.random(rng=rng).as_matrix().T + rng.normal(size=3)
    np.testing.assert_allclose(bead_distances(turned), bead_distances(positions), atol=1e-12)
    assert bead_distances(positions)[2, 0] == pytest.approx(np.linalg.norm(positions[2, 0] - positions[2, 1]))


def test_principal_components_of_a_known_covariance() -> None:
    rng = np.random.default_rng(2)
    axes = Rotation.random(rng=rng).as_matrix()
    data = rng.normal(size=(N, 3)) * (3, 2, 0.5) @ axes + (1, 2, 3)
    fitted = PrincipalComponents.fit(data)
    np.testing.assert_allclose(np.abs(fitted.components @ axes.T), np.eye(3)[:2], atol=0.03)
    np.testing.assert_allclose(fitted.deviations, [3, 2], rtol=0.03)
    assert fitted.explained == pytest.approx(13 / 13.25, abs=0.002)
    projected = fitted.project(data)
    np.testing.assert_allclose(projected.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(projected.std(axis=0, ddof=1), fitted.deviations)


def test_too_few_conformations() -> None:
    with pytest.raises(UserError, match="2 conformations with 3 distances have no 2 principal components"):
        PrincipalComponents.fit(np.eye(3)[:2])
