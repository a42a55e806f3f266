"""A learned model and the beads of a chain; reference electrolytes, and a model for them."""

from pathlib import Path

import pytest

from cgplugin import LearnedModel
from cgplugin.networks.options import NetworkOptions
from cgplugin.systems.structure_files import Structure, load_structure, open_trajectory
from openmm_integration import CoarseSystem
from openmm_integration.runs.start_frames import from_trajectory
from tests.random_model import random_model

from .electrolytes import CONVENTIONS, ELECTROLYTES


@pytest.fixture(scope="module")
def model(small_model: Path) -> LearnedModel:
    """Read anew for every module: some of them change what it does."""
    return LearnedModel.load(small_model)


@pytest.fixture(scope="module")
def cg(model: LearnedModel, polymer_data: Path) -> CoarseSystem:
    """A random copolymer, with the start frames of its reference."""
    structure = load_structure(polymer_data)
    mapping = model.coarsen(structure.system)
    path = open_trajectory(polymer_data.parent / "traj.lammpstrj.bz2", structure)
    return CoarseSystem((mapping,), None, from_trajectory(model, mapping, path))


@pytest.fixture(scope="session")
def electrolytes() -> list[Structure]:
    return [load_structure(ELECTROLYTES / name / "topology.data", CONVENTIONS) for name in ("000", "002")]


@pytest.fixture(scope="session")
def electrolyte_model(electrolytes: list[Structure], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.pt"
    options = NetworkOptions(hidden=8, layers=1, score=True, score_layers=1)
    systems = [structure.system for structure in electrolytes]
    return random_model(path, systems, ion_cutoff=5.0, score_ion_cutoff=3.1, options=options)
