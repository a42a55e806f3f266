"""The ablation command on two tiny variants: its table, and what it does when it is started again."""

import json
from pathlib import Path

import pytest

from benchmarks.polymers import ablations
from cgplugin import UserError
from cgplugin.networks.options import NetworkOptions
from cgplugin.training.options import TrainingOptions
from openmm_integration.ground_truth.generate import GenerateSpec, generate
from tests.conftest import POLYMER


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("reference")
    spec = GenerateSpec(n_systems=3, n_units=20, length=300, recording_interval=10, relaxation=10, seed=3)
    generate(spec, folder, workers=1)
    train = [str(POLYMER / "train" / name) for name in ("000", "003", "004", "007")]
    data = ["--data", *train, "--validation", str(POLYMER / "val" / "000"), "--reference", str(folder)]
    return [*data, "--steps", "30", "--validate-every", "15", "--hidden", "16", "--layers", "1", "--time", "200tau"]


def test_variants_are_valid_and_differ_from_the_baseline() -> None:
    for name, variant in ablations.VARIANTS.items():
        options, network = TrainingOptions(**variant.training), NetworkOptions(**variant.network)
        assert ((options, network) == (TrainingOptions(), NetworkOptions())) == (name == ablations.BASELINE), name


def test_two_variants(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["--out", str(tmp_path), "--replicas", "2", "--only", "history-1", "no-embedding"]
    ablations.main([*words, *names])
    text = (tmp_path / "ablations.md").read_text()
    assert text in capsys.readouterr().out
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    header = [cell.strip() for cell in rows[0].strip("|").split("|")]
    table = {line.split("|")[1].strip(): [cell.strip() for cell in line.strip("|").split("|")] for line in rows[2:]}
    assert set(table) == {"history-1", "no-embedding"}
    for row in table.values():
        assert len(row) == len(header)
        values = dict(zip(header, row, strict=True))
        assert float(values["Rg^2 MAE"]) > 0
        assert float(values["one-step NLL"])
        assert float(values["ms per chain and step"]) > 0
        assert values["runs that left the physical region"].endswith(" of 6")
    # finished variants are kept, model and result
    files = [tmp_path / "history-1" / name for name in ("model.pt", "result.json")]
    before = [path.stat().st_mtime_ns for path in files]
    ablations.main([*words, *names])
    assert [path.stat().st_mtime_ns for path in files] == before
    assert (tmp_path / "ablations.md").read_text() == text
    with pytest.raises(UserError, match="holds a variant of other options or data"):
        ablations.main([*words, *names, "--seed", "9"])


def test_a_variant_that_fails_is_a_row(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "cutoff-6").mkdir()
    (tmp_path / "cutoff-6" / "model.pt").write_text("not a model")
    ablations.main([*words, "--out", str(tmp_path), "--only", "cutoff-6"])
    assert "failed: " in json.dumps((tmp_path / "ablations.md").read_text())
