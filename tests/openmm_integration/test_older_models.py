"""Models of earlier versions still run."""

from pathlib import Path

import numpy as np
from openmm import unit

from cgplugin import LearnedModel
from openmm_integration import learned_simulation
from tests.conftest import ROOT


def test_model_from_before_the_score_gnn(polymer_data: Path) -> None:
    """It gives no latents and knows no refinement; two training steps on six polymers, 4 hidden units."""
    model = LearnedModel.load(ROOT / "tests" / "models" / "without_score.pt")
    simulation = learned_simulation(model, polymer_data, seed=1)
    simulation.step(3)
    positions = simulation.context.getState(positions=True).getPositions(asNumpy=True)
    assert np.isfinite(positions.value_in_unit(unit.nanometer)).all()
    assert simulation.context.getTime() == 3 * model.time_step * unit.picosecond
    assert model.refinement.levels == 0
