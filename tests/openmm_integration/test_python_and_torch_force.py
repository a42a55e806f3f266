"""Exported simulations: with PythonForce, and with TorchForce where openmm-torch is there (make test-openmm-torch)."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import mdtraj
import numpy as np
import openmm
import pytest
import torch
from openmm import app

from cgplugin import LearnedModel, MolecularSystem, UserError
from cgplugin.coarse_graining.neighbours import BeadGraph
from cgplugin.learned import torchscript
from cgplugin.learned.refinement import Refinement
from cgplugin.learned.simulator import LearnedSimulator
from cgplugin.networks.options import NetworkOptions
from cgplugin.systems.structure_files import Structure, open_trajectory
from openmm_integration import CoarseSystem, learned_simulation
from openmm_integration.export import ExportedSimulation, export_simulation
from openmm_integration.runs.start_frames import from_trajectory
from tests.conftest import ROOT, chain, run_cli
from tests.random_model import SCALES, random_model

from .electrolytes import CONVENTIONS

ENGINES = ["torch" if importlib.util.find_spec("openmmtorch") else "python"]

FLOW = Refinement(levels=2, sampler="flow", skip=1)
NONE = Refinement()

Case = tuple[LearnedModel, CoarseSystem, Refinement]


def random_walk(n_beads: int, seed: int) -> np.ndarray:
    """Three frames of a chain of beads."""
    random = np.random.default_rng(seed)
    first = np.cumsum(random.normal(size=(n_beads, 3)), axis=0)
    return first + np.cumsum(random.normal(scale=0.3, size=(3, n_beads, 3)), axis=0)


@pytest.fixture(scope="module")
def single_chain(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Nine beads, noise correlated along the bonds."""
    system = chain(45)
    path = tmp_path_factory.mktemp("chain") / "model.pt"
    options = NetworkOptions(hidden=8, layers=1, score=False)
    model = LearnedModel.load(random_model(path, [system], periodic=False, options=options))
    cg = model.coarsen(system)
    return model, CoarseSystem((cg,), None, random_walk(cg.n_beads, 1)), NONE


@pytest.fixture(scope="module")
def box(electrolyte_model: Path, electrolytes: list[Structure]) -> Case:
    """A reference electrolyte, its steps refined by the probability flow."""
    model = LearnedModel.load(electrolyte_model)
    structure = electrolytes[0]
    cg = model.coarsen(structure.system)
    dump = open_trajectory(structure.source.parent / "traj.lammpstrj.bz2", structure, CONVENTIONS)
    return model, CoarseSystem((cg,), structure.box_vectors, from_trajectory(model, cg, dump)), FLOW


@pytest.fixture(scope="module")
def dimers(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Forty pairs of beads on springs and nothing else: a linear process."""
    ones = np.ones(80)
    bonds = np.arange(80).reshape(40, 2)
    system = MolecularSystem(("A",) * 80, ones, bonds, ("b",) * 40, units="lj", name="dimers")
    path = tmp_path_factory.mktemp("dimers") / "model.pt"
    options = NetworkOptions(hidden=4, layers=0, score=False)
    random_model(path, [system], periodic=False, options=options, atoms_per_bead=1)
    module, header = torchscript.load(path)
    with torch.no_grad():
        for name, values in module.named_parameters():
            if name.startswith(("dynamics.node_decoder", "dynamics.edge_decoder")):
                values.zero_()
    torchscript.save(module, header, path)
    model = LearnedModel.load(path)
    random = np.random.default_rng(5)
    frames = np.repeat(100 * random.random((1, 40, 3)), 2, axis=1) + random.normal(size=(1, 80, 3))
    return model, CoarseSystem((model.coarsen(system),), None, np.repeat(frames, 3, axis=0)), NONE


@pytest.fixture(scope="module")
def reused(box: Case) -> Case:
    """The same, with an evaluation of the Score GNN less."""
    return box[0], box[1], replace(FLOW, reuse=True)


@pytest.fixture(scope="module", params=["single_chain", "box", "reused"])
def case(request: pytest.FixtureRequest) -> Case:
    return request.getfixturevalue(request.param)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


def export(case: Case, engine: str, seed: int = 1) -> ExportedSimulation:
    model, cg, refinement = case
    return export_simulation(model, cg, engine=engine, seed=seed, refinement=refinement)


def run(made: app.Simulation, steps: int) -> np.ndarray:
    """Positions after some steps."""
    made.step(steps)
    return positions(made)


def positions(simulation: app.Simulation) -> np.ndarray:
    return simulation.context.getState(positions=True).getPositions(asNumpy=True)._value.copy()


def test_without_noise_positions_are_those_of_the_learned_integrator(case: Case, engine: str) -> None:
    model, cg, refinement = case
    exported = export(case, engine)
    exported.integrator.setGlobalVariableByName("noise", 0)
    stock = exported.simulation("Reference")
    ours = learned_simulation(model, cg, platform="Reference", refinement=refinement)
    shape = ours.integrator.simulator.normal(0).shape
    ours.integrator.simulator.normal = lambda _step: torch.zeros(shape)
    for tolerance in (2e-6, 2e-5, 2e-4):
        for made in (stock, ours):
            made.step(10)
        np.testing.assert_allclose(positions(stock)[exported.layout.beads], positions(ours), rtol=0, atol=tolerance)
    moved = np.abs(positions(ours) - cg.start_frames[-1]).max()
    assert moved > 0.5
    velocities = stock.context.getState(velocities=True).getVelocities(asNumpy=True)._value[exported.layout.beads]
    history = ours.context.getState(velocities=True).getVelocities(asNumpy=True)._value
    np.testing.assert_allclose(velocities, history, rtol=0, atol=2e-4)


def test_noise_does_what_the_same_normal_numbers_do_in_the_learned_simulator(case: Case, engine: str) -> None:
    model, cg, refinement = case
    exported = export(case, engine)
    stock = exported.simulation()
    ours = LearnedSimulator(model, cg.parts, box_vectors=[cg.box_of(0)], refinement=refinement)
    state = ours.start([cg.start_frames])
    for _ in range(5):
        stock.step(1)
        found = positions(stock)
        normal = found[exported.layout.is_normal].reshape(-1, cg.n_beads, 3)
        assert len(normal) == 1 + refinement.n_normal
        state = ours.advance(state, torch.tensor(normal, dtype=torch.float32)).state
        np.testing.assert_allclose(found[: cg.n_beads], state.positions.numpy(), rtol=0, atol=1e-5)


def test_mean_and_variance_of_a_step_are_those_that_the_network_predicts(single_chain: Case, engine: str) -> None:
    model, cg, _ = single_chain
    exported = export(single_chain, engine)
    stock = exported.simulation()
    edges = BeadGraph.of(cg.parts[0]).edges(torch.tensor(cg.start_frames[-1]), model.description.cutoff)
    moved = torch.tensor(np.diff(cg.start_frames, axis=0)[::-1].transpose(1, 0, 2).astype(np.float32))
    masses = torch.tensor(cg.parts[0].masses, dtype=torch.float32)
    predicted = model.predict(model.embed(cg.parts[0]), masses, moved, edges)
    shares = torch.ones(cg.n_beads).index_add(0, edges.pairs[1], predicted.mixing**2)
    n = 600
    changes = np.empty((n, cg.n_beads, 3))
    for sample in changes:
        stock.context.setPositions(exported.positions)
        stock.step(1)
        sample[:] = positions(stock)[: cg.n_beads] - cg.start_frames[-1] - moved[:, 0].numpy()
    variance = (predicted.scale**2 * shares.unsqueeze(1)).numpy()
    errors = (changes.mean(axis=0) - predicted.mean.numpy()) / np.sqrt(variance / n)
    ratios = (changes.var(axis=0, ddof=1) / variance - 1) / np.sqrt(2 / (n - 1))
    # 27 of each: four and a half standard errors are beyond chance
    assert np.abs(errors).max() < 4.5
    assert np.abs(ratios).max() < 4.5
    # and all together: the mean of 27 squares is 1 +- sqrt(2 / 27)
    assert np.mean(errors**2) < 1 + 4 * np.sqrt(2 / 27)


def test_linear_process_has_the_variance_of_theory(dimers: Case, engine: str) -> None:
    """Separations of two beads on a spring are an autoregressive process of second order.

    r(t+1) = p r(t) + q r(t-1) + e with p = 2 - damping - 2 spring, q = damping - 1 and noise of variance 2 s^2, which in
    equilibrium has the variance (1 - q) / ((1 + q) ((1 - q)^2 - p^2)) 2 s^2 (Box and Jenkins, Time Series Analysis, 3.2.4).
    """
    stock = export(dimers, engine).simulation()
    stock.step(30)
    n = 150
    separations = np.empty((n, 40, 3))
    for sample in separations:
        stock.step(2)
        beads = positions(stock)[:80].reshape(40, 2, 3)
        sample[:] = beads[:, 0] - beads[:, 1]
    p, q = 2 - SCALES.prior_damping - 2 * SCALES.prior_spring, SCALES.prior_damping - 1
    expected = (1 - q) / ((1 + q) * ((1 - q) ** 2 - p**2)) * 2 * SCALES.residual**2
    squares = (separations**2).mean(axis=(0, 2)) / expected
    # each dimer is an independent estimate
    assert abs(squares.mean() - 1) < 4 * squares.std(ddof=1) / np.sqrt(40)
    assert squares.std(ddof=1) / np.sqrt(40) < 0.03


def test_xml_gives_the_same_simulation(case: Case, engine: str, tmp_path: Path) -> None:
    exported = export(case, engine)
    folder = exported.save(tmp_path / "files")
    system, integrator, state = (
        openmm.XmlSerializer.deserialize((folder / f"{name}.xml").read_text())
        for name in ("system", "integrator", "state")
    )
    assert type(integrator) is openmm.CustomIntegrator
    beads = app.PDBFile(str(folder / "topology.pdb")).topology
    # one after the other: on this platform, the simulations of a process share one stream of random numbers
    again = app.Simulation(beads, system, integrator, openmm.Platform.getPlatformByName("CPU"))
    again.context.setState(state)
    found = run(again, 4)
    np.testing.assert_array_equal(found, run(exported.simulation(), 4))
    assert beads.getNumAtoms() == exported.layout.n_beads
    assert len(list(beads.bonds())) == len(case[1].parts[0].bonds)


def test_checkpoint_goes_on_bit_by_bit(case: Case, engine: str, tmp_path: Path) -> None:
    whole = run(export(case, engine).simulation(), 7)
    first = export(case, engine).simulation()
    first.step(3)
    first.saveCheckpoint(str(tmp_path / "a.chk"))
    second = export(case, engine, seed=2).simulation()
    second.loadCheckpoint(str(tmp_path / "a.chk"))
    np.testing.assert_array_equal(run(second, 4), whole)


def test_seed_makes_the_noise(single_chain: Case, engine: str) -> None:
    a, b, c = (run(export(single_chain, engine, seed).simulation(), 2) for seed in (3, 3, 4))
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - c)[: single_chain[1].n_beads].min() > 0


@pytest.mark.parametrize("wrap", [False, True])
def test_reporters_see_the_beads_alone(box: Case, engine: str, tmp_path: Path, wrap: bool) -> None:
    exported = export(box, engine)
    stock = exported.simulation()
    trajectory, topology = str(tmp_path / "beads.dcd"), str(tmp_path / "beads.pdb")
    beads = exported.layout.beads
    stock.reporters.append(app.DCDReporter(trajectory, 1, enforcePeriodicBox=wrap, atomSubset=beads))
    found = run(stock, 3)
    # reporters that wrap do not disturb the history behind
    np.testing.assert_array_equal(found, run(export(box, engine).simulation(), 3))
    del stock.reporters[:]
    exported.save(tmp_path)
    (tmp_path / "topology.pdb").rename(topology)
    loaded = mdtraj.load(trajectory, top=topology)
    difference = loaded.xyz[-1] - positions(stock)[beads]
    images = difference @ np.linalg.inv(box[1].common_box)
    np.testing.assert_allclose(images, np.rint(images), atol=1e-4)
    assert np.abs(np.rint(images)).any() == wrap


def test_reporter_without_subset_stops_instead_of_writing_helpers(
    single_chain: Case, engine: str, tmp_path: Path
) -> None:
    stock = export(single_chain, engine).simulation()
    stock.reporters.append(app.DCDReporter(str(tmp_path / "all.dcd"), 1))
    with pytest.raises(ValueError, match="number of positions must match the number of atoms"):
        stock.step(1)


def test_another_force_is_not_taken_for_a_move(single_chain: Case, engine: str) -> None:
    exported = export(single_chain, engine)
    pull = openmm.CustomExternalForce("100*x")
    for bead in exported.layout.beads:
        pull.addParticle(bead)
    exported.system.addForce(pull)
    pulled = run(exported.simulation(), 2)
    np.testing.assert_array_equal(pulled, run(export(single_chain, engine).simulation(), 2))


def test_a_changed_box_stops_the_simulation(box: Case, engine: str) -> None:
    stock = export(box, engine).simulation()
    stock.context.setPeriodicBoxVectors(*(openmm.Vec3(*row) for row in 1.01 * box[1].common_box))
    with pytest.raises(
        openmm.OpenMMException, match="the box was changed, but a learned simulation has a constant one"
    ):
        stock.step(1)


def test_what_cannot_be_exported_is_refused(single_chain: Case, box: Case) -> None:
    model, cg, _ = single_chain
    with pytest.raises(UserError, match="2 systems to export, expected one"):
        export_simulation(model, CoarseSystem(cg.parts * 2))
    with pytest.raises(UserError, match="seed is 0, expected an integer from 1"):
        export_simulation(model, cg, seed=0)
    with pytest.raises(UserError, match="an export needs the first frames"):
        export_simulation(model, CoarseSystem(cg.parts))
    with pytest.raises(UserError, match="unknown engine 'c': expected one of python, torch"):
        export_simulation(model, cg, engine="c")
    model, cg, _ = box
    with pytest.raises(
        UserError, match="refined by 'langevin' cannot be exported: choose the sampler 'flow', or 0 levels"
    ):
        export_simulation(model, cg, refinement=Refinement(levels=1))
    with pytest.raises(UserError, match=r"9 levels of refinement and 5 left out, but .* has 10"):
        export_simulation(model, cg, refinement=Refinement(levels=9, sampler="flow", skip=5))
    with pytest.raises(UserError, match=r"the cutoff of 3 nm exceeds half of the smallest box height \(5 nm\)"):
        export_simulation(model, CoarseSystem(cg.parts, np.eye(3) * 5, cg.start_frames))


def test_command(polymer_data: Path, engine: str, tmp_path: Path) -> None:
    model = ROOT / "models" / "polymer.pt"
    done = run_cli("export", model, polymer_data, "--out", tmp_path / "out", "--engine", engine)
    assert done.returncode == 0, done.stderr
    assert "particles 0 to 8 of 36 are the beads" in done.stdout
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"system.xml", "integrator.xml", "state.xml", "topology.pdb", "step.pt"}
    refused = run_cli("export", model, polymer_data, "--out", tmp_path / "no", "--seed", 0)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert not (tmp_path / "no").exists()
