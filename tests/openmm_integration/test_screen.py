"""``cgplugin screen`` with the shipped model: files, restarts, and candidates that are not good."""

import csv
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import mdtraj
import numpy as np
import pytest

from cgplugin import UserError
from cgplugin.cli.main import main
from cgplugin.learned.simulator import LearnedSimulator, SimulationDivergedError
from cgplugin.systems.lammps_files import LammpsConventions
from cgplugin.systems.structure_files import load_structure
from openmm_integration.runs import resumable_run, screen
from tests.conftest import POLYMER, ROOT, SHARED

MODEL = ROOT / "models" / "polymer.pt"
SPEC = "polymer_class: II\nn_systems: 3\nn_units: 25\nseed: 4\nname: p\n"
OPTIONS = ["--time", "1200tau", "--discard", 200, "--replicas", 1, "--batch", 2, "--workers", 1, "--seed", 7]


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("spec") / "candidates.yaml"
    path.write_text(SPEC)
    return path


@pytest.fixture(scope="module")
def words(spec: Path) -> list[object]:
    """Two batches: three built polymers, and one from a file."""
    return ["screen", MODEL, spec, POLYMER / "devtest" / "000" / "topology.data", *OPTIONS]


def run(*arguments: object) -> int:
    """Run ``cgplugin`` in this process, and give its exit status."""
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in arguments])
    return int(stop.value.code or 0)


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    def check(*arguments: object, message: str) -> None:
        assert run(*arguments) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1, lines
        assert message in lines[0]

    return check


@pytest.fixture(scope="module")
def screened(words: list[object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("screening") / "out"
    assert run(*words, "--out", out) == 0
    return out


def rows_of(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((out / "ranking.csv").open()))


def test_ranking_is_that_of_the_runs(screened: Path) -> None:
    rows = rows_of(screened)
    assert {row["name"] for row in rows} == {"p0000", "p0001", "p0002", "000"}
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4"]
    values = [float(row["value"]) for row in rows]
    assert values == sorted(values, reverse=True)
    for row in rows:
        series = np.loadtxt(next(screened.glob(f"runs/*/{row['name']}/properties.csv")), delimiter=",", skiprows=1)
        assert len(series) == 240
        assert float(row["value"]) == pytest.approx(series[series[:, 0] >= 200, 1].mean(), rel=1e-5)
        assert float(row["standard_error"]) > 0
    assert sum(float(row["probability_in_top_1"]) for row in rows) == pytest.approx(1, abs=1e-3)
    content = json.loads((screened / "ranking.json").read_text())
    assert [item["name"] for item in content["ranked"]] == [row["name"] for row in rows]
    assert content["core_seconds"] == pytest.approx(sum(item["core_seconds"] for item in content["ranked"]))
    assert content["core_seconds"] > 0
    assert (screened / "ranking.png").stat().st_size > 0


def test_batches_have_noise_of_their_own(screened: Path) -> None:
    seeds = [json.loads(path.read_text())["seed"] for path in screened.glob("runs/*/*/summary.json")]
    assert len(set(seeds)) == 2


def test_killed_screening_resumes_to_the_same_ranking(screened: Path, words: list[object], tmp_path: Path) -> None:
    out = tmp_path / "killed"
    line = [sys.executable, "-m", "cgplugin", *map(str, words), "--out", str(out), "--checkpoint-interval", "40"]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL)
    while process.poll() is None and not (out / "runs" / "0001" / "progress.json").exists():
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (out / "runs" / "0000.json").exists()
    assert not (out / "runs" / "0001.json").exists()
    before = (out / "runs" / "0000" / "p0000" / "trajectory.dcd").stat().st_mtime_ns
    assert run(*words, "--out", out, "--resume", "--checkpoint-interval", 40) == 0
    assert (out / "runs" / "0000" / "p0000" / "trajectory.dcd").stat().st_mtime_ns == before
    assert (out / "ranking.csv").read_bytes() == (screened / "ranking.csv").read_bytes()


def test_workers_do_not_change_the_ranking(words: list[object], tmp_path: Path) -> None:
    tables = []
    for workers in (1, 2):
        out = tmp_path / str(workers)
        assert run(*words, "--out", out, "--workers", workers, "--time", 100, "--discard", 0) == 0
        tables.append((out / "ranking.csv").read_bytes())
    assert tables[0] == tables[1]


def test_finished_screening_can_be_ranked_by_another_property(
    screened: Path, words: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = (screened / "ranking.csv").read_bytes()
    monkeypatch.setattr(LearnedSimulator, "step", None)
    assert run(*words, "--out", screened, "--resume", "--property", "end-to-end", "--ascending", "--top", 2) == 0
    rows = rows_of(screened)
    assert {row["property"] for row in rows} == {"end_to_end"}
    assert {row["unit"] for row in rows} == {"sigma"}
    values = [float(row["value"]) for row in rows]
    assert values == sorted(values)
    assert run(*words, "--out", screened, "--resume") == 0
    assert (screened / "ranking.csv").read_bytes() == table


def test_another_screening_is_not_continued(screened: Path, words: list[object], spec: Path, refused) -> None:
    refused(*words, "--out", screened, message="holds a screening already: use --resume to go on, or another folder")
    refused(*words, "--out", screened, "--resume", "--seed", 8, message="holds a screening that differs in seed")
    fewer = [*words[:3], *OPTIONS, "--out", screened, "--resume"]
    refused(*fewer, message="differs in the candidate '000'")


@pytest.fixture
def unknown_type(tmp_path: Path) -> Path:
    text = (POLYMER / "devtest" / "001" / "topology.data").read_text()
    text = text.replace("4 atom types", "5 atom types").replace("\n4 1\n\nAtoms", "\n4 1\n5 1\n\nAtoms")
    path = tmp_path / "odd.data"
    path.write_text(re.sub(r"\n(\d+ 1) \d (-?\d+\.)", r"\n\1 5 \2", text, count=1))
    return path


def test_bad_candidates_are_named_before_anything_runs(spec: Path, unknown_type: Path, tmp_path: Path, refused) -> None:
    out = tmp_path / "out"
    broken = tmp_path / "broken.data"
    broken.write_text("nonsense\n")
    refused("screen", MODEL, spec, unknown_type, "--out", out, message="has type '5', which the model never saw")
    refused("screen", MODEL, spec, broken, "--out", out, message="broken.data")
    refused("screen", MODEL, spec, tmp_path / "no", "--out", out, message="no: no such file")
    (tmp_path / "bad.yaml").write_text("polymer_class: III\n")
    refused("screen", MODEL, tmp_path / "bad.yaml", "--out", out, message="unknown polymer class 'III'")
    refused("screen", MODEL, spec, spec, "--out", out, message="two candidates are called 'p0000'")
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--time", "0"], "'0' is not a positive time"),
        (["--time", "50", "--discard", "49"], "leaves less than two frames"),
        (["--top", "9"], "top is 9, but there are 3 candidates"),
        (["--top", "0"], "top is 0, expected at least 1"),
        (["--replicas", "0"], "replicas is 0"),
        (["--batch", "0"], "batch is 0"),
        (["--workers", "0"], "workers is 0"),
        (["--property", "colour"], "'colour' is not one of"),
    ],
)
def test_options(spec: Path, tmp_path: Path, options: list[str], message: str, refused) -> None:
    refused("screen", MODEL, spec, "--out", tmp_path / "out", *options, message=message)
    assert not (tmp_path / "out" / "screen.json").exists()


def test_the_rest_goes_on_without_bad_candidates(
    spec: Path, unknown_type: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["screen", MODEL, spec, unknown_type, "--skip-bad", "--out", out, *OPTIONS, "--time", 100, "--discard", 0]
    assert run(*words) == 0
    assert "skipped: " in (err := capsys.readouterr().err)
    assert "odd.data" in err
    assert {row["name"] for row in rows_of(out)} == {"p0000", "p0001", "p0002"}


def test_runs_that_leave_the_physical_region_are_apart(
    spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(resumable_run, "STRETCH_LIMIT", 0.2)
    assert run("screen", MODEL, spec, "--out", tmp_path / "out", *OPTIONS, "--time", 100, "--discard", 0) == 0
    rows = rows_of(tmp_path / "out")
    assert [row["rank"] for row in rows] == ["", "", ""]
    assert all(row["remark"].startswith("left the physical region in") for row in rows)
    assert "warning: not ranked: p0000: left the physical region" in capsys.readouterr().err


def test_a_candidate_that_flies_apart_does_not_stop_the_others(
    spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = LearnedSimulator.step

    def diverge(self: LearnedSimulator, state, *force):
        if state.step == 12 and "p0001" in (names := [cg.system.name for cg in self.systems]):
            raise SimulationDivergedError(f"{names[1]}: the position of bead 3 is not finite after step 13")
        return step(self, state, *force)

    monkeypatch.setattr(LearnedSimulator, "step", diverge)
    assert run("screen", MODEL, spec, "--out", tmp_path / "out", *OPTIONS, "--time", 100, "--discard", 0) == 0
    rows = rows_of(tmp_path / "out")
    assert {row["name"] for row in rows[:2]} == {"p0000", "p0002"}
    assert rows[2]["name"] == "p0001"
    assert rows[2]["remark"].startswith("flew apart: ")


def test_a_candidate_whose_md_cannot_be_started(
    spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused
) -> None:
    start = screen.learned_simulation

    def fail(model, structures, **options):
        if "p0001" in [structure.system.name for structure in structures]:
            raise UserError("p0001: atom 3 is not finite: the MD blows up")
        return start(model, structures, **options)

    monkeypatch.setattr(screen, "learned_simulation", fail)
    words = ["screen", MODEL, spec, "--out", tmp_path / "out", *OPTIONS, "--time", 100, "--discard", 0]
    refused(*words, message="p0001: atom 3 is not finite")
    assert run(*words, "--skip-bad", "--resume") == 0
    rows = rows_of(tmp_path / "out")
    assert {row["name"] for row in rows[:2]} == {"p0000", "p0002"}
    assert rows[2]["remark"] == "cannot be started: p0001: atom 3 is not finite: the MD blows up"


def test_example(tmp_path: Path) -> None:
    examples = ROOT / "examples"
    words = ["screen", MODEL, examples / "candidates.yaml", "--config", examples / "screen.yaml", "--workers", 1]
    assert run(*words, "--out", tmp_path / "out", "--time", 100, "--discard", 0) == 0
    assert len(rows_of(tmp_path / "out")) == 20


def test_electrolytes_in_different_boxes_are_one_batch(tmp_path: Path) -> None:
    model, systems = ROOT / "models" / "electrolyte.pt", SHARED / "electrolyte" / "val"
    files = [systems / name / "topology.data" for name in ("000", "001")]
    options = ["--time", "100tau", "--discard", 20, "--replicas", 2, "--workers", 1, "--seed", 3]
    assert run("screen", model, *files, *options, "--out", tmp_path / "out") == 0
    ranking = json.loads((tmp_path / "out" / "ranking.json").read_text())
    assert {row["name"] for row in ranking["ranked"]} == {"000", "001"}
    widths = []
    for name in ("000", "001"):
        for replica in (0, 1):
            (folder,) = (tmp_path / "out").rglob(f"{name}/replica-{replica}")
            trajectory = mdtraj.load(str(folder / "trajectory.dcd"), top=str(folder / "topology.pdb"))
            widths.append(float(trajectory.unitcell_lengths[0, 0]))
    boxes = [load_structure(file, LammpsConventions()).box_vectors for file in files]
    np.testing.assert_allclose(widths, np.repeat([box[0, 0] for box in boxes], 2), rtol=1e-5)
