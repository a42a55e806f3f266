"""The force field in OpenMM against real LAMMPS, and chains that share a Context."""

import json
import math

import numpy as np
import openmm
import pytest

from cgplugin import UserError
from cgplugin.systems.force_field import BeadSpringForceField, Dynamics, built_in
from cgplugin.systems.structure_files import load_structure
from cgplugin.units import BOLTZMANN
from lammps_reader.data import read_data
from openmm_integration.ground_truth.bead_spring import create_system, energy_terms
from openmm_integration.ground_truth.molecular_dynamics import LangevinRun, PackedChains, Recording, steps_for
from openmm_integration.ground_truth.polymer_builder import build_polymer, start_positions
from openmm_integration.platforms import available_platforms, choose_platform
from tests.conftest import POLYMER
from tests.lammps_energies import polymer_energies

RAW = json.loads((POLYMER / "forcefield.json").read_text())


def energies(force_field: BeadSpringForceField, systems: list, positions: list[np.ndarray]) -> dict[str, float]:
    system = create_system(force_field, systems)
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
    context.setPositions(np.concatenate(positions))
    return energy_terms(context)


@pytest.mark.parametrize("folder", ["train/000", "train/001", "train/005", "val/003", "devtest/002", "devtest/007"])
def test_energies_agree_with_lammps_term_by_term(folder: str) -> None:
    data_file = POLYMER / folder / "topology.data"
    structure = load_structure(data_file)
    ours = energies(built_in(), [structure.system], [structure.positions])
    theirs = polymer_energies(data_file, RAW)
    for term, value in theirs.items():
        assert ours[term] == pytest.approx(value, rel=1e-6, abs=1e-9), term
    assert theirs["bond"] > 1


def test_shipped_force_field_is_that_of_the_reference_data() -> None:
    assert built_in().raw == RAW


def test_force_field_in_openmm_units() -> None:
    force_field = built_in()
    assert force_field.dynamics.temperature == pytest.approx(120.272, abs=1e-3)
    assert force_field.dynamics.time_step == 0.01


def test_built_polymers_are_those_of_the_reference_data() -> None:
    stiff = built_in().lammps_type_ids["B2"]
    folders = sorted((POLYMER / "train").iterdir())
    assert len(folders) == 100
    for folder in folders:
        meta = json.loads((folder / "meta.json").read_text())
        structure = load_structure(folder)
        built = build_polymer(built_in(), meta["sequence"], "built")
        assert built.atom_types == structure.system.atom_types
        assert (built.bonds == structure.system.bonds).all()
        assert built.bond_types == structure.system.bond_types
        data = read_data(folder / "topology.data")
        # LAMMPS lists the angles around B1 too, whose constant is zero
        rows = np.searchsorted(data.ids, data.angles[:, 1:])
        acting = {(min(i, k), j, max(i, k)) for i, j, k in rows.tolist() if data.types[j] == stiff}
        ours = built_in().backbone_angles(built).tolist()
        assert {(min(i, k), j, max(i, k)) for i, j, k in ours} == acting
        assert len(ours) == len(acting)
        assert len(data.angles) == len(meta["sequence"]) - 2


def test_chains_in_one_context_do_not_feel_each_other() -> None:
    structures = [load_structure(POLYMER / "train" / name) for name in ("000", "001", "002")]
    packed = PackedChains(
        built_in(), [s.system for s in structures], [s.positions for s in structures], seed=1, minimize=False
    )
    together = energy_terms(packed.run.context)
    single = [energies(built_in(), [s.system], [s.positions]) for s in structures]
    for term, value in together.items():
        assert value == pytest.approx(sum(one[term] for one in single), rel=1e-5)
    for found, structure in zip(packed.positions(), structures, strict=True):
        np.testing.assert_allclose(found, structure.positions, atol=1e-9)


def test_moving_chains_back_leaves_their_paths_continuous(monkeypatch: pytest.MonkeyPatch) -> None:
    structures = [load_structure(POLYMER / "train" / name) for name in ("000", "001")]
    packed = PackedChains(built_in(), [s.system for s in structures], [s.positions for s in structures], seed=1)
    before = packed.positions()
    far = np.concatenate([x + 0.0 for x in before]) + 0.0
    shift = np.array([0.3 * packed.spacing, 0, 0])
    packed.run.context.setPositions(packed.run.positions() + shift)
    packed._move_back()
    np.testing.assert_allclose(np.concatenate(packed.positions()), far + shift, atol=1e-9)
    drift = packed.run.positions()[: structures[0].system.n_atoms].mean(axis=0) - packed._places[0]
    assert np.abs(drift).max() < 1e-6


def test_small_molecules_that_diffuse_fast_stay_out_of_reach_of_each_other() -> None:
    """Dimers in a common Context for long: the pair energy, all of it between molecules, is zero at every look."""
    dimers = [build_polymer(built_in(), [1, 1], f"d{i}") for i in range(20)]
    starts = [start_positions(dimer, 1.0, (0, i)) for i, dimer in enumerate(dimers)]
    packed = PackedChains(built_in(), dimers, starts, seed=2)
    for _ in range(30):
        packed.advance(500)
        assert energy_terms(packed.run.context)["pair"] == 0
    travelled = [
        np.linalg.norm(x.mean(axis=0) - s.mean(axis=0)) for x, s in zip(packed.positions(), starts, strict=True)
    ]
    # D = kT / (m friction) with m = 2: <x^2> = 6 D t = 450 for the 150 tau
    assert 14 < np.sqrt(np.mean(np.square(travelled))) < 29
    np.testing.assert_array_less(np.abs(packed.run.positions()).max(), 3 * packed.spacing)


def test_a_chain_that_leaves_its_cell_ends_the_run() -> None:
    structures = [load_structure(POLYMER / "train" / name) for name in ("000", "001")]
    packed = PackedChains(built_in(), [s.system for s in structures], [s.positions for s in structures], seed=1)
    positions = packed.run.positions()
    positions[-1, 2] += 0.6 * packed.spacing
    packed.run.context.setPositions(positions)
    with pytest.raises(UserError, match=r"^001: atoms are .* nm from the middle of their cell, which has room for"):
        packed._move_back()


@pytest.mark.parametrize("platform", ["CPU", "Reference"])
def test_positions_that_blow_up_name_system_and_atom(platform: str) -> None:
    structures = [load_structure(POLYMER / "train" / name) for name in ("000", "001")]
    packed = PackedChains(
        built_in(), [s.system for s in structures], [s.positions for s in structures], seed=1, platform=platform
    )
    velocities = np.zeros_like(packed.run.positions())
    velocities[structures[0].system.n_atoms + 7] = np.inf
    packed.run.context.setVelocities(velocities)
    with pytest.raises(UserError, match=r"^001: atom \d+ has no finite position any more: the MD time step of 0\.01"):
        packed.advance(1)


def test_any_openmm_system_runs() -> None:
    """Free particles: the temperature, and <x^2> = 6 (kT / m g^2) (g t - 1 + exp(-g t))."""
    n, dynamics = 3000, Dynamics(300.0, 2.0, 0.02)
    system = openmm.System()
    for _ in range(n):
        system.addParticle(18.0)
    told: list[int] = []
    run = LangevinRun(system, np.zeros((n, 3)), dynamics, seed=4)
    frames = list(run.record(Recording(3, 1.0, 2.0), told.append))
    assert sum(told) == 200
    assert [frame.shape for frame in frames] == [(n, 3)] * 3
    thermal = BOLTZMANN * 300 / 18
    kinetic = run.context.getState(energy=True).getKineticEnergy()._value
    assert kinetic / (1.5 * n * BOLTZMANN * 300) == pytest.approx(1, abs=0.05)
    for frame, t in zip(frames, (2, 3, 4), strict=True):
        expected = 6 * thermal / 4 * (2 * t - 1 + math.exp(-2 * t))
        assert (frame**2).sum(axis=1).mean() == pytest.approx(expected, rel=0.06)


def test_temperature_and_bond_length_distribution() -> None:
    """A dimer on a stiff spring: kinetic energy 3/2 kT per atom, <r^2> of the Boltzmann distribution of the bond."""
    force_field = built_in()
    dimers = [build_polymer(force_field, [0, 0], f"d{i}") for i in range(200)]
    starts = [start_positions(dimer, 1.0, (0, i)) for i, dimer in enumerate(dimers)]
    packed = PackedChains(force_field, dimers, starts, seed=3)
    kinetic, squared = [], []
    for frame in packed.record(Recording(40, 1.0, 5.0)):
        kinetic.append(packed.run.context.getState(energy=True).getKineticEnergy()._value / 600)
        squared.append(np.mean([((x[0] - x[1]) ** 2).sum() for x in frame]))
    assert np.mean(kinetic) == pytest.approx(1.0, rel=0.02)
    r = np.linspace(0.3, 1.7, 20_001)
    weight = r**2 * np.exp(-force_field.bond_k * (r - force_field.bond_r0) ** 2)
    assert np.mean(squared) == pytest.approx((weight * r**2).sum() / weight.sum(), rel=0.01)


def test_seeds() -> None:
    structure = load_structure(POLYMER / "train" / "000")

    def run(seed: int) -> np.ndarray:
        packed = PackedChains(built_in(), [structure.system], [structure.positions], seed=seed, threads=1)
        packed.advance(200)
        return packed.positions()[0]

    np.testing.assert_array_equal(run(1), run(1))
    assert not np.allclose(run(1), run(2))


def test_average_energies_are_those_of_the_reference_trajectory() -> None:
    """Bond and angle energies decorrelate fast: their averages are known well even from short runs."""
    from cgplugin.systems.structure_files import open_trajectory

    # a polymer with stiff angles
    name = next(
        folder
        for folder in sorted((POLYMER / "train").iterdir())
        if len(built_in().backbone_angles(load_structure(folder).system)) > 25
    )
    structure = load_structure(name)
    reference = np.concatenate(
        [block.positions for block in open_trajectory(name / "traj.lammpstrj.bz2", structure).blocks()]
    )
    packed = PackedChains(built_in(), [structure.system], [reference[0]], seed=5)
    ours = np.array([frame[0] for frame in packed.record(Recording(160, 1.0, 5.0))])

    def averages(path: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        terms = []
        system = create_system(built_in(), [structure.system])
        context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
        for frame in path:
            context.setPositions(frame)
            terms.append([energy_terms(context)[key] for key in ("bond", "angle")])
        # three decimals in the reference add (0.001^2 / 12) per coordinate, far below the error
        return np.mean(terms, axis=0), np.std(terms, axis=0) / math.sqrt(len(terms) / 4)

    mean, error = averages(ours)
    expected, expected_error = averages(reference)
    assert (np.abs(mean - expected) < 4 * np.hypot(error, expected_error)).all()


def test_unknown_bead_type_is_named() -> None:
    system = load_structure(POLYMER / "train" / "000").system
    from dataclasses import replace

    strange = replace(system, atom_types=("X9", *system.atom_types[1:]))
    with pytest.raises(UserError, match=r"atom 0 has the unknown bead type 'X9'; polymer has B1, B2, S1, S2"):
        create_system(built_in(), [strange])


def test_platforms() -> None:
    assert choose_platform()[0].getName() == available_platforms()[0] or available_platforms()[0] in (
        "CUDA",
        "OpenCL",
        "HIP",
    )
    assert choose_platform("CPU", 2)[1] == {"Threads": "2", "DeterministicForces": "true"}
    assert {"CPU", "Reference"} <= set(available_platforms())
    assert choose_platform("reference")[0].getName() == "Reference"
    with pytest.raises(UserError, match=r"unknown platform 'Quantum': this OpenMM has .*CPU"):
        choose_platform("Quantum")
    with pytest.raises(UserError, match="threads is 0, expected at least 1"):
        choose_platform("CPU", 0)


def test_start_that_openmm_refuses() -> None:
    structure = load_structure(POLYMER / "train" / "000")
    x = structure.positions.copy()
    x[3] = np.nan
    with pytest.raises(UserError, match="OpenMM cannot start from these positions"):
        LangevinRun(
            create_system(built_in(), [structure.system]), x, built_in().dynamics, seed=0, minimize=True, name="p"
        )


def test_time_must_be_a_multiple_of_the_step() -> None:
    assert steps_for(5.0, 0.01, "x") == 500
    with pytest.raises(UserError, match=r"the interval of 0\.005 is no multiple of the MD time step of 0\.01"):
        steps_for(0.005, 0.01, "interval")
