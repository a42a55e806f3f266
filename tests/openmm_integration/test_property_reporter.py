"""Properties on the fly: against other codes and closed forms, and byte by byte over restarts."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import mdtraj
import numpy as np
import openmm
import pytest
import torch
from MDAnalysis.lib.distances import capped_distance
from openmm import app

from cgplugin import LearnedModel, UserError
from cgplugin.coarse_graining.coarsening import coarsen
from cgplugin.learned.simulator import LearnedState, Observation
from cgplugin.networks.options import NetworkOptions
from cgplugin.systems.structure_files import Structure, load_structure, open_trajectory
from openmm_integration import (
    CoarseSystem,
    LearnedIntegrator,
    PropertyReporter,
    RdfReporter,
    learned_simulation,
)
from openmm_integration.reporters.running_properties import PLAIN_PROPERTIES, Surprise, WatchedSystem
from openmm_integration.runs.start_frames import from_trajectory
from tests.conftest import chain
from tests.random_model import random_model

from .electrolytes import CONVENTIONS

ALL = ("rg2", "end_to_end", "msd", "stretch", "surprise")
DISTANCES = {"collision_distance": 1.2, "neighbour_distance": 2.5}
CATION = "5"
"""Name of the only type of the lone atoms, where LAMMPS types are not named."""

TILT = np.array([[1, 0, 0], [0.3, 1, 0], [-0.2, 0.1, 1]])
"""Makes a triclinic box of equal volume of a cubic one."""


@pytest.fixture(scope="module")
def model(electrolyte_model: Path) -> LearnedModel:
    return LearnedModel.load(electrolyte_model)


@pytest.fixture(scope="module", params=["orthorhombic", "triclinic"])
def boxed(request: pytest.FixtureRequest, model: LearnedModel, electrolytes: list[Structure]) -> CoarseSystem:
    """Two replicas of an electrolyte."""
    return electrolyte_beads(model, electrolytes[0], request.param, copies=2)


def electrolyte_beads(model: LearnedModel, structure: Structure, shape: str, copies: int = 1) -> CoarseSystem:
    cg = model.coarsen(structure.system)
    dump = open_trajectory(structure.source.parent / "traj.lammpstrj.bz2", structure, CONVENTIONS)
    frames = from_trajectory(model, cg, dump)
    box = structure.box_vectors if shape == "orthorhombic" else TILT * structure.box_vectors[0, 0]
    return CoarseSystem((cg,) * copies, box, np.concatenate([frames] * copies, axis=1))


@pytest.fixture(scope="module")
def chain_model(polymer_data: Path, tmp_path_factory: pytest.TempPathFactory) -> LearnedModel:
    options = NetworkOptions(hidden=8, layers=1)
    path = tmp_path_factory.mktemp("chain") / "model.pt"
    system = load_structure(polymer_data).system
    return LearnedModel.load(
        random_model(path, [system], atoms_per_bead=10, periodic=False, options=options, refinement_levels=0)
    )


@pytest.fixture(scope="module")
def single_chain(chain_model: LearnedModel, polymer_data: Path) -> CoarseSystem:
    structure = load_structure(polymer_data)
    cg = chain_model.coarsen(structure.system)
    dump = open_trajectory(polymer_data.parent / "traj.lammpstrj.bz2", structure)
    return CoarseSystem((cg,), None, from_trajectory(chain_model, cg, dump))


def simulation(model: LearnedModel, cg: CoarseSystem) -> tuple[app.Simulation, list[Observation]]:
    made = learned_simulation(model, cg, seed=1, platform="Reference")
    seen: list[Observation] = []
    made.integrator.observers.append(seen.append)
    return made, seen


def table(path: Path) -> dict[str, np.ndarray]:
    rows = list(csv.DictReader(path.open()))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def squared_radii(x: np.ndarray, internal: np.ndarray, masses: np.ndarray, molecules: np.ndarray) -> np.ndarray:
    """From all pairs of beads, sum_ij m_i m_j d_ij^2 / 2 M^2, and what is inside the beads."""
    result = []
    for molecule in np.unique(molecules):
        own = molecules == molecule
        m, d = masses[own], x[own][:, None] - x[own][None]
        between = np.einsum("i,j,ijk,ijk", m, m, d, d) / (2 * m.sum() ** 2)
        result.append(between + m @ internal[own] / m.sum())
    return np.array(result)


def check_chains(columns: dict[str, np.ndarray], seen: list[Observation], cg: CoarseSystem, part: int) -> None:
    beads, own = cg.beads_of(part), cg.parts[part]
    sizes = np.bincount(own.molecules)
    for n, observed in enumerate(seen):
        x, internal = observed.state.positions.numpy()[beads], observed.internal_rg2.numpy()[beads]
        rg2 = squared_radii(x, internal, own.masses, own.molecules)[sizes > 1]
        assert columns["rg2"][n] == pytest.approx(rg2.mean(), rel=1e-6)
        # beads follow the chain in these systems
        ends = [np.flatnonzero(own.molecules == molecule)[[0, -1]] for molecule in np.flatnonzero(sizes > 1)]
        assert columns["end_to_end"][n] == pytest.approx(np.mean([np.linalg.norm(x[b] - x[a]) for a, b in ends]))


def test_properties_of_a_chain(chain_model: LearnedModel, single_chain: CoarseSystem, tmp_path: Path) -> None:
    made, seen = simulation(chain_model, single_chain)
    made.reporters.append(PropertyReporter(tmp_path / "p.csv", 5, ALL, **DISTANCES))
    made.step(40)
    # nothing waits in memory
    found, seen = table(tmp_path / "p.csv"), seen[4::5]
    np.testing.assert_array_equal(found["step"], np.arange(5, 41, 5))
    np.testing.assert_allclose(found["time"], found["step"] * chain_model.time_step)
    check_chains(found, seen, single_chain, 0)
    x = np.array([observed.state.positions.numpy() for observed in seen])
    masses = single_chain.parts[0].masses
    centres = np.einsum("fnd,n->fd", x, masses / masses.sum())
    (name,) = (name for name in found if name.startswith("msd "))
    np.testing.assert_allclose(found[name], ((centres - centres[0]) ** 2).sum(axis=1), rtol=1e-6)
    topology = mdtraj.Topology.from_openmm(made.topology)
    trajectory = mdtraj.Trajectory(x, topology)
    bonds = mdtraj.compute_distances(trajectory, single_chain.parts[0].bonds, periodic=False)
    np.testing.assert_allclose(found["stretch"], bonds.max(axis=1) / chain_model.description.longest_bond, rtol=1e-5)
    pairs = mdtraj.compute_distances(trajectory, topology.select_pairs("all", "all"), periodic=False)
    np.testing.assert_array_equal(found["collisions"], (pairs < 1.2).sum(axis=1))
    (name,) = (name for name in found if name.startswith("neighbours "))
    np.testing.assert_allclose(found[name], 2 * (pairs < 2.5).sum(axis=1) / single_chain.n_beads)


def test_properties_of_parts_in_boxes(model: LearnedModel, boxed: CoarseSystem, tmp_path: Path) -> None:
    made, seen = simulation(model, boxed)
    for part in range(2):
        made.reporters.append(PropertyReporter(tmp_path / f"{part}.csv", 2, ALL, part=part, **DISTANCES))
    made.step(6)
    seen = seen[1::2]
    lengths = mdtraj.utils.box_vectors_to_lengths_and_angles(*boxed.common_box)
    for part in range(2):
        found, own = table(tmp_path / f"{part}.csv"), boxed.parts[part]
        check_chains(found, seen, boxed, part)
        x = np.array([observed.state.positions.numpy()[boxed.beads_of(part)] for observed in seen])
        species = np.array(WatchedSystem(own, boxed.common_box, model.description).particles.names)
        assert len(set(species)) == 3
        for n, frame in enumerate(x):
            box = np.array(lengths, dtype=np.float32)
            pairs, distances = capped_distance(frame.astype(np.float32), frame.astype(np.float32), 2.5, box=box)
            distinct = pairs[:, 0] != pairs[:, 1]
            (i, j), distances = pairs[distinct].T, distances[distinct]
            assert found["collisions"][n] == (distances < 1.2).sum() / 2
            for a in set(species):
                for b in set(species):
                    expected = ((species[i] == a) & (species[j] == b)).sum() / (species == a).sum()
                    assert found[f"neighbours {a}-{b}"][n] == pytest.approx(expected)
        assert found["collisions"].max() > 0
        moved = x - x[0]
        moved -= np.einsum("fnd,n->fd", moved, own.masses / own.masses.sum())[:, None]
        cations = species == CATION
        np.testing.assert_allclose(found[f"msd {CATION}"], (moved[:, cations] ** 2).sum(axis=2).mean(axis=1), rtol=1e-6)
    assert (tmp_path / "0.csv").read_bytes() != (tmp_path / "1.csv").read_bytes()


def test_contact_distances_of_species(model: LearnedModel, boxed: CoarseSystem, tmp_path: Path) -> None:
    """Each pair of species its own distance; the sum over pairs of species is what one distance for all gives."""
    made, _ = simulation(model, boxed)
    species = WatchedSystem(boxed.parts[0], boxed.common_box, model.description).particles.species
    pairs = [(a, b) for n, a in enumerate(species) for b in species[n:]]
    for n, distances in enumerate([1.2, *({pair: 1.2} for pair in pairs)]):
        made.reporters.append(PropertyReporter(tmp_path / f"{n}.csv", 1, [], collision_distance=distances))
    made.step(1)
    counts = [table(tmp_path / f"{n}.csv")["collisions"][0] for n in range(len(pairs) + 1)]
    assert counts[0] == sum(counts[1:]) > max(counts[1:])


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_surprise_is_one_where_the_prior_is_exact(chain_model: LearnedModel, factor: float) -> None:
    """A Rouse chain with the prior's spring and damping and noise of ``factor`` times the residual."""
    system, rng = chain(600), np.random.default_rng(0)
    cg = coarsen(system, 1)
    scales = chain_model.description.scales
    x, before = rng.normal(size=(2, 600, 3)).cumsum(axis=1)
    pulls = np.zeros_like(x)
    pulls[:-1] += x[:-1] - x[1:]
    pulls[1:] += x[1:] - x[:-1]
    noise = factor * scales["residual"] * rng.normal(size=x.shape)
    latest = before - scales["prior_damping"] * before - scales["prior_spring"] * pulls + noise
    state = LearnedState(torch.tensor(x + latest), torch.tensor(np.stack([latest, before], axis=1)), 1)
    surprise = Surprise(WatchedSystem(cg, None, chain_model.description))
    (value,) = surprise(Observation(state, torch.zeros(600)))
    assert value == pytest.approx(factor, abs=4 * factor / np.sqrt(6 * 600))


@pytest.mark.parametrize("shape", ["orthorhombic", "triclinic"])
def test_rdf_is_that_of_mdtraj(model: LearnedModel, electrolytes: list[Structure], tmp_path: Path, shape: str) -> None:
    cg = electrolyte_beads(model, electrolytes[0], shape)
    made, seen = simulation(model, cg)
    edges = np.linspace(0, 3, 31)
    made.reporters.append(RdfReporter(tmp_path / "rdf.csv", 2, 3, edges=edges))
    made.step(14)
    found = table(tmp_path / "rdf.csv")
    assert sorted(set(found["step"])) == [6, 12]
    assert set(found["frames"]) == {3}
    x = np.array([observed.state.positions.numpy() for observed in seen[1::2]])[:6]
    trajectory = mdtraj.Trajectory(x, mdtraj.Topology.from_openmm(made.topology))
    trajectory.unitcell_vectors = np.broadcast_to(cg.common_box, (6, 3, 3))
    species = np.array(WatchedSystem(cg.parts[0], cg.common_box, model.description).particles.names)
    cations = np.flatnonzero(species == CATION)
    pairs = trajectory.topology.select_pairs(cations, cations)
    for block in range(2):
        rows = found["step"] == 6 * (block + 1)
        r, g = mdtraj.compute_rdf(trajectory[3 * block : 3 * block + 3], pairs, r_range=(0, 3), n_bins=30)
        np.testing.assert_allclose(found["r"][rows], r, atol=1e-6)
        # mdtraj's distances are in single precision: a pair may fall into the bin beside
        np.testing.assert_allclose(found[f"g {CATION}-{CATION}"][rows], g, atol=0.02 * g.max())
    assert found[f"g {CATION}-{CATION}"].max() > 0.5


def reporters(folder: Path, append: bool, box: bool) -> list[PropertyReporter | RdfReporter]:
    made: list[PropertyReporter | RdfReporter] = [
        PropertyReporter(folder / "p.csv", 3, ALL, append=append, **DISTANCES)
    ]
    return [*made, RdfReporter(folder / "rdf.csv", 1, 4, append=append)] if box else made


@pytest.mark.parametrize("box", [False, True])
@pytest.mark.parametrize("kind", ["checkpoint", "state"])
def test_appending_after_a_restart_gives_the_bytes_of_an_uninterrupted_run(
    model: LearnedModel,
    chain_model: LearnedModel,
    single_chain: CoarseSystem,
    electrolytes: list[Structure],
    tmp_path: Path,
    kind: str,
    box: bool,
) -> None:
    used = model if box else chain_model
    cg = electrolyte_beads(model, electrolytes[0], "triclinic") if box else single_chain
    whole, first, second = (simulation(used, cg)[0] for _ in range(3))
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole.reporters += reporters(tmp_path / "whole", False, box)
    whole.step(20)
    first.reporters += reporters(tmp_path / "parts", False, box)
    first.step(8)
    file = str(tmp_path / "file")
    (first.saveCheckpoint if kind == "checkpoint" else first.saveState)(file)
    # goes on, and is killed while it writes a line
    first.step(7)
    del first
    with (tmp_path / "parts" / "p.csv").open("a") as lines:
        lines.write("18,7")
    second.reporters += reporters(tmp_path / "parts", True, box)
    (second.loadCheckpoint if kind == "checkpoint" else second.loadState)(file)
    second.step(12)
    names = ["p.csv", "rdf.csv"] if box else ["p.csv"]
    for name in names:
        expected = (tmp_path / "whole" / name).read_bytes()
        assert (tmp_path / "parts" / name).read_bytes() == expected
        # back in time within one process
    (whole.loadCheckpoint if kind == "checkpoint" else whole.loadState)(file)
    whole.step(12)
    for name in names:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()


def test_what_cannot_be_appended_to(chain_model: LearnedModel, single_chain: CoarseSystem, tmp_path: Path) -> None:
    file = tmp_path / "p.csv"

    def steps(n: int, start: int = 0, **options: object) -> None:
        made, _ = simulation(chain_model, single_chain)
        made.currentStep = start
        made.reporters.append(PropertyReporter(file, **{"reportInterval": 2, "properties": ["msd"], **options}))
        made.step(n)
        made.reporters[0].close()
        assert len(made.integrator.observers) == 1

    with pytest.raises(UserError, match=r"p\.csv: there is no such file to append to"):
        steps(1, append=True)
    steps(6)
    whole = file.read_bytes()
    with pytest.raises(UserError, match=r"p\.csv: ends at step 6, what is to be appended follows step 8"):
        steps(2, start=8, append=True)
    with pytest.raises(UserError, match=r"p\.csv: ends at step 2, what is to be appended follows step 0"):
        steps(3, start=2, append=True, reportInterval=3)
    file.write_bytes(whole)
    with pytest.raises(
        UserError, match=r"p\.csv: has the columns 'step,time,msd .*', those to be appended are 'step,time,rg2'"
    ):
        steps(2, start=6, append=True, properties=["rg2"])
    assert file.read_bytes() == whole
    origin = tmp_path / "p.csv.origin.npz"
    np.savez(origin, centres=np.zeros((7, 3)))
    with pytest.raises(UserError, match=r"p\.csv\.origin\.npz: has 7 molecules, the system 1"):
        steps(2, start=6, append=True)
    shutil.copy(file, origin)
    with pytest.raises(UserError, match=r"p\.csv\.origin\.npz: the frame that the displacements .* cannot be read"):
        steps(2, start=6, append=True)


def test_what_cannot_be_reported(
    model: LearnedModel, chain_model: LearnedModel, single_chain: CoarseSystem, tmp_path: Path
) -> None:
    file = tmp_path / "p.csv"
    with pytest.raises(UserError, match="unknown property 'rg': expected some of rg2, end_to_end, msd"):
        PropertyReporter(file, 1, ["rg"])
    with pytest.raises(UserError, match="the report interval is 0"):
        PropertyReporter(file, 0)
    with pytest.raises(UserError, match="blockFrames is 0"):
        RdfReporter(file, 1, 0)
    made, _ = simulation(chain_model, single_chain)
    for reporter, message in (
        (RdfReporter(file, 1), "000: has no box"),
        (PropertyReporter(file, 1, part=1), "there is no part 1, only 0 to 0"),
        (PropertyReporter(file, 1, collision_distance=-1.0), "the collision distance of .* is -1"),
        (PropertyReporter(file, 1, collision_distance={("Li", "Li"): 1.0}), "there are no particles of kind 'Li'"),
        (PropertyReporter(file, 1, neighbour_distance=0.0), "the distance of neighbours is 0"),
        (PropertyReporter(tmp_path / "missing" / "p.csv", 1), "p.csv: cannot be written"),
    ):
        made.reporters = [reporter]
        with pytest.raises(UserError, match=message):
            made.step(1)
    plain = app.Simulation(
        single_chain.topology, single_chain.system, openmm.VerletIntegrator(1), openmm.Platform.getPlatform("Reference")
    )
    plain.context.setPositions(single_chain.positions)
    plain.reporters.append(PropertyReporter(file, 1))
    with pytest.raises(UserError, match="belongs to a LearnedIntegrator, not to a VerletIntegrator"):
        plain.step(1)
    ions = coarsen(replace(chain(3), bonds=np.empty((0, 2), dtype=np.int64), bond_types=()), 1)
    lone = WatchedSystem(ions, None, replace(chain_model.description, n_history=1))
    for name in ("end_to_end", "stretch", "surprise"):
        with pytest.raises(UserError, match="leave"):
            PLAIN_PROPERTIES[name](lone)


def test_a_reporter_that_joins_late_starts_where_it_joins(
    chain_model: LearnedModel, single_chain: CoarseSystem, tmp_path: Path
) -> None:
    made, _ = simulation(chain_model, single_chain)
    assert isinstance(made.integrator, LearnedIntegrator)
    made.step(5)
    made.reporters.append(PropertyReporter(tmp_path / "p.csv", 2, ["msd"]))
    made.step(4)
    found = table(tmp_path / "p.csv")
    np.testing.assert_array_equal(found.pop("step"), [6, 8])
    found.pop("time")
    assert next(iter(found.values()))[0] == 0
    (reporter,) = made.reporters
    reporter.close()
    made.reporters.clear()
    made.step(1)
    with pytest.raises(UserError, match="step 10 was not simulated while the reporter was there"):
        reporter.report(made, made.context.getState())
