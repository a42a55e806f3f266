"""Compiled networks give what TorchScript gives, to rounding, wherever the latter are used; their cache; what is refused."""

import json
import multiprocessing
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.speed.systems import recorded
from cgplugin import LearnedModel, UserError
from cgplugin.coarse_graining.neighbours import Edges
from cgplugin.doctor import diagnose
from cgplugin.learned import compiled_networks, package_cache
from cgplugin.learned.compilation import DynamicsCall, compile_call, cpp_compiler
from cgplugin.learned.devices import model_on
from cgplugin.learned.network_calls import PieceByPiece, WholeGraph
from cgplugin.networks.options import NetworkOptions
from openmm_integration import CoarseSystem
from openmm_integration.simulation import LearnedSimulation
from tests.cgplugin.network_calls import call_of_chains, close
from tests.conftest import POLYMER, chain, run_cli
from tests.random_model import random_model

OPTIONS = {
    "default": NetworkOptions(hidden=8, layers=1, embedding_hidden=4, embedding_layers=1, score=True, score_layers=1),
    "paper": NetworkOptions(
        hidden=8,
        layers=0,
        embedding_hidden=4,
        mlp_layers=2,
        activation="relu",
        symmetry="none",
        noise="diagonal",
        prior="none",
    ),
}
"""Small, since all of it is compiled; between them they have every branch of the networks."""

needs_compiler = pytest.mark.skipif(cpp_compiler() is None, reason="no C++ compiler")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of this test's own, and a compiler in a hurry."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(package_cache.FOLDER_VARIABLE, str(folder))
        with torch._inductor.config.patch({"aot_inductor.compile_wrapper_opt_level": "O0"}):
            yield folder / "compiled"


def write_model(folder: Path, name: str) -> Path:
    known = [chain(60), recorded(POLYMER / "devtest" / "000" / "topology.data", "polymer").system]
    return random_model(folder / f"{name}.pt", known, periodic=False, cutoff=8.0, options=OPTIONS[name])


@pytest.fixture(scope="module")
def model_file(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a Score GNN."""
    return write_model(tmp_path_factory.mktemp("model"), "default")


@pytest.fixture(scope="module")
def scripted(model_file: Path) -> LearnedModel:
    return LearnedModel.load(model_file)


@pytest.fixture(scope="module")
def compiled(model_file: Path) -> LearnedModel:
    said: list[str] = []
    model = LearnedModel.load(model_file, compiled=True, report=said.append)
    assert len(said) == 1
    assert "compiling" in said[0]
    return model


@needs_compiler
@pytest.mark.parametrize("n_chains", [1, 24])
def test_networks_are_those_of_torchscript(scripted: LearnedModel, compiled: LearnedModel, n_chains: int) -> None:
    arguments = call_of_chains(scripted, n_chains)
    expected, found = scripted.predict(*arguments), compiled.predict(*arguments)
    for a, b in zip(found, expected, strict=True):
        close(a, b)
    change = expected.mean + 0.5
    edges = arguments[3]
    close(compiled.estimate_noise(expected, change, edges, 0.3), scripted.estimate_noise(expected, change, edges, 0.3))
    # not by accident those of TorchScript themselves
    assert any(not torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@needs_compiler
def test_architecture_of_the_paper_without_layers(cache: Path, tmp_path: Path) -> None:
    path = write_model(tmp_path, "paper")
    scripted, compiled = LearnedModel.load(path), LearnedModel.load(path, compiled=True)
    arguments = call_of_chains(scripted, 3)
    for a, b in zip(compiled.predict(*arguments), scripted.predict(*arguments), strict=True):
        close(a, b)


@needs_compiler
@pytest.mark.parametrize(("n_beads", "n_edges"), [(1, 0), (2, 0), (3, 1)])
def test_graphs_with_hardly_an_edge_are_left_to_torchscript(
    scripted: LearnedModel, compiled: LearnedModel, n_beads: int, n_edges: int
) -> None:
    embedding, masses, moved, whole = call_of_chains(scripted, 1)
    few = Edges(torch.tensor([[0], [n_beads - 1]])[:, :n_edges], whole.separations[:n_edges], whole.kinds[:n_edges])
    arguments = (embedding[:n_beads], masses[:n_beads], moved[:n_beads], few)
    expected, found = scripted.predict(*arguments), compiled.predict(*arguments)
    for a, b in zip(found, expected, strict=True):
        close(a, b)
    noises = [model.estimate_noise(expected, expected.mean, few, 0.3) for model in (compiled, scripted)]
    close(*noises)


@needs_compiler
def test_tensors_may_lie_in_memory_in_any_way(compiled: LearnedModel) -> None:
    embedding, masses, moved, edges = call_of_chains(compiled, 2)
    strided = edges._replace(pairs=edges.pairs.T.contiguous().T, separations=edges.separations.T.contiguous().T)
    assert not strided.pairs.is_contiguous()
    assert not strided.separations.is_contiguous()
    turned = moved.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    found = compiled.predict(embedding, masses, turned, strided)
    for a, b in zip(found, compiled.predict(embedding, masses, moved, edges), strict=True):
        assert torch.equal(a, b)


@needs_compiler
def test_threads_change_nothing_but_rounding(scripted: LearnedModel, compiled: LearnedModel) -> None:
    arguments = call_of_chains(scripted, 24)
    expected = scripted.predict(*arguments)
    torch.set_num_threads(2)
    try:
        found = [compiled.predict(*arguments) for _ in range(3)]
    finally:
        torch.set_num_threads(1)
    for a, b in zip(found[0], expected, strict=True):
        close(a, b)
    # the same bits each time
    for again in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(again, found[0], strict=True))


@needs_compiler
def test_piece_by_piece_is_the_whole(compiled: LearnedModel) -> None:
    embedding, masses, moved, edges = call_of_chains(compiled, 24)
    positions = torch.arange(3.0 * len(masses), dtype=torch.float64).reshape(-1, 3)
    pieces = PieceByPiece(compiled, edges, positions, None, 40)
    whole = WholeGraph(compiled, edges)
    expected = whole.predict(embedding, masses, moved)
    for a, b in zip(pieces.predict(embedding, masses, moved), expected, strict=True):
        close(a, b)
    close(
        pieces.estimate_noise(expected, expected.mean + 0.1, 0.3),
        whole.estimate_noise(expected, expected.mean + 0.1, 0.3),
    )


@needs_compiler
def test_simulation_is_that_of_torchscript(scripted: LearnedModel, compiled: LearnedModel) -> None:
    found = []
    for model in (scripted, compiled):
        parts = tuple(model.coarsen(chain(n)) for n in (40, 60))
        random = np.random.default_rng(0)
        n_beads = sum(cg.n_beads for cg in parts)
        last = random.normal(size=(n_beads, 3)).cumsum(axis=0) * 1.7
        frames = last + random.normal(size=(model.n_history + 1, n_beads, 3)) * 0.3
        simulation = LearnedSimulation(model, CoarseSystem(parts, None, frames), seed=3, platform="Reference")
        simulation.step(10)
        found.append(simulation.context.getState(positions=True).getPositions(asNumpy=True)._value)
    moved = np.abs(found[0] - frames[-1]).max()
    assert moved > 1.0
    np.testing.assert_allclose(found[1], found[0], rtol=0, atol=1e-4 * moved)


@needs_compiler
def test_run_goes_on_only_as_it_began(compiled: LearnedModel, polymer_data: Path, tmp_path: Path) -> None:
    """In new processes, which find the networks in the cache."""
    command: list[object] = ["simulate", compiled.source, polymer_data, "--out", tmp_path / "runs"]
    command += ["--force-field", "polymer"]
    command += ["--report-interval", 1, "--threads", 1]
    done = run_cli(*command, "--time", "40", "--compile")
    assert done.returncode == 0, done.stderr
    assert "compiling" not in done.stderr
    assert json.loads((tmp_path / "runs" / "progress.json").read_text())["identity"]["compiled"] is True
    other = run_cli(*command, "--time", "80", "--resume")
    assert other.returncode == 2
    assert "holds a run made with --compile: give it again" in other.stderr
    on = run_cli(*command, "--time", "80", "--resume", "--compile")
    assert on.returncode == 0, on.stderr


@needs_compiler
def test_second_load_compiles_nothing(compiled: LearnedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("compiled again")

    monkeypatch.setattr(compiled_networks, "compile_call", refuse)
    said: list[str] = []
    assert LearnedModel.load(compiled.source, compiled=True, report=said.append).compiled
    assert not said


@needs_compiler
def test_cache_is_for_its_user_alone(cache: Path, compiled: LearnedModel) -> None:
    assert cache.stat().st_mode & 0o777 == 0o700
    packages = list(cache.glob("*.pt2"))
    assert {path.name.split("-")[0] for path in packages} >= {"dynamics", "score"}
    assert {path.stat().st_mode & 0o777 for path in packages} == {0o600}


def write_archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("content", os.urandom(1000))


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_damaged_file_is_made_anew(cache: Path, damage: str) -> None:
    path = package_cache.kept(f"{damage}.pt2", write_archive)
    whole = path.read_bytes()
    assert package_cache.kept(path.name, write_archive).read_bytes() == whole
    middle = 300
    damaged = {
        "cut": whole[:middle],
        "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "empty": b"",
    }
    path.write_bytes(damaged[damage])
    again = package_cache.kept(path.name, write_archive).read_bytes()
    assert again not in (whole, damaged[damage])
    assert zipfile.ZipFile(path).testzip() is None


def make_slowly(started: "multiprocessing.synchronize.Event", counter: Path) -> None:
    def make(path: Path) -> None:
        with counter.open("a") as file:
            file.write("made\n")
        started.wait(1.0)
        write_archive(path)

    package_cache.kept("shared.pt2", make)


def test_processes_at_the_same_time_make_it_once(cache: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    never, counter = context.Event(), tmp_path / "counter"
    others = [context.Process(target=make_slowly, args=(never, counter)) for _ in range(3)]
    for process in others:
        process.start()
    for process in others:
        process.join()
        assert process.exitcode == 0
    assert counter.read_text() == "made\n"


def test_failure_leaves_nothing_behind(cache: Path) -> None:
    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise UserError("no")

    with pytest.raises(UserError, match="no"):
        package_cache.kept("failed.pt2", fail)
    assert not [path for path in cache.iterdir() if "failed" in path.name and path.suffix != ".lock"]


def test_folder_that_others_write_to_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(package_cache.FOLDER_VARIABLE, str(tmp_path))
    package_cache.cache_folder().chmod(0o777)
    with pytest.raises(UserError, match=r"others may write here.*CGPLUGIN_CACHE"):
        package_cache.cache_folder()


def test_folder_that_cannot_be_made_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(package_cache.FOLDER_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"cannot be kept here.*CGPLUGIN_CACHE"):
        package_cache.cache_folder()


def test_key_tells_weights_and_options_apart() -> None:
    torch.manual_seed(0)
    one, other = nn.Linear(3, 3), nn.Linear(3, 3)
    same = nn.Linear(3, 3)
    same.load_state_dict(one.state_dict())
    assert package_cache.key_of(one, {"layers": 1}) == package_cache.key_of(same, {"layers": 1})
    assert package_cache.key_of(one, {"layers": 1}) != package_cache.key_of(other, {"layers": 1})
    assert package_cache.key_of(one, {"layers": 1}) != package_cache.key_of(one, {"layers": 2})


def dynamics_of(path: Path) -> DynamicsCall:
    networks, _ = LearnedModel.read_networks(path)
    return DynamicsCall(networks.dynamics, networks.embedding.n_out)


def test_machine_without_compiler_is_told_so(tmp_path: Path) -> None:
    path = write_model(tmp_path, "paper")
    with torch._inductor.config.patch({"cpp.cxx": (str(tmp_path / "none"),)}):
        assert cpp_compiler() is None
        assert diagnose().compiler is None
        with pytest.raises(UserError, match=r"need a C\+\+ compiler.*leave --compile out"):
            compile_call(dynamics_of(path), tmp_path / "out.pt2")


def test_compiler_that_fails_is_told_in_a_line(tmp_path: Path) -> None:
    path = write_model(tmp_path, "paper")
    broken = tmp_path / "c++"
    broken.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "c++ 1.0" || exit 1\n')
    broken.chmod(0o755)
    with (
        torch._inductor.config.patch({"cpp.cxx": (str(broken),)}),
        pytest.raises(UserError, match=r"cannot be compiled here.*leave --compile out") as caught,
    ):
        compile_call(dynamics_of(path), tmp_path / "out.pt2")
    assert "\n" not in str(caught.value)


@needs_compiler
def test_gpu_is_refused(compiled: LearnedModel) -> None:
    with pytest.raises(UserError, match="compiled networks run on the CPU"):
        model_on(compiled, torch.device("cuda"))


def test_doctor_names_the_compiler() -> None:
    assert diagnose().compiler == cpp_compiler()
