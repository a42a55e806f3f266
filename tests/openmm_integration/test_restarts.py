"""Exact restarts, and what happens when a user changes the state of a learned simulation by hand."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from openmm import app, unit

from cgplugin import LearnedModel, UserError
from cgplugin.networks.options import NetworkOptions
from cgplugin.systems.structure_files import Structure, load_structure, open_trajectory
from openmm_integration.runs.start_frames import from_trajectory
from tests.conftest import POLYMER, chain
from tests.diffusing_model import diffusing_model
from tests.random_model import random_model

from .electrolytes import CONVENTIONS
from .new_process import Job, run_in_new_process, simulation
from .test_external_forces import beads, positions
from .test_external_forces import simulation as free_simulation

PLATFORMS = ("CPU", "Reference")


@dataclass(frozen=True)
class Case:
    """A system to restart: its model, refined and with two displacements of history, and its start."""

    model_file: Path
    model: LearnedModel
    structure: Path
    frames: np.ndarray

    def start(self, platform: str = "Reference", seed: int = 1) -> app.Simulation:
        return simulation(self.model, str(self.structure), self.frames, platform, seed)


def case_of(model_file: Path, structure: Structure, dump: Path) -> Case:
    model = LearnedModel.load(model_file)
    assert model.n_history == 2
    assert model.refinement.levels == 1
    mapping = model.coarsen(structure.system)
    frames = from_trajectory(model, mapping, open_trajectory(dump, structure, CONVENTIONS))
    return Case(model_file, model, structure.source, frames)


@pytest.fixture(scope="module")
def boxed(electrolyte_model: Path, electrolytes: list[Structure]) -> Case:
    source = electrolytes[0].source
    return case_of(electrolyte_model, electrolytes[0], source.parent / "traj.lammpstrj.bz2")


@pytest.fixture(scope="module")
def polymer(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = POLYMER / "devtest" / "000"
    structure = load_structure(folder / "topology.data", CONVENTIONS)
    options = NetworkOptions(hidden=8, layers=1, score=True, score_layers=1)
    path = tmp_path_factory.mktemp("polymer") / "model.pt"
    random_model(path, [structure.system], periodic=False, atoms_per_bead=10, options=options)
    return case_of(path, structure, folder / "traj.lammpstrj.bz2")


def save(made: app.Simulation, kind: str, file: Path) -> None:
    (made.saveCheckpoint if kind == "checkpoint" else made.saveState)(str(file))


def test_new_process_goes_on_bit_by_bit(polymer: Case, boxed: Case, tmp_path: Path) -> None:
    """Interrupted at any step, which need not be where a chunk of OpenMM's ends, on every platform that keeps doubles."""
    steps, cut = 37, {"checkpoint": 13, "state": 22}
    jobs, expected = [], []
    for name, case in (("polymer", polymer), ("boxed", boxed)):
        np.save(tmp_path / f"{name}.npy", case.frames)
        for platform in PLATFORMS:
            whole = case.start(platform)
            done = 0
            for kind, after in sorted(cut.items(), key=lambda item: item[1]):
                # saving must not disturb the run either
                whole.step(after - done)
                done = after
                file = tmp_path / f"{name}-{platform}.{kind}"
                save(whole, kind, file)
                jobs.append(
                    Job(
                        str(case.model_file), str(case.structure), str(tmp_path / f"{name}.npy"), platform, kind,
                        str(file), steps - after, str(tmp_path / f"{file.name}.npy"),
                    )
                )  # fmt: skip
            undisturbed = case.start(platform)
            undisturbed.step(steps)
            expected += [positions(undisturbed)] * len(cut)
    for job, found, wanted in zip(jobs, run_in_new_process(jobs, tmp_path), expected, strict=True):
        np.testing.assert_array_equal(found, wanted, err_msg=job.file)


@pytest.mark.parametrize("kind", ["checkpoint", "state"])
def test_earlier_states_come_back_again_and_again(boxed: Case, kind: str, tmp_path: Path) -> None:
    made = boxed.start()
    saved, seen = [], {}
    for n in (3, 8, 9):
        made.step(n - made.currentStep)
        save(made, kind, tmp_path / str(n))
        saved.append(n)
    made.step(3)
    seen[12] = positions(made)
    for n in (3, 9, 3, 8, 8):
        (made.loadCheckpoint if kind == "checkpoint" else made.loadState)(str(tmp_path / str(n)))
        assert made.currentStep == n
        assert made.context.getTime() == n * made.integrator.getStepSize()
        made.step(12 - n)
        np.testing.assert_array_equal(positions(made), seen[12])


def test_another_path_to_the_same_place_is_told_from_the_own(polymer: Case) -> None:
    """A checkpoint of the same step and the very same positions, with another history."""
    own, other = polymer.start(), polymer.start()
    frames = polymer.frames.copy()
    frames[:-1] += 0.5
    other.integrator.set_history(frames)
    own.step(0)
    np.testing.assert_array_equal(positions(own), positions(other))
    checkpoint = other.context.createCheckpoint()
    own.context.loadCheckpoint(checkpoint)
    plain = polymer.start()
    for made in (own, other, plain):
        made.step(4)
    np.testing.assert_array_equal(positions(own), positions(other))
    assert np.abs(positions(own) - positions(plain)).max() > 1e-3


def test_state_of_other_noise_is_told_from_the_own(polymer: Case) -> None:
    """After as many steps along another path, and back."""
    one, two = polymer.start(seed=1), polymer.start(seed=2)
    for made in (one, two):
        made.step(5)
    checkpoints = [made.context.createCheckpoint() for made in (one, two)]
    expected = []
    for made, checkpoint in ((two, checkpoints[1]), (one, checkpoints[1]), (one, checkpoints[0])):
        made.context.loadCheckpoint(checkpoint)
        made.integrator.setRandomNumberSeed(7)
        made.step(4)
        expected.append(positions(made))
    np.testing.assert_array_equal(expected[0], expected[1])
    assert np.abs(expected[2] - expected[1]).max() > 1e-3


def test_reinitialize_that_preserves_the_state_changes_nothing(boxed: Case) -> None:
    whole, made = boxed.start(), boxed.start()
    whole.step(11)
    for n in (4, 3, 4):
        made.step(n)
        made.context.reinitialize(preserveState=True)
    np.testing.assert_array_equal(positions(made), positions(whole))
    assert made.currentStep == 11
    assert made.context.getTime() == whole.context.getTime()


def test_reinitialize_without_the_state_starts_anew(polymer: Case) -> None:
    fresh, made = polymer.start(), polymer.start()
    made.step(6)
    made.context.reinitialize()
    assert made.currentStep == 0
    made.context.setPositions(made.integrator.cg.positions)
    for each in (fresh, made):
        each.step(5)
    np.testing.assert_array_equal(positions(made), positions(fresh))


def test_a_start_at_rest_is_a_history(polymer: Case) -> None:
    """Displacements of zero that were given are not those that a new Context has."""
    made = polymer.start()
    at_rest = np.broadcast_to(polymer.frames[-1], polymer.frames.shape)
    made.integrator.set_history(at_rest)
    checkpoint = made.context.createCheckpoint()
    other = polymer.start()
    other.context.loadCheckpoint(checkpoint)
    plain = polymer.start()
    for each in (made, other, plain):
        each.step(3)
    np.testing.assert_array_equal(positions(other), positions(made))
    assert np.abs(positions(plain) - positions(made)).max() > 1e-3


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_bead_moved_by_hand_stays_moved(polymer: Case, platform: str) -> None:
    """However little: these platforms keep every bit. The displacements are kept."""
    plain, moved = polymer.start(platform), polymer.start(platform)
    for made in (plain, moved):
        made.step(6)
    by = np.zeros((moved.integrator.cg.n_beads, 3))
    by[4, 1] = 1e-9
    start = positions(moved) + by
    moved.context.setPositions(start)
    before = moved.context.getState(velocities=True).getVelocities(asNumpy=True)._value
    np.testing.assert_array_equal(before, plain.context.getState(velocities=True).getVelocities(asNumpy=True)._value)
    seen = []
    moved.integrator.observers.append(lambda o: seen.append(o.state))
    moved.step(1)
    # x' = x + d' with the displacement after the step, to the last bit
    np.testing.assert_array_equal(positions(moved), start + seen[0].displacements[:, 0].numpy())
    np.testing.assert_array_equal(seen[0].displacements[:, 1].numpy(), before * polymer.model.time_step)


def test_velocities_are_output(polymer: Case) -> None:
    plain, made = polymer.start(), polymer.start()
    for change in (
        lambda: made.context.setVelocitiesToTemperature(300, 1),
        lambda: made.context.setVelocities(np.ones((made.integrator.cg.n_beads, 3))),
    ):
        for each in (plain, made):
            each.step(3)
        change()
    for each in (plain, made):
        each.step(1)
    np.testing.assert_array_equal(positions(made), positions(plain))
    velocities = [s.context.getState(velocities=True).getVelocities(asNumpy=True)._value for s in (plain, made)]
    np.testing.assert_array_equal(*velocities)


def test_seed_changes_the_noise_from_then_on(polymer: Case) -> None:
    one, other = polymer.start(seed=1), polymer.start(seed=2)
    one.step(5)
    one.integrator.setRandomNumberSeed(2)
    other.context.setState(one.context.getState(positions=True, velocities=True, integratorParameters=True))
    assert other.currentStep == 5
    for made in (one, other):
        made.step(4)
    np.testing.assert_array_equal(positions(one), positions(other))


@pytest.mark.parametrize(
    "set_count", [lambda s, n: setattr(s, "currentStep", n), lambda s, n: s.context.setStepCount(n)]
)
def test_step_count_names_the_noise(polymer: Case, set_count: Callable[[app.Simulation, int], None]) -> None:
    """A run that is set back repeats the noise, not the positions."""
    made = polymer.start()
    drawn = []
    original = made.integrator.simulator.normal
    made.integrator.simulator.normal = lambda step: drawn.append(step) or original(step)
    made.step(3)
    set_count(made, 1)
    before = positions(made)
    made.step(2)
    assert drawn == [0, 1, 2, 1, 2]
    assert made.currentStep == 3
    assert made.context.getTime() == 5 * made.integrator.getStepSize()
    plain = polymer.start()
    plain.step(3)
    np.testing.assert_array_equal(before, positions(plain))


def test_time_is_counted_on_and_moves_nothing(polymer: Case) -> None:
    plain, made = polymer.start(), polymer.start()
    for each in (plain, made):
        each.step(2)
    made.context.setTime(1000.0)
    for each in (plain, made):
        each.step(3)
    assert made.context.getTime() == (1000 + 3 * 4) * unit.picosecond
    np.testing.assert_array_equal(positions(made), positions(plain))


def test_times_agree_to_the_last_bit_however_a_run_is_divided(tmp_path: Path) -> None:
    """Of a step that no binary number is."""
    model = diffusing_model(tmp_path / "model.pt", scale=0.5, time_step=0.3)
    whole, parts = (free_simulation(model, beads(chain(1), 1)) for _ in range(2))
    whole.step(50)
    for n in (7, 1, 12, 30):
        parts.step(n)
    assert parts.context.getTime() == whole.context.getTime()
    assert whole.context.getTime().value_in_unit(unit.picosecond) == pytest.approx(15)


def test_step_size_is_the_models(polymer: Case) -> None:
    made = polymer.start()
    made.integrator.setStepSize(4 * unit.picosecond)
    made.integrator.setStepSize(0.004 * unit.nanosecond)
    with pytest.raises(UserError, match=r"step size of 2 ps, but .* was trained for steps of 4 ps"):
        made.integrator.setStepSize(2 * unit.femtosecond * 1000)
    with pytest.raises(UserError, match="step size of 2 ps"):
        made.integrator.setStepSize(2)
    made.step(1)
    assert made.context.getTime() == 4 * unit.picosecond


def test_box_of_a_context_stays(boxed: Case, polymer: Case) -> None:
    for case in (boxed, polymer):
        made = case.start()
        made.step(1)
        made.context.setPeriodicBoxVectors(*(50 * np.eye(3)))
        with pytest.raises(UserError, match="a learned simulation has a constant box"):
            made.step(1)


def test_state_without_displacements_keeps_those_of_the_context(polymer: Case) -> None:
    """As positions that are set by hand: a State need not have the variables of the integrator."""
    source, made, by_hand = polymer.start(seed=3), polymer.start(), polymer.start()
    for each in (source, made, by_hand):
        each.step(4)
    made.context.setState(source.context.getState(positions=True))
    by_hand.context.setPositions(positions(source))
    for each in (made, by_hand):
        each.step(3)
    np.testing.assert_array_equal(positions(made), positions(by_hand))


def test_checkpoints_of_equal_runs_are_equal(polymer: Case) -> None:
    """Nothing of the process gets into them."""
    files = []
    for _ in range(2):
        made = polymer.start()
        made.step(5)
        file = io.StringIO()
        made.saveState(file)
        files.append((made.context.createCheckpoint(), file.getvalue()))
    assert files[0] == files[1]
