"""``cgplugin analyze`` on systems of several molecules in a box."""

import csv
import json
import math
from pathlib import Path

import mdtraj
import numpy as np
import pytest

from cgplugin import MolecularSystem, UserError
from cgplugin.analysis.analyze import analyze, analyze_folder
from cgplugin.analysis.molecule_paths import MoleculePaths
from cgplugin.analysis.trajectory_folders import find_folders
from cgplugin.cli.main import main
from cgplugin.observables.electrolyte import ContactDistances, ElectrolyteObservables
from tests.cgplugin.test_electrolyte_observables import BOX, INTERVAL, LENGTH, N_CHAINS, N_IONS, frames, particles
from tests.conftest import SHARED, run_cli

N = particles().n
BONDS = [
    (2 * N_IONS + LENGTH * c + k, 2 * N_IONS + LENGTH * c + k + 1) for c in range(N_CHAINS) for k in range(LENGTH - 1)
]
OWN_FILES = {"rdf.csv", "rdf.png", "msd.csv", "msd.png", "collisions.csv", "collisions.png", "contacts.json"}


def write_trajectory(folder: Path, positions: np.ndarray, box: np.ndarray | None = BOX) -> Path:
    """``topology.pdb`` with CONECT and ``trajectory.dcd``, by mdtraj."""
    folder.mkdir(parents=True)
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    atoms = [topology.add_atom("CG", mdtraj.element.carbon, topology.add_residue("CGB", chain)) for _ in range(N)]
    for i, j in BONDS:
        topology.add_bond(atoms[i], atoms[j])
    trajectory = mdtraj.Trajectory(positions.astype(np.float32), topology)
    if box is not None:
        trajectory.unitcell_vectors = np.broadcast_to(box, (len(positions), 3, 3)).astype(np.float32)
    trajectory[0].save_pdb(folder / "topology.pdb")
    trajectory.save_dcd(folder / "trajectory.dcd")
    return folder


def simulated(folder: Path, positions: np.ndarray, box: np.ndarray | None = BOX, **changes) -> Path:
    """What ``cgplugin simulate`` leaves behind, but for the properties."""
    write_trajectory(folder, positions, box)
    species = particles()
    assert species.charges is not None
    mapping = {
        "beads": [[n] for n in range(N)],
        "masses": species.masses.tolist(),
        "molecules": species.molecules.tolist(),
        "species": list(species.names),
        "charges": species.charges.tolist(),
        "units": "lj",
    }
    mapping = {key: value for key, value in {**mapping, **changes}.items() if value is not ...}
    (folder / "mapping.json").write_text(json.dumps(mapping))
    (folder / "summary.json").write_text(json.dumps({"units": "lj", "time_step": 0.5, "report_interval": 4}))
    return folder


def electrolyte_in(folder: Path, **options) -> ElectrolyteObservables:
    """What the analysis of one folder finds, without tables and plots."""
    [found] = find_folders(folder)
    observed = analyze_folder(found, **options).electrolyte
    assert observed is not None
    return observed


def wrapped(positions: np.ndarray, by: str) -> np.ndarray:
    """Positions as OpenMM wraps them (whole molecules, by their centres), or atom by atom as LAMMPS does."""
    points = positions
    if by == "molecules":
        molecules = particles().molecules
        centres = np.stack([positions[:, molecules == m].mean(axis=1) for m in range(int(molecules.max()) + 1)], axis=1)
        points = centres[:, molecules]
    return positions - np.floor(points @ np.linalg.inv(BOX)) @ BOX


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_simulated_electrolyte(tmp_path) -> None:
    folder = simulated(tmp_path / "runs" / "salt", frames(120, 0))
    [result] = analyze(tmp_path / "runs")
    observed = result.electrolyte
    assert observed is not None
    assert observed.species == ("Li", "X", "P4")
    assert (observed.n_frames, observed.interval) == (120, INTERVAL)
    assert {path.name for path in folder.iterdir()} >= OWN_FILES

    table = rows_of(folder / "rdf.csv")
    np.testing.assert_allclose([float(row["g Li-X"]) for row in table], observed.rdf.g("Li", "X"), rtol=1e-6)
    np.testing.assert_allclose([float(row["n X-Li"]) for row in table], observed.rdf.coordination("X", "Li"), rtol=1e-6)
    table = rows_of(folder / "msd.csv")
    np.testing.assert_allclose([float(row["msd P4"]) for row in table], observed.msd.values("P4"), rtol=1e-6)
    np.testing.assert_allclose([float(row["lag"]) for row in table], observed.msd.times)
    table = rows_of(folder / "collisions.csv")
    assert [float(row["time"]) for row in table] == [INTERVAL * (n + 1) for n in range(120)]
    assert sum(int(row["all"]) for row in table) == observed.collisions.total.sum()

    species = rows_of(tmp_path / "runs" / "species.csv")
    assert [row["species"] for row in species] == ["Li", "X", "P4"]
    assert float(species[0]["diffusivity"]) == pytest.approx(observed.diffusivities["Li"].value)
    assert species[1]["transference_number"] == ""
    assert len(rows_of(tmp_path / "runs" / "first_shells.csv")) == 6
    content = json.loads((tmp_path / "runs" / "analysis.json").read_text())
    assert content[0]["electrolyte"]["species"]["Li"]["role"] == "cation"
    # the chains are as ever: rigid rods of four
    assert result.end_to_end.mean == pytest.approx(2.4, rel=1e-3)
    assert result.masses_known


@pytest.mark.parametrize("by", ["molecules", "atoms"])
def test_wrapped_trajectories_give_the_same(by: str, tmp_path) -> None:
    positions = frames(120, 3)
    known = ContactDistances({("Li", "X"): 0.5}, 1.0)
    whole = electrolyte_in(simulated(tmp_path / "whole", positions), distances=known)
    folder = simulated(tmp_path / "wrapped", wrapped(positions, by))
    if by == "atoms":
        # bonds through the box are mended where a system describes the atoms
        (folder / "mapping.json").unlink()
        (folder / "summary.json").unlink()
        generated_system().save(folder / "system.json")
    found = electrolyte_in(folder, distances=known)
    assert found.species == whole.species
    for name in whole.species:
        np.testing.assert_allclose(found.msd.values(name), whole.msd.values(name), rtol=1e-3, atol=1e-4)
    # in single precision a pair may fall on the other side of an edge
    assert np.abs(found.rdf.counts - whole.rdf.counts).sum() < 30
    assert np.abs(found.collisions.counts - whole.collisions.counts).sum() <= 2


def generated_system() -> MolecularSystem:
    species = particles()
    return MolecularSystem(
        ("Li",) * N_IONS + ("X",) * N_IONS + ("P",) * (N_CHAINS * LENGTH),
        species.masses,
        np.array(BONDS),
        ("b",) * len(BONDS),
        charges=species.charges,
        units="lj",
        recording_interval=INTERVAL,
    )


def test_generated_electrolyte(tmp_path) -> None:
    folder = write_trajectory(tmp_path / "salt", frames(60, 0))
    generated_system().save(folder / "system.json")
    observed = electrolyte_in(folder)
    assert observed.species == ("Li", "X", "P4")
    assert observed.particles.role("X") == "anion"


def test_stride_and_discard(tmp_path) -> None:
    positions = frames(90, 1)
    part = electrolyte_in(simulated(tmp_path / "long", positions), stride=3, discard=40.0)
    # frames at 2, 8, 14, ... tau, from 44 on
    kept = [n for n in range(0, 90, 3) if 2.0 * (n + 1) >= 40]
    alone = electrolyte_in(simulated(tmp_path / "short", positions[kept]))
    assert part.interval == 3 * INTERVAL
    assert part.n_frames == len(kept)
    np.testing.assert_array_equal(part.rdf.counts, alone.rdf.counts)
    np.testing.assert_allclose(part.msd.values("Li"), alone.msd.values("Li"), rtol=1e-6)


def test_what_is_no_electrolyte_is_analysed_as_before(tmp_path) -> None:
    """Without a box, or with a mapping from before species were written."""
    positions = frames(30, 0)
    simulated(tmp_path / "a" / "open", positions, box=None)
    simulated(tmp_path / "b" / "old", positions, species=..., molecules=..., charges=...)
    for folder in ("a", "b"):
        [result] = analyze(tmp_path / folder)
        assert result.electrolyte is None
        assert "electrolyte" not in result.to_json()
        assert not {path.name for path in (tmp_path / folder).rglob("*")} & (OWN_FILES | {"species.csv"})
        assert result.end_to_end.mean == pytest.approx(2.4, rel=1e-3)


def test_many_species_are_shown_by_role(tmp_path) -> None:
    names = [
        name if name != "P4" else f"P4-{n}" for n, name in zip(particles().molecules, particles().names, strict=True)
    ]
    observed = electrolyte_in(simulated(tmp_path / "salt", frames(30, 0), species=names))
    assert observed.species == ("cation", "anion", "neutral")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"species": ["Li"]}, "'species' does not have an entry for each of the 64 beads"),
        ({"molecules": ...}, "'molecules' does not have"),
        ({"charges": ["x"] * 64}, "'charges' does not have"),
        ({"units": "metric"}, "unknown units 'metric'"),
        ({"recording_interval": -1}, "'recording_interval' is -1"),
    ],
)
def test_damaged_mapping(changes: dict, words: str, tmp_path) -> None:
    folder = simulated(tmp_path / "salt", frames(4, 0), **changes)
    with pytest.raises(UserError) as error:
        analyze(tmp_path)
    assert str(error.value).startswith(f"{folder / 'mapping.json'}: ")
    assert words in str(error.value)


def test_contacts_of_other_species_are_refused(tmp_path) -> None:
    folder = simulated(tmp_path / "salt", frames(4, 0))
    with pytest.raises(UserError) as error:
        electrolyte_in(folder, distances=ContactDistances({("Li", "H16P16"): 0.3}, 1.0))
    assert str(error.value).startswith(f"{folder}: has no H16P16, which the contact distances are for, but Li, X, P4:")


def test_paths_that_cannot_be_told_are_refused() -> None:
    """Wrapped ions that jump by half the box."""
    positions = np.array([[[1.0, 1, 1]], [[4.0, 1, 1]]])
    with pytest.raises(UserError, match=r"run\.dcd: bead 0 moves by nearly half the box"):
        MoleculePaths(np.zeros(1, dtype=np.int64), "run.dcd").follow(
            positions, np.broadcast_to(6 * np.eye(3), (2, 3, 3))
        )


def test_command_line(tmp_path, capsys) -> None:
    """From reference data in LAMMPS' format to tables, and a second run that is compared by the first one's contacts."""
    reference = SHARED / "electrolyte" / "val" / "000"
    done = run_cli(
        "coarsen", reference / "topology.data", "--atoms-per-bead", 5, "--trajectory", reference / "traj.lammpstrj.bz2",
        "--out", tmp_path / "beads",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    def run(*options: object) -> int:
        with pytest.raises(SystemExit) as stop:
            main(["analyze", str(tmp_path / "beads"), *map(str, options)])
        assert isinstance(stop.value.code, int)
        return stop.value.code

    assert run("--discard", "20tau", "--out", tmp_path / "out") == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "system species molecules D (sigma^2/tau) x_T^2/6T peak of g with cation at (sigma)" in lines
    [lithium] = [line.split() for line in lines if line.startswith("000 Li ")]
    assert lithium[2] == "20"
    assert float(lithium[3]) == pytest.approx(0.118, rel=0.2)
    assert any("collisions per frame, cation transference number" in line for line in lines)

    contacts = tmp_path / "out" / "000" / "contacts.json"
    assert run("--out", tmp_path / "again", "--stride", 5, "--contacts", contacts) == 0
    assert (tmp_path / "again" / "000" / "contacts.json").read_text() == contacts.read_text()
    assert run("--out", tmp_path / "again", "--stride", 5, "--collision-distance", 0.5) == 0
    [content] = json.loads((tmp_path / "again" / "analysis.json").read_text())
    assert {item["distance"] for item in content["electrolyte"]["collisions"]} == {0.5}
    assert math.isfinite(content["electrolyte"]["transference_number"]["value"])
    capsys.readouterr()
    for options in (["--contacts", contacts, "--collision-distance", 1], ["--collision-distance", -1]):
        assert run(*options) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
