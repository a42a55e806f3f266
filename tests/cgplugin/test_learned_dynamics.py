"""A process with known answers, learned from data and simulated for 100 times the training length."""

import numpy as np
import pytest

from cgplugin import LearnedModel
from cgplugin.learned.simulator import LearnedSimulator
from cgplugin.networks.options import NetworkOptions
from cgplugin.observables.statistics import autocorrelation
from cgplugin.training.options import TrainingOptions
from cgplugin.training.trainer import train
from tests.conftest import bead_path, chain
from tests.processes import mean_diffusion, overdamped_dimer

INTERVAL, STRIDE, RELAXATION, VARIANCE, FRAMES = 0.5, 2, 4.0, 1.5, 250

# The mean of the paper's network must be learned from scratch, the linear prior has it from the start.
CASES = {
    "default": (NetworkOptions(hidden=16, layers=1, embedding_hidden=8, embedding_layers=1), 200, 0.1),
    "paper": (
        NetworkOptions(
            hidden=32, layers=1, embedding_hidden=8, embedding_layers=1, mlp_layers=2, activation="relu",
            symmetry="none", noise="bonded", prior="none",
        ),
        600,
        0.2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_ornstein_uhlenbeck_process_comes_back(case: str, tmp_path) -> None:
    network, steps, tolerance = CASES[case]
    data = [
        bead_path(
            chain(2, name=f"dimer{seed}"),
            overdamped_dimer(FRAMES, INTERVAL, relaxation=RELAXATION, variance=VARIANCE, seed=seed),
            INTERVAL,
        )
        for seed in range(60)
    ]
    options = TrainingOptions(
        time_step=INTERVAL * STRIDE,
        atoms_per_bead=1,
        n_history=1,
        steps=steps,
        validate_every=steps // 4,
        systems_per_batch=16,
        windows_per_system=32,
        learning_rate=3e-3,
        final_learning_rate=1e-4,
    )
    model = LearnedModel.load(train(data, tmp_path / "model.pt", options=options, network=network))
    replicas = 16
    simulator = LearnedSimulator(model, [data[0].cg] * replicas, seed=7)
    state = simulator.start([item.positions[[0, STRIDE]] for item in data[:replicas]])
    n_steps = 100 * FRAMES // STRIDE // replicas
    path = np.empty((n_steps, replicas, 2, 3))
    for n in range(n_steps):
        state = simulator.step(state).state
        path[n] = state.positions.numpy().reshape(replicas, 2, 3)
    separation = (path[:, :, 0] - path[:, :, 1]).reshape(n_steps, -1)
    # the standard error of the mean of a correlated series of this length
    error = np.sqrt(VARIANCE * 2 * RELAXATION / (n_steps * INTERVAL * STRIDE * separation.shape[1]))
    assert abs(separation.mean()) < 4 * error + 0.02
    assert separation.var() == pytest.approx(VARIANCE, rel=tolerance)
    correlation = np.mean([autocorrelation(column)[:13] for column in separation.T], axis=0)
    lags = np.arange(13) * INTERVAL * STRIDE
    fitted = -1 / np.polyfit(lags[:5], np.log(correlation[:5]), 1)[0]
    assert fitted == pytest.approx(RELAXATION, rel=tolerance)
    centre = path.mean(axis=2)
    lag = 10
    spread = ((centre[lag:] - centre[:-lag]) ** 2).mean() / (2 * lag * INTERVAL * STRIDE)
    assert spread == pytest.approx(mean_diffusion(RELAXATION, VARIANCE), rel=tolerance)
