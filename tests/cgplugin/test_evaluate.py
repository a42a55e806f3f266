"""``cgplugin evaluate``: a short run of the shipped model from end to end, known answers, and runs that go astray."""

import csv
import json
import math
import shutil
from pathlib import Path

import mdtraj
import numpy as np
import pytest
from scipy.signal import lfilter

from cgplugin import LearnedModel
from cgplugin.cli.main import main
from cgplugin.coarse_graining.coarse_trajectory import coarsen_trajectory
from cgplugin.evaluation.chain_comparison import LearnedRuns, Prediction, conformation_surfaces
from cgplugin.evaluation.chain_report import markdown_text, remarks, report_text, terminal_text, write_report
from cgplugin.evaluation.chains import Method, evaluate
from cgplugin.evaluation.reference_data import ReferenceSystem, load_reference
from cgplugin.evaluation.row_names import HALVES, LEARNED, SHORT_MD
from cgplugin.learned.simulator import LearnedSimulator, SimulationDivergedError
from cgplugin.observables.free_energy import divergence
from openmm_integration.runs.reference_runs import simulate_references
from openmm_integration.runs.resumable_run import STRETCH_LIMIT, RunSettings
from tests.conftest import POLYMER, ROOT

MODEL = ROOT / "models" / "polymer.pt"
REFERENCES = [POLYMER / "devtest" / "000", POLYMER / "devtest" / "006"]


def run(*words: object) -> int:
    """Run the command in this process, and give its exit status."""
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", *map(str, words)])
    return int(stop.value.code or 0)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 learned steps of two polymers, two replicas each."""
    out = tmp_path_factory.mktemp("evaluate")
    references = [word for path in REFERENCES for word in ("--reference", path)]
    assert run(MODEL, *references, "--time", 1000, "--replicas", 2, "--md-cost", 0.0015, "--out", out / "report") == 0
    return out / "report"


@pytest.fixture(scope="module")
def model() -> LearnedModel:
    return LearnedModel.load(MODEL)


@pytest.fixture(scope="module")
def reference() -> ReferenceSystem:
    return load_reference(REFERENCES[1])


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_report_from_end_to_end(report: Path) -> None:
    content = json.loads((report / "evaluation.json").read_text())
    assert [method["name"] for method in content["methods"]] == [LEARNED, SHORT_MD, HALVES]
    learned, short, halves = content["methods"]
    assert (learned["n_runs"], learned["n_stretched"], learned["n_systems"]) == (4, 0, 2)
    assert content["diverged"] == {}
    for name, path in (("000", REFERENCES[0]), ("006", REFERENCES[1])):
        series = np.load(path / "rg2.npy").astype(float)
        own = learned["systems"][name]
        tables = [
            np.loadtxt(report / "runs" / name / f"replica-{n}" / "properties.csv", delimiter=",", skiprows=1)
            for n in range(2)
        ]
        assert [len(table) for table in tables] == [200, 200]
        values = np.concatenate([table[:, 1] for table in tables])
        assert own["mean"] == pytest.approx(values.mean(), rel=1e-6)
        assert own["true_mean"] == pytest.approx(series.mean())
        assert 5 < own["mean"] < 60
        assert 0 < own["surface_divergence"] < 0.5
        assert 0 < own["bond_emd"] < 1
        assert own["true_relaxation"] > 50
        assert short["systems"][name]["mean"] == pytest.approx(series[:501].mean())
        assert halves["systems"][name]["true_mean"] == pytest.approx(series[25_001:].mean())
        assert short["systems"][name]["core_seconds"] == pytest.approx(0.0015 * 250, rel=1e-2)
    assert learned["rg2_mae"]["value"] == pytest.approx(
        np.mean([abs(s["mean"] - s["true_mean"]) for s in learned["systems"].values()])
    )
    assert learned["core_seconds_per_system"] > 0


def test_files_of_a_report(report: Path) -> None:
    assert {row["method"] for row in read_rows(report / "methods.csv")} == {LEARNED, SHORT_MD, HALVES}
    systems = read_rows(report / "systems.csv")
    assert len(systems) == 6
    # 250 tau are too short to tell a relaxation time
    assert {row["relaxation"] for row in systems if row["method"] == SHORT_MD} == {""}
    text = (report / "evaluation.md").read_text()
    assert "| learned |" in text
    assert "none of 4 learned runs had a CG bond longer than" in text
    assert "fewer core-seconds than MD" in text
    for name in ("parity", "distributions", "autocorrelations", "free_energy"):
        assert (report / f"{name}.png").read_bytes()[:4] == b"\x89PNG"


def learned_cost(folder: Path) -> float:
    """Core-seconds per system."""
    evaluation = json.loads((folder / "evaluation.json").read_text())
    return evaluation["methods"][0]["core_seconds_per_system"]


def test_resumed_evaluation_is_the_same_and_starts_nothing_that_is_done(
    report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = tmp_path / "again"
    shutil.copytree(report, again)
    references = [word for path in REFERENCES for word in ("--reference", path)]
    words = (MODEL, *references, "--time", 1000, "--replicas", 2, "--out", again)
    assert run(*words) == 2

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a batch that is done needs no start frames")

    with monkeypatch.context() as patch:
        patch.setattr("openmm_integration.runs.reference_runs.learned_simulation", refuse)
        assert run(*words, "--resume") == 0

    def numbers(folder: Path) -> list[list[str]]:
        return [[v for k, v in row.items() if k != "core_seconds"] for row in read_rows(folder / "systems.csv")]

    assert numbers(again) == numbers(report)
    # the steps were done by the first session, and their cost is remembered
    (progress,) = again.rglob("progress.json")
    spent = json.loads(progress.read_text())["core_seconds"]
    assert spent > 0
    assert learned_cost(again) > spent / len(REFERENCES)


def test_start_from_the_reference(model: LearnedModel, reference: ReferenceSystem, tmp_path: Path) -> None:
    """The first learned step is one from the reference's own frames."""
    simulate_references(model, [reference], tmp_path, RunSettings(10, 10, 10), start="reference")
    cg = model.coarsen(reference.system)
    frames = coarsen_trajectory(cg, reference.trajectories[1])
    stride = round(model.time_step / reference.trajectories[1].interval)
    start = frames.positions[model.n_history * stride] + frames.origin
    written = mdtraj.load_pdb(str(tmp_path / "runs" / "006" / "topology.pdb"))
    # PDB files have three decimals of an angstrom
    np.testing.assert_allclose(written.xyz[0], start, atol=1e-3)


def test_diverged_system_does_not_take_others_with_it(
    model: LearnedModel, reference: ReferenceSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named, has no numbers, and the others are as if it had never been there."""
    other = load_reference(REFERENCES[0])
    settings = RunSettings(20, 10, 20)
    honest = LearnedSimulator.step

    def fail(self: LearnedSimulator, state: object, *force: object) -> object:
        if len(self.systems) > 1 and state.step == 12:  # type: ignore[attr-defined]
            raise SimulationDivergedError("000: the position of bead 3 is not finite after step 13")
        return honest(self, state, *force)  # type: ignore[arg-type]

    monkeypatch.setattr(LearnedSimulator, "step", fail)
    runs = simulate_references(model, [other, reference], tmp_path / "a", settings)
    assert runs.diverged == {"000": "000: the position of bead 3 is not finite after step 13"}
    assert runs.folder == tmp_path / "a" / "runs-without-000"
    alone = simulate_references(model, [reference], tmp_path / "b", settings)
    series = [(folder / "006" / "properties.csv").read_text() for folder in (runs.folder, alone.folder)]
    assert series[0] == series[1]
    evaluation = evaluate(
        model, [other, reference], runs.folder, short_time=250, stretch_limit=10, diverged=runs.diverged
    )
    learned = evaluation.methods[0]
    assert (learned.n_systems, learned.n_runs) == (1, 1)
    assert learned.predictions[0] is None
    assert remarks(evaluation)[0] == (
        "diverged, and left out of every number: 000: the position of bead 3 is not finite after step 13"
    )
    assert "| 000 | 17.9 | diverged |" in report_text(evaluation)
    write_report(evaluation, tmp_path / "report")
    assert json.loads((tmp_path / "report" / "evaluation.json").read_text())["methods"][0]["systems"]["000"] is None


def test_stretched_runs_are_named(
    report: Path, model: LearnedModel, reference: ReferenceSystem, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(report / "runs" / "006", runs / "006")
    path = runs / "006" / "replica-1" / "summary.json"
    summary = json.loads(path.read_text())
    path.write_text(json.dumps({**summary, "stretched_steps": 3, "longest_bond": 25.0}))
    limit = STRETCH_LIMIT * model.description.longest_bond
    evaluation = evaluate(model, [reference], runs, short_time=250, stretch_limit=limit)
    text = terminal_text(evaluation)
    assert f"1 of 2 learned runs had a CG bond longer than {limit:.3g} sigma" in text
    assert "1 of 2" in text.splitlines()[2]
    assert evaluation.methods[0].longest_bond == 25


def test_methods_in_closed_form() -> None:
    """Predictions that are off by one: r2 = 1 - 4 / 5; relaxation times 10 % too long, one of them unknown."""
    method = Method(
        "m",
        tuple(
            Prediction(mean, mean + 1, 1.5, time, 1.1 * time, n_runs=2, n_stretched=mean == 4, longest_bond=mean)
            for mean, time in zip((1.0, 2, 3, 4), (100, 200, 300, math.nan), strict=True)
        ),
    )
    found = {key: item.value for key, item in method.estimates().items()}
    assert found["rg2_r2"] == pytest.approx(0.2)
    assert found["rg2_mae"] == pytest.approx(1)
    assert found["rg2_emd"] == pytest.approx(1.5)
    assert found["rg2_correlation"] == pytest.approx(1)
    assert found["relaxation_deviation"] == pytest.approx(0.1)
    assert found["relaxation_correlation"] == pytest.approx(1)
    assert math.isnan(found["surface_divergence"])
    assert (method.n_relaxations, method.n_runs, method.n_stretched, method.longest_bond) == (3, 8, 1, 4)
    assert math.isnan(method.core_seconds)


def test_relaxation_of_replicas() -> None:
    """The mean, as long as more than half of the replicas are long enough to tell."""
    rng = np.random.default_rng(0)
    decay, n = math.exp(-5 / 50), 20_000
    long = [lfilter([1], [1, -decay], rng.normal(size=n)) for _ in range(3)]
    short = [series[:40] for series in long]

    def relaxation(series: list[np.ndarray]) -> float:
        nothing = np.zeros(len(series))
        return LearnedRuns(5.0, tuple(series), np.zeros((1, 2, 3)), nothing, nothing.astype(int)).relaxation()

    assert relaxation(long) == pytest.approx(50, rel=0.1)
    assert relaxation([*long, *short[:2]]) == relaxation(long)
    assert math.isnan(relaxation([*long, *short]))


def test_surfaces_of_the_reference_itself(model: LearnedModel, reference: ReferenceSystem) -> None:
    cg = model.coarsen(reference.system)
    beads = coarsen_trajectory(cg, reference.trajectories[0]).positions.astype(float)
    same = conformation_surfaces(cg, beads, [beads, beads])
    assert divergence(*same) == pytest.approx(0, abs=1e-9)
    swollen = conformation_surfaces(cg, beads, [beads, 2 * beads])
    assert divergence(*swollen) > 0.3
    assert conformation_surfaces(cg, beads[:10], [beads]) == ()


def test_reference_that_generate_wrote(model: LearnedModel, tmp_path: Path) -> None:
    """Its trajectory is all there is, and shorter than the short MD."""
    from openmm_integration.ground_truth.generate import GenerateSpec, generate

    spec = GenerateSpec(n_systems=2, n_units=20, length=60, recording_interval=1, relaxation=5)
    generate(spec, tmp_path / "data")
    words = ("--reference", tmp_path / "data", "--out", tmp_path / "out", "--start", "reference")
    assert run(MODEL, *words) == 0
    content = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert [method["name"] for method in content["methods"]] == [LEARNED, HALVES]
    assert list(content["methods"][0]["systems"]) == ["0000", "0001"]
    table = np.loadtxt(tmp_path / "out" / "runs" / "0000" / "properties.csv", delimiter=",", skiprows=1)
    assert table[-1, 0] == 60


def test_markdown() -> None:
    assert markdown_text(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / "data" / "p"
    shutil.copytree(REFERENCES[1], copy)
    copy.chmod(0o755)
    for item in copy.iterdir():
        item.chmod(0o644)
    return copy


def unchanged(folder: Path) -> None:
    """The fault is in the options."""


def remove_reference(folder: Path) -> None:
    for name in ("rg2.npy", "traj.lammpstrj.bz2", "long.lammpstrj.bz2"):
        (folder / name).unlink()


def strange_type(folder: Path) -> None:
    path = folder / "topology.data"
    text = path.read_text().replace("4 atom types", "5 atom types").replace("\n4 1\n\nAtoms", "\n4 1\n5 1\n\nAtoms")
    path.write_text(text.replace("\n19 1 2 ", "\n19 1 5 ").replace("\n19 1 1 ", "\n19 1 5 "))


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (remove_reference, [], "p: has neither rg2.npy nor a trajectory: nothing to compare with"),
        (strange_type, [], "atom 18 has type '5', which the model never saw"),
        (lambda f: [item.unlink() for item in f.iterdir()], [], "data: holds no reference systems"),
        (unchanged, ["--replicas", 0], "replicas is 0, expected at least 1"),
        (unchanged, ["--time", "x"], "'x' is not a positive time"),
        (unchanged, ["--short", "-1"], "'-1' is not a positive time"),
        (unchanged, ["--md-cost", 0], "--md-cost 0: expected a positive number"),
        (unchanged, ["--baseline", MODEL], "polymer.pt: not a baseline of cgplugin"),
        (lambda f: (f / "traj.lammpstrj.bz2").unlink(), ["--start", "reference"],
         "is no multiple of the interval of 50 between its frames"),
    ],
)  # fmt: skip
def test_bad_input(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change, options: list, message: str
) -> None:
    change(folder)
    assert run(MODEL, "--reference", folder.parent, "--time", 50, "--out", tmp_path / "out", *options) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1, said
    assert message in said[0]
