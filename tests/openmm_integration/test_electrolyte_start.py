"""Start frames of electrolytes: short MD in the box, by the force field of the structure."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import openmm
import pytest

from cgplugin import UserError
from cgplugin.observables.statistics import standard_error
from cgplugin.systems.force_field import BeadSpringForceField, built_in
from cgplugin.systems.lammps_files import LammpsConventions
from cgplugin.systems.structure_files import Structure, load_structure, open_trajectory
from openmm_integration.ground_truth.bead_spring import create_system, energy_terms
from openmm_integration.ground_truth.electrolyte_builder import (
    Composition,
    build_electrolyte,
    cubic_box,
    random_positions,
)
from openmm_integration.ground_truth.molecular_dynamics import LangevinRun, Recording
from openmm_integration.ground_truth.push_off import push_off
from openmm_integration.runs.warm_up import warm_up

from .electrolyte_in_lammps import ELECTROLYTE

FORCE_FIELD = built_in("electrolyte")
KT = FORCE_FIELD.dynamics.kT


@dataclass
class AskedFor:
    """What start frames depend on of a model."""

    n_history: int = 2
    time_step: float = 0.5
    force_field: BeadSpringForceField | None = FORCE_FIELD


@pytest.fixture(scope="module")
def equilibrated() -> Structure:
    system = build_electrolyte(FORCE_FIELD, Composition(("E", "P", "H", "A"), 8, 4, 8), "el")
    box = cubic_box(system.n_atoms, 0.8)
    pushed = push_off(FORCE_FIELD, system, random_positions(FORCE_FIELD, system, box, (1,)), box, seed=1, threads=1)
    run = LangevinRun(create_system(FORCE_FIELD, [system], box), pushed, FORCE_FIELD.dynamics, seed=1, threads=1)
    run.advance(500)
    return Structure(replace(system, force_field=None), run.positions(), box, Path("el.data"))


def energy_of_bonds(structure: Structure, positions: np.ndarray) -> float:
    """In units of kT/2 per bond."""
    bonds = structure.system.bonds
    separations = np.diff(positions[bonds], axis=1)[:, 0]
    separations -= structure.box_vectors[0, 0] * np.round(separations / structure.box_vectors[0, 0])  # type: ignore[index]
    lengths = np.linalg.norm(separations, axis=1)
    return float(FORCE_FIELD.bond_k * ((lengths - FORCE_FIELD.bond_r0) ** 2).mean() / (0.5 * KT))


def test_positions_of_a_simulation_are_the_first_frame(equilibrated: Structure) -> None:
    def frames(seed: int) -> list[np.ndarray]:
        return warm_up(AskedFor(), [equilibrated] * 2, seed=seed, threads=1)  # type: ignore[arg-type]

    first, second = frames(1)
    assert first.shape == (3, equilibrated.system.n_atoms, 3)
    np.testing.assert_allclose(first[0], equilibrated.positions, atol=1e-12)
    np.testing.assert_allclose(second[0], equilibrated.positions, atol=1e-12)
    # replicas, and seeds, go ways of their own
    others = frames(2)
    for one, other in ((first, second), (first, others[0])):
        assert np.abs(one[1] - other[1]).max() > 0.1
    np.testing.assert_array_equal(first, frames(1)[0])
    steps = np.linalg.norm(np.diff(first, axis=0), axis=-1)
    assert 0.1 < steps.mean() < 1
    assert steps.max() < 3


def test_frames_do_not_depend_on_the_images_of_the_atoms(equilibrated: Structure) -> None:
    """Molecules may be cut by the box, as data files without image flags have them."""
    assert equilibrated.box_vectors is not None
    side = equilibrated.box_vectors[0, 0]
    wrapped = replace(equilibrated, positions=equilibrated.positions % side)
    (whole,), (cut,) = (
        warm_up(AskedFor(1, 0.1), [one], seed=1, threads=1)  # type: ignore[arg-type]
        for one in (equilibrated, wrapped)
    )
    apart = cut - whole
    # single-precision forces of other images, amplified for ten steps
    np.testing.assert_allclose(apart, side * np.round(apart / side), atol=1e-3)


def minimised(structure: Structure) -> np.ndarray:
    md = create_system(FORCE_FIELD, [structure.system], structure.box_vectors)
    run = LangevinRun(md, structure.positions, FORCE_FIELD.dynamics, seed=1, threads=1, minimize=True)
    return run.positions()


def crude(structure: Structure) -> np.ndarray:
    assert structure.box_vectors is not None
    return random_positions(FORCE_FIELD, structure.system, structure.box_vectors, (2,))


@pytest.mark.parametrize("make", [minimised, crude])
def test_positions_that_are_not_in_equilibrium_are_relaxed(equilibrated: Structure, make: object) -> None:
    bad = replace(equilibrated, positions=make(equilibrated))  # type: ignore[operator]
    assert energy_of_bonds(bad, bad.positions) < 0.4 or make is crude
    (frames,) = warm_up(AskedFor(5, 0.5), [bad], seed=1, threads=1)  # type: ignore[arg-type]
    # equipartition, +- 5 sigma of the mean of 6 frames
    energies = [energy_of_bonds(bad, frame) for frame in frames]
    assert abs(np.mean(energies) - 1.03) < 5 * np.sqrt(2 / len(bad.system.bonds) / len(frames))
    assert np.linalg.norm(frames[0] - bad.positions, axis=1).mean() > 0.1


def test_bad_input(equilibrated: Structure) -> None:
    small = replace(equilibrated, box_vectors=5.0 * np.eye(3))
    with pytest.raises(UserError, match=r"el: the box is 5 wide, less than twice the cutoff of 3"):
        warm_up(AskedFor(), [small], seed=1)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"el\.data: no force field is known"):
        warm_up(AskedFor(force_field=None), [equilibrated], seed=1)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="el: atom 0 has the unknown bead type 'E'"):
        warm_up(AskedFor(), [equilibrated], seed=1, force_field=built_in("polymer"))  # type: ignore[arg-type]


@pytest.mark.skipif(not ELECTROLYTE.is_dir(), reason="the reference data are not there")
def test_short_runs_have_the_averages_of_the_reference() -> None:
    """Energy of each term, and how far Li moves in 2 tau, from a frame of LAMMPS on and in LAMMPS's own run."""
    folder = ELECTROLYTE / "train" / "000"
    conventions = LammpsConventions(force_field=FORCE_FIELD)
    structure = load_structure(folder, conventions)
    trajectory = open_trajectory(folder / "traj.lammpstrj.bz2", structure, conventions)
    reference = np.concatenate([block.positions for block in trajectory.blocks()])
    assert trajectory.interval == 2.0
    md = create_system(FORCE_FIELD, [structure.system], structure.box_vectors)
    run = LangevinRun(md, reference[0], FORCE_FIELD.dynamics, seed=3, threads=1)
    ours = np.stack(list(run.record(Recording(21, 2.0))))

    context = openmm.Context(md, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("CPU"))
    lithium = np.array(structure.system.atom_types) == "Li"

    def measured(path: np.ndarray) -> dict[str, np.ndarray]:
        terms = []
        for frame in path:
            context.setPositions(frame)
            found = energy_terms(context)
            found["coulomb"] += found.pop("coulomb_reciprocal")
            terms.append(found)
        series = {name: np.array([term[name] for term in terms]) for name in terms[0]}
        series["Li"] = (np.diff(path[:, lithium], axis=0) ** 2).sum(axis=2).mean(axis=1)
        return series

    here, there = measured(ours[1:]), measured(reference[:60])
    for name, values in here.items():
        error = np.hypot(standard_error(values), standard_error(there[name]))
        assert abs(values.mean() - there[name].mean()) < 4 * error, name
        # the error is small enough to tell something
        assert error < 0.3 * there[name].std() + 0.05 * abs(there[name].mean()), name
