"""What is published: the wheel in an environment of its own, start-up, and the lists of dependencies."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

CONDA_NAMES = {"matplotlib": "matplotlib-base", "torch": "pytorch", "torch-geometric": "pytorch_geometric"}
"""Where conda-forge has another name than PyPI."""

HEAVY = (
    "numpy",
    "scipy",
    "torch",
    "openmm",
    "lightning",
    "mdtraj",
    "matplotlib",
    "torch_geometric",
    "distributed",
    "plotly",
    "pymetis",
    "vesin",
)
"""Packages that take a noticeable time to import."""


def bounds(requirements: list[str]) -> dict[str, str]:
    """Name in lower case to version, of requirements that each are a name and one bound."""
    parts = (re.fullmatch(r"([\w.-]+) ?(?:>=|==)([\w.]+)", line) for line in requirements)
    return {part[1].lower(): part[2] for part in parts if part}


DEPENDENCIES = bounds(PROJECT["dependencies"])


def test_every_dependency_has_a_lower_bound() -> None:
    assert len(DEPENDENCIES) == len(PROJECT["dependencies"])


def test_environment_yml_agrees() -> None:
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pip = next(entry["pip"] for entry in entries if isinstance(entry, dict))
    found = bounds([*(entry for entry in entries if isinstance(entry, str)), *pip])
    python = found.pop("python")
    assert PROJECT["requires-python"] == f">={python}"
    expected = {CONDA_NAMES.get(name, name): bound for name, bound in DEPENDENCIES.items()}
    # what there is no reason to leave out where it is this easily had
    expected |= bounds(PROJECT["optional-dependencies"]["atomistic"])
    assert found == expected


def test_conda_recipe_agrees() -> None:
    recipe = yaml.safe_load((ROOT / "recipe" / "recipe.yaml").read_text())
    expected = {CONDA_NAMES.get(name, name): bound for name, bound in DEPENDENCIES.items()}
    assert bounds(recipe["requirements"]["run"]) == expected
    assert recipe["context"]["version"] == PROJECT["version"]
    assert recipe["build"]["python"]["entry_points"] == [f"{k} = {v}" for k, v in PROJECT["scripts"].items()]


def test_lowest_versions_are_the_bounds() -> None:
    lines = (ROOT / "constraints-lowest.txt").read_text().splitlines()
    pinned = bounds([line for line in lines if not line.startswith("#")])
    # 2.6 as a bound is 2.6.0 as a version
    short = {name: re.sub(r"(\.0)+$", "", version) for name, version in pinned.items()}
    assert short == {name: re.sub(r"(\.0)+$", "", bound) for name, bound in DEPENDENCIES.items()}


def test_tested_versions_are_within_the_bounds() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = bounds([line for line in lines if not line.startswith("#")])
    for name, bound in DEPENDENCIES.items():
        assert [int(n) for n in pinned[name].split(".")[:2]] >= [int(n) for n in bound.split(".")[:2]], name


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by way of the sdist, as it would be for PyPI, from what git would check out plus what is being written."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    for package in ("cgplugin", "openmm_integration", "lammps_reader"):
        shutil.copytree(ROOT / package, source / package, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    # the sdist first, and the wheel from it; the build tools are those of this environment, so that no network is needed
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    assert len(list(out.glob("*.tar.gz"))) == 1
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an environment that has the package from the wheel alone, and the dependencies from this environment."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True, with_pip=False)
    place = Path(f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages")
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(folder / "bin" / "python"),
        "install",
        "--no-deps",
        "--no-index",
    ]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    # a plain path: the .pth files over there are not followed, and so the editable install of the source tree is not found
    others = Path(pytest.__file__).parents[1]
    (folder / place / "dependencies.pth").write_text(f"{others}\n")
    return folder


def run(installed: Path, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(words, capture_output=True, text=True, check=True, cwd=cwd, env=environment)


def test_wheel_has_all_files_of_the_packages(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for package in ("cgplugin", "openmm_integration", "lammps_reader"):
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith("."):
                assert path.relative_to(ROOT).as_posix() in names
    assert not any(name.startswith(("tests/", "benchmarks/", "examples/")) for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_wheel_is_what_runs(installed: Path, tmp_path: Path) -> None:
    code = (
        "import cgplugin as c, openmm_integration as o, lammps_reader as l; print(c.__file__, o.__file__, l.__file__)"
    )
    places = run(installed, str(installed / "bin" / "python"), "-c", code, cwd=tmp_path).stdout.split()
    assert all(Path(place).is_relative_to(installed) for place in places)


def test_command_of_the_wheel(installed: Path, tmp_path: Path) -> None:
    """A command that needs a data file of the package and a library underneath."""
    program = str(installed / "bin" / "cgplugin")
    assert "simulate" in run(installed, program, "--help", cwd=tmp_path).stdout
    assert PROJECT["version"] in run(installed, program, "--version", cwd=tmp_path).stdout
    spec = "name: x\nn_systems: 1\nn_units: 4\nlength: 2\nrecording_interval: 1\nrelaxation: 1\n"
    (tmp_path / "spec.yaml").write_text(spec)
    run(installed, program, "generate", "spec.yaml", "--out", "data", cwd=tmp_path)
    assert len(list((tmp_path / "data").glob("*/trajectory.dcd"))) == 1


def test_shell_completion_names_the_commands(installed: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "_CGPLUGIN_COMPLETE": "bash_complete", "COMP_WORDS": "cgplugin si", "COMP_CWORD": "1"}
    words = [str(installed / "bin" / "cgplugin")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert "simulate" in done.stdout


def loaded_by(statement: str) -> set[str]:
    guarded = f"try:\n    {statement}\nexcept SystemExit as stop:\n    assert not stop.code"
    code = f"import sys\n{guarded}\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return {name.split(".")[0] for name in done.stderr.split()}


def test_import_and_help_load_no_heavy_package() -> None:
    for statement in ("import cgplugin", "from cgplugin.cli.main import main; main(['--help'])"):
        assert not loaded_by(statement) & set(HEAVY)


def test_help_of_every_command_loads_no_heavy_package() -> None:
    """In one process: what one command loads stays."""
    code = (
        "import io, contextlib, cgplugin.cli.main as m\n"
        "    for name in m.COMMANDS:\n"
        "        with contextlib.redirect_stdout(io.StringIO()):\n"
        "            try: m.main([name, '--help'])\n"
        "            except SystemExit as stop: assert stop.code == 0, name"
    )
    assert not loaded_by(code) & set(HEAVY)
