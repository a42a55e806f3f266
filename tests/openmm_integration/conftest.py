"""Reference electrolytes and a model for them, for the tests of simulations in boxes."""

from pathlib import Path

import pytest

from cgplugin.networks.options import NetworkOptions
from cgplugin.systems.structure_files import Structure, load_structure
from tests.random_model import random_model

from .electrolytes import CONVENTIONS, ELECTROLYTES


@pytest.fixture(scope="session")
def electrolytes() -> list[Structure]:
    return [load_structure(ELECTROLYTES / name / "topology.data", CONVENTIONS) for name in ("000", "002")]


@pytest.fixture(scope="session")
def electrolyte_model(electrolytes: list[Structure], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.pt"
    options = NetworkOptions(hidden=8, layers=1, score=True, score_layers=1)
    return random_model(path, [structure.system for structure in electrolytes], options=options)
