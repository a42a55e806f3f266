"""The examples, the README's Python and the benchmark's smallest case run as they stand."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import mdtraj
import pytest
import yaml

from cgplugin.networks.options import NetworkOptions
from cgplugin.training.options import TrainingOptions
from openmm_integration.ground_truth.kinds import KINDS, load_spec
from tests.conftest import ROOT

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def run(*words: object, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, words)], cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_learned_simulation(small_model: Path, polymer_data: Path, tmp_path: Path) -> None:
    printed = run(ROOT / "examples" / "learned_simulation.py", small_model, polymer_data, "--steps", 50, cwd=tmp_path)
    assert "5 frames of 9 beads" in printed
    assert (tmp_path / "long.chk").exists()


def test_reporters(small_model: Path, polymer_data: Path, tmp_path: Path) -> None:
    example = ROOT / "examples" / "reporters.py"
    printed = run(example, small_model, polymer_data, "--steps", 100, cwd=tmp_path)
    assert "10 frames and 10 lines, the last at 500 ps and 500 ps" in printed
    printed = run(example, small_model, polymer_data, "--steps", 100, "--resume", cwd=tmp_path)
    assert "20 frames and 20 lines, the last at 1000 ps and 1000 ps" in printed


def test_replicas(small_model: Path, polymer_data: Path, tmp_path: Path) -> None:
    words = [small_model, polymer_data, "--replicas", 3, "--steps", 40]
    printed = run(ROOT / "examples" / "replicas.py", *words, cwd=tmp_path)
    assert "from 3 replicas" in printed
    for n in range(3):
        folder = tmp_path / "runs" / "000" / f"replica-{n}"
        assert mdtraj.load(folder / "trajectory.dcd", top=folder / "topology.pdb").n_frames == 4


def test_training_on_an_own_openmm_run(tmp_path: Path) -> None:
    printed = run(
        ROOT / "examples" / "train_on_own_openmm_run.py", "--frames", 30, "--steps", 8, "--time", "20ps", cwd=tmp_path
    )
    assert "chain40" in printed
    trajectory = tmp_path / "own" / "runs" / "chain40" / "trajectory.dcd"
    assert mdtraj.load(trajectory, top=trajectory.with_name("topology.pdb")).n_frames == 2


@pytest.mark.parametrize("page", ["README.md", "docs/openmm.md"])
def test_python_of_the_pages(page: str, small_model: Path, polymer_data: Path, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert blocks
    shutil.copy(small_model, tmp_path / "model.pt")
    shutil.copy(polymer_data, tmp_path / "polymer.data")
    code = "\n".join(blocks).replace("50_000", "50")
    run("-c", code, cwd=tmp_path)
    assert (tmp_path / "long.dcd").stat().st_size > 0


@pytest.mark.parametrize("page", ["README.md", "docs/electrolytes.md"])
def test_commands_of_the_pages_have_the_options_that_they_use(page: str) -> None:
    text = (ROOT / page).read_text()
    for line in re.findall(r"^cgplugin (.*?[^\\])$", text, re.MULTILINE | re.DOTALL):
        words = line.replace("\\\n", " ").split()
        done = subprocess.run(
            [sys.executable, "-m", "cgplugin", words[0], "--help"], capture_output=True, text=True, check=True
        )
        for option in (word for word in words if word.startswith("--")):
            assert f"{option} " in done.stdout.replace("/", " "), line


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("polymers.yaml", "polymers"),
        ("unseen_polymer.yaml", "polymers"),
        ("electrolytes.yaml", "electrolytes"),
        ("peo_litfsi.yaml", "atomistic"),
    ],
)
def test_specs_are_valid(name: str, kind: str) -> None:
    spec, generator = load_spec(ROOT / "examples" / name)
    assert isinstance(spec, KINDS[kind].spec_class)
    assert generator is KINDS[kind].generator


def test_spec_of_the_page_on_electrolytes_is_valid(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "electrolytes.md").read_text(), re.DOTALL)
    (tmp_path / "new.yaml").write_text(block)
    spec, _ = load_spec(tmp_path / "new.yaml")
    assert spec.n_systems == 1


def test_training_config_is_valid() -> None:
    content = yaml.safe_load((ROOT / "examples" / "train.yaml").read_text())
    known = {**TrainingOptions.__dataclass_fields__, **NetworkOptions.__dataclass_fields__}
    assert set(content) <= set(known)
    TrainingOptions(**{key: value for key, value in content.items() if key in TrainingOptions.__dataclass_fields__})


def test_vmd_script_has_what_a_tcl_interpreter_parses() -> None:
    text = (ROOT / "examples" / "vmd_beads.tcl").read_text()
    assert text.count("{") == text.count("}")
    assert text.count("[") == text.count("]")
