"""Annealed Langevin refinement with a known score, and with a Score GNN that was trained on a process of two states."""

import numpy as np
import pytest
import torch

from cgplugin import LearnedModel
from cgplugin.errors import UserError
from cgplugin.learned.refinement import Refinement, noise_levels, refine
from cgplugin.learned.simulator import LearnedSimulator
from cgplugin.networks.dynamics import Prediction
from cgplugin.networks.options import NetworkOptions
from cgplugin.training.options import TrainingOptions
from cgplugin.training.trainer import train
from tests.conftest import bead_path, chain


def test_levels_are_a_geometric_sequence() -> None:
    levels = noise_levels(NetworkOptions(score=True, score_levels=5, score_max=2.0, score_min=0.125), unit=0.3)
    np.testing.assert_allclose(levels, 0.3 * 2.0 ** np.array([1, 0, -1, -2, -3]))
    assert noise_levels(NetworkOptions(), unit=0.3) == ()


def test_known_score_gives_its_distribution() -> None:
    # of a Gaussian N(m, s^2) with noise of level sigma, the expected z in x is sigma (x - m) / (s^2 + sigma^2)
    centre, spread, n = 0.7, 0.5, 20_000
    levels = tuple(np.geomspace(1.0, 0.05, 10).tolist())
    refinement = Refinement(levels=10, steps=60, step_size=0.1)
    random = np.random.default_rng(5)
    normal = torch.from_numpy(random.standard_normal((refinement.n_normal, n, 3)))
    wrong = torch.full((n, 3), 4.0, dtype=torch.float64)

    def estimate(x: torch.Tensor, sigma: float) -> torch.Tensor:
        return sigma * (x - centre) / (spread**2 + sigma**2)

    given = prediction(wrong, torch.ones(n, 3))
    refined = refine(wrong, given, estimate, levels, refinement, normal)
    assert refined.mean() == pytest.approx(centre, abs=0.02)
    # below the width of the distribution the steps are too short to forget the levels above
    assert refined.std() == pytest.approx(spread, rel=0.1)


def test_without_levels_nothing_happens() -> None:
    change = torch.ones(4, 3)
    assert refine(change, prediction(change, change), lambda x, _: x, (), Refinement(), torch.empty(0, 4, 3)) is change


def prediction(mean: torch.Tensor, scale: torch.Tensor) -> Prediction:
    none = torch.empty(0)
    return Prediction(mean, scale, none, none, none)


def test_flow_leaves_what_is_gaussian() -> None:
    # beads of different spreads, between the levels and beyond them: whatever the levels, noise is added to what was drawn
    # and the sum brought back to the width of the prediction
    mean, spread = torch.randn(50, 3, dtype=torch.float64), torch.tensor([[0.05, 0.5, 3.0]], dtype=torch.float64)
    change = mean + spread * torch.randn(50, 3, dtype=torch.float64)
    given = prediction(mean, spread.expand(50, 3))
    normal = torch.randn(1, 50, 3, dtype=torch.float64)
    expected = mean + spread * (change + normal[0] - mean) / (spread**2 + 1.0) ** 0.5
    for n_levels in (2, 5):
        refined = refine(
            change,
            given,
            lambda x, s: s * (x - mean) / (spread**2 + s**2),
            (1.0, 0.5, 0.3, 0.2, 0.1),
            Refinement(n_levels, sampler="flow"),
            normal,
        )
        torch.testing.assert_close(refined, expected)


def test_flow_keeps_the_correlations_of_a_chain() -> None:
    # bonded noise scale F xi of a chain of six, whose sum moves further than six independent beads: with the exact expected
    # noise, sigma (F F^T + sigma^2)^-1 x, the covariance must come out as it went in
    random = np.random.default_rng(11)
    along = np.eye(6) + 0.45 * (np.eye(6, k=1) + np.eye(6, k=-1))
    covariance = along @ along.T
    drawn = torch.from_numpy(random.standard_normal((20_000, 6)) @ along.T)
    normal = torch.from_numpy(random.standard_normal((1, 20_000, 6)))

    def estimate(x: torch.Tensor, sigma: float) -> torch.Tensor:
        return sigma * x @ torch.from_numpy(np.linalg.inv(covariance + sigma**2 * np.eye(6)))

    scale = torch.from_numpy(np.sqrt(np.diag(covariance))).expand(20_000, 6)
    levels = tuple(np.geomspace(1.6, 0.1, 12).tolist())
    given = prediction(torch.zeros_like(drawn), scale)
    refined = refine(drawn, given, estimate, levels, Refinement(12, sampler="flow"), normal).numpy()
    values, modes = np.linalg.eigh(covariance)
    np.testing.assert_allclose((refined @ modes).var(axis=0), values, rtol=0.05, atol=0.01)


@pytest.mark.parametrize(("reuse", "more"), [(False, 1), (True, 0)])
def test_flow_has_second_order_with_an_evaluation_per_level_and_one_more_or_not(reuse: bool, more: int) -> None:
    """The truth is a Gaussian of another width q: x - m shrinks as sqrt(q^2 + s^2) along the exact flow."""
    scale, width = torch.full((200, 3), 1.0), 0.6
    mean, drawn, normal = torch.zeros(200, 3), torch.randn(200, 3), torch.randn(1, 200, 3)
    levels = np.geomspace(2.0, 0.1, 97).tolist()

    def error(n_levels: int) -> float:
        calls = []

        def estimate(x: torch.Tensor, sigma: float) -> torch.Tensor:
            calls.append(sigma)
            return sigma * x / (width**2 + sigma**2)

        refinement = Refinement(n_levels, sampler="flow", reuse=reuse)
        refined = refine(drawn, prediction(mean, scale), estimate, levels, refinement, normal)
        assert len(calls) == n_levels + more
        exact = (drawn + levels[0] * normal[0]) * width / (width**2 + levels[0] ** 2) ** 0.5
        return float((refined - exact).abs().max())

    # an Euler step at the end would leave an error that levels only halve
    assert error(9) < error(5) / 5


def test_flow_asks_for_the_levels_it_is_told() -> None:
    asked = []

    def estimate(x: torch.Tensor, sigma: float) -> torch.Tensor:
        asked.append(sigma)
        return torch.zeros_like(x)

    given = prediction(torch.zeros(4, 3), torch.ones(4, 3))
    refine(
        torch.ones(4, 3),
        given,
        estimate,
        (0.8, 0.4, 0.2, 0.1),
        Refinement(2, sampler="flow", skip=1),
        torch.zeros(1, 4, 3),
    )
    assert asked == [0.4, 0.1, 0.1]
    asked.clear()
    refine(
        torch.ones(4, 3),
        given,
        estimate,
        (0.8, 0.4, 0.2, 0.1),
        Refinement(4, sampler="flow", reuse=True),
        torch.zeros(1, 4, 3),
    )
    assert asked == [0.8, 0.4, 0.2, 0.1]


@pytest.mark.parametrize(("n_levels", "tolerance"), [(6, 0.04), (20, 0.01)])
def test_flow_turns_a_gaussian_into_a_distribution_with_two_peaks(n_levels: int, tolerance: float) -> None:
    spread, n = 0.15, 20_000

    def estimate(x: torch.Tensor, sigma: float) -> torch.Tensor:
        # expected noise in x = +-1 + spread xi + sigma z, with the peak unknown
        variance = spread**2 + sigma**2
        return sigma * (x - torch.tanh(x / variance)) / variance

    random = np.random.default_rng(7)
    scale = torch.full((n, 3), (1 + spread**2) ** 0.5, dtype=torch.float64)
    predicted = scale * torch.from_numpy(random.standard_normal((n, 3)))
    given = prediction(torch.zeros(n, 3, dtype=torch.float64), scale)
    levels = tuple(np.geomspace(4.0, 0.05, 20).tolist())
    normal = torch.from_numpy(random.standard_normal((1, n, 3)))
    refined = refine(predicted, given, estimate, levels, Refinement(n_levels, sampler="flow"), normal)
    assert (refined.abs() < 0.5).double().mean() < tolerance < 0.3 < (predicted.abs() < 0.5).double().mean()
    assert (refined > 0).double().mean() == pytest.approx(0.5, abs=0.01)
    assert refined.abs().mean() == pytest.approx(1.0, abs=2 * tolerance)
    assert refined.abs().std() == pytest.approx(spread, rel=10 * tolerance)


@pytest.mark.parametrize(
    "wrong", [{"levels": -1}, {"steps": 0}, {"step_size": 0.0}, {"sampler": "gibbs"}, {"skip": -1}]
)
def test_senseless_refinement_is_refused(wrong: dict) -> None:
    with pytest.raises(UserError, match="expected"):
        Refinement(**wrong)


@pytest.fixture(scope="module")
def two_state_model(tmp_path_factory: pytest.TempPathFactory) -> tuple[LearnedModel, list]:
    """Dimers whose length is 1 or 3 at random in every frame: no Gaussian has that distribution."""
    data = []
    for seed in range(20):
        random = np.random.default_rng(seed)
        direction = random.standard_normal(3)
        direction /= np.linalg.norm(direction)
        length = random.choice([1.0, 3.0], size=250) + 0.15 * random.standard_normal(250)
        ends = 0.5 * length[:, None, None] * np.array([[-1.0], [1.0]]) * direction
        data.append(bead_path(chain(2, name=f"d{seed}"), ends + 0.02 * random.standard_normal((250, 2, 3)), 1.0))
    options = TrainingOptions(
        time_step=1.0, atoms_per_bead=1, n_history=1, steps=600, validate_every=200, systems_per_batch=8,
        windows_per_system=64, learning_rate=3e-3, final_learning_rate=3e-4, refinement_levels=10, refinement_steps=5,
    )  # fmt: skip
    network = NetworkOptions(hidden=32, layers=1, embedding_hidden=8, embedding_layers=1, score=True, score_layers=1)
    path = tmp_path_factory.mktemp("two") / "model.pt"
    return LearnedModel.load(train(data, path, options=options, network=network)), data


def lengths_after_a_step(model: LearnedModel, data: list, refinement: Refinement | None) -> np.ndarray:
    simulator = LearnedSimulator(model, [item.cg for item in data] * 50, seed=1, refinement=refinement)
    state = simulator.start([item.positions[n : n + 2] for n in range(50) for item in data])
    positions = simulator.step(state).state.positions.numpy().reshape(-1, 2, 3)
    return np.linalg.norm(positions[:, 0] - positions[:, 1], axis=1)


@pytest.mark.parametrize("refinement", [Refinement(10, 5, sampler="langevin"), Refinement(10, sampler="flow")])
def test_score_gnn_brings_two_states_back(two_state_model: tuple, refinement: Refinement) -> None:
    model, data = two_state_model
    assert len(model.description.noise_levels) == 10
    predicted, refined = (lengths_after_a_step(model, data, item) for item in (Refinement(), refinement))
    # of a Gaussian of the same mean and variance 38 % lie there, of the true distribution none
    assert np.mean(np.abs(predicted - 2) < 0.5) > 0.3
    assert np.mean(np.abs(refined - 2) < 0.5) < 0.1
    assert np.mean(np.abs(refined - 1) < 0.5) == pytest.approx(0.5, abs=0.12)
    assert refined.mean() == pytest.approx(2.0, abs=0.15)


def test_equal_seeds_agree_and_others_differ(two_state_model: tuple) -> None:
    model, data = two_state_model

    def end(seed: int, copies: int) -> torch.Tensor:
        simulator = LearnedSimulator(model, [data[0].cg] * copies, seed=seed)
        return simulator.step(simulator.start([data[0].positions[:2]] * copies)).state.positions

    assert torch.equal(end(1, 2), end(1, 2))
    assert not torch.equal(end(1, 2), end(2, 2))


def test_more_levels_than_trained_are_refused(two_state_model: tuple) -> None:
    model, data = two_state_model
    with pytest.raises(UserError, match=r"11 levels of refinement, but .* has 10"):
        LearnedSimulator(model, [data[0].cg], refinement=Refinement(levels=11))
    with pytest.raises(UserError, match=r"2 levels of refinement and 9 left out, but .* has 10"):
        LearnedSimulator(model, [data[0].cg], refinement=Refinement(levels=2, sampler="flow", skip=9))
