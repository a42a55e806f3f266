"""What a learned simulation starts from: a structure alone, or MD of it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cgplugin import LearnedModel, UserError
from cgplugin.learned.simulator import LearnedSimulator, SimulationDivergedError
from cgplugin.systems.force_field import built_in
from cgplugin.systems.lammps_files import LammpsConventions
from cgplugin.systems.structure_files import Structure, load_structure
from openmm_integration import CoarseSystem, learned_simulation
from openmm_integration.runs import start_frames
from openmm_integration.simulation import prepare
from tests.conftest import ROOT, run_cli

from .electrolytes import ELECTROLYTES


@pytest.fixture(scope="module")
def shipped() -> LearnedModel:
    return LearnedModel.load(ROOT / "models" / "electrolyte.pt")


@pytest.fixture(scope="module")
def boxes() -> list[Structure]:
    conventions = LammpsConventions(force_field=built_in("electrolyte"))
    return [load_structure(ELECTROLYTES / name / "topology.data", conventions) for name in ("000", "002")]


@pytest.fixture
def without_md(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("no MD is needed")

    monkeypatch.setattr(start_frames, "warm_up", refuse)
    monkeypatch.setattr(start_frames, "warm_up_system", refuse)


def crude(structure: Structure) -> Structure:
    """With all atoms drawn towards a corner of the box, close to each other."""
    return replace(structure, positions=0.8 * structure.positions)


def moved(cg: CoarseSystem) -> np.ndarray:
    """Squared displacements of the last step."""
    assert cg.start_frames is not None
    return np.square(cg.start_frames[-1] - cg.start_frames[-2]).sum(axis=1)


def test_displacements_from_rest_are_those_of_a_run(shipped: LearnedModel, boxes: list[Structure]) -> None:
    structure = boxes[0]
    replicas = 40
    start = prepare(shipped, [structure], seed=1, replicas=replicas, start="structure")
    first = moved(start).reshape(replicas, -1)
    simulator = LearnedSimulator(shipped, start.parts, seed=2, box_vectors=list(start.box_vectors))  # type: ignore[arg-type]
    state = simulator.start(np.split(start.start_frames, replicas, axis=1))  # type: ignore[arg-type]
    for _ in range(5):
        state = simulator.step(state).state
    later = state.displacements[:, 0].square().sum(dim=1).numpy().reshape(replicas, -1)
    for one, other in zip(first.mean(axis=0), later.mean(axis=0), strict=True):
        # of the sum of 120 squares, here and there; no bead of some 60 may be off by five standard deviations
        assert abs(np.log(one / other)) < 5 * np.sqrt(2 * 2 / (3 * replicas))
    assert first.mean() == pytest.approx(later.mean(), rel=0.05)


@pytest.mark.usefixtures("without_md")
def test_equilibrated_boxes_need_no_md(shipped: LearnedModel, boxes: list[Structure]) -> None:
    two = prepare(shipped, boxes, seed=1, replicas=2)
    assert two.start_frames is not None
    assert two.start_frames.shape == (shipped.n_history + 1, two.n_beads, 3)
    np.testing.assert_array_equal(two.start_frames, prepare(shipped, boxes, seed=1, replicas=2).start_frames)
    other = prepare(shipped, boxes, seed=2, replicas=2).start_frames
    assert np.abs(two.start_frames - other).max() > 0.1
    first, second = (two.start_frames[:, two.offsets[n] : two.offsets[n + 1]] for n in (0, 1))
    assert np.abs(first - second).max() > 0.1


def test_other_structures_are_relaxed_by_md(shipped: LearnedModel, boxes: list[Structure]) -> None:
    good, bad = boxes[0], crude(boxes[1])
    mixed = prepare(shipped, [good, bad], seed=1, threads=1)
    assert mixed.start_frames is not None
    n = mixed.offsets[1]
    alone = prepare(shipped, [bad], seed=1, start="md", threads=1)
    np.testing.assert_array_equal(mixed.start_frames[:, n:], alone.start_frames)
    resting = prepare(shipped, [good], seed=1, start="structure")
    np.testing.assert_allclose(mixed.start_frames[:, :n], resting.start_frames, atol=1e-5)
    # MD begins where the structure is
    by_md = prepare(shipped, [good], seed=1, start="md", threads=1)
    assert by_md.start_frames is not None
    np.testing.assert_allclose(by_md.start_frames[0], by_md.parts[0].positions(good.positions), atol=1e-6)


@pytest.mark.usefixtures("without_md")
def test_a_structure_without_a_force_field(model: LearnedModel, cg: CoarseSystem) -> None:
    system = replace(cg.parts[0].system, force_field=None)
    positions = np.random.default_rng(0).normal(size=(system.n_atoms, 3)).cumsum(axis=0)
    simulation = learned_simulation(
        model, Structure(system, positions, None, ROOT / "chain.data"), seed=1, start="structure"
    )
    simulation.step(3)
    assert simulation.currentStep == 3


def test_bad_starts(shipped: LearnedModel, boxes: list[Structure], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"unknown start 'rest': expected a trajectory, or one of auto, md, structure"):
        prepare(shipped, boxes, start="rest")  # type: ignore[arg-type]

    def diverge(*_: Any) -> None:
        raise SimulationDivergedError("000: the position of bead 3 is not finite")

    monkeypatch.setattr(LearnedSimulator, "step", diverge)
    with pytest.raises(UserError, match=r"000: the position of bead 3 is not finite: .* relax it first"):
        prepare(shipped, boxes, start="structure")


def test_command_line(tmp_path: Any) -> None:
    model, folder = ROOT / "models" / "electrolyte.pt", ELECTROLYTES / "000"
    for start in ("structure", "md"):
        done = run_cli(
            "simulate", model, folder, "--start", start, "--time", 30,
            "--report-interval", 1, "--out", tmp_path / start,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert list((tmp_path / start).glob("*/trajectory.dcd"))
    done = run_cli("simulate", model, folder, "--start", "rest", "--time", 30, "--out", tmp_path / "rest")
    assert done.returncode == 2
    assert "rest" in done.stderr
    assert len(done.stderr.splitlines()) == 1
