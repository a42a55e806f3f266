"""What we build, run by real LAMMPS; LAMMPS data as OpenMM topologies and the other way."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import openmm
import pytest
from openmm import app

from cgplugin import MolecularSystem, UserError
from cgplugin.coarse_graining.coarsening import coarsen
from cgplugin.systems.force_field import BeadSpringForceField, built_in
from cgplugin.systems.lammps_export import beads_to_lammps, lammps_commands, system_to_lammps
from cgplugin.systems.lammps_files import LammpsConventions, LammpsSystem
from lammps_reader import LammpsData, read_data, write_data
from openmm_integration import lammps_topology, topology_to_lammps
from openmm_integration.ground_truth.bead_spring import create_system, energy_terms
from openmm_integration.ground_truth.electrolyte_builder import (
    Composition,
    build_electrolyte,
    cubic_box,
    random_positions,
)
from openmm_integration.ground_truth.polymer_builder import build_polymer, start_positions
from openmm_integration.ground_truth.push_off import push_off
from openmm_integration.topology import to_openmm_topology
from tests.conftest import SHARED
from tests.lammps_process import job, run_jobs
from tests.lammps_reader.made_up_data import chain_data

from .electrolyte_in_lammps import ELECTROLYTE, TERMS, raw_force_field

UNITS = [(3, 5, 7, 9, 1, 0, 4, 8, 8, 2), (9,) * 12, (1, 4, 5)]


def context_of(
    force_field: BeadSpringForceField, system: MolecularSystem, positions: np.ndarray, box: np.ndarray | None = None
) -> openmm.Context:
    context = openmm.Context(
        create_system(force_field, [system], box),
        openmm.VerletIntegrator(0.001),
        openmm.Platform.getPlatformByName("Reference"),
    )
    context.setPositions(positions)
    return context


def in_openmm_units(name: str = "polymer") -> BeadSpringForceField:
    """A built-in force field with the same numbers taken as nm and kJ/mol."""
    raw = {**built_in(name).raw, "units": {"style": "openmm"}}
    return BeadSpringForceField.from_dict(raw)


def test_energies_of_what_we_build_agree_with_lammps_term_by_term(tmp_path: Path) -> None:
    """Pair, bond and angle energy; in reduced units and, through angstrom and kcal, in real ones."""
    jobs, expected = [], []
    for force_field in (built_in(), in_openmm_units()):
        for number, units in enumerate(UNITS):
            system = build_polymer(force_field, units, "x")
            positions = start_positions(system, 1.02, (number,)) * 1.01
            path = tmp_path / f"{len(jobs)}.data"
            data = system_to_lammps(system, positions, force_field=force_field)
            write_data(path, data)
            commands = lammps_commands(force_field, data, path)
            commands += [
                "thermo_modify norm no",
                f"neighbor {'1.0' if force_field.units == 'lj' else '10.0'} bin",
                "run 0",
            ]
            jobs.append(job(commands, ("ebond", "eangle", "epair")))
            expected.append((force_field, energy_terms(context_of(force_field, system, positions))))
    for (force_field, ours), theirs in zip(expected, run_jobs(jobs), strict=True):
        factor = 1.0 if force_field.units == "lj" else 4.184
        for term, value in ours.items():
            assert factor * theirs[f"e{term}"] == pytest.approx(value, rel=1e-6, abs=1e-9), term
        assert ours["bond"] > 1e-3


def electrolyte(*, tilted: bool = False) -> tuple[MolecularSystem, np.ndarray, np.ndarray]:
    """All kinds of atoms in a box, apart from each other and yet not relaxed, so that no term is small."""
    force_field = built_in("electrolyte")
    system = build_electrolyte(force_field, Composition(("E", "P", "H", "A"), 4, 8, 16), "x")
    box = cubic_box(system.n_atoms, 0.8)
    if tilted:
        box = box + box[0, 0] * np.array([[0, 0, 0], [0.3, 0, 0], [-0.2, 0.25, 0]])
    start = random_positions(force_field, system, box, (int(tilted),))
    return system, push_off(force_field, system, start, box, seed=1, threads=1), box


def test_energies_of_an_electrolyte_agree_with_lammps_term_by_term(tmp_path: Path) -> None:
    """Epsilons of pairs, and charges; in a cube in reduced units, and through angstrom and kcal in a tilted box."""
    jobs, expected = [], []
    for force_field, tilted in ((built_in("electrolyte"), False), (in_openmm_units("electrolyte"), True)):
        system, positions, box = electrolyte(tilted=tilted)
        system = dataclasses.replace(system, units=force_field.units)
        path = tmp_path / f"{force_field.units}.data"
        data = system_to_lammps(system, positions, box_vectors=box, force_field=force_field)
        write_data(path, data)
        context = context_of(force_field, system, positions, box)
        (ewald,) = [force for force in context.getSystem().getForces() if isinstance(force, openmm.NonbondedForce)]
        length = 1.0 if force_field.units == "lj" else 10.0
        commands = lammps_commands(force_field, data, path)
        # the same share of the sum in real space, a table of which would be the largest error
        commands += [f"kspace_modify gewald {ewald.getPMEParametersInContext(context)[0] / length!r}"]
        commands += ["pair_modify table 0", "thermo_modify norm no", f"neighbor {0.5 * length} bin", "run 0"]
        jobs.append(job(commands, tuple(TERMS.values())))
        expected.append((force_field, energy_terms(context)))
    for (force_field, ours), theirs in zip(expected, run_jobs(jobs), strict=True):
        factor = 1.0 if force_field.units == "lj" else 4.184
        assert set(ours) == set(TERMS)
        assert force_field.coulomb is not None
        for term, value in ours.items():
            tolerance = {"coulomb": 1e-5, "coulomb_reciprocal": force_field.coulomb.tolerance}.get(term, 1e-6)
            assert factor * theirs[TERMS[term]] == pytest.approx(value, rel=tolerance), (force_field.units, term)
            assert abs(value) > 1


def test_melts_of_an_electrolytes_chains_need_no_charges(tmp_path: Path) -> None:
    """LAMMPS would refuse to sum over charges that are all zero."""
    force_field = built_in("electrolyte")
    system = build_electrolyte(force_field, Composition(("E", "P"), 4, 8, 0), "x")
    box = cubic_box(system.n_atoms, 0.2)
    positions = random_positions(force_field, system, box, (1,))
    path = tmp_path / "x.data"
    for charges in (np.zeros(system.n_atoms), None):
        data = system_to_lammps(
            dataclasses.replace(system, charges=charges), positions, box_vectors=box, force_field=force_field
        )
        write_data(path, data)
        commands = [*lammps_commands(force_field, data, path), "thermo_modify norm no", "run 0"]
        (found,) = run_jobs([job(commands, ("epair",))])
        assert found["epair"] == pytest.approx(energy_terms(context_of(force_field, system, positions, box))["pair"])


def test_electrolytes_that_lammps_could_not_run() -> None:
    system, positions, box = electrolyte()
    force_field = built_in("electrolyte")
    with pytest.raises(UserError, match="x: has charges, which interact in a periodic box only: give its box vectors"):
        system_to_lammps(system, positions, force_field=force_field)
    charges = np.array(system.charges)
    charges[0] += 0.25
    with pytest.raises(UserError, match=r"x: atom 0 \(E\) has charge 0.25, electrolyte has 0"):
        system_to_lammps(
            dataclasses.replace(system, charges=charges), positions, box_vectors=box, force_field=force_field
        )


def test_charges_come_from_the_force_field_where_a_system_has_none() -> None:
    system, positions, box = electrolyte()
    bare = dataclasses.replace(system, charges=None)
    data = system_to_lammps(bare, positions, box_vectors=box, force_field=built_in("electrolyte"))
    np.testing.assert_array_equal(data.charges, system.charges)


def test_lammps_runs_what_we_build_in_a_box(tmp_path: Path) -> None:
    system = build_polymer(built_in(), UNITS[0], "x")
    positions = start_positions(system, 1.0, (5,)) + 3.0
    box = np.array([[9.0, 0, 0], [2.0, 8.0, 0], [-1.0, 1.5, 10.0]])
    data = system_to_lammps(
        system, positions, box_vectors=box, velocities=np.ones_like(positions), force_field=built_in()
    )
    write_data(tmp_path / "x.data", data)
    assert read_data(tmp_path / "x.data") == data
    commands = [
        *lammps_commands(built_in(), data, tmp_path / "x.data"),
        "min_style cg",
        "minimize 0 1e-3 200 2000",
    ]
    (found,) = run_jobs([job([*commands, "fix 1 all nve", "timestep 0.001", "run 20"], ("epair",))])
    assert found["type"] == data.types.tolist()
    assert np.isfinite(found["x"]).all()


def test_what_we_write_is_recognised_as_the_built_in_force_field(tmp_path: Path) -> None:
    system = build_polymer(built_in(), UNITS[0], "x")
    positions = start_positions(system, 1.0, (5,))
    write_data(tmp_path / "x.data", system_to_lammps(system, positions, force_field=built_in()))
    found = LammpsSystem.load(tmp_path / "x.data", "x")
    assert found.system.atom_types == system.atom_types
    assert found.system.bonds.tolist() == system.bonds.tolist()
    assert found.time_step == built_in().dynamics.time_step
    np.testing.assert_array_equal(found.positions, positions)


@pytest.mark.skipif(not ELECTROLYTE.is_dir(), reason="the reference data are not there")
def test_data_files_of_lammps_are_recognised_as_the_built_in_electrolyte(tmp_path: Path) -> None:
    """With no forcefield.json beside them; the types are those that the reference was made with."""
    path = shutil.copy(ELECTROLYTE / "train" / "000" / "topology.data", tmp_path / "x.data")
    found = LammpsSystem.load(path, "x")
    ids = {number: name for name, number in raw_force_field()["lammps_type_ids"].items()}
    assert list(found.system.atom_types) == [ids[number] for number in found.data.types.tolist()]
    assert (found.system.units, found.time_step) == ("lj", 0.01)
    assert found.system.force_field == raw_force_field()


def test_electrolytes_that_we_write_are_recognised_by_their_ions(tmp_path: Path) -> None:
    system, positions, box = electrolyte(tilted=True)
    data = system_to_lammps(system, positions, box_vectors=box, force_field=built_in("electrolyte"))
    # the unit style is in the title as well, and is not to be what tells
    data = dataclasses.replace(data, units=None)
    write_data(tmp_path / "x.data", data)
    assert LammpsSystem.load(tmp_path / "x.data", "x").system.atom_types == system.atom_types
    assert data.charges is not None
    other_charge = data.charges.copy()
    other_charge[np.flatnonzero(other_charge)[0]] += 0.01
    for changes in (
        {"charges": other_charge},
        {"charges": np.zeros_like(data.charges)},
        {"charges": None, "atom_style": "molecular"},
        {"masses": {**data.masses, 5: 0.6}},
        {"angles": data.angles[:-1]},
    ):
        write_data(tmp_path / "x.data", dataclasses.replace(data, **changes))
        with pytest.raises(UserError, match="the file does not say its LAMMPS unit style: give --lammps-units"):
            LammpsSystem.load(tmp_path / "x.data", "x")


def test_a_system_without_force_field_comes_back(tmp_path: Path) -> None:
    names = ("C", "1a", "O#", "C")
    system = MolecularSystem(
        names, np.array([12.0, 5, 16, 12]), [[0, 1], [1, 2]], ("s", "d e"), np.array([0.5, -0.5, 0, 0])
    )
    positions = np.arange(12.0).reshape(4, 3) / 7
    velocities = np.full((4, 3), 0.25)
    write_data(tmp_path / "x.data", data := system_to_lammps(system, positions, velocities=velocities))
    assert data.units == "real"
    assert data.type_labels == {"atom": {1: "t1a", 2: "C", 3: "O_"}, "bond": {1: "d_e", 2: "s"}}
    found = LammpsSystem.load(tmp_path / "x.data", "x", LammpsConventions(time_step=1.0))
    np.testing.assert_allclose(found.positions, positions, rtol=1e-15)
    np.testing.assert_array_equal(found.system.masses, system.masses)
    np.testing.assert_array_equal(found.system.charges, system.charges)
    assert found.system.bonds.tolist() == system.bonds.tolist()
    # nm/ps are 0.01 angstrom/fs
    np.testing.assert_allclose(found.data.velocities, 0.0025, rtol=1e-15)


def test_beads(tmp_path: Path) -> None:
    system = build_polymer(built_in(), UNITS[1], "x")
    cg = coarsen(system, 4)
    positions = cg.positions(start_positions(system, 1.0, (0,)))
    data = beads_to_lammps(cg, positions)
    write_data(tmp_path / "x.data", data)
    found = read_data(tmp_path / "x.data")
    assert [found.masses[number] for number in found.types.tolist()] == cg.masses.tolist()
    assert (found.bonds[:, 1:] - 1).tolist() == cg.bonds.tolist()
    np.testing.assert_array_equal(found.positions, positions)
    (held,) = run_jobs([job(["units lj", "atom_style molecular", "boundary s s s", f"read_data {tmp_path}/x.data"])])
    assert held["bonds"] == data.bonds.tolist()
    np.testing.assert_array_equal(held["x"], positions)


def test_one_mass_per_type() -> None:
    system = MolecularSystem(("A", "A"), np.array([1.0, 2.0]), [[0, 1]], ("b",))
    with pytest.raises(UserError, match="atom 1 of type 'A' has mass 2, others 1"):
        system_to_lammps(system, np.zeros((2, 3)))
    with pytest.raises(UserError, match="positions of shape"):
        system_to_lammps(system, np.zeros((3, 3)))


def test_topology_of_real_units() -> None:
    """Positions in angstrom become nm; CH3 and CH2 are united atoms, 12.011 is carbon and 15.9994 oxygen."""
    data = read_data(SHARED / "lammps" / "data" / "labelmap_numeric.data")
    topology = lammps_topology(data)
    atoms = list(topology.atoms())
    assert [atom.index for atom in atoms] == list(range(32))
    assert [atom.name for atom in atoms[:6]] == ["C3", "C2", "C2", "C3", "CO", "O="]
    assert [atom.element and atom.element.symbol for atom in atoms[:6]] == [None, None, None, None, "C", "O"]
    assert topology.getNumChains() == 8
    assert sorted((a.index + 1, b.index + 1) for a, b in topology.bonds()) == sorted(
        map(tuple, data.bonds[:, 1:].tolist())
    )
    box = np.array(topology.getPeriodicBoxVectors()._value)
    np.testing.assert_allclose(box, np.diag([1.5, 1.5, 1.5]))


def test_tilted_box_is_in_reduced_form_and_usable() -> None:
    data = dataclasses.replace(chain_data("molecular", tilt=True), units="lj")
    data = dataclasses.replace(data, box=dataclasses.replace(data.box, tilt=np.array([7.0, 0, 0])))
    topology = lammps_topology(data)
    np.testing.assert_allclose(np.array(topology.getPeriodicBoxVectors()._value)[1], [-1.0, 8.75, 0.0])
    system = openmm.System()
    system.setDefaultPeriodicBoxVectors(*topology.getPeriodicBoxVectors())
    with pytest.raises(ValueError, match="nothing says the LAMMPS unit style"):
        lammps_topology(dataclasses.replace(data, units=None))


def test_openmm_topology_to_lammps_and_back(tmp_path: Path) -> None:
    data = read_data(SHARED / "lammps" / "data" / "labelmap_numeric.data")
    converted = data.to_openmm_units()
    masses = np.array([converted.masses[number] for number in data.types.tolist()])
    back = topology_to_lammps(
        lammps_topology(data),
        converted.positions,
        masses=masses,
        charges=converted.charges,
        velocities=converted.velocities,
    )
    write_data(tmp_path / "x.data", back)
    found = read_data(tmp_path / "x.data")
    assert label_names(found) == label_names(data)
    np.testing.assert_allclose(found.positions, data.positions, rtol=1e-14)
    np.testing.assert_allclose(found.velocities, data.velocities, rtol=1e-14)
    np.testing.assert_array_equal(found.molecules, data.molecules)
    assert sorted(found.bonds[:, 1:].tolist()) == sorted(data.bonds[:, 1:].tolist())


def label_names(data: LammpsData) -> list[str]:
    return [data.type_labels["atom"][number] for number in data.types.tolist()]


def test_a_bead_has_no_mass_of_its_own() -> None:
    topology = app.Topology()
    topology.addAtom("X", None, topology.addResidue("X", topology.addChain()))
    with pytest.raises(UserError, match="is of no element"):
        topology_to_lammps(topology, np.zeros((1, 3)))
    system = build_polymer(built_in(), UNITS[2], "x")
    carbon = topology_to_lammps(to_openmm_topology(system), start_positions(system, 1.0, (1,)))
    assert set(carbon.masses.values()) == {12.01078}
