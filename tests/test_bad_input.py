"""What a user may get wrong: one line that names the culprit, exit status 2, and nothing half-written."""

import bz2
import json
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import mdtraj
import numpy as np
import pytest

from cgplugin import MolecularSystem, UserError
from cgplugin.files import replacing, write_json, write_text
from tests.conftest import POLYMER, SHARED, run_cli


def refused(*arguments: object, message: str) -> None:
    done = run_cli(*arguments)
    assert done.returncode == 2, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("cgplugin: ")
    assert message in lines[0], lines[0]
    assert "Traceback" not in done.stderr


@pytest.fixture
def lammps_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "p"
    shutil.copytree(POLYMER / "train" / "000", folder)
    folder.chmod(0o755)
    for item in folder.iterdir():
        item.chmod(0o644)
    return folder


@pytest.fixture
def openmm_folder(tmp_path: Path) -> Path:
    """A folder as ``cgplugin generate`` writes it."""
    from openmm_integration.ground_truth.generate import GenerateSpec, generate

    spec = GenerateSpec(n_systems=1, n_units=8, length=40, recording_interval=1, relaxation=1)
    return generate(spec, tmp_path / "data")[0]


@pytest.mark.skipif(not (SHARED / "electrolyte").is_dir(), reason="the reference data are not there")
def test_electrolyte_with_an_unknown_charge(tmp_path: Path) -> None:
    """Its lone file is that of the built-in force field only as long as all charges are."""
    path = tmp_path / "x.data"
    text = (SHARED / "electrolyte" / "train" / "000" / "topology.data").read_text()
    path.write_text(text)
    assert run_cli("coarsen", path, "--atoms-per-bead", 5).returncode == 0
    path.write_text(text.replace(" 8 -0.3 ", " 8 -0.2 ", 1))
    refused("coarsen", path, message="x.data: the file does not say its LAMMPS unit style: give --lammps-units")


def rewrite_dump(folder: Path, change) -> None:
    path = folder / "traj.lammpstrj.bz2"
    text = bz2.decompress(path.read_bytes()).decode()
    path.write_bytes(bz2.compress(change(text).encode()))


def train(folder: Path, tmp_path: Path, *options: object) -> tuple[object, ...]:
    return ("train", "--data", folder.parent, "--out", tmp_path / "m.pt", "--steps", 2, *options)


def test_trajectory_of_another_system(lammps_folder: Path, tmp_path: Path) -> None:
    shutil.copy(POLYMER / "train" / "003" / "traj.lammpstrj.bz2", lammps_folder / "traj.lammpstrj.bz2")
    refused(*train(lammps_folder, tmp_path), message="traj.lammpstrj.bz2: has")


def test_atom_count_of_a_dcd_file(openmm_folder: Path, tmp_path: Path) -> None:
    path = openmm_folder / "trajectory.dcd"
    with mdtraj.formats.DCDTrajectoryFile(str(path), "w", force_overwrite=True) as file:
        file.write(np.zeros((5, 3, 3), dtype=np.float32))
    refused(*train(openmm_folder, tmp_path), message="trajectory.dcd: has 3 atoms, but its topology has")


def test_nan_in_a_dump(lammps_folder: Path, tmp_path: Path) -> None:
    rewrite_dump(lammps_folder, lambda text: text.replace("-5.123 1.892 3.270", "-5.123 nan 3.270", 1))
    refused(*train(lammps_folder, tmp_path), message="traj.lammpstrj.bz2:10: 'nan' is not a finite number")


def test_nan_in_a_dcd_file(openmm_folder: Path, tmp_path: Path) -> None:
    path = openmm_folder / "trajectory.dcd"
    with mdtraj.formats.DCDTrajectoryFile(str(path)) as file:
        frames = file.read()[0].copy()
    frames[7, 2, 1] = np.nan
    with mdtraj.formats.DCDTrajectoryFile(str(path), "w", force_overwrite=True) as file:
        file.write(frames)
    refused(*train(openmm_folder, tmp_path), message="trajectory.dcd: the position of atom 2 in frame 7 is not finite")


def test_bond_to_a_missing_atom(openmm_folder: Path, tmp_path: Path) -> None:
    path = openmm_folder / "system.json"
    content = json.loads(path.read_text())
    content["bonds"][3] = [0, 999]
    path.write_text(json.dumps(content))
    refused(
        *train(openmm_folder, tmp_path),
        message="system.json: 0000: bond 3 joins atoms 0 and 999, but the atoms are 0 to",
    )


def test_bond_to_a_missing_atom_in_a_data_file(lammps_folder: Path, tmp_path: Path) -> None:
    path = lammps_folder / "topology.data"
    path.write_text(path.read_text().replace("1 1 19 20\n", "1 1 19 2000\n"))
    refused(*train(lammps_folder, tmp_path), message="topology.data:229: atom 2000 is not in the section Atoms")


def test_stride_longer_than_the_trajectory(lammps_folder: Path, tmp_path: Path) -> None:
    refused(*train(lammps_folder, tmp_path, "--time-step", 100), message="are too few for training and validation")


def test_time_step_between_frames(lammps_folder: Path, tmp_path: Path) -> None:
    refused(
        *train(lammps_folder, tmp_path, "--time-step", 2.5),
        message="time step of 2.5 is no multiple of the recording interval of 1",
    )


def test_empty_and_missing_folders(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused("train", "--data", tmp_path / "empty", "--out", tmp_path / "m.pt", message="empty: holds no training data")
    refused("train", "--data", tmp_path / "no", "--out", tmp_path / "m.pt", message="no: no such folder")
    refused("analyze", tmp_path / "empty", message="holds no trajectory.dcd")


def test_damaged_archive(lammps_folder: Path, tmp_path: Path) -> None:
    path = lammps_folder / "traj.lammpstrj.bz2"
    path.write_bytes(path.read_bytes()[:2000])
    refused(
        *train(lammps_folder, tmp_path),
        message="traj.lammpstrj.bz2: the compressed data end early or are damaged (Compressed file ended before the "
        "end-of-stream marker was reached): no frame is whole",
    )


def test_archive_with_whole_frames_is_used_with_a_warning(lammps_folder: Path, tmp_path: Path) -> None:
    path = lammps_folder / "traj.lammpstrj.bz2"
    text = bz2.decompress(path.read_bytes())
    # compressed in two streams, of which the second is cut: so are bzip2 files of many blocks
    half = len(text) // 2
    path.write_bytes(bz2.compress(text[:half]) + bz2.compress(text[half:])[:2000])
    done = run_cli(*train(lammps_folder, tmp_path))
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "traj.lammpstrj.bz2" in line]
    assert line.startswith("cgplugin: warning: ")
    assert "the compressed data end early or are damaged" in line
    assert line.endswith("whole frames are read")


def test_unknown_bead_type(small_model: Path, lammps_folder: Path, tmp_path: Path) -> None:
    path = lammps_folder / "topology.data"
    text = path.read_text().replace("4 atom types", "5 atom types").replace("\n4 1\n\nAtoms", "\n4 1\n5 1\n\nAtoms")
    path.write_text(text.replace("\n19 1 3 ", "\n19 1 5 "))
    refused(
        "simulate", small_model, path, "--time", 10, "--out", tmp_path / "o",
        message="atom 18 has type '5', which the model never saw; it knows B1, B2, S1, S2",
    )  # fmt: skip
    assert not (tmp_path / "o").exists()


def test_model_that_is_none(polymer_data: Path, tmp_path: Path) -> None:
    refused("simulate", polymer_data, polymer_data, "--time", 10, "--out", tmp_path, message="not a model of cgplugin")
    refused(
        "simulate", tmp_path / "no.pt", polymer_data, "--time", 10, "--out", tmp_path, message="no.pt: no such file"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--time", "tau"], "'tau' is not a positive time"),
        (["--time", "-5"], "'-5' is not a positive time"),
        (["--time", "5ns"], "the model is in reduced units"),
        (["--time", "100", "--replicas", "0"], "replicas is 0"),
        (["--time", "100", "--report-interval", "0"], "report-interval is 0"),
        (["--time", "100", "--platform", "Abacus"], "unknown platform 'Abacus'"),
        (["--time", "100", "--seed", "-1"], "seed is -1"),
        (["--time", "100", "--speed", "9"], "--speed"),
        ([], "Missing option '--time'"),
    ],
)
def test_options_of_simulate(
    small_model: Path, polymer_data: Path, tmp_path: Path, options: list, message: str
) -> None:
    refused("simulate", small_model, polymer_data, "--out", tmp_path / "o", *options, message=message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stepps: 4", "unknown option 'stepps', the options are"),
        ("[1, 2", "not a readable YAML file"),
        ("- 1", "expected a mapping"),
    ],
)
def test_config_files(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    refused("train", "--config", tmp_path / "c.yaml", "--data", tmp_path, "--out", tmp_path / "m.pt", message=message)


def test_config_file_gives_defaults_that_options_override(lammps_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        f"data: ['{lammps_folder.parent}']\nsteps: 1\nhidden: 8\nseed: 4\nout: {tmp_path / 'a.pt'}\n"
    )
    done = run_cli("train", "--config", tmp_path / "c.yaml", "--seed", 5, "--threads", 1)
    assert done.returncode == 0, done.stderr
    recorded = json.loads((tmp_path / "a.training" / "training.json").read_text())
    assert recorded["options"]["seed"] == 5
    assert recorded["network"]["hidden"] == 8


def test_unknown_command() -> None:
    refused("simulat", message="No such command 'simulat'")


def test_missing_system_json(openmm_folder: Path, tmp_path: Path) -> None:
    (openmm_folder / "system.json").unlink()
    refused(
        *train(openmm_folder, tmp_path), message="a PDB file does not say types and masses: put system.json beside it"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("masses"), "the entry 'masses' is missing"),
        (lambda c: c.update(format="else"), "not a cgplugin system file"),
        (lambda c: c.update(version=99), "version 99, this cgplugin reads version 1"),
        (lambda c: c["masses"].__setitem__(0, -1), "atom 0 (A) has mass -1.0"),
        (lambda c: c.update(units="imperial"), "unknown units 'imperial'"),
        (lambda c: c["bond_types"].pop(), "1 bond types for 2 bonds"),
        (lambda c: c["bonds"].__setitem__(0, [1, 1]), "bond 0 joins atom 1 to itself"),
        (lambda c: c["bonds"].__setitem__(0, [2, 1]), "the bond between atoms 2 and 1 is listed twice"),
        (lambda c: c.update(masses="heavy"), "an entry has the wrong form"),
    ],
)
def test_system_files(tmp_path: Path, change, message: str) -> None:
    path = tmp_path / "system.json"
    MolecularSystem(("A", "B", "C"), np.ones(3), np.array([[0, 1], [1, 2]]), ("x", "y")).save(path)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(UserError) as caught:
        MolecularSystem.load(path)
    assert message in str(caught.value)
    assert "system.json" in str(caught.value)


def test_system_file_keeps_everything(tmp_path: Path) -> None:
    system = MolecularSystem(
        ("A", "B", "C"), np.array([1.5, 2, 3]), np.array([[2, 1], [0, 1]]), ("y", "x"), charges=np.array([0.5, -0.5, 0]),
        units="lj", name="n", force_field={"a": 1}, recording_interval=0.5, unwrapped=True, provenance={"seed": 3},
    )  # fmt: skip
    system.save(tmp_path / "system.json")
    loaded = MolecularSystem.load(tmp_path / "system.json")
    assert loaded.bonds.tolist() == [[0, 1], [1, 2]]
    assert loaded.bond_types == ("x", "y")
    for name in ("atom_types", "units", "name", "force_field", "recording_interval", "unwrapped", "provenance"):
        assert getattr(loaded, name) == getattr(system, name)
    np.testing.assert_array_equal(loaded.masses, system.masses)
    np.testing.assert_array_equal(loaded.charges, system.charges)


def test_interrupted_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_json(path, {"old": True})

    def write_half() -> None:
        with replacing(path) as temporary:
            temporary.write_text("{half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert json.loads(path.read_text()) == {"old": True}
    assert [item.name for item in tmp_path.iterdir()] == ["result.json"]


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_text(tmp_path / "file" / "below.txt", "x")


@pytest.mark.parametrize("command", ["simulate", "generate"])
def test_full_disk(small_model: Path, polymer_data: Path, tmp_path: Path, command: str) -> None:
    """A limit on the size of files stands in for a full disk: the write fails, the message is one line, status 2."""
    if command == "simulate":
        words = ["simulate", small_model, polymer_data, "--time", 200_000, "--report-interval", 1, "--threads", 1]
    else:
        (tmp_path / "spec.yaml").write_text("n_systems: 1\nlength: 40\nrecording_interval: 0.1\nrelaxation: 1\n")
        words = ["generate", tmp_path / "spec.yaml"]

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    done = subprocess.run(
        [sys.executable, "-m", "cgplugin", *map(str, words), "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit,
    )
    assert done.returncode == 2, done.stderr
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    if command == "generate":
        assert not (tmp_path / "out" / "0000").exists()


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = run_cli("analyze", tmp_path, "--debug")
    assert done.returncode == 2
    assert "Traceback" in done.stderr
