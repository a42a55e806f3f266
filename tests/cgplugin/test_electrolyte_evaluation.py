"""Comparison of electrolytes: known answers, and the command from end to end with a model of random weights."""

import bz2
import csv
import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import mdtraj
import numpy as np
import pytest

from cgplugin import MolecularSystem
from cgplugin.cli.main import main
from cgplugin.coarse_graining.coarsening import coarsen
from cgplugin.evaluation.bead_paths import BeadPath
from cgplugin.evaluation.electrolyte_comparison import ALL, Comparison, ElectrolyteMethod, compare
from cgplugin.evaluation.electrolyte_sample import DRIFTING, ElectrolyteSampler, Measurement
from cgplugin.evaluation.reference_data import load_reference
from cgplugin.evaluation.row_names import HALVES, LEARNED, SHORT_MD, UNREFINED
from cgplugin.learned.simulator import LearnedSimulator, SimulationDivergedError
from tests.conftest import POLYMER, SHARED
from tests.random_model import random_model

VALIDATION = SHARED / "electrolyte" / "val"
BOX = 8.0
STEP = 2.0
N_SALT = 15
N_FRAMES = 300


def run(*words: object) -> int:
    """Run the command in this process, and give its exit status."""
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", *map(str, words)])
    return int(stop.value.code or 0)


def salt(n: int) -> MolecularSystem:
    """As many cations as anions, and twice as many dimers."""
    types = ["Li"] * n + ["Cl"] * n + ["A"] * 4 * n
    bonds = 2 * n + np.arange(4 * n).reshape(-1, 2)
    charges = np.array([1.0] * n + [-1.0] * n + [0.0] * 4 * n)
    return MolecularSystem(
        tuple(types), np.ones(6 * n), bonds, ("b",) * len(bonds), charges=charges, units="lj", name="salt"
    )


def brownian(system: MolecularSystem, diffusivities: dict[str, float], n_frames: int, seed: int) -> np.ndarray:
    """Ideal particles that walk; the atoms of a dimer at a distance of 1."""
    rng = np.random.default_rng(seed)
    scale = np.array([math.sqrt(2 * diffusivities[name] * STEP) for name in system.atom_types])
    steps = rng.normal(size=(n_frames, system.n_atoms, 3)) * scale[:, None]
    steps[0] = rng.uniform(0, BOX, size=(system.n_atoms, 3))
    first, second = system.bonds.T
    positions = steps.cumsum(axis=0)
    apart = rng.normal(size=(n_frames, len(first), 3))
    positions[:, second] = positions[:, first] + apart / np.linalg.norm(apart, axis=-1, keepdims=True)
    return positions


def path(positions: np.ndarray) -> BeadPath:
    return BeadPath(positions, np.broadcast_to(BOX * np.eye(3), (len(positions), 3, 3)), STEP)


@pytest.fixture(scope="module")
def slow() -> tuple[MolecularSystem, BeadPath, ElectrolyteSampler]:
    """Reference: ideal particles with known diffusivities."""
    system = salt(N_SALT)
    own = path(brownian(system, {"Li": 0.05, "Cl": 0.02, "A": 0.01}, N_FRAMES, 0))
    return system, own, ElectrolyteSampler(coarsen(system, 1), own, STEP, own)


def as_dictionary(comparisons: tuple[Comparison, ...]) -> dict[tuple[str, str], Comparison]:
    return {(item.quantity, item.subject): item for item in comparisons}


def test_reference_against_itself(slow: tuple[MolecularSystem, BeadPath, ElectrolyteSampler]) -> None:
    _, own, sampler = slow
    found = compare(sampler.reference, sampler.sample([own, own]), sampler.shown_pairs)
    assert {item.subject for item in found} >= {"cation", "anion", "neutral", "cation-anion", ALL}
    for item in found:
        if math.isfinite(item.truth.value):
            assert item.prediction.value == pytest.approx(item.truth.value, abs=1e-12), item


def test_faster_particles(slow: tuple[MolecularSystem, BeadPath, ElectrolyteSampler]) -> None:
    """Twice the diffusivity of the cations: found by both definitions within the errors that they say; nothing drifts."""
    system, _, sampler = slow
    known = {"Li": 0.10, "Cl": 0.02, "A": 0.01}
    runs = [path(brownian(system, known, N_FRAMES, seed)) for seed in (1, 2, 3)]
    found = as_dictionary(compare(sampler.reference, sampler.sample(runs), sampler.shown_pairs))
    for species, atom in (("cation", "Li"), ("anion", "Cl"), ("neutral", "A")):
        for quantity in ("diffusivity", "fitted diffusivity"):
            item = found[quantity, species].prediction
            assert item.error < 0.3 * item.value
            assert item.value == pytest.approx(known[atom], abs=4 * item.error)
    squared = found["displacement", ALL].prediction
    # the ends of dimers turn as well: their centre walks with the first atom
    free = 6 * STEP * (0.10 + 0.02) * N_SALT / system.n_atoms
    assert squared.value > free
    for name in DRIFTING:
        item = found[f"drift of {name}", ALL].prediction
        if math.isfinite(item.value):
            assert item.value == pytest.approx(1, abs=5 * item.error + 1e-9)
    assert found["chain size", ALL].prediction.value == pytest.approx(0.25)


def test_planted_drift(slow: tuple[MolecularSystem, BeadPath, ElectrolyteSampler]) -> None:
    """Displacements that double after half of the run: their square is four times as large in the last third."""
    _, own, sampler = slow
    steps = np.diff(own.positions, axis=0)
    steps[N_FRAMES // 2 :] *= 2
    moved = np.concatenate([own.positions[:1], own.positions[0] + steps.cumsum(axis=0)])
    sample = sampler.sample([path(moved)])
    assert sample.drift("displacement").value == pytest.approx(4, rel=0.05)
    # bonds stretch as well
    swollen = own.positions.copy()
    first, second = swollen[2 * N_FRAMES // 3 :, 2 * N_SALT :: 2], swollen[2 * N_FRAMES // 3 :, 2 * N_SALT + 1 :: 2]
    second += 0.5 * (second - first)
    assert sampler.sample([path(swollen)]).drift("chain size").value == pytest.approx(2.25)


def test_overlapping_particles_collide(slow: tuple[MolecularSystem, BeadPath, ElectrolyteSampler]) -> None:
    """A cation on top of an anion in a tenth of the frames."""
    system, own, sampler = slow
    n = system.n_atoms
    moved = own.positions.copy()
    moved[::10, 0] = moved[::10, N_SALT] + 1e-4
    before, after = sampler.reference.collisions, sampler.sample([path(moved)]).collisions
    assert before.value > 0
    assert after.value - before.value == pytest.approx(0.1 / n, rel=0.2)
    assert before.error >= math.sqrt(before.value / (N_FRAMES * n)) * (1 - 1e-9)


def test_ratio_of_measurements() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.normal(10, 0.3, size=100_000) / rng.normal(4, 0.2, size=100_000)
    ratio = Measurement(10, 0.3).over(Measurement(4, 0.2))
    assert ratio.value == 2.5
    assert ratio.error == pytest.approx(drawn.std(), rel=0.02)
    assert math.isnan(Measurement(1, 1).over(Measurement(0, 1)).value)
    assert Measurement(0, 0.5).over(Measurement(2, 1)) == Measurement(0, 0.25)
    mean = Measurement.mean_of([Measurement(1, 0.3), Measurement(3, 0.4)])
    assert (mean.value, mean.error) == (2, 0.25)


def test_statistics_in_closed_form() -> None:
    """Predictions a quarter too high, one of them too low, one unknown."""
    truth, factor = (0.01, 0.1, 1.0, 2.0), (1.25, 1.25, 0.8, math.nan)
    systems = tuple(
        (Comparison("diffusivity", "cation", Measurement(t), Measurement(f * t)),)
        for t, f in zip(truth, factor, strict=True)
    )
    method = ElectrolyteMethod("m", (*systems, None))
    found = {name: item.value for name, item in method.statistics("diffusivity", "cation").items()}
    assert found["ratio"] == pytest.approx(1.1)
    assert found["relative_error"] == pytest.approx(0.7 / 3)
    assert found["log_error"] == pytest.approx(math.log10(1.25))
    # log10 of the truth is -2, -1, 0, of variance 2 in sum; every error is the same
    assert found["log_r2"] == pytest.approx(1 - 3 * math.log10(1.25) ** 2 / 2)
    assert found["spearman"] == pytest.approx(1)
    # a diffusivity that noise has made negative has a ratio, and no logarithm
    negative = ElectrolyteMethod("m", ((replace(systems[0][0], prediction=Measurement(-0.1)),), *systems[1:]))
    again = {name: item.value for name, item in negative.statistics("diffusivity", "cation").items()}
    assert again["ratio"] == pytest.approx((1.25 + 0.8 - 10) / 3)
    assert again["log_error"] == pytest.approx(math.log10(1.25))
    # of two systems neither r2 nor an order says anything
    assert math.isnan(again["log_r2"])
    never = ElectrolyteMethod("m", ((Comparison("collisions", ALL, Measurement(0), Measurement(0.1)),),))
    assert math.isnan(never.statistics("collisions", ALL)["ratio"].value)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    systems = [load_reference(folder).system for folder in sorted(VALIDATION.iterdir())]
    return random_model(tmp_path_factory.mktemp("model") / "random.pt", systems)


@pytest.fixture(scope="module")
def report(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """25 learned steps of two electrolytes, two replicas each, with and without refinement."""
    out = tmp_path_factory.mktemp("evaluate") / "report"
    references = [word for number in ("000", "001") for word in ("--reference", VALIDATION / number)]
    words = (*references, "--start", "reference", "--time", 100, "--replicas", 2, "--md-cost", 0.05)
    assert run(model, *words, "--without-refinement", "--out", out) == 0
    return out


def test_report_from_end_to_end(report: Path) -> None:
    content = json.loads((report / "evaluation.json").read_text())
    assert [method["name"] for method in content["methods"]] == [LEARNED, UNREFINED, SHORT_MD, HALVES]
    learned, unrefined, short, halves = content["methods"]
    assert (learned["n_runs"], unrefined["n_runs"], short["n_runs"]) == (4, 4, 0)
    assert (content["reference_time"], content["simulated_time"], content["short_time"]) == (500, 96, 50)
    for own in (learned, unrefined):
        assert set(own["systems"]) == {"000", "001"}
        assert own["core_seconds_per_system"] > 0
    assert learned["systems"] != unrefined["systems"]
    assert short["core_seconds_per_system"] == pytest.approx(50 * 0.05)
    assert halves["core_seconds_per_system"] == pytest.approx(250 * 0.05)


def test_diffusivity_of_a_run_by_hand(report: Path) -> None:
    """|x_T - x_0|^2 / 6T of the cations, from the DCD files by mdtraj."""
    content = json.loads((report / "evaluation.json").read_text())
    system = load_reference(VALIDATION / "000").system
    values = []
    for replica in sorted((report / "runs" / "000").iterdir()):
        mapping = json.loads((replica / "mapping.json").read_text())
        frames = mdtraj.load(str(replica / "trajectory.dcd"), top=str(replica / "topology.pdb"))
        masses = np.array(mapping["masses"])
        x = frames.xyz.astype(float)
        x -= np.einsum("fnd,n->fd", x, masses / masses.sum())[:, None]
        cations = [bead for bead in range(len(masses)) if mapping["species"][bead] == "Li"]
        assert len(cations) == system.atom_types.count("Li")
        squared = ((x[-1, cations] - x[0, cations]) ** 2).sum(axis=-1).mean()
        values.append(squared / (6 * 4.0 * (len(x) - 1)))
    (found,) = [
        item["value"]
        for item in content["methods"][0]["systems"]["000"]
        if (item["quantity"], item["of"]) == ("diffusivity", "cation")
    ]
    assert found == pytest.approx(np.mean(values), rel=1e-4)


def test_files_of_a_report(report: Path) -> None:
    with (report / "statistics.csv").open() as file:
        statistics = list(csv.DictReader(file))
    assert {row["method"] for row in statistics} == {LEARNED, UNREFINED, SHORT_MD, HALVES}
    assert {"diffusivity", "fitted diffusivity", "peak height", "collisions"} <= {row["quantity"] for row in statistics}
    with (report / "comparisons.csv").open() as file:
        rows = list(csv.DictReader(file))
    ratios = [
        float(row["value"]) / float(row["reference"])
        for row in rows
        if (row["method"], row["quantity"], row["of"]) == (LEARNED, "diffusivity", "cation")
    ]
    (told,) = [
        float(row["value"])
        for row in statistics
        if (row["method"], row["quantity"], row["of"], row["statistic"]) == (LEARNED, "diffusivity", "cation", "ratio")
    ]
    assert told == pytest.approx(np.mean(ratios), rel=1e-5)
    text = (report / "evaluation.md").read_text()
    assert "| cation | learned |" in text
    assert "times less than MD" in text
    assert "the learned runs are 96 tau long, the longest reference 500" in text
    for name in ("diffusivity", "rdf", "displacements", "over_time"):
        assert (report / f"{name}.png").read_bytes()[:4] == b"\x89PNG"


def test_diverged_runs_are_named(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without refinement no system stays together: the report says so, and keeps the other row."""
    honest = LearnedSimulator.step

    def fail(self: LearnedSimulator, state: object, *force: object) -> object:
        if self.refinement.levels == 0:
            raise SimulationDivergedError("000: the position of bead 3 is not finite after step 13")
        return honest(self, state, *force)  # type: ignore[arg-type]

    monkeypatch.setattr(LearnedSimulator, "step", fail)
    words = ("--reference", VALIDATION / "000", "--start", "reference", "--time", 40, "--out", tmp_path / "out")
    assert run(model, *words, "--without-refinement") == 0
    learned, unrefined = json.loads((tmp_path / "out" / "evaluation.json").read_text())["methods"][:2]
    assert learned["systems"]["000"] is not None
    assert (unrefined["name"], unrefined["systems"]) == (UNREFINED, {"000": None})
    text = (tmp_path / "out" / "evaluation.md").read_text()
    assert f"{UNREFINED}: diverged, and left out of every number: 000: the position of bead 3" in text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / "data" / "p"
    shutil.copytree(VALIDATION / "000", copy)
    copy.chmod(0o755)
    for item in copy.iterdir():
        item.chmod(0o644)
    shutil.copy(SHARED / "electrolyte" / "forcefield.json", tmp_path / "data")
    return copy


def unchanged(folder: Path) -> None:
    """The fault is in the options."""


def strange_type(folder: Path) -> None:
    """The cations are of a ninth type."""
    path = folder / "topology.data"
    text = path.read_text().replace("8 atom types", "9 atom types").replace("\n8 1\n\nAtoms", "\n8 1\n9 1\n\nAtoms")
    path.write_text(re.sub(r"^(\d+ \d+) 5 1 ", r"\1 9 1 ", text, flags=re.MULTILINE))


def add_chain(folder: Path) -> None:
    shutil.copytree(POLYMER / "devtest" / "006", folder.parent / "q")
    (folder.parent / "q").chmod(0o755)


def cut_short(folder: Path) -> None:
    path = folder / "traj.lammpstrj.bz2"
    frames = bz2.decompress(path.read_bytes()).split(b"ITEM: TIMESTEP")
    path.write_bytes(bz2.compress(b"ITEM: TIMESTEP".join(frames[:20])))


def wrapped_without_flags(folder: Path) -> None:
    path = folder / "traj.lammpstrj.bz2"
    box = json.loads((folder / "meta.json").read_text())["box_length"]
    lines = []
    for n, line in enumerate(bz2.decompress(path.read_bytes()).decode().splitlines()):
        words = line.split()
        if len(words) == 5 and words[0] != "ITEM:" and n % 2:
            place = [(float(word) + box / 2) % box - box / 2 for word in words[2:]]
            words[2:] = [f"{value:.3f}" for value in place]
        lines.append(" ".join(words).replace("xu yu zu", "x y z"))
    # every tenth frame: too far apart to be followed
    frames = "\n".join(lines).split("ITEM: TIMESTEP")
    path.write_bytes(bz2.compress("ITEM: TIMESTEP".join([frames[0], *frames[1::5]]).encode()))


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (strange_type, [], "has type '9', which the model never saw"),
        (add_chain, [], "p has a periodic box and"),
        (lambda f: (f / "traj.lammpstrj.bz2").unlink(), [], "p: has no trajectory: nothing to compare with"),
        (cut_short, [], "p: the reference has 19 frames at equal intervals"),
        (wrapped_without_flags, [], "too far to be unwrapped"),
        (unchanged, ["--time", 8], "has less than 3 frames: simulate longer"),
        (unchanged, ["--refinement-levels", 0, "--without-refinement"], "has no refinement to leave out"),
        (unchanged, ["--short", "x"], "'x' is not a positive time"),
        (unchanged, ["--rg2-interval", 1], "periodic systems are not compared by Rg^2"),
    ],
)  # fmt: skip
def test_bad_input(
    model: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change, options: list, message: str
) -> None:
    change(folder)
    words = ("--reference", folder.parent, "--start", "reference", "--time", 40, "--out", tmp_path / "out")
    assert run(model, *words, *options) == 2
    # that positions are wrapped is warned of before it is found that they cannot be followed
    lines = capsys.readouterr().err.strip().splitlines()
    said = [line for line in lines if not line.startswith("cgplugin: warning: ")]
    assert len(said) == 1, lines
    assert message in said[0]


def test_chains_are_not_compared_without_refinement(model: Path, tmp_path: Path, capsys) -> None:
    words = ("--reference", POLYMER / "devtest" / "006", "--without-refinement", "--out", tmp_path / "out")
    assert run(model, *words) == 2
    assert "--without-refinement is for periodic systems" in capsys.readouterr().err
