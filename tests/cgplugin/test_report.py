"""The report without a browser: what is embedded, where the numbers come from, bad input."""

import base64
import json
import shlex

import click
import mdtraj
import numpy as np
import pytest
from click.testing import CliRunner

from cgplugin import UserError
from cgplugin.cli.main import main
from cgplugin.cli.options import config_option
from cgplugin.cli.report import command_line
from cgplugin.report import trajectory_view
from cgplugin.report.columns import Columns
from cgplugin.report.figures import label, panels, thinned
from cgplugin.report.provenance import ModelRecord, provenance_section, record_command
from cgplugin.report.report import write_report
from cgplugin.report.trajectory_view import trajectory_paths, view_trajectory

N_FRAMES, N_BEADS = 50, 12


@pytest.fixture
def run(tmp_path):
    """Two chains of six beads that fly apart, without a box."""
    folder = tmp_path / "chains" / "replica-0"
    folder.mkdir(parents=True)
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    atoms = [topology.add_atom("CG", mdtraj.element.carbon, topology.add_residue("CGB", chain)) for _ in range(N_BEADS)]
    for i in range(N_BEADS - 1):
        if i != N_BEADS // 2 - 1:
            topology.add_bond(atoms[i], atoms[i + 1])
    steps = np.random.default_rng(0).normal(size=(N_FRAMES, N_BEADS, 3))
    trajectory = mdtraj.Trajectory(steps.cumsum(axis=1) + 100 * np.arange(N_FRAMES)[:, None, None], topology)
    trajectory[0].save_pdb(folder / "topology.pdb")
    trajectory.save_dcd(folder / "trajectory.dcd")
    molecules = [0] * (N_BEADS // 2) + [1] * (N_BEADS // 2)
    mapping = {"beads": [[n] for n in range(N_BEADS)], "masses": [1.0, 8.0] * (N_BEADS // 2), "molecules": molecules}
    (folder / "mapping.json").write_text(json.dumps({**mapping, "species": ["A"] * N_BEADS, "units": "lj"}))
    (folder / "summary.json").write_text(json.dumps({"units": "lj", "time_step": 2.0, "report_interval": 5}))
    return folder


def frames_of(run) -> np.ndarray:
    return mdtraj.load(run / "trajectory.dcd", top=run / "topology.pdb").xyz.astype(np.float64)


def test_embedded_positions_are_those_of_the_trajectory_about_its_centre(run):
    view = view_trajectory(run, "chains")
    content = view.to_json()
    integers = np.frombuffer(base64.b64decode(content["positions"]), dtype="<u2").reshape(N_FRAMES, N_BEADS, 3)
    frames = frames_of(run)
    expected = frames - frames.mean(axis=1, keepdims=True)
    found = content["origin"] + content["step"] * integers
    np.testing.assert_allclose(found, expected, atol=0.51 * content["step"] + 1e-4)
    assert content["step"] < 1e-3
    assert content["times"] == (10.0 * np.arange(1, N_FRAMES + 1)).tolist()
    assert content["boxes"] == []
    assert len(content["bonds"]) == N_BEADS - 2
    # equal density: eight times the mass, twice the radius
    np.testing.assert_allclose(view.radii[1::2], 2 * view.radii[::2])


def test_long_trajectories_are_strided_and_the_page_says_so(run):
    view = view_trajectory(run, "chains", most_positions=10 * N_BEADS)
    frames = frames_of(run)[::5]
    np.testing.assert_allclose(view.positions, frames - frames.mean(axis=1, keepdims=True), atol=1e-4)
    np.testing.assert_allclose(view.times, 10.0 * np.arange(1, N_FRAMES + 1, 5))
    assert view.remark == "10 of 50 frames (every 5th), all 12 beads"


def test_of_large_systems_the_first_whole_molecules_are_shown(run, monkeypatch):
    monkeypatch.setattr(trajectory_view, "MOST_BEADS", N_BEADS - 1)
    view = view_trajectory(run, "chains")
    assert view.positions.shape == (N_FRAMES, N_BEADS // 2, 3)
    assert view.bonds.max() == N_BEADS // 2 - 1
    assert "the first 6 of 12 beads" in view.remark


def test_first_replicas_and_the_best_candidates_come_first(tmp_path):
    for name in ("a/replica-0", "a/replica-1", "b/replica-0", "c/replica-0", ".hidden"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "trajectory.dcd").touch()
    paths, n = trajectory_paths(tmp_path, 3, ["c", "a"])
    assert [str(path.relative_to(tmp_path)) for path in paths] == ["c/replica-0", "a/replica-0", "b/replica-0"]
    assert n == 4


def test_runs_that_flew_apart_are_left_out(tmp_path):
    for name in ("whole", "torn"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "trajectory.dcd").touch()
        (tmp_path / name / "mapping.json").write_text("{}")
    assert trajectory_paths(tmp_path, 3, [])[1] == 2
    (tmp_path / "whole" / "summary.json").write_text("{}")
    assert trajectory_paths(tmp_path, 3, []) == ([tmp_path / "whole"], 1)


def test_screening(tmp_path):
    estimate = {"value": 20.0, "standard_error": 1.0, "block_standard_error": 1.0, "error_is_lower_bound": False}
    ranked = {
        "rank": 1, "name": "<b>best</b>", "value": 20.0, "standard_error": 1.0, "probability_in_top": 0.75,
        "rank_low": 1, "rank_high": 2, "estimates": {"rg2": estimate}, "core_seconds": 3.0,
    }  # fmt: skip
    apart = {"name": "torn", "remark": "the chain came apart", "stretched_steps": 12}
    content = {
        "property": "rg2", "unit": "sigma^2", "ascending": False, "top": 1, "rank_interval_percentiles": [5, 95],
        "core_seconds": 5.0, "ranked": [ranked], "apart": [apart],
    }  # fmt: skip
    (tmp_path / "ranking.json").write_text(json.dumps(content))
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert "<td>&lt;b&gt;best&lt;/b&gt;</td><td>20.0 ± 1.0</td><td>75 %</td><td>1 to 2</td>" in text
    assert "the chain came apart" in text
    assert "<b>best" not in text
    # there is no trajectory, and so no viewer
    assert 'id="stage"' not in text
    assert len(text) < 5_200_000


def test_bad_columns_are_named(tmp_path):
    path = tmp_path / "table.csv"
    for content, expected in (
        ("", "table.csv: is empty"),
        ("a,b\n1,2\n3\n", "table.csv:3: has 1 cells, the header 2"),
        ("a,b\n1,2\n3,x\n", "table.csv:3: b is 'x', expected a number"),
        ("a\n1\n", "table.csv:1: has no column 'b'"),
    ):
        path.write_text(content)
        with pytest.raises(UserError, match=expected):
            Columns(path).numbers("b")
    path.write_text("a,b\nx,\nx,2\ny,3\nx,4\n")
    table = Columns(path)
    np.testing.assert_array_equal(table.numbers("b"), [np.nan, 2, 3, 4])
    assert [(key, rows.tolist()) for key, rows in table.groups("a")] == [(("x",), [0, 1]), (("y",), [2]), (("x",), [3])]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nowhere"], "nowhere: no such folder"),
        (["."], ".: nothing to report"),
        ([".", "--trajectories", "-1"], "-1 traj"),
    ],
)
def test_bad_input_is_one_line(tmp_path, monkeypatch, capsys, arguments, expected):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["report", *arguments])
    assert end.value.code == 2
    [message] = capsys.readouterr().err.splitlines()
    assert message.startswith(f"cgplugin: {expected}")


def test_texts_of_plots_and_long_lines():
    figure = panels(["<i>a</i>", "b"], "x", "y")
    assert figure.layout.annotations[0].text == "&lt;i&gt;a&lt;/i&gt;"
    assert label("a&b<c>") == "a&amp;b&lt;c&gt;"
    [values] = thinned(np.arange(2500))
    assert values.tolist() == list(range(0, 2500, 3))


def test_a_recorded_command_can_be_typed_again(tmp_path):
    seen = []

    @click.command("tool")
    @click.argument("files", nargs=-1)
    @click.option("--level", "levels", type=int, multiple=True)
    @click.option("--fast/--no-fast", default=False)
    @click.option("--name", default="unnamed")
    @config_option
    def tool(**values):
        seen.append((values, command_line(click.get_current_context())))

    (tmp_path / "options.yaml").write_text("name: from the file\n")
    arguments = ["one file", "--level", "1", "--level", "2", "--fast", "--config", str(tmp_path / "options.yaml")]
    assert CliRunner().invoke(tool, arguments, catch_exceptions=False).exit_code == 0
    words = shlex.split(seen[0][1])
    assert words[0] == "tool"
    CliRunner().invoke(tool, words[1:], catch_exceptions=False)
    assert seen[1][0] == seen[0][0]
    assert seen[0][0]["name"] == "from the file"


def test_provenance_keeps_what_other_commands_recorded(tmp_path):
    model = ModelRecord("model.pt", "abc", {"time step": 5.0})
    record_command(tmp_path, "evaluate", "cgplugin evaluate model.pt", 3, model)
    record_command(tmp_path, "analyze", "cgplugin analyze runs", None, None)
    record_command(tmp_path, "analyze", "cgplugin analyze runs --stride 2", None, None)
    tables = {table.title: {row[0]: row[1] for row in table.rows} for table in provenance_section(tmp_path).tables}
    assert tables["cgplugin evaluate"]["model: sha256"] == "abc"
    assert tables["cgplugin evaluate"]["seed"] == "3"
    assert tables["cgplugin analyze"]["command"] == "cgplugin analyze runs --stride 2"
    assert f"numpy {np.__version__}" in tables["This report"]["versions"]
    (tmp_path / "provenance.json").write_text('{"evaluate": {"command": "x"}}')
    with pytest.raises(UserError, match=r"provenance.json: the record of 'evaluate' is incomplete"):
        provenance_section(tmp_path)
