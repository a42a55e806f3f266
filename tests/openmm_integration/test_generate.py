import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import MDAnalysis
import mdtraj
import numpy as np
import pytest
from openmm import app

from cgplugin import MolecularSystem, UserError
from cgplugin.cluster.clusters import Workers
from cgplugin.files import sole_writer
from cgplugin.observables.statistics import standard_error
from cgplugin.systems.force_field import built_in
from openmm_integration.ground_truth.chemical_space import sample_sequence
from openmm_integration.ground_truth.generate import GenerateSpec, _generate_group, _Group, generate, sample_systems
from openmm_integration.ground_truth.md_jobs import Resources
from tests.conftest import run_cli

SHORT = {"n_systems": 4, "n_units": 6, "length": 4, "recording_interval": 0.5, "relaxation": 2, "chains_per_context": 2}


def write_spec(path: Path, **changes: object) -> Path:
    path.write_text(json.dumps({**SHORT, **changes}))
    return path


def test_output_is_what_others_read(tmp_path: Path) -> None:
    folders = generate(GenerateSpec(**SHORT), tmp_path / "out", workers=1)
    assert [folder.name for folder in folders] == ["0000", "0001", "0002", "0003"]
    for folder in folders:
        system = MolecularSystem.load(folder / "system.json")
        assert system.units == "lj"
        assert system.recording_interval == 0.5
        assert system.provenance["class"] == "I"
        assert system.provenance["platform"] == "CPU"
        pdb, dcd = str(folder / "topology.pdb"), str(folder / "trajectory.dcd")
        trajectory = mdtraj.load(dcd, top=pdb)
        assert trajectory.n_frames == 9
        assert sorted((a.index, b.index) for a, b in trajectory.topology.bonds) == [
            tuple(b) for b in system.bonds.tolist()
        ]
        assert app.PDBFile(pdb).topology.getNumBonds() == len(system.bonds)
        universe = MDAnalysis.Universe(pdb, dcd)
        assert len(universe.bonds) == len(system.bonds)
        with mdtraj.formats.DCDTrajectoryFile(dcd) as file:
            angstrom = file.read()[0]
        for frame, expected in zip(universe.trajectory, angstrom, strict=True):
            np.testing.assert_array_equal(frame.positions, expected)
        np.testing.assert_allclose(mdtraj.load_pdb(pdb).xyz[0], trajectory.xyz[0], atol=1e-4)
        lengths = np.linalg.norm(np.diff(trajectory.xyz[:, system.bonds], axis=2)[:, :, 0], axis=-1)
        assert 0.9 < lengths.mean() < 1.1


def test_systems_are_named_by_seed_and_index_alone() -> None:
    def sequences(n: int, seed: int) -> list:
        spec = GenerateSpec(n_systems=n, seed=seed)
        return [system.provenance["sequence"] for system in sample_systems(spec, built_in())]

    assert sequences(3, 1) == sequences(8, 1)[:3]
    assert sequences(3, 1) != sequences(3, 2)


def test_polymer_classes() -> None:
    for seed in range(30):
        regular = sample_sequence(built_in(), "I", 40, (seed,))
        assert regular.units == regular.units_drawn * 10
        random = sample_sequence(built_in(), "II", 40, (seed,))
        assert set(random.units) <= set(random.units_drawn)
        assert len(random.units) == 40
    drawn = np.array([sample_sequence(built_in(), "II", 4, (seed,)).units_drawn for seed in range(500)])
    counts = np.bincount(drawn.reshape(-1), minlength=10)
    # ten units, equally likely: chi squared with nine degrees of freedom
    assert ((counts - 200) ** 2 / 200).sum() < 30


def test_killed_run_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    spec = write_spec(tmp_path / "spec.yaml", n_systems=6, relaxation=40)
    command = ["generate", spec, "--workers", 1, "--threads", 1]
    alone = run_cli(*command, "--out", tmp_path / "alone")
    assert alone.returncode == 0, alone.stderr
    words = [sys.executable, "-m", "cgplugin", *map(str, command), "--out", str(tmp_path / "killed")]
    process = subprocess.Popen(words)
    deadline = time.monotonic() + 60
    while not (tmp_path / "killed" / "0001").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    # what a kill in the middle of writing leaves behind
    (tmp_path / "killed" / ".0005.partial").mkdir()
    (tmp_path / "killed" / ".0005.partial" / "trajectory.dcd").write_bytes(b"half")
    there = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "killed").glob("0*")}
    assert 0 < len(there) < 6
    done = run_cli(*command, "--out", tmp_path / "killed")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "killed").glob(".*")) == [".lock"]
    for name, written in there.items():
        assert (tmp_path / "killed" / name).stat().st_mtime_ns == written
    for number in range(6):
        a, b = (tmp_path / run / f"{number:04d}" / "trajectory.dcd" for run in ("alone", "killed"))
        # the header of a DCD file has the date
        assert a.read_bytes()[300:] == b.read_bytes()[300:]


def test_number_of_processes_does_not_matter(tmp_path: Path) -> None:
    spec = GenerateSpec(**SHORT)
    for workers in (1, 2):
        generate(spec, tmp_path / str(workers), workers=workers, threads=1)
    for number in range(4):
        a, b = (
            mdtraj.load(
                tmp_path / w / f"{number:04d}" / "trajectory.dcd", top=tmp_path / w / f"{number:04d}" / "topology.pdb"
            )
            for w in "12"
        )
        np.testing.assert_array_equal(a.xyz, b.xyz)


def test_cores_and_missing_systems_do_not_change_the_threads(tmp_path: Path) -> None:
    """OpenMM's CPU platform gives other noise with other numbers of threads."""
    whole = generate(GenerateSpec(**SHORT), tmp_path / "whole")
    generate(GenerateSpec(**SHORT), tmp_path / "parts")
    shutil.rmtree(tmp_path / "parts" / "0003")
    parts = generate(GenerateSpec(**SHORT), tmp_path / "parts")
    for a, b in zip(whole, parts, strict=True):
        assert (a / "trajectory.dcd").read_bytes()[300:] == (b / "trajectory.dcd").read_bytes()[300:]
        assert MolecularSystem.load(a / "system.json").provenance["threads"] == 1


def test_another_spec_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    generate(GenerateSpec(**SHORT), tmp_path, workers=1)
    with pytest.raises(UserError, match="holds systems of a spec that differs in seed"):
        generate(GenerateSpec(**SHORT, seed=5), tmp_path)


def test_number_of_systems_may_change_by_whole_groups(tmp_path: Path) -> None:
    def ask(n: int) -> int:
        return len(generate(GenerateSpec(**{**SHORT, "n_systems": n}), tmp_path, workers=1))

    assert ask(4) == 4
    assert ask(2) == 2
    assert ask(5) == 5
    assert ask(4) == 4
    for n in (3, 6):
        with pytest.raises(UserError, match=r"do not fill the last group of 2: use another folder, or change"):
            ask(n)
    assert sorted(path.name for path in tmp_path.glob("0*")) == ["0000", "0001", "0002", "0003", "0004"]


def test_two_at_once_in_a_folder(tmp_path: Path) -> None:
    with (
        sole_writer(tmp_path, "cgplugin generate"),
        pytest.raises(UserError, match="another cgplugin generate is at work here"),
    ):
        generate(GenerateSpec(**SHORT), tmp_path)
    assert len(generate(GenerateSpec(**SHORT), tmp_path, workers=1)) == 4


def test_last_lines_say_how_fast_and_where(tmp_path: Path) -> None:
    (tmp_path / "options.yaml").write_text("workers: 1\nn-systems: 2\n")
    spec = write_spec(tmp_path / "spec.yaml")
    for first in (True, False):
        done = run_cli("generate", spec, "--out", tmp_path / "out", "--config", tmp_path / "options.yaml")
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        *speed, where = done.stdout.splitlines()
        assert where == f"2 systems in {tmp_path / 'out'}: 0000 to 0001"
        assert len(speed) == first
    pattern = r"2 systems generated in \d+ s on \w+: [0-9.e+]+ tau/s, [0-9.e+]+ million bead-steps/s"
    assert re.fullmatch(
        pattern, run_cli("generate", spec, "--out", tmp_path / "b", "--n-systems", 2).stdout.splitlines()[0]
    )


def test_steps_are_told_to_the_last(tmp_path: Path) -> None:
    """The progress bar ends at its total: relaxation and recording of all chains."""
    told: list[float] = []
    spec = GenerateSpec(**{**SHORT, "n_systems": 2})
    group = _Group(spec, built_in(), sample_systems(spec, built_in()), 0, tmp_path, Resources("CPU", 1, Workers()))
    _generate_group(group, told.append)
    assert sum(told) == pytest.approx(2 * (2 + 4))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_system": 3}, "unknown entry 'n_system', the entries are"),
        ({"polymer_class": "III"}, "unknown polymer class 'III'"),
        ({"n_systems": 0}, "n_systems is 0"),
        ({"length": -1}, "length is -1"),
        ({"recording_interval": 0.005}, "is no multiple of"),
        ({"force_field": "nylon"}, "unknown force field 'nylon': give a file or one of electrolyte, polymer"),
        ({"force_field": "missing.json"}, "no such file"),
        ({"sequences": [[0, 77]]}, "position 1 has the constitutional unit 77"),
        ({"sequences": [[0], [1.5]]}, "chain 1 of sequences is [1.5], expected a list of indices"),
        ({"sequences": 5}, "sequences is 5, expected a list of chains"),
        ({"n_systems": True}, "n_systems is True, expected an integer"),
        ({"length": 1.2}, "the length of 1.2 is no multiple of the recording interval of 0.5"),
        ({"relaxation": "long"}, "relaxation is 'long', expected a time"),
        ({"force_field": None}, "force_field is None, expected a file or a name"),
        ({"name": "../elsewhere"}, "name is '../elsewhere', expected letters, digits"),
    ],
)
def test_bad_specs(tmp_path: Path, changes: dict, message: str) -> None:
    spec = write_spec(tmp_path / "spec.yaml", **changes)
    done = run_cli("generate", spec, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--threads", 0], "threads is 0, expected at least 1"),
        (["--workers", 0], "workers is 0, expected at least 1"),
        (["--platform", "Abacus"], "unknown platform 'Abacus': this OpenMM has"),
        (["--seed", -3], "seed is -3, expected an integer of at least 0"),
        (["--seed", "x"], "'x' is not a valid integer"),
        (["--config", "missing.yaml"], "missing.yaml: no such file"),
    ],
)
def test_bad_options(tmp_path: Path, options: list, message: str) -> None:
    done = run_cli("generate", write_spec(tmp_path / "spec.yaml"), "--out", tmp_path / "out", *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        done = run_cli("generate", write_spec(tmp_path / "spec.yaml"), "--out", out)
        assert done.returncode == 2
        assert f"{out}: cannot be written" in done.stderr
        assert done.stderr.count("\n") == 1


def test_number_of_systems_does_not_go_with_sequences(tmp_path: Path) -> None:
    spec = write_spec(tmp_path / "spec.yaml", sequences=[[0, 1]])
    done = run_cli("generate", spec, "--out", tmp_path / "out", "--n-systems", 4)
    assert done.returncode == 2
    assert "--n-systems does not apply" in done.stderr


def test_unknown_bead_type_in_a_force_field(tmp_path: Path) -> None:
    raw = json.loads(json.dumps(built_in().raw))
    raw["constitutional_units"].append(["B1", "Q7"])
    (tmp_path / "own.json").write_text(json.dumps(raw))
    done = run_cli("generate", write_spec(tmp_path / "spec.yaml", force_field="own.json"), "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "own.json: unknown bead type 'Q7', the bead types are B1, B2, S1, S2" in done.stderr


def test_start_is_relaxed_and_chains_are_of_the_right_size(tmp_path: Path) -> None:
    """Rg^2 of a flexible chain without attraction is close to that of a self-avoiding walk: neither a rod nor a globule."""
    spec = GenerateSpec(sequences=[[0] * 20] * 16, length=60, recording_interval=2, relaxation=60, chains_per_context=8)
    folders = generate(spec, tmp_path)
    means = []
    for folder in folders:
        trajectory = mdtraj.load(folder / "trajectory.dcd", top=folder / "topology.pdb")
        means.append((mdtraj.compute_rg(trajectory) ** 2).mean())
    ideal = 20 / 6
    assert ideal < np.mean(means) < 2.5 * ideal
    assert standard_error(np.array(means)) < 0.4
