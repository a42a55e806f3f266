"""Several electrolytes, with equal boxes or not, in one OpenMM Context."""

from pathlib import Path

import mdtraj
import numpy as np
import openmm
import pytest
from openmm import app

from cgplugin import LearnedModel, UserError
from cgplugin.coarse_graining.coarse_trajectory import coarsen_trajectory
from cgplugin.systems.structure_files import Structure, open_trajectory
from openmm_integration import CoarseSystem, LearnedIntegrator, learned_simulation
from openmm_integration.runs.resumable_run import ResumableRun, RunSettings
from openmm_integration.runs.start_frames import from_trajectory

from .electrolytes import CONVENTIONS


@pytest.fixture(scope="module")
def model(electrolyte_model: Path) -> LearnedModel:
    return LearnedModel.load(electrolyte_model)


@pytest.fixture(scope="module")
def both(model: LearnedModel, electrolytes: list[Structure]) -> CoarseSystem:
    """Two compositions in boxes of different size, the first twice."""
    parts, frames = [], []
    for structure, copies in zip(electrolytes, (2, 1), strict=True):
        cg = model.coarsen(structure.system)
        dump = open_trajectory(structure.source.parent / "traj.lammpstrj.bz2", structure, CONVENTIONS)
        parts += [cg] * copies
        frames += [from_trajectory(model, cg, dump)] * copies
    boxes = [electrolytes[n].box_vectors for n in (0, 0, 1)]
    return CoarseSystem(tuple(parts), np.array(boxes), np.concatenate(frames, axis=1))


def simulation(model: LearnedModel, cg: CoarseSystem) -> app.Simulation:
    return learned_simulation(model, cg, seed=1, platform="Reference")


def positions(made: app.Simulation) -> np.ndarray:
    return made.context.getState(positions=True).getPositions(asNumpy=True)._value.copy()


@pytest.mark.parametrize("wrap", [False, True])
def test_systems_with_different_boxes_in_one_batch(
    model: LearnedModel, both: CoarseSystem, tmp_path: Path, wrap: bool
) -> None:
    made = simulation(model, both)
    assert both.common_box is None
    assert not made.system.usesPeriodicBoundaryConditions()
    seen = []
    made.integrator.observers.append(lambda o: seen.append(o.state.positions.numpy().copy()))
    folders = ResumableRun(made, model, tmp_path, ["a", "b", "c"], RunSettings(20, 5, 20, wrap=wrap)).run()
    for n, folder in enumerate(folders):
        box, beads = both.box_of(n), both.beads_of(n)
        loaded = mdtraj.load(folder / "trajectory.dcd", top=folder / "topology.pdb")
        np.testing.assert_allclose(loaded.unitcell_vectors, np.broadcast_to(box, (4, 3, 3)), atol=1e-5)
        expected = np.array(seen)[4::5, beads]
        if not wrap:
            np.testing.assert_allclose(loaded.xyz, expected, atol=1e-4)
            continue
        images = (loaded.xyz - expected) @ np.linalg.inv(box)
        np.testing.assert_allclose(images, np.rint(images), atol=1e-4)
        for molecule in range(int(both.parts[n].molecules.max()) + 1):
            own = both.parts[n].molecules == molecule
            assert np.ptp(np.rint(images[:, own]), axis=1).max() == 0
            centres = loaded.xyz[:, own].mean(axis=1) @ np.linalg.inv(box)
            assert (centres > -1e-5).all()
            assert (centres < 1 + 1e-5).all()


def test_company_in_a_context_does_not_matter(model: LearnedModel, both: CoarseSystem) -> None:
    """But for the noise, which goes by the number of a bead in the Context: that of the first part is the same."""
    made = simulation(model, both)
    alone = CoarseSystem(both.parts[:1], both.box_vectors[:1], both.start_frames[:, both.beads_of(0)])
    one = simulation(model, alone)
    np.testing.assert_array_equal(one.system.getDefaultPeriodicBoxVectors()[0][0]._value, both.box_of(0)[0, 0])
    one.integrator.simulator.normal = lambda step: made.integrator.simulator.normal(step)[:, : alone.n_beads]
    for simulated in (made, one):
        simulated.step(3)
    np.testing.assert_allclose(positions(made)[both.beads_of(0)], positions(one), atol=1e-4)


@pytest.mark.parametrize("kind", ["checkpoint", "state"])
def test_interrupted_run_in_boxes_goes_on_bit_by_bit(
    model: LearnedModel, both: CoarseSystem, tmp_path: Path, kind: str
) -> None:
    whole, first, second = (simulation(model, both) for _ in range(3))
    whole.step(24)
    first.step(11)
    file = str(tmp_path / "file")
    (first.saveCheckpoint if kind == "checkpoint" else first.saveState)(file)
    (second.loadCheckpoint if kind == "checkpoint" else second.loadState)(file)
    second.step(13)
    np.testing.assert_array_equal(positions(second), positions(whole))


def test_one_box_for_all_parts_is_the_contexts(model: LearnedModel, both: CoarseSystem) -> None:
    cg = CoarseSystem(both.parts[:2], both.box_of(0), both.start_frames[:, : both.offsets[2]])
    made = simulation(model, cg)
    np.testing.assert_array_equal(cg.common_box, both.box_of(0))
    found = made.context.getState().getPeriodicBoxVectors(asNumpy=True)._value
    np.testing.assert_array_equal(found, both.box_of(0))
    np.testing.assert_allclose(made.topology.getPeriodicBoxVectors()._value, both.box_of(0))
    assert len(made.context.getMolecules()) == 2 * (int(cg.parts[0].molecules.max()) + 1)
    made.step(2)
    larger = both.box_of(0) * 1.01
    made.context.setPeriodicBoxVectors(*(openmm.Vec3(*row) for row in larger))
    with pytest.raises(UserError, match="a learned simulation has a constant box"):
        made.step(1)


def test_learned_steps_need_no_energy(model: LearnedModel, both: CoarseSystem) -> None:
    """Bonds as long as a box must not break what OpenMM computes of the System: they have no strength."""
    made = simulation(model, both)
    made.step(2)
    assert made.context.getState(energy=True).getPotentialEnergy()._value == 0


def test_boxes_must_fit(model: LearnedModel, both: CoarseSystem) -> None:
    with pytest.raises(UserError, match=r"a system without a box, but .* was trained with one"):
        LearnedIntegrator(model, CoarseSystem(both.parts, None, both.start_frames))
    with pytest.raises(UserError, match=r"002: the cutoff of 3 nm exceeds half of the smallest box height \(5 nm\)"):
        LearnedIntegrator(model, CoarseSystem(both.parts[2:], np.eye(3) * 5))
    with pytest.raises(UserError, match="002: the box is not finite"):
        CoarseSystem(both.parts[2:], np.eye(3) * np.nan)


def test_beads_of_the_dump_are_those_that_start(both: CoarseSystem, electrolytes: list[Structure]) -> None:
    """Two time steps of 4 tau before the third frame that is used; the dump has one every 2 tau."""
    dump = open_trajectory(electrolytes[0].source.parent / "traj.lammpstrj.bz2", electrolytes[0], CONVENTIONS)
    path = coarsen_trajectory(both.parts[0], dump)
    expected = path.positions[[0, 2, 4]] + path.origin
    np.testing.assert_allclose(both.start_frames[:, both.beads_of(0)], expected, atol=1e-5)
