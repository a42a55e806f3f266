"""Electrolytes in OpenMM against real LAMMPS (PPPM): energies term by term, and forces."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import openmm
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgplugin import MolecularSystem, UserError
from cgplugin.systems.force_field import BeadSpringForceField, Coulomb, built_in, find
from cgplugin.systems.lammps_files import LammpsConventions
from cgplugin.systems.structure_files import load_structure
from cgplugin.units import BOLTZMANN
from openmm_integration.ground_truth.bead_spring import create_system, energy_terms
from openmm_integration.ground_truth.electrolyte_builder import (
    Composition,
    build_electrolyte,
    cubic_box,
    random_positions,
)
from openmm_integration.ground_truth.push_off import push_off

from .electrolyte_in_lammps import ELECTROLYTE, energies_and_forces, raw_force_field, write_data_file

FORCE_FIELD = built_in("electrolyte")
needs_reference = pytest.mark.skipif(not ELECTROLYTE.is_dir(), reason="the reference data are not there")
REFERENCE = ["train/000", "train/011", "val/002"]


def context_of(
    force_field: BeadSpringForceField, system: MolecularSystem, positions: np.ndarray, box_vectors: np.ndarray
) -> openmm.Context:
    built = create_system(force_field, [system], box_vectors)
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(built, openmm.VerletIntegrator(0.001), platform)
    context.setPositions(positions)
    return context


def splitting(context: openmm.Context) -> float:
    """Ewald's alpha, which decides what the real-space and the reciprocal sum are."""
    (force,) = [f for f in context.getSystem().getForces() if isinstance(f, openmm.NonbondedForce)]
    return float(force.getPMEParametersInContext(context)[0])


def compare_with_lammps(
    tmp_path: Path, configurations: list[tuple[Path | None, MolecularSystem, np.ndarray, np.ndarray]]
) -> None:
    contexts, files = [], []
    for number, (path, system, positions, box_vectors) in enumerate(configurations):
        contexts.append(context_of(FORCE_FIELD, system, positions, box_vectors))
        files.append(tmp_path / f"{number}.data")
        if path is None:
            write_data_file(files[-1], system, positions, box_vectors)
        else:
            shutil.copy(path, files[-1])
    alpha = splitting(contexts[0])
    assert FORCE_FIELD.coulomb is not None
    unit_force = FORCE_FIELD.coulomb.constant
    for context, (expected, expected_forces) in zip(
        contexts, energies_and_forces(files, alpha, accuracy=1e-6), strict=True
    ):
        ours = energy_terms(context)
        for term in ("bond", "angle", "pair"):
            assert ours[term] == pytest.approx(expected[term], rel=1e-9), term
        assert ours["coulomb"] == pytest.approx(expected["coulomb"], rel=1e-5, abs=1e-5)
        assert ours["coulomb_reciprocal"] == pytest.approx(
            expected["coulomb_reciprocal"], rel=FORCE_FIELD.coulomb.tolerance
        )
        assert abs(expected["coulomb_reciprocal"]) > 1
        forces = context.getState(forces=True).getForces(asNumpy=True)._value
        # LAMMPS' relative force error: against that of two unit charges at unit distance
        error = np.sqrt(((forces - expected_forces) ** 2).sum(axis=1).mean()) / unit_force
        assert error < FORCE_FIELD.coulomb.tolerance
        assert np.sqrt((expected_forces**2).mean()) > 10


@needs_reference
def test_reference_frames_agree_with_lammps_term_by_term(tmp_path: Path) -> None:
    configurations = []
    for name in REFERENCE:
        path = ELECTROLYTE / name / "topology.data"
        structure = load_structure(path, LammpsConventions(force_field=FORCE_FIELD))
        assert structure.box_vectors is not None
        configurations.append((path, structure.system, structure.positions, structure.box_vectors))
    compare_with_lammps(tmp_path, configurations)


def made_up(tilted: bool) -> tuple[MolecularSystem, np.ndarray, np.ndarray]:
    """Small electrolyte with every backbone unit, some 0.05 nm off a soft packing, so that all terms are large."""
    system = build_electrolyte(FORCE_FIELD, Composition(("E", "P", "H", "A"), 4, 8, 16), "made up")
    box = cubic_box(system.n_atoms, 0.8)
    if tilted:
        box = box + box[0, 0] * np.array([[0, 0, 0], [0.3, 0, 0], [-0.2, 0.25, 0]])
    start = random_positions(FORCE_FIELD, system, box, (3, int(tilted)))
    packed = push_off(FORCE_FIELD, system, start, box, seed=1, threads=1)
    return system, packed, box


def test_made_up_systems_agree_with_lammps_term_by_term_in_any_box(tmp_path: Path) -> None:
    compare_with_lammps(tmp_path, [(None, *made_up(tilted)) for tilted in (False, True)])


@needs_reference
def test_shipped_force_field_is_that_of_the_reference_data() -> None:
    given = find(str(ELECTROLYTE / "forcefield.json"))
    assert given == FORCE_FIELD
    assert given.raw == FORCE_FIELD.raw


def test_numbers_of_the_force_field() -> None:
    coulomb = FORCE_FIELD.coulomb
    assert coulomb is not None
    assert (FORCE_FIELD.cutoff, coulomb.cutoff, coulomb.tolerance) == (2.5, 3.0, 1e-3)
    # the Bjerrum length that its description states
    assert coulomb.constant / (BOLTZMANN * FORCE_FIELD.dynamics.temperature) == pytest.approx(3.0, rel=1e-8)
    assert FORCE_FIELD.epsilon("Li", "E") == FORCE_FIELD.epsilon("E", "Li") == 2.0
    assert FORCE_FIELD.epsilon("Li", "A") == pytest.approx((0.3 * 0.8) ** 0.5)
    assert {name: FORCE_FIELD.angle_k.get(name) for name in ("E", "A", "N", "S", "Li")} == {
        "E": 0.5, "A": 0.5, "N": 3.0, "S": 3.0, "Li": None,
    }  # fmt: skip
    assert FORCE_FIELD.longest_cutoff == 3.0
    assert built_in("polymer").longest_cutoff == 2.5


def test_entries_take_the_place_of_what_the_form_says() -> None:
    raw = raw_force_field()
    raw["pair"] |= {"cutoff": 2.25, "coulomb_cutoff": 4.0, "ewald_tolerance": 1e-4}
    given = BeadSpringForceField.from_dict(raw)
    assert given.cutoff == 2.25
    assert given.coulomb == Coulomb(FORCE_FIELD.coulomb.constant, 4.0, 1e-4)  # type: ignore[union-attr]


def test_energy_does_not_depend_on_the_images_of_the_atoms() -> None:
    system, positions, box = made_up(True)
    random = np.random.default_rng(1)
    shifted = positions + random.integers(-2, 3, size=(system.n_atoms, 3)) @ box + [0.3, -5.0, 1.7]
    here = energy_terms(context_of(FORCE_FIELD, system, positions, box))
    there = energy_terms(context_of(FORCE_FIELD, system, shifted, box))
    for term, value in here.items():
        assert there[term] == pytest.approx(value, rel=1e-4 if term == "coulomb_reciprocal" else 1e-9), term


@settings(max_examples=15, deadline=None)
@given(
    names=st.tuples(*[st.sampled_from(["E", "P", "H", "A"])] * 2),
    r=st.floats(0.7, 2.6),
    override=st.floats(0.0, 3.0),
)
def test_pairs_of_neutral_atoms_have_the_shifted_energy_of_their_epsilon(
    names: tuple[str, str], r: float, override: float
) -> None:
    """Two free atoms, by the formula; overrides of any pair, of two atoms of one type too."""
    raw = raw_force_field()
    raw["pair"]["overrides_epsilon"] = {"-".join(names): override, "E-Li": 2.0}
    force_field = BeadSpringForceField.from_dict(raw)
    pair = MolecularSystem(names, np.ones(2), np.empty((0, 2)), (), units="lj")
    energy = energy_terms(context_of(force_field, pair, np.array([[0, 0, 0], [0, r, 0]]), 7 * np.eye(3)))["pair"]

    def lennard_jones(distance: float) -> float:
        return 4 * override * (distance**-12 - distance**-6)

    expected = lennard_jones(r) - lennard_jones(2.5) if r < 2.5 else 0.0
    assert energy == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_two_ions_attract_by_their_bjerrum_length() -> None:
    """A dipole in a large box: -q^2 C / r, but for its images, of order (d / L)^3; a bonded pair feels nothing."""
    assert FORCE_FIELD.coulomb is not None
    sharp = replace(FORCE_FIELD, coulomb=replace(FORCE_FIELD.coulomb, tolerance=1e-5))
    raw_types = {**FORCE_FIELD.atom_types, "X": replace(FORCE_FIELD.atom_types["Li"], charge=-1.0)}
    sharp = replace(sharp, atom_types=raw_types)
    positions = np.array([[0.0, 0, 0], [1.0, 0, 0]])
    for bonds, expected in ((np.empty((0, 2)), -3.0), (np.array([[0, 1]]), 0.0)):
        pair = MolecularSystem(("Li", "X"), np.ones(2), bonds, ("1",) * len(bonds), units="lj")
        terms = energy_terms(context_of(sharp, pair, positions, 16 * np.eye(3)))
        assert terms["coulomb"] + terms["coulomb_reciprocal"] == pytest.approx(expected, abs=0.01)


def small(**changes: object) -> MolecularSystem:
    return replace(build_electrolyte(FORCE_FIELD, Composition(("E",), 4, 1, 1), "small"), **changes)  # type: ignore[arg-type]


def test_bad_systems() -> None:
    box = 8 * np.eye(3)
    wrong_charge = np.array(small().charges)
    wrong_charge[4] = 0.2
    lone_ion = MolecularSystem(("Li",), [0.5], np.empty((0, 2)), (), units="lj", name="lone")  # type: ignore[arg-type]
    cases: list[tuple[MolecularSystem, np.ndarray | None, str]] = [
        (small(), 5.9 * np.eye(3), r"small: the box is 5\.9 wide, less than twice the cutoff of 3 of electrolyte"),
        (small(), None, "small: has charges, whose force field needs a periodic box, and no box"),
        (lone_ion, box, "lone: the net charge is 1, expected 0: add or remove ions"),
        (small(charges=wrong_charge), box, r"small: atom 4 \(F\) has charge 0\.2, electrolyte has -0\.3"),
        (small(atom_types=("Q", *small().atom_types[1:])), box, "small: atom 0 has the unknown bead type 'Q'"),
    ]
    for system, vectors, message in cases:
        with pytest.raises(UserError, match=message):
            create_system(FORCE_FIELD, [system], vectors)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw["pair"].pop("lammps_dielectric"), "the entry 'lammps_dielectric' is missing"),
        (lambda raw: raw["pair"].update(lammps_dielectric=0), "no positive 'lammps_dielectric'"),
        (lambda raw: raw["pair"].update(form="as usual"), "no positive 'coulomb_cutoff'"),
        (lambda raw: raw["pair"].update(coulomb_cutoff=-1), "no positive 'coulomb_cutoff'"),
        (lambda raw: raw["pair"].update(overrides_epsilon={"E-Q": 1}), "unknown bead type 'Q'"),
        (lambda raw: raw["pair"].update(overrides_epsilon={"E": 1}), "overrides_epsilon has the key 'E'"),
        (lambda raw: raw["pair"].update(overrides_epsilon={"E-Li": -1}), "the epsilon of E-Li is -1"),
        (lambda raw: raw["molecules"].update(anion="F-Q"), "unknown bead type 'Q'"),
        (lambda raw: raw["molecules"].pop("cation"), "the entry 'cation' is missing"),
        (lambda raw: raw["angle"].pop("K_anion"), "the entry 'K_anion' is missing"),
    ],
)
def test_bad_force_fields(change: object, message: str) -> None:
    raw = raw_force_field()
    change(raw)  # type: ignore[operator]
    with pytest.raises(UserError, match=message) as caught:
        BeadSpringForceField.from_dict(raw, "own.json")
    assert str(caught.value).startswith("own.json: ")
