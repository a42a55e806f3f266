"""All-atom systems from the spec to the files that training and simulation read."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
import openmm
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openmm import app, unit

pytest.importorskip("rdkit")

from cgplugin import MolecularSystem, UserError
from cgplugin.coarse_graining.coarse_trajectory import coarsen_frames
from cgplugin.coarse_graining.coarsening import coarsen
from cgplugin.systems.structure_files import load_structure, open_trajectory
from openmm_integration.atomistic.chemistry import LITHIUM, TFSI, build_chain, build_ion
from openmm_integration.atomistic.equilibration import PER_GRAM_PER_CM3, _scale_molecules
from openmm_integration.atomistic.generate import AtomisticSpec, Composition, build_molecules, generate_atomistic
from openmm_integration.atomistic.packing import CONTACT, CONTACT_JOINED, embed, pack
from openmm_integration.runs.warm_up import openmm_system_beside
from tests.conftest import ROOT, run_cli

PEO = Composition("*CCO*", n_units=4, n_chains=2, n_salt=1, residue="PEO")
SHORT = AtomisticSpec(
    (PEO,),
    cutoff=0.8,
    packing_density=0.05,
    compression=0.1,
    annealing=0.2,
    density_run=0.4,
    relaxation=0.1,
    length=0.6,
    recording_interval=0.1,
    seed=3,
)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of one small system."""
    lines: list[str] = []
    (folder,) = generate_atomistic(SHORT, tmp_path_factory.mktemp("atomistic"), platform="CPU", report=lines.append)
    assert len(lines) == 1
    assert "million atom-steps/s" in lines[0]
    return folder


def test_files_say_what_was_simulated(generated: Path) -> None:
    frame = mdtraj.load_pdb(str(generated / "topology.pdb"), standard_names=False)
    atoms = list(frame.topology.atoms)
    assert "".join(atom.element.symbol for atom in atoms[:8]) == "CHHHCHHO"
    assert [residue.name for residue in frame.topology.residues] == ["PEO"] * 8 + ["TFS", "LI"]
    assert [residue.n_atoms for residue in frame.topology.residues] == [8, 7, 7, 11] * 2 + [15, 1]
    system = MolecularSystem.load(generated / "system.json")
    assert system.n_atoms == len(atoms)
    assert frame.topology.n_bonds == len(system.bonds)
    assert {(bond.atom1.index, bond.atom2.index) for bond in frame.topology.bonds} == {
        tuple(bond) for bond in system.bonds.tolist()
    }
    assert system.units == "openmm"
    assert system.recording_interval == SHORT.recording_interval
    assert system.charges is not None
    assert system.charges.sum() == pytest.approx(0, abs=1e-9)
    assert system.charges[-1] == pytest.approx(SHORT.ion_charge_scale)
    assert len(np.unique(system.molecules)) == 4
    assert system.masses == pytest.approx([atom.element.mass for atom in atoms], rel=1e-3)
    assert system.atom_types[:2] == ("opls_135", "opls_140")


def test_openmm_reads_the_topology(generated: Path) -> None:
    pdb = app.PDBFile(str(generated / "topology.pdb"))
    system = MolecularSystem.load(generated / "system.json")
    assert pdb.topology.getNumBonds() == len(system.bonds)
    assert [residue.name for residue in pdb.topology.residues()][-2:] == ["TFS", "LI"]
    assert list(pdb.topology.atoms())[-1].element == app.element.lithium
    edges = np.diag(pdb.topology.getPeriodicBoxVectors().value_in_unit(unit.nanometer))
    assert edges == pytest.approx(system.provenance["box_edge"], abs=1e-3)


def test_frames_are_unwrapped_with_rigid_hydrogens(generated: Path) -> None:
    trajectory = mdtraj.load(str(generated / "trajectory.dcd"), top=str(generated / "topology.pdb"))
    system = MolecularSystem.load(generated / "system.json")
    made = system.provenance
    assert trajectory.n_frames == 7
    assert trajectory.unitcell_lengths == pytest.approx(made["box_edge"], abs=1e-5)
    volume = made["box_edge"] ** 3
    assert made["density"] == pytest.approx(PER_GRAM_PER_CM3 * system.masses.sum() / volume)
    lengths = mdtraj.compute_distances(trajectory, system.bonds, periodic=False)
    light = (system.masses[system.bonds] < 2).any(axis=1)
    # DCD files have single precision
    assert lengths[:, light] == pytest.approx(np.tile(0.109, (7, light.sum())), abs=2e-5)
    assert lengths[:, ~light].min() > 0.11
    assert lengths[:, ~light].max() < 0.21
    steps = np.linalg.norm(np.diff(trajectory.xyz, axis=0), axis=-1)
    assert 0 < steps.max() < 0.3


def test_the_system_has_the_box_and_no_barostat(generated: Path) -> None:
    structure = load_structure(generated)
    found = openmm_system_beside(structure)
    assert found is not None
    system, dynamics = found
    assert dynamics.temperature == 353
    assert not any(isinstance(force, openmm.MonteCarloBarostat) for force in system.getForces())
    edges = [row[axis].value_in_unit(unit.nanometer) for axis, row in enumerate(system.getDefaultPeriodicBoxVectors())]
    assert edges == pytest.approx([structure.system.provenance["box_edge"]] * 3)
    assert structure.box_vectors is not None
    # the state that was recorded is one of this System: bonds at their temperature, no overlaps
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(structure.positions)
    per_atom = context.getState(energy=True).getPotentialEnergy()._value / structure.system.n_atoms
    assert -20 < per_atom < 20


def test_beads_follow_from_the_files(generated: Path) -> None:
    structure = load_structure(generated)
    trajectory = open_trajectory(generated / "trajectory.dcd", structure)
    cg = coarsen(structure.system, 7)
    assert cg.n_beads > 8
    blocks = coarsen_frames(cg, trajectory.blocks(), unwrapped=trajectory.unwrapped, source=trajectory.source)
    beads = np.concatenate([block.positions for block, _ in blocks])
    assert beads.shape == (7, cg.n_beads, 3)
    assert np.isfinite(beads).all()


def read(folder: Path) -> bytes:
    """Positions and boxes of the trajectory, bit by bit (the file's header has a date)."""
    with mdtraj.formats.DCDTrajectoryFile(str(folder / "trajectory.dcd")) as file:
        return b"".join(values.tobytes() for values in file.read())


def test_the_seed_decides(generated: Path, tmp_path: Path) -> None:
    (again,) = generate_atomistic(SHORT, tmp_path / "again", platform="CPU")
    assert read(again) == read(generated)
    (other,) = generate_atomistic(replace(SHORT, seed=4), tmp_path / "other", platform="CPU")
    assert read(other) != read(generated)


def test_what_is_there_is_kept_and_what_is_missing_is_made(tmp_path: Path) -> None:
    spec = replace(
        SHORT, compositions=(replace(PEO, n_chains=1, name="a"), replace(PEO, n_chains=1, n_salt=0, name="b"))
    )
    a, b = generate_atomistic(spec, tmp_path, platform="CPU")
    assert (a.name, b.name) == ("a", "b")
    first, second = read(a), read(b)
    for file in a.iterdir():
        file.unlink()
    a.rmdir()
    # of a run that was killed
    (tmp_path / ".a.partial").mkdir()
    (tmp_path / ".a.partial" / "topology.pdb").write_text("half")
    (b / "trajectory.dcd").write_bytes(b"kept")
    generate_atomistic(spec, tmp_path, platform="CPU")
    assert read(a) == first
    assert (b / "trajectory.dcd").read_bytes() == b"kept"
    assert second != first
    assert sorted(item.name for item in tmp_path.iterdir()) == [".lock", "a", "b", "generate.json"]
    with pytest.raises(UserError, match="differs in temperature: use another folder"):
        generate_atomistic(replace(spec, temperature=400), tmp_path)


def test_a_run_that_fails_leaves_nothing_half(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"0000: .*time_step"):
        generate_atomistic(replace(SHORT, time_step=0.05, relaxation=0.1, compression=5), tmp_path, platform="CPU")
    assert sorted(item.name for item in tmp_path.iterdir()) == [".lock", "generate.json"]


# ---- the command line


def spec_file(folder: Path, **entries: Any) -> Path:
    path = folder / "spec.yaml"
    composition = {"smiles": "*CCO*", "n_units": 4, "n_chains": 2}
    path.write_text(json.dumps({"system": "atomistic", "compositions": [composition], **entries}))
    return path


def test_errors_reach_the_user_on_one_line(tmp_path: Path) -> None:
    done = run_cli("generate", spec_file(tmp_path, packing_density=0.5), "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "0000: the box of 1.08 nm is smaller than twice the cutoff of 1 nm" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_polymer_that_is_not_covered_stops_all_before_the_first_run(tmp_path: Path) -> None:
    spec = replace(SHORT, compositions=(PEO, replace(PEO, smiles="*CC(F)O*", name="other")))
    with pytest.raises(UserError, match=r"^other: '\*CC\(F\)O\*': the force field has no type for F bonded to C"):
        generate_atomistic(spec, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_examples_are_valid() -> None:
    for path in ("examples/peo_litfsi.yaml", "benchmarks/atomistic/electrolytes.yaml"):
        spec = AtomisticSpec.load(ROOT / path)
        for composition in spec.compositions:
            molecules = build_molecules(composition)
            assert 900 < sum(typed.molecule.n_atoms for typed in molecules) < 1100
            ether_oxygens = sum(typed.types.count("opls_180") for typed in molecules)
            if composition.n_salt:
                assert ether_oxygens / composition.n_salt == pytest.approx(20)


BAD_ENTRIES: list[tuple[dict[str, Any], str]] = [
    ({"compositions": []}, "compositions is [], expected a list"),
    ({"compositions": ["*CCO*"]}, "composition 0 is '*CCO*', expected a mapping"),
    ({"compositions": [{"smiles": "*CCO*", "n_units": 3}]}, "composition 0: the entry 'n_chains' is missing"),
    ({"compositions": [{"smiles": "*CCO*", "n_units": 3, "n_chains": 1, "salt": 2}]}, "unknown entry 'salt'"),
    ({"compositions": [{"smiles": 3, "n_units": 3, "n_chains": 1}]}, "composition 0: smiles is 3"),
    ({"compositions": [{"smiles": "*CCO*", "n_units": 0, "n_chains": 1}]}, "n_units is 0"),
    ({"compositions": [{"smiles": "*CCO*", "n_units": 1, "n_chains": 1, "end_groups": "x"}]}, "end_groups is 'x'"),
    ({"compositions": [{"smiles": "*CCO*", "n_units": 1, "n_chains": 1, "residue": "PEO2"}]}, "residue is 'PEO2'"),
    ({"compositions": [{"smiles": "*CCO*", "n_units": 1, "n_chains": 1, "name": "../x"}]}, "name is '../x'"),
    ({"compositions": [{"smiles": "*CCO*", "n_units": 1, "n_chains": 1, "name": "x"}] * 2}, "called 'x'"),
    ({"temperature": -1}, "temperature is -1, expected a positive number"),
    ({"relaxation": "long"}, "relaxation is 'long', expected a number of at least 0"),
    ({"ion_charge_scale": 1.2}, "ion_charge_scale is 1.2, expected at most 1"),
    ({"length": 1.0, "recording_interval": 0.3}, "no multiple of the recording interval"),
    ({"seed": 1.5}, "seed is 1.5"),
    ({"temprature": 300}, "unknown entry 'temprature'"),
]


@pytest.mark.parametrize(("entries", "words"), BAD_ENTRIES, ids=[words for _, words in BAD_ENTRIES])
def test_bad_entries_are_named(tmp_path: Path, entries: dict[str, Any], words: str) -> None:
    path = spec_file(tmp_path, **entries)
    with pytest.raises(UserError, match=r"^[^\n]*$") as caught:
        AtomisticSpec.load(path)
    assert str(caught.value).startswith(str(path))
    assert words in str(caught.value)


def test_stages_are_whole_steps(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the annealing of 0.0031 is no multiple of the MD time step of 0.002"):
        generate_atomistic(replace(SHORT, annealing=0.0031), tmp_path)


# ---- packing


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    smiles=st.sampled_from(["*CCO*", "*CC(C)O*", "*OCCOC(=O)CCCCC(=O)*"]),
    n_units=st.integers(1, 12),
    seed=st.integers(0, 1000),
)
def test_packed_molecules_are_bonded_and_do_not_overlap(smiles: str, n_units: int, seed: int) -> None:
    graphs = [build_chain(smiles, n_units)] * 2 + [build_ion(TFSI, "TFS"), build_ion(LITHIUM, "LI")]
    pieces = [embed(build_chain(smiles, min(3, n_units)), 1)] * 2 + [embed(graph, 1) for graph in graphs[2:]]
    edge = 4.0
    placed = pack(graphs, pieces, edge, np.random.default_rng(seed))
    for graph, positions in zip(graphs, placed, strict=True):
        assert positions.shape == (graph.n_atoms, 3)
        for i, j in graph.bonds:
            # 1.09 (C-H) to 1.9 A (C-S)
            assert 0.09 < np.linalg.norm(positions[i] - positions[j]) < 0.2
        owner = np.array(graph.residue_of)
        inside = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
        apart = np.abs(owner[:, None] - owner[None])
        assert inside[apart == 1].min(initial=9) > CONTACT_JOINED
        assert inside[apart > 1].min(initial=9) > CONTACT
    every = np.concatenate(placed)
    molecule = np.repeat(np.arange(len(graphs)), [graph.n_atoms for graph in graphs])
    separations = every[:, None] - every[None]
    separations -= edge * np.round(separations / edge)
    distances = np.linalg.norm(separations, axis=-1)
    assert distances[molecule[:, None] != molecule[None]].min() > CONTACT


def test_a_full_box_is_an_error() -> None:
    graph = build_chain("*CCO*", 3)
    with pytest.raises(UserError, match=r"no room for molecule .* lower packing_density"):
        pack([graph] * 30, [embed(graph, 1)] * 30, 1.3, np.random.default_rng(1))


def test_scaling_moves_molecules_as_a_whole() -> None:
    positions = np.random.default_rng(1).normal(size=(7, 3))
    molecules = np.array([0, 0, 0, 1, 1, 2, 2])
    scaled = _scale_molecules(positions, molecules, 1.1)
    for number in range(3):
        before, after = positions[molecules == number], scaled[molecules == number]
        assert after.mean(axis=0) == pytest.approx(1.1 * before.mean(axis=0))
        assert after - after.mean(axis=0) == pytest.approx(before - before.mean(axis=0))
