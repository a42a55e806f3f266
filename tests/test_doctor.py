"""``cgplugin doctor``: what it says is so, and it says it where something is broken, too."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import openmm

from tests.conftest import run_cli


def doctor(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "cgplugin", "doctor", "--json"]
    return subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, **environment})


def test_says_versions_platforms_and_threads() -> None:
    done = doctor({"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["versions"]["openmm"] == version("openmm")
    assert found["versions"]["torch"] == version("torch")
    names = {openmm.Platform.getPlatform(i).getName() for i in range(openmm.Platform.getNumPlatforms())}
    assert {platform["name"] for platform in found["openmm"]["platforms"]} == names
    assert {p["name"]: p["error"] for p in found["openmm"]["platforms"]}["Reference"] is None
    assert found["threads"]["OMP_NUM_THREADS"] == "1"
    assert found["threads"]["torch"] == 1
    assert found["threads"]["usable"] == len(os.sched_getaffinity(0))


def test_text_names_what_json_names() -> None:
    done = run_cli("doctor")
    assert done.returncode == 0, done.stderr
    for words in (
        f"openmm           {version('openmm')}",
        "Reference        works",
        "Threads",
        "cgplugin[openmm-torch]",
    ):
        assert words in done.stdout


def test_what_is_broken_is_told(tmp_path: Path) -> None:
    """A torch, an OpenMM and an RDKit that cannot be imported, and a plug-in that is none."""
    for name in ("torch", "openmm"):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('{name} is broken\\nhere')\n")
    found = json.loads(doctor({"PYTHONPATH": str(tmp_path)}).stdout)
    assert found["torch_error"] == "torch is broken here"
    assert found["openmm"] == {"error": "openmm is broken here"}

    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "libOpenMMBroken.so").write_text("not a library")
    found = json.loads(doctor({"OPENMM_PLUGIN_DIR": str(plugins)}).stdout)
    assert "libOpenMMBroken.so" in found["openmm"]["plugin_failures"][0]
