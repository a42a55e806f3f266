"""Forces, a CMMotionRemover and other things that users add to the System of a learned simulation."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openmm
import pytest
import torch
from openmm import app, unit

from cgplugin import LearnedModel, MolecularSystem, UserError
from cgplugin.coarse_graining.coarsening import coarsen
from cgplugin.learned.simulator import LearnedSimulator
from cgplugin.systems.structure_files import load_structure, open_trajectory
from cgplugin.units import BOLTZMANN
from openmm_integration import CoarseSystem, LearnedIntegrator
from openmm_integration.external_forces import _REFUSED
from openmm_integration.runs.start_frames import from_trajectory
from tests.conftest import POLYMER, ROOT, chain
from tests.diffusing_model import diffusing_model

TEMPERATURE = 150.0
KT = BOLTZMANN * TEMPERATURE
SCALE = 0.8
"""Standard deviation of a free step, nm."""


def beads(molecule: MolecularSystem, copies: int, n_history: int = 1) -> CoarseSystem:
    """Copies at rest at the origin, the beads of a molecule 1 nm apart."""
    cg = coarsen(molecule, 1)
    places = np.zeros((cg.n_beads, 3))
    places[:, 2] = np.arange(cg.n_beads)
    frames = np.broadcast_to(np.tile(places, (copies, 1)), (n_history + 1, copies * cg.n_beads, 3))
    return CoarseSystem((cg,) * copies, None, frames.copy())


@pytest.fixture(scope="module")
def free(tmp_path_factory: pytest.TempPathFactory) -> LearnedModel:
    return diffusing_model(tmp_path_factory.mktemp("free") / "model.pt", scale=SCALE)


def well(cg: CoarseSystem, k: float) -> openmm.CustomExternalForce:
    """Harmonic in all directions, about where the beads start."""
    force = openmm.CustomExternalForce("0.5*k*((x-x0)^2+(y-y0)^2+(z-z0)^2)")
    force.addGlobalParameter("k", k)
    for name in ("x0", "y0", "z0"):
        force.addPerParticleParameter(name)
    for bead in range(cg.n_beads):
        force.addParticle(bead, cg.start_frames[-1, bead])
    return force


def field(cg: CoarseSystem, strength: float) -> openmm.CustomExternalForce:
    """Constant force along x, kJ/mol/nm."""
    force = openmm.CustomExternalForce("-strength*x")
    force.addGlobalParameter("strength", strength)
    for bead in range(cg.n_beads):
        force.addParticle(bead, [])
    return force


def simulation(
    model: LearnedModel,
    cg: CoarseSystem,
    *forces: openmm.Force,
    temperature: float | None = TEMPERATURE,
    platform: str = "Reference",
    seed: int = 1,
) -> app.Simulation:
    """A Simulation with forces in a System of its own."""
    system = openmm.XmlSerializer.clone(cg.system)
    for force in forces:
        system.addForce(force)
    integrator = LearnedIntegrator(model, cg, seed=seed, temperature=temperature)
    made = app.Simulation(cg.topology, system, integrator, openmm.Platform.getPlatformByName(platform))
    made.context.setPositions(cg.positions)
    return made


def positions(made: app.Simulation) -> np.ndarray:
    return made.context.getState(positions=True).getPositions(asNumpy=True)._value.copy()


def path_of(made: app.Simulation, steps: int) -> np.ndarray:
    """Positions relative to the start after every step, shape (steps, n_beads, 3)."""
    seen: list[np.ndarray] = []
    made.integrator.observers.append(lambda o: seen.append(o.state.positions.numpy().copy()))
    made.step(steps)
    return np.array(seen) - made.integrator.cg.start_frames[-1]


def test_harmonic_well_makes_an_ornstein_uhlenbeck_process(free: LearnedModel) -> None:
    """x' = (1 - a) x + s xi with a = k s^2 / 2kT: variance s^2 / (1 - (1 - a)^2) = (kT/k) / (1 - a/2), correlation (1 - a)^n."""
    cg = beads(chain(1), 100)
    k, steps = 1.0, 900
    a = k * SCALE**2 / (2 * KT)
    x = path_of(simulation(free, cg, well(cg, k)), steps)[30:].reshape(steps - 30, -1)
    variance = KT / k / (1 - a / 2)
    # of independent samples, of which a correlation time 1/a leaves a/2 per step for the squares
    error = variance * np.sqrt(2 / (x.size * a / 2))
    assert 0.2 < a < 0.4
    assert 4 * error < variance * a / 4, "the test must tell the time-step correction from none"
    assert x.var() == pytest.approx(variance, abs=4 * error)
    for lag in (1, 3, 6):
        correlation = (x[lag:] * x[:-lag]).mean() / variance
        assert correlation == pytest.approx((1 - a) ** lag, abs=4 * error / variance)


def test_correlated_noise_moves_what_is_correlated(tmp_path: Path) -> None:
    """Bonded beads, each in a well, whose noise has covariance S: in equilibrium (kT/k) (1 - k S / 4kT)^-1.

    With a mobility that left the correlation out, the beads would stay correlated as their noise is.
    """
    mixing, k, steps = 0.3, 1.0, 900
    model = diffusing_model(tmp_path / "model.pt", scale=SCALE, mixing=mixing)
    cg = beads(chain(2), 60)
    x = path_of(simulation(model, cg, well(cg, k)), steps)[60:].reshape(steps - 60, -1, 2, 3)
    found = np.einsum("tnic,tnjc->ij", x, x) / (x.size / 2)
    noise = SCALE**2 * np.array([[1 + mixing**2, 2 * mixing], [2 * mixing, 1 + mixing**2]])
    expected = KT / k * np.linalg.inv(np.eye(2) - k * noise / (4 * KT))
    a = k * np.linalg.eigvalsh(noise).min() / (2 * KT)
    error = expected[0, 0] * np.sqrt(2 / (x.size / 2 * a / 2))
    np.testing.assert_allclose(found, expected, atol=4 * error)
    assert noise[0, 1] / noise[0, 0] * expected[0, 0] > expected[0, 1] + 8 * error


@pytest.mark.parametrize(("persistence", "n_history"), [(0.0, 1), (0.4, 2)])
def test_constant_field_makes_a_drift(tmp_path: Path, persistence: float, n_history: int) -> None:
    """s^2 F / 2kT per step, and 1 / (1 - persistence) of it in the long run."""
    model = diffusing_model(tmp_path / "model.pt", scale=SCALE, persistence=persistence, n_history=n_history)
    cg = beads(chain(1), 100, n_history)
    force, steps, settled = 0.3, 400, 40
    path = path_of(simulation(model, cg, field(cg, force)), steps)
    drift = (path[-1] - path[settled]) / (steps - 1 - settled)
    expected = SCALE**2 * force / (2 * KT) / (1 - persistence)
    error = SCALE / (1 - persistence) / np.sqrt((steps - 1 - settled) * cg.n_beads)
    assert error < expected / 10
    np.testing.assert_allclose(drift.mean(axis=0), [expected, 0, 0], atol=4 * error)


def test_chains_of_a_trained_model_drift_as_they_diffuse() -> None:
    """Einstein's relation for whole chains of models/polymer.pt, whose noise is correlated and whose memory is short.

    Free and pulled chains have the same noise, so that the difference of their paths is the drift, nearly without error.
    """
    folder, replicas, settled, steps, lag, force = POLYMER / "devtest" / "000", 30, 40, 240, 20, 0.05
    model = LearnedModel.load(ROOT / "models" / "polymer.pt")
    structure = load_structure(folder / "topology.data")
    cg = model.coarsen(structure.system)
    frames = from_trajectory(model, cg, open_trajectory(folder / "traj.lammpstrj.bz2", structure))
    simulator = LearnedSimulator(model, [cg] * replicas, seed=3)
    pull = torch.zeros(replicas * cg.n_beads, 3, dtype=torch.float64)
    pull[:, 0] = force
    centres = []
    for pulled in (None, pull):
        state = simulator.start([frames] * replicas)
        path = []
        for _ in range(steps):
            state = simulator.step(state, pulled).state
            beads_of_chains = state.positions.numpy().reshape(replicas, -1, 3)
            path.append(np.average(beads_of_chains, axis=1, weights=cg.masses))
        centres.append(np.array(path)[settled:])
    free, drifting = centres
    diffusion = ((free[lag:] - free[:-lag]) ** 2).mean() / (2 * lag)
    drift = ((drifting - free)[-1] - (drifting - free)[0]).mean(axis=0) / (len(free) - 1)
    assert drift[0] == pytest.approx(cg.n_beads * force * diffusion, rel=0.25)
    np.testing.assert_allclose(drift[1:], 0, atol=0.1 * drift[0])


def test_drift_of_a_step_is_in_displacements_and_velocities(free: LearnedModel) -> None:
    cg = beads(chain(1), 3)
    pulled, plain = simulation(free, cg, field(cg, 0.5)), simulation(free, cg)
    for made in (pulled, plain):
        made.step(1)
    drift = [SCALE**2 * 0.5 / (2 * KT), 0, 0]
    np.testing.assert_allclose(positions(pulled) - positions(plain), [drift] * 3, atol=1e-6)
    velocities = pulled.context.getState(velocities=True).getVelocities(asNumpy=True)._value
    np.testing.assert_allclose(velocities * free.time_step, positions(pulled) - cg.start_frames[-1], atol=1e-12)


def test_temperature_is_that_of_the_training_data(tmp_path: Path) -> None:
    described = json.loads((POLYMER / "forcefield.json").read_text())
    model = diffusing_model(tmp_path / "model.pt", scale=SCALE, force_field=described)
    cg = beads(chain(1), 2)
    made, plain = simulation(model, cg, field(cg, 0.5), temperature=None), simulation(model, cg)
    for each in (made, plain):
        each.step(1)
    # T* = 1: kT is 1 kJ/mol
    np.testing.assert_allclose((positions(made) - positions(plain))[:, 0], SCALE**2 * 0.5 / 2, rtol=1e-5)


@pytest.mark.parametrize("platform", ["CPU", "Reference"])
def test_interrupted_run_with_forces_goes_on_bit_by_bit(free: LearnedModel, platform: str, tmp_path: Path) -> None:
    cg = beads(chain(2), 5)
    whole, first, second = (
        simulation(free, cg, well(cg, 0.5), openmm.CMMotionRemover(3), platform=platform) for _ in range(3)
    )
    whole.step(40)
    first.step(17)
    first.saveCheckpoint(str(tmp_path / "checkpoint"))
    second.loadCheckpoint(str(tmp_path / "checkpoint"))
    second.step(23)
    np.testing.assert_array_equal(positions(second), positions(whole))


def test_parameters_of_a_force_can_be_changed(free: LearnedModel) -> None:
    cg = beads(chain(1), 2)
    made, plain = simulation(free, cg, field(cg, 0.5)), simulation(free, cg)
    made.context.setParameter("strength", 0.0)
    for each in (made, plain):
        each.step(3)
    np.testing.assert_array_equal(positions(made), positions(plain))


def test_force_groups_choose(free: LearnedModel) -> None:
    cg = beads(chain(1), 2)
    force = field(cg, 0.5)
    force.setForceGroup(3)
    made, plain = simulation(free, cg, force), simulation(free, cg)
    made.integrator.setIntegrationForceGroups({0})
    for each in (made, plain):
        each.step(3)
    np.testing.assert_array_equal(positions(made), positions(plain))


def test_force_added_later_acts_after_reinitialize(free: LearnedModel) -> None:
    cg = beads(chain(1), 2)
    made, plain = simulation(free, cg), simulation(free, cg)
    for each in (made, plain):
        each.step(2)
    made.system.addForce(field(cg, 0.5))
    made.context.reinitialize(preserveState=True)
    for each in (made, plain):
        each.step(1)
    np.testing.assert_allclose((positions(made) - positions(plain))[:, 0], SCALE**2 * 0.25 / KT, rtol=1e-5)


def test_forces_are_asked_for_only_where_there_are_some(free: LearnedModel) -> None:
    cg = beads(chain(2), 2)
    calls = []
    for forces in ((), (field(cg, 0.1),)):
        made = simulation(free, cg, *forces)
        original, asked = made.context.getState, []
        made.context.getState = lambda asked=asked, original=original, **what: asked.append(what) or original(**what)
        made.step(5)
        calls.append(sum("forces" in what for what in asked))
    assert calls == [0, 5]


def test_minimisation_is_that_of_the_forces(free: LearnedModel) -> None:
    cg = beads(chain(1), 3)
    made = simulation(free, cg, well(cg, 20.0))
    made.step(10)
    assert np.abs(positions(made)).max() > 0.1
    made.minimizeEnergy(tolerance=1e-6)
    np.testing.assert_allclose(positions(made), cg.start_frames[-1], atol=1e-5)
    assert made.currentStep == 10
    plain = simulation(free, cg)
    plain.step(10)
    before = positions(plain)
    plain.minimizeEnergy()
    np.testing.assert_array_equal(positions(plain), before)


def test_error_on_the_way_leaves_the_last_state(free: LearnedModel) -> None:
    cg = beads(chain(1), 3)
    made = simulation(free, cg, well(cg, 0.5))
    made.step(4)
    before = positions(made)

    def give_up(observation: object) -> None:
        if observation.state.step == 8:
            raise RuntimeError("enough")

    made.integrator.observers.append(give_up)
    with pytest.raises(RuntimeError, match="enough"):
        made.step(6)
    np.testing.assert_array_equal(positions(made), before)
    assert made.currentStep == 4


@pytest.mark.parametrize("frequency", [1, 4])
def test_drift_is_removed_from_each_part(free: LearnedModel, frequency: int) -> None:
    heavy = MolecularSystem(("A", "A"), np.array([1.0, 3.0]), np.array([[0, 1]]), ("b",), units="lj", name="heavy")
    cg = beads(heavy, 3)
    steps = 12
    path = path_of(simulation(free, cg, openmm.CMMotionRemover(frequency)), steps).reshape(steps, 3, 2, 3)
    plain = path_of(simulation(free, cg), steps).reshape(steps, 3, 2, 3)
    weights = np.array([0.25, 0.75])
    moves = np.diff(path, axis=0, prepend=0)
    drift = np.einsum("tpbc,b->tpc", moves, weights)
    removed = np.arange(steps) % frequency == 0
    np.testing.assert_allclose(drift[removed], 0, atol=1e-12)
    np.testing.assert_array_equal((np.abs(drift) > 1e-3).any(axis=(1, 2)), ~removed)
    # a model without memory and forces: what moves relative to the centre is what it was
    np.testing.assert_allclose(path[:, :, 1] - path[:, :, 0], plain[:, :, 1] - plain[:, :, 0], atol=1e-6)


def _with_constraint(system: openmm.System) -> None:
    system.addConstraint(0, 1, 1.0)


def _with_virtual_site(system: openmm.System) -> None:
    system.setParticleMass(2, 0)
    system.setVirtualSite(2, openmm.TwoParticleAverageSite(0, 1, 0.5, 0.5))


def _frozen(system: openmm.System) -> None:
    system.setParticleMass(1, 0)


def _longer(system: openmm.System) -> None:
    system.addParticle(1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s.addForce(openmm.AndersenThermostat(300, 1)),
            "AndersenThermostat, but the model has the temperature",
        ),
        (lambda s: s.addForce(openmm.MonteCarloBarostat(1, 300)), "MonteCarloBarostat, but .* constant box: remove it"),
        (
            lambda s: s.addForce(openmm.MonteCarloAnisotropicBarostat(openmm.Vec3(1, 1, 1), 300)),
            "MonteCarloAnisotropicBarostat, but",
        ),
        (lambda s: s.addForce(openmm.DrudeForce()), "DrudeForce, but beads have no Drude particles"),
        (_with_constraint, "constrains beads 0 and 1, which a learned simulation cannot: add a restraint"),
        (_with_virtual_site, "bead 2 is a virtual site"),
        (_frozen, "bead 1 has mass 0 in the System, 1 in the bead system: .* to hold one, add a restraint"),
        (_longer, "the System has 5 particles, the bead system 4: make the Simulation with cg.system"),
    ],
)
def test_what_cannot_be_is_refused(free: LearnedModel, change: Callable[[openmm.System], object], message: str) -> None:
    cg = beads(chain(2), 2)
    system = openmm.XmlSerializer.clone(cg.system)
    system.setDefaultPeriodicBoxVectors(*(9 * np.eye(3)))
    next(iter(system.getForces())).setUsesPeriodicBoundaryConditions(True)
    change(system)
    integrator = LearnedIntegrator(free, cg, temperature=TEMPERATURE)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(np.zeros((system.getNumParticles(), 3)))
    with pytest.raises(UserError, match=message) as caught:
        integrator.step(1)
    assert "\n" not in str(caught.value)


def test_every_barostat_and_thermostat_of_openmm_is_refused() -> None:
    """Names of a newer OpenMM are found here, not by a user whose barostat does nothing."""
    kinds = [name for name, kind in vars(openmm).items() if isinstance(kind, type) and issubclass(kind, openmm.Force)]
    assert {name for name in kinds if "Barostat" in name or "Thermostat" in name} == _REFUSED.keys() - {"DrudeForce"}


def test_forces_need_noise_and_a_temperature(free: LearnedModel, tmp_path: Path) -> None:
    cg = beads(chain(1), 1)
    with pytest.raises(UserError, match=r"does not know: give LearnedIntegrator the temperature"):
        simulation(free, cg, field(cg, 0.1), temperature=None).step(1)
    rigid = diffusing_model(tmp_path / "model.pt", scale=SCALE, stochastic=False)
    with pytest.raises(UserError, match=r"has no noise, hence no mobility"):
        simulation(rigid, cg, field(cg, 0.1)).step(1)
    simulation(rigid, cg, temperature=None).step(1)
    for wrong in (0.0, -3.0, float("nan")):
        with pytest.raises(UserError, match="expected a positive one"):
            LearnedIntegrator(free, cg, temperature=wrong)
    assert LearnedIntegrator(free, cg, temperature=TEMPERATURE).getStepSize() == free.time_step * unit.picosecond
