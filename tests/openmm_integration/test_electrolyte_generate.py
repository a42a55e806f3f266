"""Electrolytes that ``cgplugin generate`` makes."""

import json
import shutil
from pathlib import Path

import mdtraj
import numpy as np
import pytest
import yaml

from cgplugin import MolecularSystem, UserError
from cgplugin.coarse_graining.coarse_trajectory import coarsen_trajectory
from cgplugin.coarse_graining.coarsening import coarsen
from cgplugin.systems.force_field import built_in
from cgplugin.systems.lammps_files import LammpsConventions
from cgplugin.systems.structure_files import load_structure, open_trajectory
from openmm_integration.ground_truth.bead_spring import create_system
from openmm_integration.ground_truth.electrolyte_builder import (
    Composition,
    build_electrolyte,
    cubic_box,
    random_positions,
)
from openmm_integration.ground_truth.electrolytes import ElectrolyteSpec, generate_electrolytes, sample_electrolytes
from openmm_integration.ground_truth.kinds import KINDS, load_spec
from openmm_integration.ground_truth.molecular_dynamics import LangevinRun
from openmm_integration.ground_truth.push_off import is_crude, push_off
from tests.conftest import ROOT, run_cli

from .electrolyte_in_lammps import ELECTROLYTE

FORCE_FIELD = built_in("electrolyte")
# 176 atoms: the box has just room for the cutoffs
SHORT = {
    "n_systems": 2, "n_chains": 4, "n_salt": [8, 9], "length": 1.0, "recording_interval": 0.5, "relaxation": 0.5,
    "force_field": "electrolyte",
}  # fmt: skip


def write_spec(path: Path, **changes: object) -> Path:
    path.write_text(yaml.safe_dump({"system": "electrolytes", **SHORT, **changes}))
    return path


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return generate_electrolytes(ElectrolyteSpec(**SHORT), tmp_path_factory.mktemp("el") / "out", workers=1)


def test_molecules_of_the_composition_follow_each_other(folders: list[Path]) -> None:
    for folder in folders:
        system = MolecularSystem.load(folder / "system.json")
        pattern, n_salt = system.provenance["pattern"], system.provenance["n_salt"]
        expected = pattern * 8 * 4 + ["F", "S", "N", "S", "F"] * n_salt + ["Li"] * n_salt
        assert list(system.atom_types) == expected
        assert np.bincount(system.molecules).tolist() == [32] * 4 + [5] * n_salt + [1] * n_salt
        assert (np.diff(system.molecules) >= 0).all()
        assert len(system.bonds) == 31 * 4 + 4 * n_salt
        assert system.charges is not None
        assert system.charges.sum() == pytest.approx(0, abs=1e-12)
        assert (system.masses[np.array(system.atom_types) == "Li"] == 0.5).all()
        assert n_salt in SHORT["n_salt"]


def test_trajectories_are_whole_continuous_and_have_their_box(folders: list[Path]) -> None:
    for folder in folders:
        system = MolecularSystem.load(folder / "system.json")
        trajectory = mdtraj.load(str(folder / "trajectory.dcd"), top=str(folder / "topology.pdb"))
        assert trajectory.n_frames == 3
        assert system.recording_interval == 0.5
        volume = trajectory.unitcell_volumes
        np.testing.assert_allclose(system.n_atoms / volume, 0.80, rtol=1e-5)
        np.testing.assert_allclose(
            mdtraj.load_pdb(str(folder / "topology.pdb")).unitcell_lengths, trajectory.unitcell_lengths[:1], atol=1e-4
        )
        # no minimum image anywhere: bonds are short as they stand, and paths do not jump
        bonds = np.linalg.norm(np.diff(trajectory.xyz[:, system.bonds], axis=2)[:, :, 0], axis=-1)
        assert 0.9 < bonds.mean() < 1.1
        assert bonds.max() < 1.6
        steps = np.linalg.norm(np.diff(trajectory.xyz, axis=0), axis=-1)
        assert 0.05 < steps.mean() < 1
        assert steps.max() < 3


def test_coarse_graining_reads_them(folders: list[Path]) -> None:
    structure = load_structure(folders[0])
    cg = coarsen(structure.system, 5)
    read = coarsen_trajectory(cg, open_trajectory(folders[0] / "trajectory.dcd", structure))
    fine = mdtraj.load(str(folders[0] / "trajectory.dcd"), top=str(folders[0] / "topology.pdb")).xyz.astype(np.float64)
    expected = cg.positions(fine)
    # up to the image that each bead is counted in
    moved = (read.positions - read.positions[0]) - (expected - expected[0])
    np.testing.assert_allclose(moved, 0, atol=1e-4)
    assert read.interval == 0.5
    assert read.box_vectors is not None
    assert all(len({structure.system.molecules[atom] for atom in atoms}) == 1 for atoms in cg.beads)


def test_paths_that_outrun_the_box_are_taken_as_recorded(folders: list[Path], tmp_path: Path) -> None:
    folder = shutil.copytree(folders[0], tmp_path / "fast")
    trajectory = mdtraj.load(str(folder / "trajectory.dcd"), top=str(folder / "topology.pdb"))
    lithium = MolecularSystem.load(folder / "system.json").atom_types.index("Li")
    trajectory.xyz[1:, lithium] += 0.5 * trajectory.unitcell_lengths[0, 0]
    trajectory.save_dcd(str(folder / "trajectory.dcd"))
    structure = load_structure(folder)
    cg = coarsen(structure.system, 5)
    bead = next(n for n, atoms in enumerate(cg.beads) if lithium in atoms)
    read = coarsen_trajectory(cg, open_trajectory(folder / "trajectory.dcd", structure))
    moved = read.positions[1, bead] - read.positions[0, bead]
    np.testing.assert_allclose(moved, trajectory.xyz[1, lithium] - trajectory.xyz[0, lithium], atol=1e-4)

    # elsewhere nobody knows
    shutil.copy(folder / "trajectory.dcd", tmp_path / "other.dcd")
    with pytest.raises(UserError, match="moves by nearly half the box between frames 0 and 1"):
        coarsen_trajectory(cg, open_trajectory(tmp_path / "other.dcd", structure))


def test_a_system_depends_on_seed_and_number_alone(folders: list[Path], tmp_path: Path) -> None:
    """Neither on how many are asked for, nor on the workers, nor on what is there."""
    more = generate_electrolytes(ElectrolyteSpec(**{**SHORT, "n_systems": 3}), tmp_path / "more", workers=2)
    shutil.rmtree(more[1])
    again = generate_electrolytes(ElectrolyteSpec(**SHORT), tmp_path / "more", workers=1)
    assert [folder.name for folder in again] == ["0000", "0001"]
    (other,) = generate_electrolytes(ElectrolyteSpec(**{**SHORT, "n_systems": 1}, seed=1), tmp_path / "other")
    # the header of a DCD file has the date
    first, second, third = (
        [(folder / "trajectory.dcd").read_bytes()[300:] for folder in group] for group in (folders, again, [other])
    )
    assert first == second
    assert first[0] != third[0]
    assert sorted(path.name for path in (tmp_path / "more").glob(".*")) == [".lock"]


def test_patterns_and_salt_are_drawn_evenly() -> None:
    systems = sample_electrolytes(ElectrolyteSpec(n_systems=150, n_repeats=1, n_chains=1), FORCE_FIELD)
    units = [unit for system in systems for unit in system.provenance["pattern"]]
    counts = np.array([units.count(name) for name in ("E", "P", "H", "A")])
    # chi squared with three degrees of freedom, and with four
    assert ((counts - 150) ** 2 / 150).sum() < 16
    salt = np.array([sum(system.provenance["n_salt"] == n for system in systems) for n in (8, 12, 16, 20, 24)])
    assert ((salt - 30) ** 2 / 30).sum() < 18
    assert {len(system.provenance["pattern"]) for system in systems} == {4}


def test_given_compositions() -> None:
    compositions = [{"pattern": ["E", "P"], "n_salt": 3}, {"pattern": ["H"]}]
    spec = ElectrolyteSpec(compositions=compositions, n_salt=11, n_chains=2, n_repeats=3)
    first, second = sample_electrolytes(spec, FORCE_FIELD)
    assert (first.n_atoms, second.n_atoms) == (2 * 6 + 3 * 6, 2 * 3 + 11 * 6)
    assert first.atom_types[:6] == ("E", "P") * 3


def test_chains_start_as_ideal_as_they_are_in_a_melt() -> None:
    """Successive bonds by the angle's Boltzmann factor where they do not fold back, bonds further apart by its powers."""
    composition = Composition(("E", "H", "A", "P"), 8, 400, 0)
    system = build_electrolyte(FORCE_FIELD, composition, "chains")
    chains = random_positions(FORCE_FIELD, system, 30 * np.eye(3), (2,)).reshape(400, 32, 3)
    bonds = np.diff(chains, axis=1)
    np.testing.assert_allclose(np.linalg.norm(bonds, axis=2), FORCE_FIELD.bond_r0)
    cosine = np.linspace(-0.6, 1, 10_001)
    weight = np.exp(0.5 * cosine)
    expected = (cosine * weight).sum() / weight.sum()
    for apart in (1, 2, 3):
        found = (bonds[:, apart:] * bonds[:, :-apart]).sum(axis=2)
        # 400 chains of some ten independent values
        assert found.mean() == pytest.approx(expected**apart, abs=4 * found.std() / np.sqrt(4000))
    n = 31
    # freely rotating chain (Flory)
    size = n * (1 + expected) / (1 - expected) - 2 * expected * (1 - expected**n) / (1 - expected) ** 2
    squared = ((chains[:, -1] - chains[:, 0]) ** 2).sum(axis=1)
    assert squared.mean() == pytest.approx(size, abs=4 * squared.std() / 20)
    if ELECTROLYTE.is_dir():
        sizes = []
        for folder in sorted((ELECTROLYTE / "train").iterdir()):
            structure = load_structure(folder, LammpsConventions(force_field=FORCE_FIELD))
            ends = structure.positions[: 8 * 32].reshape(8, 32, 3)[:, [0, -1]]
            sizes.append(((ends[:, 1] - ends[:, 0]) ** 2).sum(axis=1).mean())
        # of all patterns, 192 chains; a rod would be twenty times as large
        assert squared.mean() == pytest.approx(np.mean(sizes), rel=0.35)


def test_push_off_makes_any_start_fit_for_dynamics() -> None:
    spec = ElectrolyteSpec(**SHORT)
    system = sample_electrolytes(spec, FORCE_FIELD)[0]
    box = cubic_box(system.n_atoms, spec.density)
    start = random_positions(FORCE_FIELD, system, box, (5,))
    md = create_system(FORCE_FIELD, [system], box)
    assert is_crude(LangevinRun(md, start, FORCE_FIELD.dynamics, seed=1, threads=1).forces(), FORCE_FIELD.dynamics)
    pushed = push_off(FORCE_FIELD, system, start, box, seed=1, threads=1)
    run = LangevinRun(md, pushed, FORCE_FIELD.dynamics, seed=1, threads=1)
    assert not is_crude(run.forces(), FORCE_FIELD.dynamics)
    run.advance(200)
    assert not is_crude(run.forces(), FORCE_FIELD.dynamics)
    assert is_crude(np.full((1, 3), np.nan), FORCE_FIELD.dynamics)


def test_specs_of_other_kinds_do_not_share_a_folder(folders: list[Path], tmp_path: Path) -> None:
    out = folders[0].parent
    with pytest.raises(UserError, match="holds systems of a spec that differs in density: use another folder"):
        generate_electrolytes(ElectrolyteSpec(**SHORT, density=0.81), out)
    spec, generate = load_spec(_polymers(tmp_path))
    with pytest.raises(UserError, match="holds systems of a spec that differs in system"):
        generate(spec, out)


def _polymers(folder: Path) -> Path:
    (folder / "polymers.yaml").write_text("n_systems: 2\nlength: 1\nrelaxation: 1\nn_units: 4\n")
    return folder / "polymers.yaml"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"system": "glasses"}, "unknown system 'glasses': expected one of polymers, electrolytes, atomistic"),
        ({"polymer_class": "I"}, "unknown entry 'polymer_class', the entries are"),
        ({"n_salt": []}, r"n_salt is \[\], expected a number of ion pairs"),
        ({"n_salt": [8, -1]}, r"n_salt is \[8, -1\], expected a number of ion pairs"),
        ({"n_salt": "many"}, "n_salt is 'many', expected a number of ion pairs"),
        ({"density": 0}, "density is 0, expected a positive number of atoms"),
        ({"n_chains": -1}, "n_chains is -1, expected an integer of at least 0"),
        ({"n_chains": 0, "n_salt": 0}, "there are no atoms"),
        ({"compositions": []}, r"compositions is \[\], expected a list of systems"),
        ({"compositions": [{"salt": 3}]}, r"system 0 of compositions is \{'salt': 3\}, expected 'pattern'"),
        ({"compositions": [{"pattern": "EE"}]}, "the pattern of system 0 is 'EE', expected a list of backbone units"),
        ({"compositions": [{"pattern": ["E"], "n_salt": 1.5}]}, "n_salt of system 0 is 1.5, expected an integer"),
        ({"compositions": [{"pattern": ["E", "Li"]}]}, "unknown backbone unit 'Li': electrolyte has E, P, H, A"),
        ({"n_chains": 1}, "the box is .* wide, less than twice the cutoff of 3 of electrolyte: take more molecules"),
        ({"force_field": "polymer"}, "polymer: has no anion and cation in 'molecules'"),
        ({"recording_interval": 0.3}, "the length of 1 is no multiple of the recording interval of 0.3"),
    ],
)
def test_bad_specs(tmp_path: Path, changes: dict, message: str) -> None:
    path = write_spec(tmp_path / "spec.yaml", **changes)

    def ask() -> None:
        spec, generate = load_spec(path)
        generate(spec, tmp_path / "out")

    with pytest.raises(UserError, match=message) as caught:
        ask()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_salt_that_is_not_neutral(tmp_path: Path) -> None:
    raw = json.loads(json.dumps(FORCE_FIELD.raw))
    raw["bead_types"]["N"]["charge"] = -0.5
    (tmp_path / "own.json").write_text(json.dumps(raw))
    spec = write_spec(tmp_path / "spec.yaml", force_field="own.json", n_salt=8)
    done = run_cli("generate", spec, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "0000: the net charge is -0.8, expected 0" in done.stderr
    assert done.stderr.count("\n") == 1


def test_options_of_the_command_line_apply_where_they_can(tmp_path: Path) -> None:
    path = write_spec(tmp_path / "spec.yaml")
    spec, _ = load_spec(path, seed=4, n_systems=7)
    assert (spec.seed, spec.n_systems) == (4, 7)
    path = write_spec(tmp_path / "spec.yaml", compositions=[{"pattern": ["E"]}])
    with pytest.raises(UserError, match="n_systems follows from other entries: --n-systems does not apply"):
        load_spec(path, n_systems=3)


def test_example_is_valid() -> None:
    spec, generate = load_spec(ROOT / "examples" / "electrolytes.yaml")
    assert isinstance(spec, ElectrolyteSpec)
    assert generate is generate_electrolytes
    assert KINDS["polymers"].spec_class.kind == "polymers"
