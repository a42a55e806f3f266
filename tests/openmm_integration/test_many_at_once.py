"""Many systems or replicas in one Simulation: a file each, and what company does to a run."""

import json
from pathlib import Path

import mdtraj
import numpy as np
import pytest
import torch

from cgplugin import LearnedModel, UserError
from cgplugin.learned import simulator
from cgplugin.learned.refinement import Refinement
from cgplugin.systems.structure_files import Structure, load_structure, open_trajectory
from openmm_integration import CoarseSystem
from openmm_integration.runs.start_frames import from_trajectory
from openmm_integration.simulation import LearnedSimulation, learned_simulation, part_reporters
from tests.conftest import POLYMER


@pytest.fixture(scope="module")
def chains() -> list[Structure]:
    return [load_structure(POLYMER / "devtest" / name / "topology.data") for name in ("000", "001")]


def replicas_of(model: LearnedModel, structures: list[Structure], copies: int) -> CoarseSystem:
    """The first structure as often as asked for, then the second, and so on; all start from the reference's frames."""
    parts, frames = [], []
    for structure in structures:
        cg = model.coarsen(structure.system)
        path = open_trajectory(structure.source.parent / "traj.lammpstrj.bz2", structure)
        parts += [cg] * copies
        frames += [from_trajectory(model, cg, path)] * copies
    return CoarseSystem(tuple(parts), None, np.concatenate(frames, axis=1))


def simulation(model: LearnedModel, cg: CoarseSystem, seed: int = 1) -> LearnedSimulation:
    """Without Langevin steps of the refinement, whose noise depends on the number of all beads."""
    return LearnedSimulation(model, cg, seed=seed, platform="Reference", refinement=Refinement(levels=0))


def positions(made: LearnedSimulation) -> np.ndarray:
    return made.context.getState(positions=True).getPositions(asNumpy=True)._value.copy()


def test_a_file_for_each_system_and_replica(model: LearnedModel, chains: list[Structure], tmp_path: Path) -> None:
    cg = replicas_of(model, chains, 2)
    made = simulation(model, cg)
    seen = []
    made.integrator.observers.append(lambda o: seen.append(o.state.positions.numpy().copy()))
    reporters = part_reporters(made, tmp_path, 5)
    made.reporters += reporters
    made.step(20)
    for reporter in reporters:
        reporter.close()
    folders = [tmp_path / name / f"replica-{n}" for name in ("000", "001") for n in (0, 1)]
    for n, folder in enumerate(folders):
        loaded = mdtraj.load(folder / "trajectory.dcd", top=folder / "topology.pdb")
        np.testing.assert_allclose(loaded.xyz, np.array(seen)[4::5, cg.beads_of(n)], atol=1e-4)
        assert loaded.topology.n_bonds == len(cg.parts[n].bonds)
        mapping = json.loads((folder / "mapping.json").read_text())
        assert sorted(atom for bead in mapping["beads"] for atom in bead) == list(range(cg.parts[n].system.n_atoms))


def test_a_system_that_is_there_once_has_no_replica_folder(
    model: LearnedModel, chains: list[Structure], tmp_path: Path
) -> None:
    for reporter in part_reporters(simulation(model, replicas_of(model, chains, 1)), tmp_path, 5):
        reporter.close()
    assert (tmp_path / "000" / "trajectory.dcd").exists()
    assert (tmp_path / "001" / "mapping.json").exists()


def test_different_systems_of_one_name_are_refused(
    model: LearnedModel, chains: list[Structure], tmp_path: Path
) -> None:
    both = replicas_of(model, [chains[0], chains[0]], 1)
    with pytest.raises(UserError, match="different systems are called '000': rename their files or folders"):
        part_reporters(simulation(model, both), tmp_path, 5)
    assert not list(tmp_path.iterdir())


def test_more_replicas_leave_the_first_ones_as_they_were(model: LearnedModel, chains: list[Structure]) -> None:
    """The noise of a bead depends on its number and the seed, not on how many beads follow; the networks' sums round."""
    few, many = (simulation(model, replicas_of(model, chains[:1], n)) for n in (2, 5))
    for made in (few, many):
        made.step(10)
    n_beads = few.cg.n_beads
    np.testing.assert_allclose(positions(many)[:n_beads], positions(few), atol=1e-3)
    torch.testing.assert_close(
        many.integrator.simulator.normal(7)[:, :n_beads], few.integrator.simulator.normal(7), rtol=0, atol=0
    )


def test_full_tiles_do_not_see_each_other(
    model: LearnedModel, chains: list[Structure], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes through the networks in the same call is the same to the last bit."""
    n_beads = model.coarsen(chains[0].system).n_beads
    monkeypatch.setattr(simulator, "TILE_BEADS", 2 * n_beads)
    few, many = (simulation(model, replicas_of(model, chains[:1], n)) for n in (2, 6))
    for made in (few, many):
        made.step(10)
    np.testing.assert_array_equal(positions(many)[: 2 * n_beads], positions(few))


def test_replicas_are_independent(model: LearnedModel, chains: list[Structure]) -> None:
    """All start from the same frames; correlations between the noise of N replicas are as those of N random numbers."""
    made = simulation(model, replicas_of(model, chains[:1], 40))
    made.step(1)
    moved = (positions(made) - made.cg.start_frames[-1]).reshape(40, -1)
    correlations = np.corrcoef(moved - moved.mean(axis=0))[np.triu_indices(40, k=1)]
    # of 780 pairs; taking off the mean of 40 makes it -1/39 on average
    assert abs(correlations.mean() + 1 / 39) < 0.01
    assert abs(correlations).max() < 0.95


def test_the_noise_of_a_step_is_that_of_a_fresh_generator(model: LearnedModel, chains: list[Structure]) -> None:
    """Philox, keyed by seed and step, whatever was drawn before."""
    cg = replicas_of(model, chains[:1], 1)
    refinement = Refinement(levels=1, steps=2)
    drawing = LearnedSimulation(model, cg, seed=11, platform="Reference", refinement=refinement).integrator.simulator
    for step in (3, 0, 3, 2**40):
        expected = np.random.Generator(np.random.Philox(key=(11, step))).standard_normal(
            (3, drawing.n_beads, 3), dtype=np.float32
        )
        np.testing.assert_array_equal(drawing.normal(step).numpy(), expected)


def test_threads_are_those_of_torch_too(model: LearnedModel, chains: list[Structure]) -> None:
    before = torch.get_num_threads()
    cg = replicas_of(model, chains[:1], 1)
    try:
        made = learned_simulation(model, cg, platform="CPU", threads=2)
        assert torch.get_num_threads() == 2
        assert made.context.getPlatform().getPropertyValue(made.context, "Threads") == "2"
        with pytest.raises(UserError, match="threads is 0, expected at least 1"):
            learned_simulation(model, cg, threads=0)
    finally:
        torch.set_num_threads(before)
