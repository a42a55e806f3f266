"""What the pages show is what happens: commands print what stands below them, and Python runs."""

import bz2
import importlib
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser

from cgplugin import LearnedModel
from cgplugin.coarse_graining.coarse_trajectory import coarsen_frames
from cgplugin.coarse_graining.coarsening import coarsen
from cgplugin.systems.force_field import find
from cgplugin.systems.lammps_files import LammpsConventions
from cgplugin.systems.structure_files import load_structure, open_trajectory
from tests.conftest import POLYMER, ROOT, SHARED

DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS / "extensions"))

from repository_links import rewrite, write_pages  # noqa: E402 - a folder of Sphinx extensions is no package

LIMIT = 600

SHORTER = {
    "polymers.yaml": {"n_systems": 4, "length": 60, "relaxation": 20},
    "unseen_polymer.yaml": {"relaxation": 20},
    "train.yaml": {"steps": 20, "validate_every": 10, "hidden": 16},
}
"""Specs and options of the tutorial, for a machine that has less time than a reader."""

Commands = list[tuple[str, list[str]]]


def console_blocks(page: Path) -> Commands:
    """Commands of a page's console blocks, each with the lines that it prints."""
    commands: Commands = []
    for block in re.findall(r"^```console\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                commands.append((line[2:], []))
            else:
                commands[-1][1].append(line)
    return commands


_VARIES = re.compile(r"(?P<beads>\d+ \(\d+x\)(, \d+ \(\d+x\))*)|(?P<number>(?<![A-Za-z])\d[\d.]*)|(?P<rule>--+)")
"""What differs from run to run: lists of bead sizes, numbers, and the rules of a table."""

_ANY = {"beads": r"[\d x(),]+", "number": r"[\d.e-]+", "rule": r"--+"}


def pattern(line: str) -> re.Pattern[str]:
    """What a line of a page stands for: other numbers are as good."""
    line = " ".join(line.split())
    parts, end = [], 0
    for found in _VARIES.finditer(line):
        assert found.lastgroup is not None
        parts += [re.escape(line[end : found.start()]), _ANY[found.lastgroup]]
        end = found.end()
    return re.compile("".join(parts) + re.escape(line[end:]))


def run(command: str, folder: Path) -> str:
    program, *words = command.split()
    assert program in ("cgplugin", "python"), command
    done = subprocess.run(
        [sys.executable, *(["-m", "cgplugin"] if program == "cgplugin" else []), *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def follow(page: str, folder: Path, change: Callable[[str], str] = str) -> None:
    """Type the commands of a page, one after the other, and compare what they print."""
    commands = console_blocks(DOCS / page)
    assert commands
    for command, expected in commands:
        printed = [" ".join(line.split()) for line in run(change(command), folder).splitlines()]
        for line in expected:
            wanted = pattern(line)
            assert any(wanted.fullmatch(own) for own in printed), f"{command}\n{wanted.pattern}\n{printed}"


def test_pattern_takes_other_numbers_and_nothing_else() -> None:
    wanted = pattern("48 systems generated in 190 s on CPU: 1.7 million")
    assert wanted.fullmatch("4 systems generated in 9.25 s on CPU: 0.04 million")
    assert not wanted.fullmatch("4 systems removed in 9.25 s on CPU: 0.04 million")
    assert not wanted.fullmatch("48 systems generated in 190 s on CPU: 1.7 million, and more")


def test_tutorial(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    for name, changes in SHORTER.items():
        file = tmp_path / "examples" / name
        file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **changes}))
    follow("tutorial.md", tmp_path, lambda command: command.replace("25000tau", "5000tau"))
    run_python("tutorial.md", tmp_path, {"5_000": "50"})
    assert (tmp_path / "long.dcd").stat().st_size > 0
    # the page on pitfalls looks at the run of the tutorial
    run_python("pitfalls.md", tmp_path)


def test_own_lammps_files(tmp_path: Path) -> None:
    for number in ("000", "001", "002", "003"):
        shutil.copytree(POLYMER / "train" / number, tmp_path / "lammps" / number)

    def shorter(command: str) -> str:
        return command + " --steps 8 --validate-every 4 --hidden 16" if " train " in command else command

    follow("own_system.md", tmp_path, shorter)


def run_python(
    page: str, folder: Path, changes: dict[str, str] | None = None, known: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Run the Python blocks of a page in one namespace, which is returned, with ``folder`` as the current one."""
    text = (DOCS / page).read_text(encoding="utf-8")
    for old, new in (changes or {}).items():
        assert old in text
        text = text.replace(old, new)
    copy = folder / page
    copy.write_text(text, encoding="utf-8")
    document = Sybil([PythonCodeBlockParser()], path=str(folder), pattern="*.md").parse(copy)
    document.namespace.update(known or {})
    examples = list(document.examples())
    assert examples
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for example in examples:
            example.evaluate()
    return document.namespace


@pytest.fixture
def with_model(tmp_path: Path) -> Path:
    """A folder with a model and some structures."""
    shutil.copy(ROOT / "models" / "polymer.pt", tmp_path / "model.pt")
    for name in ("polymer", "a", "b"):
        shutil.copy(ROOT / "examples" / "polymer.data", tmp_path / f"{name}.data")
    return tmp_path


def test_page_on_many_at_once(with_model: Path) -> None:
    run_python(
        "many_at_once.md", with_model, {"5_000": "20", 'device="cuda"': 'device="cpu"', "replicas=64": "replicas=3"}
    )
    assert len(list(with_model.glob("runs/?/replica-?/trajectory.dcd"))) == 16


def test_page_on_speed(with_model: Path) -> None:
    run_python("speed.md", with_model)
    written, shipped = (LearnedModel.load(path) for path in (with_model / "model.pt", ROOT / "models" / "polymer.pt"))
    assert written.description == shipped.description


def test_page_on_stock_openmm(with_model: Path) -> None:
    run_python("openmm_torch.md", with_model, {"step(1000)": "step(20)"})
    assert (with_model / "long.dcd").stat().st_size > 0


def test_page_on_lammps_files(with_model: Path) -> None:
    source = POLYMER / "train" / "000"
    (with_model / "dump.lammpstrj").write_bytes(bz2.decompress((source / "traj.lammpstrj.bz2").read_bytes()))
    shutil.copy(ROOT / "tests" / "lammps_reader" / "corpus" / "log" / "multi", with_model / "log.lammps")
    # what the reference files lack: velocities, type labels; and pandas, which is nobody's dependency
    lacking = {'frame.columns["vx"]': "frame.columns", 'data.type_labels["atom"]': "data.type_labels"}
    run_python("lammps_reader.md", with_model, {**lacking, "    run.to_pandas()\n": "", '"real")\n```': '"lj")\n```'})
    assert (with_model / "copy.data.gz").stat().st_size > 0


def test_page_on_observables(tmp_path: Path) -> None:
    conventions = LammpsConventions(force_field=find("electrolyte"))
    source = SHARED / "electrolyte" / "val" / "000"
    structure = load_structure(source / "topology.data", conventions)
    frames_of_text = bz2.decompress((source / "traj.lammpstrj.bz2").read_bytes()).split(b"ITEM: TIMESTEP")
    dump = tmp_path / "traj.lammpstrj"
    dump.write_bytes(b"ITEM: TIMESTEP".join(frames_of_text[:61]))
    trajectory = open_trajectory(dump, structure, conventions)
    cg = coarsen(structure.system, 5)
    blocks = coarsen_frames(cg, trajectory.blocks(), unwrapped=trajectory.unwrapped, source=trajectory.source)
    # the reference is its own learned simulation
    frames = [(block.positions, block.box_vectors) for block, _ in blocks]
    known = {"cg": cg, "trajectory": trajectory, "coarsen_frames": coarsen_frames, "frames": frames}
    found = run_python("observables.md", tmp_path, known={**known, "time_step": trajectory.interval})
    assert found["learned"].collisions.total.tolist() == found["reference"].collisions.total.tolist()


def test_own_openmm_system(tmp_path: Path) -> None:
    make = runpy.run_path(str(ROOT / "examples" / "train_on_own_openmm_run.py"))["butane_like_chain"]
    run_python("own_system.md", tmp_path, known=dict(zip(("topology", "system", "positions"), make(24), strict=True)))
    assert load_structure(tmp_path / "data" / "chain24").system.n_atoms == 24


def test_python_of_every_page_is_run() -> None:
    own = set(re.findall(r'run_python\(\s*"(\w+\.md)"', Path(__file__).read_text()))
    # openmm.md: tests/test_examples.py; cluster.md: a single call, that of tests/cgplugin/test_distributed_training.py
    elsewhere = {"openmm.md", "cluster.md"}
    assert {page.name for page in DOCS.glob("*.md") if "```python" in page.read_text()} == own | elsewhere


@pytest.mark.parametrize("package", ["cgplugin", "openmm_integration", "lammps_reader"])
def test_reference_has_every_public_name(package: str) -> None:
    page = (DOCS / "api" / f"{package}.rst").read_text()
    if f".. automodule:: {package}\n   :members:" in page:
        return
    documented = set(re.findall(rf":: {package}\.(\w+)$", page, re.MULTILINE))
    assert {name for name in importlib.import_module(package).__all__ if name[0] != "_"} <= documented


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in ("docs/guide.md", "benchmarks/speed/README.md", "benchmarks/speed/plot.png", "examples/run.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "docs" / "benchmarks").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("file", "page", "link", "on_the_site"),
    [
        ("docs/guide.md", "docs/guide.md", "../benchmarks/speed/README.md#cost", "benchmarks/speed.md#cost"),
        ("docs/guide.md", "docs/guide.md", "../benchmarks/speed", "benchmarks/speed.md"),
        ("docs/guide.md", "docs/guide.md", "../examples", "examples.md"),
        ("docs/guide.md", "docs/guide.md", "../examples/run.py", "../examples/run.py"),
        ("docs/guide.md", "docs/guide.md", "https://openmm.org/a.md", "https://openmm.org/a.md"),
        ("docs/guide.md", "docs/guide.md", "#cost", "#cost"),
        ("benchmarks/speed/README.md", "docs/benchmarks/speed.md", "../../docs/guide.md", "../guide.md"),
        ("benchmarks/speed/README.md", "docs/benchmarks/speed.md", "plot.png", "../../benchmarks/speed/plot.png"),
    ],
)
def test_links_of_the_repository_lead_to_pages(
    repository: Path, file: str, page: str, link: str, on_the_site: str
) -> None:
    pages = {"benchmarks/speed/README.md": "benchmarks/speed", "examples": "examples"}
    text = rewrite(f"[text]({link})", repository / file, repository / page, repository / "docs", pages)
    assert text == f"[text]({on_the_site})"


def test_pages_of_files_that_are_gone_are_removed(repository: Path) -> None:
    docs, own = repository / "docs", repository / "docs" / "benchmarks" / "index.md"
    own.write_text("# Benchmarks\n")
    write_pages(docs, {"benchmarks/old/README.md": "benchmarks/old"})
    write_pages(docs, {"benchmarks/speed/README.md": "benchmarks/speed"})
    assert sorted(page.name for page in own.parent.iterdir()) == ["index.md", "speed.md"]
    assert (docs / "benchmarks" / "speed.md").read_text() == "```{include} ../../benchmarks/speed/README.md\n```\n"


def test_every_console_command_is_followed() -> None:
    pages = {page.name for page in DOCS.glob("*.md") if console_blocks(page)}
    assert pages == {"tutorial.md", "own_system.md"}
