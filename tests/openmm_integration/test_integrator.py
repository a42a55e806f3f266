"""The learned integrator as OpenMM users meet it: reporters, time, restarts, errors."""

import copy
import io
import pickle
from collections.abc import Callable
from pathlib import Path

import MDAnalysis
import mdtraj
import numpy as np
import openmm
import pytest
from openmm import app, unit

from cgplugin import LearnedModel, UserError
from cgplugin.learned.simulator import SimulationDivergedError
from openmm_integration import CoarseSystem, LearnedIntegrator, learned_simulation
from openmm_integration.runs.coarse_files import write_beads
from tests.conftest import POLYMER


def simulation(model: LearnedModel, cg: CoarseSystem, seed: int = 1, platform: str = "CPU") -> app.Simulation:
    made = app.Simulation(
        cg.topology, cg.system, LearnedIntegrator(model, cg, seed=seed), openmm.Platform.getPlatformByName(platform)
    )
    made.context.setPositions(cg.positions)
    return made


def positions(made: app.Simulation) -> np.ndarray:
    return made.context.getState(positions=True).getPositions(asNumpy=True)._value.copy()


def test_snippet_of_the_readme(model: LearnedModel, polymer_data: Path, tmp_path: Path) -> None:
    made = learned_simulation(model, str(polymer_data), seed=1)
    made.reporters.append(app.DCDReporter(str(tmp_path / "long.dcd"), 10))
    made.step(50)
    assert isinstance(made, app.Simulation)
    assert made.currentStep == 50
    assert made.context.getTime() == 50 * 5 * unit.picosecond


def test_every_reporter(model: LearnedModel, cg: CoarseSystem, tmp_path: Path) -> None:
    made = simulation(model, cg)
    table = io.StringIO()
    seen = []
    made.integrator.observers.append(lambda o: seen.append(o.state.positions.numpy().copy()))
    made.reporters += [
        app.DCDReporter(str(tmp_path / "t.dcd"), 10),
        app.XTCReporter(str(tmp_path / "t.xtc"), 10),
        app.PDBReporter(str(tmp_path / "t.pdb"), 20),
        app.PDBxReporter(str(tmp_path / "t.cif"), 20),
        app.StateDataReporter(table, 20, step=True, time=True, speed=True),
        app.CheckpointReporter(str(tmp_path / "t.chk"), 20),
        mdtraj.reporters.DCDReporter(str(tmp_path / "m.dcd"), 10),
        mdtraj.reporters.HDF5Reporter(str(tmp_path / "m.h5"), 10),
    ]
    made.step(60)
    for reporter in made.reporters:
        if hasattr(reporter, "close"):
            reporter.close()
    write_beads(tmp_path, cg.parts[0], cg.start_frames[-1])
    expected = np.array(seen)[9::10]
    topology = str(tmp_path / "topology.pdb")
    for name in ("t.dcd", "m.dcd", "m.h5"):
        loaded = mdtraj.load(tmp_path / name, **({} if name == "m.h5" else {"top": topology}))
        np.testing.assert_allclose(loaded.xyz, expected, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(mdtraj.load(tmp_path / "t.xtc", top=topology).xyz, expected, atol=6e-4)
    np.testing.assert_allclose(mdtraj.load_pdb(tmp_path / "t.pdb").xyz, expected[1::2], atol=1e-3)
    universe = MDAnalysis.Universe(topology, str(tmp_path / "t.dcd"))
    with mdtraj.formats.DCDTrajectoryFile(str(tmp_path / "t.dcd")) as file:
        angstrom = file.read()[0]
    np.testing.assert_array_equal(np.array([frame.positions.copy() for frame in universe.trajectory]), angstrom)
    rows = [line.split(",") for line in table.getvalue().strip().splitlines()[1:]]
    assert [int(row[0]) for row in rows] == [20, 40, 60]
    assert [float(row[1]) for row in rows] == [100, 200, 300]
    resumed = simulation(model, cg)
    resumed.loadCheckpoint(str(tmp_path / "t.chk"))
    np.testing.assert_array_equal(positions(resumed), positions(made))


@pytest.mark.parametrize("platform", ["CPU", "Reference"])
@pytest.mark.parametrize("kind", ["checkpoint", "state"])
def test_interrupted_run_goes_on_bit_by_bit(
    model: LearnedModel, cg: CoarseSystem, tmp_path: Path, kind: str, platform: str
) -> None:
    whole = simulation(model, cg, platform=platform)
    whole.step(80)
    first = simulation(model, cg, platform=platform)
    first.step(33)
    file = str(tmp_path / "file")
    (first.saveCheckpoint if kind == "checkpoint" else first.saveState)(file)
    second = simulation(model, cg, platform=platform)
    second.step(7)
    (second.loadCheckpoint if kind == "checkpoint" else second.loadState)(file)
    assert second.currentStep == 33
    second.step(47)
    np.testing.assert_array_equal(positions(second), positions(whole))
    assert second.context.getTime() == whole.context.getTime()
    # and back in time within one process
    (whole.loadCheckpoint if kind == "checkpoint" else whole.loadState)(file)
    whole.step(47)
    np.testing.assert_array_equal(positions(second), positions(whole))


def test_chunks_do_not_matter(model: LearnedModel, cg: CoarseSystem) -> None:
    one, many = simulation(model, cg), simulation(model, cg)
    one.step(30)
    for n in (1, 2, 3, 11, 13):
        many.step(n)
    np.testing.assert_array_equal(positions(one), positions(many))


def test_seeds(model: LearnedModel, cg: CoarseSystem) -> None:
    runs = []
    for seed in (1, 1, 2):
        made = simulation(model, cg, seed)
        made.step(5)
        runs.append(positions(made))
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.allclose(runs[0], runs[2])
    other = simulation(model, cg, 1)
    other.integrator.setRandomNumberSeed(2)
    other.step(5)
    np.testing.assert_array_equal(positions(other), runs[2])


def test_shift_by_hand_shifts_the_path(model: LearnedModel, cg: CoarseSystem) -> None:
    plain, moved = simulation(model, cg), simulation(model, cg)
    for made in (plain, moved):
        made.step(5)
    moved.context.setPositions(positions(moved) + np.array([10.0, 0, 0]))
    for made in (plain, moved):
        made.step(5)
    np.testing.assert_allclose(positions(moved), positions(plain) + np.array([10.0, 0, 0]), atol=1e-3)


def test_velocities_are_displacements_over_the_time_step(model: LearnedModel, cg: CoarseSystem) -> None:
    made = simulation(model, cg)
    made.step(3)
    before = positions(made)
    made.step(1)
    velocities = made.context.getState(velocities=True).getVelocities(asNumpy=True)._value
    np.testing.assert_allclose(velocities * model.time_step, positions(made) - before, atol=1e-12)


def test_many_systems_in_one_network_call(model: LearnedModel) -> None:
    files = [POLYMER / "devtest" / name for name in ("000", "001")]
    made = learned_simulation(model, files, seed=3, replicas=2)
    cg = made.integrator.cg
    assert len(cg.parts) == 4
    assert cg.parts[0] is cg.parts[1]
    made.step(10)
    x = positions(made)
    assert not np.allclose(x[cg.beads_of(0)], x[cg.beads_of(1)])
    assert made.topology.getNumBonds() == sum(len(part.bonds) for part in cg.parts)


def test_system_has_masses_and_molecules(cg: CoarseSystem) -> None:
    np.testing.assert_allclose(
        [cg.system.getParticleMass(i)._value for i in range(cg.n_beads)], cg.parts[0].masses, rtol=1e-12
    )
    context = openmm.Context(cg.system, openmm.VerletIntegrator(1), openmm.Platform.getPlatformByName("Reference"))
    assert len(context.getMolecules()) == 1


def test_without_history_it_says_what_to_do(model: LearnedModel, cg: CoarseSystem) -> None:
    bare = CoarseSystem(cg.parts)
    made = app.Simulation(bare.topology, bare.system, LearnedIntegrator(model, bare))
    made.context.setPositions(cg.positions)
    with pytest.raises(UserError, match="set_history"):
        made.step(1)
    made.integrator.set_history(cg.start_frames)
    made.step(1)
    with pytest.raises(UserError, match="no start frames"):
        _ = bare.positions


def test_unbound_integrator_says_so(model: LearnedModel, cg: CoarseSystem) -> None:
    with pytest.raises(UserError, match="not bound to a Context"):
        LearnedIntegrator(model, cg).step(1)


def test_a_copy_without_the_model_stops(model: LearnedModel, cg: CoarseSystem) -> None:
    """OpenMM's serialisation keeps the C++ part alone: it must not run on as if nothing were missing."""
    lost = openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(LearnedIntegrator(model, cg)))
    compound = openmm.CompoundIntegrator()
    compound.addIntegrator(LearnedIntegrator(model, cg))
    for integrator in (lost, compound):
        for platform in ("CPU", "Reference"):
            bound = openmm.XmlSerializer.clone(integrator)
            made = app.Simulation(cg.topology, cg.system, bound, openmm.Platform.getPlatformByName(platform))
            made.context.setPositions(cg.positions)
            with pytest.raises(openmm.OpenMMException, match="this LearnedIntegrator has lost its model") as caught:
                made.step(1)
            assert "\n" not in str(caught.value)
            np.testing.assert_array_equal(positions(made), cg.start_frames[-1])


def test_platforms_that_skip_unknown_computations_have_no_positions_without_the_model(
    model: LearnedModel, cg: CoarseSystem
) -> None:
    """As the GPU platforms do: what is left of the integrator then."""
    whole = LearnedIntegrator(model, cg)
    left = openmm.CustomIntegrator(5.0)
    for n in range(whole.getNumGlobalVariables()):
        left.addGlobalVariable(whole.getGlobalVariableName(n), whole.getGlobalVariable(n))
    kind, variable, expression = whole.getComputationStep(whole.getNumComputations() - 1)
    assert kind == openmm.CustomIntegrator.ComputePerDof
    left.addComputePerDof(variable, expression)
    made = app.Simulation(cg.topology, cg.system, left, openmm.Platform.getPlatformByName("Reference"))
    made.context.setPositions(cg.positions)
    made.step(1)
    assert np.isnan(positions(made)).all()


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_copies_are_refused(model: LearnedModel, cg: CoarseSystem, duplicate: Callable[[object], object]) -> None:
    with pytest.raises(UserError, match="cannot be copied or pickled: make another"):
        duplicate(LearnedIntegrator(model, cg))


def test_an_integrator_belongs_to_one_context(model: LearnedModel, cg: CoarseSystem) -> None:
    made = simulation(model, cg)
    with pytest.raises(openmm.OpenMMException, match="already bound to a context"):
        app.Simulation(cg.topology, cg.system, made.integrator)
    made.step(1)


def test_positions_that_are_not_finite_stop_the_run(model: LearnedModel, cg: CoarseSystem) -> None:
    made = simulation(model, cg)
    made.step(1)
    broken = positions(made)
    broken[2, 1] = np.inf
    made.context.setPositions(broken)
    with pytest.raises(SimulationDivergedError, match="000: the position of bead 2 is not finite after step 1"):
        made.step(1)


def test_wrong_start_frames(model: LearnedModel, cg: CoarseSystem) -> None:
    made = simulation(model, cg)
    with pytest.raises(UserError, match=r"the start frames have shape \(2, 9, 3\), expected \(3, 9, 3\)"):
        made.integrator.set_history(cg.start_frames[1:])
    bad = cg.start_frames.copy()
    bad[0, 4] = np.nan
    with pytest.raises(UserError, match="the start position of bead 4 is not finite"):
        made.integrator.set_history(bad)


def test_box_and_model_must_fit(model: LearnedModel, cg: CoarseSystem) -> None:
    with pytest.raises(UserError, match=r"a system with a box, but .* was trained without one"):
        LearnedIntegrator(model, CoarseSystem(cg.parts, np.eye(3) * 50))
    with pytest.raises(UserError, match=r"box vectors of shape \(3, 3, 3\) for 2 systems"):
        CoarseSystem(cg.parts * 2, np.array([np.eye(3) * 50] * 3))
