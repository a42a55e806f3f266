"""``cgplugin analyze`` on trajectories whose properties are known, and on damaged ones."""

import csv
import json
import math
import shutil
from pathlib import Path

import mdtraj
import numpy as np
import pytest

import cgplugin.systems.trajectory_files
from cgplugin import MolecularSystem, UserError
from cgplugin.analysis.analyze import analyze
from cgplugin.cli.main import main
from cgplugin.observables.chains import squared_radius_of_gyration
from tests.conftest import run_cli

N_BEADS, N_FRAMES, TIME_STEP, REPORT_INTERVAL = 6, 40, 5.0, 10


def chain_frames(n_frames: int = N_FRAMES, n: int = N_BEADS, seed: int = 0) -> np.ndarray:
    """Freely jointed chains with bonds of 2 nm."""
    bonds = np.random.default_rng(seed).normal(size=(n_frames, n - 1, 3))
    bonds *= 2 / np.linalg.norm(bonds, axis=-1, keepdims=True)
    return np.concatenate([np.zeros((n_frames, 1, 3)), bonds.cumsum(axis=1)], axis=1).astype(np.float32)


def write_trajectory(folder: Path, positions: np.ndarray, bonds: list[tuple[int, int]], box: float = 0) -> Path:
    """``topology.pdb`` with CONECT and ``trajectory.dcd``, by mdtraj."""
    folder.mkdir(parents=True)
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    atoms = [
        topology.add_atom(f"C{n}", mdtraj.element.carbon, topology.add_residue("MOL", chain))
        for n in range(positions.shape[1])
    ]
    for i, j in bonds:
        topology.add_bond(atoms[i], atoms[j])
    trajectory = mdtraj.Trajectory(positions, topology)
    trajectory[0].save_pdb(folder / "topology.pdb")
    if box:
        trajectory.unitcell_lengths = np.full((len(positions), 3), box)
        trajectory.unitcell_angles = np.full((len(positions), 3), 90.0)
    trajectory.save_dcd(folder / "trajectory.dcd")
    return folder


def linear(n: int = N_BEADS) -> list[tuple[int, int]]:
    return [(i, i + 1) for i in range(n - 1)]


def simulated(folder: Path, seed: int = 0, units: str = "lj", rg2: np.ndarray | None = None) -> Path:
    """What ``cgplugin simulate`` leaves behind."""
    write_trajectory(folder, chain_frames(seed=seed), linear())
    masses = np.arange(1.0, N_BEADS + 1)
    (folder / "mapping.json").write_text(
        json.dumps({"beads": [[i] for i in range(N_BEADS)], "masses": masses.tolist()})
    )
    summary = {"name": folder.name, "units": units, "time_step": TIME_STEP, "report_interval": REPORT_INTERVAL}
    (folder / "summary.json").write_text(json.dumps(summary))
    n_steps = N_FRAMES * REPORT_INTERVAL
    values = np.random.default_rng(seed).normal(20, 3, size=n_steps) if rg2 is None else rg2
    rows = [f"{TIME_STEP * (n + 1):g},{value:.7g}" for n, value in enumerate(values)]
    (folder / "properties.csv").write_text("\r\n".join(["time,rg2", *rows]) + "\r\n")
    return folder


def generated(folder: Path, **options) -> Path:
    """What ``cgplugin generate`` leaves behind."""
    write_trajectory(folder, chain_frames(), linear())
    system = MolecularSystem(
        ("A",) * N_BEADS,
        np.arange(1.0, N_BEADS + 1),
        np.array(linear()),
        ("b",) * (N_BEADS - 1),
        **{"units": "lj", "name": folder.name, "recording_interval": 2.0, **options},
    )
    system.save(folder / "system.json")
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_simulated_system(tmp_path):
    folder = simulated(tmp_path / "runs" / "chain")
    [result] = analyze(tmp_path / "runs")
    frames, masses = chain_frames().astype(np.float64), np.arange(1, N_BEADS + 1)

    # Rg^2 is the model's, at every step; that of the beads stands beside it, in nm although a DCD is in angstrom
    properties = rows_of(folder / "properties.csv")
    np.testing.assert_allclose(result.series, [float(row["rg2"]) for row in properties])
    np.testing.assert_allclose(result.times, TIME_STEP * np.arange(1, 401))
    np.testing.assert_allclose(result.frame_rg2, squared_radius_of_gyration(frames, masses), rtol=1e-5)
    assert result.rg2_beads.mean == pytest.approx(squared_radius_of_gyration(frames, masses).mean(), rel=1e-5)
    np.testing.assert_allclose(result.frame_times, 50 * np.arange(1, 41))

    distances = np.linalg.norm(frames[:, -1] - frames[:, 0], axis=-1)
    np.testing.assert_allclose(result.frame_end_to_end, distances, rtol=1e-5)
    assert result.end_to_end.mean == pytest.approx(distances.mean(), rel=1e-5)
    assert result.mean_squared_end_to_end == pytest.approx((distances**2).mean(), rel=1e-5)
    assert result.longest_bond == pytest.approx(2, rel=1e-5)
    assert (result.n_frames, result.duration, result.interval) == (40, 1995, 5)
    assert (result.name, result.units, result.masses_known) == ("chain", "lj", True)
    # white noise relaxes faster than it is recorded
    assert "shorter than the interval" in result.relaxation.reason
    assert result.rg2.standard_error == pytest.approx(3 / 20, rel=0.3)


def test_relaxation_of_a_simulated_process(tmp_path):
    decay = math.exp(-1 / 4)
    rng, values = np.random.default_rng(1), [0.0]
    for noise in rng.normal(size=N_FRAMES * REPORT_INTERVAL - 1):
        values.append(decay * values[-1] + math.sqrt(1 - decay**2) * noise)
    simulated(tmp_path / "chain", rg2=20 + np.array(values))
    [result] = analyze(tmp_path)
    assert result.relaxation.time == pytest.approx(4 * TIME_STEP, abs=3 * result.relaxation.error)


def test_generated_system(tmp_path):
    generated(tmp_path / "chain")
    [result] = analyze(tmp_path)
    assert result.rg2_beads is None
    np.testing.assert_allclose(result.times, 2.0 * np.arange(40))
    expected = squared_radius_of_gyration(chain_frames(), np.arange(1, N_BEADS + 1))
    np.testing.assert_allclose(result.series, expected, rtol=1e-5)


def test_trajectory_without_description(tmp_path):
    write_trajectory(tmp_path / "chain", chain_frames(), linear())
    with pytest.raises(UserError, match="give --interval"):
        analyze(tmp_path)
    [result] = analyze(tmp_path, interval=0.5)
    assert not result.masses_known
    assert result.units == "openmm"
    assert result.interval == 0.5
    np.testing.assert_allclose(result.series, squared_radius_of_gyration(chain_frames(), np.ones(6)), rtol=1e-5)


def test_unfinished_run_knows_masses_but_no_interval(tmp_path):
    (simulated(tmp_path / "chain") / "summary.json").unlink()
    with pytest.raises(UserError, match="give --interval"):
        analyze(tmp_path)
    [result] = analyze(tmp_path, interval=50.0)
    assert result.masses_known
    expected = squared_radius_of_gyration(chain_frames(), np.arange(1, N_BEADS + 1))
    np.testing.assert_allclose(result.frame_rg2, expected, rtol=1e-5)


def test_discard_and_stride(tmp_path):
    simulated(tmp_path / "chain")
    [whole] = analyze(tmp_path)
    [part] = analyze(tmp_path, discard=500.0, stride=4)
    np.testing.assert_array_equal(part.frame_times, [50 * n for n in range(1, 41, 4) if 50 * n >= 500])
    kept = np.isin(whole.frame_times, part.frame_times)
    np.testing.assert_array_equal(part.frame_rg2, whole.frame_rg2[kept])
    # the properties are used whole, but for the beginning
    np.testing.assert_array_equal(part.series, whole.series[whole.times >= 500])


def test_discard_with_a_unit(tmp_path):
    generated(tmp_path / "chain", units="openmm", recording_interval=100.0)
    [result] = analyze(tmp_path, discard="1ns")
    assert result.times[0] == 1000


def test_blocks_of_frames_change_nothing(tmp_path, monkeypatch):
    generated(tmp_path / "chain")
    for stride in (1, 3):
        [whole] = analyze(tmp_path, stride=stride)
        monkeypatch.setattr(cgplugin.systems.trajectory_files, "BLOCK_BYTES", 7 * 24 * N_BEADS)
        [pieces] = analyze(tmp_path, stride=stride)
        monkeypatch.undo()
        np.testing.assert_array_equal(pieces.frame_times, whole.frame_times)
        np.testing.assert_array_equal(pieces.frame_rg2, whole.frame_rg2)
        np.testing.assert_array_equal(pieces.frame_end_to_end, whole.frame_end_to_end)


def test_several_molecules(tmp_path):
    """Two chains and an ion: means over the chains, none over distances between molecules."""
    one, other = chain_frames(n=4, seed=1), chain_frames(n=6, seed=2)
    positions = np.concatenate([one, other + 50, np.full((N_FRAMES, 1, 3), -30, dtype=np.float32)], axis=1)
    write_trajectory(tmp_path / "blend", positions, linear(4) + [(4 + i, 4 + j) for i, j in linear(6)])
    [result] = analyze(tmp_path, interval=1.0)
    expected = [squared_radius_of_gyration(x.astype(np.float64), np.ones(x.shape[1])) for x in (one, other)]
    np.testing.assert_allclose(result.frame_rg2, np.mean(expected, axis=0), rtol=1e-4)
    squared = [((x[:, -1] - x[:, 0]) ** 2).sum(axis=-1).mean() for x in (one, other)]
    assert result.mean_squared_end_to_end == pytest.approx(np.mean(squared), rel=1e-4)


def test_wrapped_atoms_are_made_whole(tmp_path):
    positions, box = chain_frames(), 5.0
    write_trajectory(tmp_path / "wrapped" / "chain", np.mod(positions, box), linear(), box=box)
    write_trajectory(tmp_path / "whole" / "chain", positions, linear())
    [wrapped] = analyze(tmp_path / "wrapped", interval=1.0)
    [whole] = analyze(tmp_path / "whole", interval=1.0)
    np.testing.assert_allclose(wrapped.frame_rg2, whole.frame_rg2, rtol=1e-4)
    assert wrapped.longest_bond == pytest.approx(2, rel=1e-4)


def test_files(tmp_path):
    runs = tmp_path / "runs"
    for n in range(2):
        simulated(runs / "chain" / f"replica-{n}", seed=n)
    before = {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()}
    results = analyze(runs)
    # the run's own files are untouched
    assert all(path.read_bytes() == content for path, content in before.items())
    written = {str(path.relative_to(runs)) for path in runs.rglob("*") if path.is_file() and path not in before}
    own = {"analysis.json", "analysis.png", "analysis.svg", "frames.csv", "distribution.csv", "autocorrelation.csv"}
    assert written == {"analysis.csv", "analysis.json", "analysis.png", "analysis.svg"} | {
        f"chain/replica-{n}/{name}" for n in range(2) for name in own
    }

    table = rows_of(runs / "analysis.csv")
    assert [row["name"] for row in table] == ["chain/replica-0", "chain/replica-1"]
    assert float(table[1]["rg2_mean"]) == pytest.approx(results[1].rg2.mean, rel=1e-6)
    assert table[0]["relaxation_time"] == ""
    content = json.loads((runs / "analysis.json").read_text())
    assert content[0] == json.loads((runs / "chain" / "replica-0" / "analysis.json").read_text())
    assert content[0]["relaxation"]["time"] is None
    assert content[0]["rg2"]["standard_error"] == results[0].rg2.standard_error
    assert content[0]["length_unit"] == "sigma"

    place = runs / "chain" / "replica-0"
    frames = rows_of(place / "frames.csv")
    assert float(frames[3]["rg2_beads"]) == pytest.approx(results[0].frame_rg2[3], rel=1e-6)
    assert float(frames[3]["time"]) == 200
    heights = [float(row["density"]) for row in rows_of(place / "distribution.csv")]
    centres = [float(row["rg2"]) for row in rows_of(place / "distribution.csv")]
    assert sum(heights) * (centres[1] - centres[0]) == pytest.approx(1, rel=1e-3)
    decay = rows_of(place / "autocorrelation.csv")
    assert (float(decay[0]["autocorrelation"]), float(decay[2]["lag"])) == (1, 10)


def test_folder_of_one_system_and_output_elsewhere(tmp_path):
    folder = simulated(tmp_path / "chain")
    before = sorted(path.name for path in folder.iterdir())
    [result] = analyze(folder, out=tmp_path / "results")
    assert result.name == "chain"
    assert sorted(path.name for path in folder.iterdir()) == before
    assert {path.name for path in (tmp_path / "results").iterdir()} == {
        "analysis.csv", "analysis.json", "analysis.png", "analysis.svg",
        "frames.csv", "distribution.csv", "autocorrelation.csv",
    }  # fmt: skip


def rewrite(path: Path, function) -> None:
    path.write_bytes(function(path.read_bytes()))


def replace_line(folder: Path, number: int, text: str) -> None:
    lines = (folder / "properties.csv").read_text().splitlines()
    lines[number - 1] = text
    (folder / "properties.csv").write_text("\n".join(lines))


def edit_json(path: Path, **entries) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


def other_atom_count(folder: Path) -> None:
    write_trajectory(folder.parent.parent / "other", chain_frames(n=9), linear(9))
    shutil.copy(folder.parent.parent / "other" / "trajectory.dcd", folder)


def not_a_number(folder: Path) -> None:
    positions = chain_frames()
    positions[17, 2, 1] = np.nan
    write_trajectory(folder.parent.parent / "other", positions, linear())
    shutil.copy(folder.parent.parent / "other" / "trajectory.dcd", folder)


def without_bonds(folder: Path) -> None:
    path = folder / "topology.pdb"
    path.write_text("".join(x for x in path.read_text().splitlines(keepends=True) if not x.startswith("CONECT")))


def dcd(function):
    return lambda folder: rewrite(folder / "trajectory.dcd", function)


def line(number: int, text: str):
    return lambda folder: replace_line(folder, number, text)


def text(name: str, content: str):
    return lambda folder: (folder / name).write_text(content)


def entries(name: str, **values):
    return lambda folder: edit_json(folder / name, **values)


DAMAGE = {
    "cut in a frame": (dcd(lambda b: b[: len(b) // 2 + 5]), "trajectory.dcd", "cut off or damaged at frame"),
    "cut by a byte": (dcd(lambda b: b[:-1]), "trajectory.dcd", "at frame 39, it should have 40"),
    "cut in the header": (dcd(lambda b: b[:50]), "trajectory.dcd", "cannot be read"),
    "empty file": (dcd(lambda _: b""), "trajectory.dcd", "cannot be read"),
    "overwritten": (dcd(lambda b: b[:2000] + b"\x7f" * 600 + b[2600:]), "trajectory.dcd", "damaged at frame"),
    "not a DCD": (dcd(lambda b: b"x" * len(b)), "trajectory.dcd", "cannot be read"),
    "other atom count": (other_atom_count, "trajectory.dcd", "has 9 atoms, but its topology has 6"),
    "not a number": (not_a_number, "trajectory.dcd", "atom 2 in frame 17 is not finite"),
    "no topology": (lambda folder: (folder / "topology.pdb").unlink(), "topology.pdb", "no such file"),
    "no PDB": (text("topology.pdb", "hello\n"), "topology.pdb", "cannot be read"),
    "no bonds": (without_bonds, "topology.pdb", "has no bonds"),
    "no header": (line(1, "5,20"), "properties.csv:1", "header"),
    "word": (line(9, "40,many"), "properties.csv:9", "numbers"),
    "missing cell": (line(9, "40"), "properties.csv:9", "expected 2"),
    "NaN cell": (line(9, "40,nan"), "properties.csv:9", "finite"),
    "time that jumps": (line(9, "90,20"), "properties.csv:9", "does not continue"),
    "time that stands still": (line(3, "5,20"), "properties.csv:3", "does not increase"),
    "other length": (text("properties.csv", "time,rg2\n5,20\n10,21\n"), "properties.csv", "not of one run"),
    "binary": (lambda f: (f / "properties.csv").write_bytes(b"\xff\xfe\x00"), "properties.csv", "cannot be read"),
    "no time step": (text("summary.json", '{"units": "lj"}'), "summary.json", "'time_step' is None"),
    "no JSON": (text("summary.json", '{"units":\n'), "summary.json:2", "not valid JSON"),
    "negative interval": (entries("summary.json", report_interval=-1), "summary.json", "'report_interval' is -1"),
    "unknown units": (entries("summary.json", units="metric"), "summary.json", "'metric'"),
    "masses missing": (text("mapping.json", "{}"), "mapping.json", "'masses'"),
    "too few masses": (entries("mapping.json", masses=[1.0]), "topology.pdb", "1 masses"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_input(kind, tmp_path, capsys):
    damage, culprit, words = DAMAGE[kind]
    # in the second of two systems: nothing is written for the first either
    simulated(tmp_path / "runs" / "a")
    folder = simulated(tmp_path / "runs" / "b")
    damage(folder)
    with pytest.raises(SystemExit) as stop:
        main(["analyze", str(tmp_path / "runs")])
    assert stop.value.code == 2
    output, error = capsys.readouterr()
    assert output == ""
    [message] = error.splitlines()
    assert message.startswith(f"cgplugin: {folder / culprit}: ")
    assert words in message
    assert not list((tmp_path / "runs").rglob("analysis*"))


def test_cut_off_trajectory_of_a_generated_system(tmp_path):
    rewrite(generated(tmp_path / "chain") / "trajectory.dcd", lambda content: content[: len(content) // 2])
    with pytest.raises(UserError, match=r"trajectory\.dcd: cut off or damaged at frame \d+, it should have 40 frames"):
        analyze(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "holds no trajectory.dcd"),
        (["--discard", "-5"], "--discard -5"),
        (["--interval", "0"], "--interval 0"),
        (["--stride", "0"], "stride of 0"),
    ],
)
def test_bad_options_and_empty_folder(arguments, words, tmp_path, capsys):
    if arguments:
        simulated(tmp_path / "chain")
    with pytest.raises(SystemExit) as stop:
        main(["analyze", str(tmp_path), *arguments])
    assert stop.value.code == 2
    assert words in capsys.readouterr().err


def test_nothing_left_after_discarding(tmp_path):
    simulated(tmp_path / "chain")
    with pytest.raises(
        UserError, match=r"less than two frames are left after 1980 tau: it has 40 and ends at 2000 tau"
    ):
        analyze(tmp_path, discard=1980)
    with pytest.raises(UserError, match="'soon' is not a positive time"):
        analyze(tmp_path, discard="soon")


def test_missing_folder_and_different_units(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        analyze(tmp_path / "nowhere")
    simulated(tmp_path / "a")
    simulated(tmp_path / "b", units="openmm")
    with pytest.raises(UserError, match="different units"):
        analyze(tmp_path)


def test_command_line(tmp_path):
    """As a user types it: a table with units, remarks, and where the results are."""
    simulated(tmp_path / "runs" / "first")
    simulated(tmp_path / "runs" / "second", seed=1)
    done = run_cli("analyze", tmp_path / "runs", "--discard", "100tau", "--stride", 2, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert " ".join(lines[0].split()) == "system Rg^2 relaxation time end-to-end longest bond frames time"
    assert lines[2].startswith("first   19.")
    assert " sigma^2 " in lines[2]
    assert lines[3].endswith("19      1900 tau")
    assert any("no relaxation time" in x for x in lines)
    assert str(tmp_path / "out") in lines[-1]
    assert (tmp_path / "out" / "second" / "analysis.png").is_file()


def test_table_names_few_systems_and_counts_many(tmp_path, capsys):
    for n in range(5):
        write_trajectory(tmp_path / f"chain{n}", chain_frames(seed=n), linear())
    with pytest.raises(SystemExit) as stop:
        main(["analyze", str(tmp_path), "--interval", "1", "--paper-acf"])
    assert stop.value.code == 0
    output = capsys.readouterr().out
    assert "5 of 5 systems: masses are unknown and taken as equal" in output
    assert "nm^2" in output
    assert json.loads((tmp_path / "analysis.json").read_text())[0]["rg2_power"] == 2
