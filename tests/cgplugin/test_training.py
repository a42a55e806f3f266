import json
import multiprocessing
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from cgplugin import LearnedModel, UserError
from cgplugin.coarse_graining.vocabulary import Vocabulary
from cgplugin.learned import torchscript
from cgplugin.networks.options import NetworkOptions
from cgplugin.training.dataset import Augmentation, Request, WindowDataset, WindowSampler, fixed_batches
from cgplugin.training.loading import loader, workers_allowed
from cgplugin.training.options import TrainingOptions
from cgplugin.training.processes import Processes
from cgplugin.training.trainer import longest_bond, train
from tests.conftest import POLYMER, bead_path, chain, run_cli
from tests.processes import overdamped_dimer

TINY = {"steps": 40, "validate_every": 20, "windows_per_system": 4, "systems_per_batch": 2, "atoms_per_bead": 1}


def dimers(n: int = 4, frames: int = 60) -> list:
    return [
        bead_path(chain(2, name=f"d{i}"), overdamped_dimer(frames, 1.0, relaxation=5, variance=1, seed=i), 1.0)
        for i in range(n)
    ]


def dataset(**augmentation: object) -> WindowDataset:
    return WindowDataset(
        dimers(),
        Vocabulary(("A",), ("b",)),
        stride=5,
        n_history=2,
        cutoff=9.0,
        augmentation=Augmentation(**augmentation),
    )


def test_window_is_what_the_trajectory_says() -> None:
    data = dataset()
    x = data.trajectories[1].positions.astype(float)
    batch = data[[Request(1, np.array([7]), (0,))]]
    np.testing.assert_allclose(batch.displacements[:, 0], x[17] - x[12], atol=1e-5)
    np.testing.assert_allclose(batch.displacements[:, 1], x[12] - x[7], atol=1e-5)
    np.testing.assert_allclose(batch.target, x[22] - 2 * x[17] + x[12], atol=1e-5)
    np.testing.assert_allclose(batch.separations[batch.edge_index[1] == 0][0], x[17, 0] - x[17, 1], atol=1e-5)


def test_every_phase_of_the_stride_is_used() -> None:
    data = dataset()
    assert data.n_windows.tolist() == [60 - 15] * 4
    sampler = WindowSampler(data.n_windows, 50, 2, 20, seed=0)
    frames = np.concatenate([request.frames for batch in sampler for request in batch])
    assert set(frames % 5) == set(range(5))
    assert frames.min() == 0
    assert frames.max() == 44


def test_reversed_window_runs_backwards() -> None:
    data = dataset(time_reversal=True)
    x = data.trajectories[0].positions.astype(float)
    batch = data[[Request(0, np.full(64, 3), (1,))]]
    forward = x[18] - 2 * x[13] + x[8]
    backward = x[3] - 2 * x[8] + x[13]
    targets = batch.target.reshape(64, 2, 3).numpy()
    is_forward = np.isclose(targets, forward, atol=1e-5).all(axis=(1, 2))
    is_backward = np.isclose(targets, backward, atol=1e-5).all(axis=(1, 2))
    assert (is_forward ^ is_backward).all()
    assert 10 < is_backward.sum() < 54
    moved = batch.displacements.reshape(64, 2, 2, 3).numpy()[is_backward][0]
    np.testing.assert_allclose(moved[:, 0], x[8] - x[13], atol=1e-5)


def test_rotation_keeps_lengths_and_turns_all_alike() -> None:
    plain, turned = dataset()[[Request(0, np.arange(5), (1,))]], dataset(rotate=True)[[Request(0, np.arange(5), (1,))]]
    for name in ("target", "separations"):
        a, b = getattr(plain, name), getattr(turned, name)
        torch.testing.assert_close(a.norm(dim=-1), b.norm(dim=-1))
        assert not torch.allclose(a, b)
    together = (plain.target * plain.displacements[:, 0]).sum(dim=-1)
    torch.testing.assert_close((turned.target * turned.displacements[:, 0]).sum(dim=-1), together, rtol=1e-3, atol=1e-4)


def test_noise_on_the_history_leads_back_to_the_true_next_positions() -> None:
    plain, noisy = dataset()[[Request(0, np.arange(9), (1,))]], dataset(noise=0.3)[[Request(0, np.arange(9), (1,))]]
    next_separation = []
    for batch in (plain, noisy):
        n = len(batch.target) // 2
        step = (batch.displacements[:, 0] + batch.target).reshape(n, 2, 3)
        now = {(int(j), int(i)): r for (j, i), r in zip(batch.edge_index.T, batch.separations, strict=True)}
        separation = torch.stack([now[(2 * w + 1, 2 * w)] for w in range(n)])
        next_separation.append(separation + step[:, 0] - step[:, 1])
    torch.testing.assert_close(*next_separation, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(plain.displacements, noisy.displacements, atol=0.01)


def test_sampler_depends_on_seed_epoch_and_batch_alone() -> None:
    weights = np.array([10, 50])

    def draw(seed: int, epoch: int) -> list:
        sampler = WindowSampler(weights, 5, 2, 3, seed)
        sampler.set_epoch(epoch)
        return [(r.system, r.frames.tolist(), r.seed) for batch in sampler for r in batch]

    assert draw(0, 1) == draw(0, 1)
    assert draw(0, 1) != draw(0, 2)
    assert draw(0, 1) != draw(1, 1)


def test_validation_windows_are_fixed_and_spread() -> None:
    data = dataset()
    requests = [request for batch in fixed_batches(data, 10, 3) for request in batch]
    assert [request.system for request in requests] == [0, 1, 2, 3]
    assert requests[0].frames[0] == 0
    assert requests[0].frames[-1] == 44


def test_equal_seeds_give_equal_models_and_others_not(tmp_path: Path) -> None:
    weights = []
    for n, seed in enumerate((1, 1, 2)):
        path = train(dimers(), tmp_path / f"{n}.pt", options=TrainingOptions(seed=seed, **TINY))
        weights.append(next(torch.jit.load(path).parameters()).detach())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.skipif(not workers_allowed(), reason="no process can make batches here")
def test_batches_made_ahead_are_the_same_bit_by_bit_in_every_epoch() -> None:
    data = dataset(time_reversal=True, rotate=True, noise=0.1)
    sampler = WindowSampler(data.n_windows, 4, 2, 3, seed=1)
    plain, ahead = loader(data, sampler, 0), loader(data, sampler, 1)
    assert ahead.num_workers == 1
    first = [list(plain), list(ahead)]
    sampler.set_epoch(1)
    second = [list(plain), list(ahead)]
    for one, other in (first, second):
        assert len(one) == len(other) == 4
        for mine, theirs in zip(one, other, strict=True):
            assert all(
                torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in zip(mine, theirs, strict=True)
            )
    assert not torch.equal(first[1][0].displacements, second[1][0].displacements)


def test_who_makes_the_batches_changes_neither_the_model_nor_an_unfinished_training(tmp_path: Path) -> None:
    options = TrainingOptions(**TINY, time_step=5.0)
    network = NetworkOptions(hidden=8, layers=1)

    def weights(name: str, num_workers: int) -> dict[str, torch.Tensor]:
        train(dimers(), tmp_path / name, options=options, network=network, processes=Processes(num_workers=num_workers))
        return LearnedModel.read_networks(tmp_path / name)[0].state_dict()

    alone, ahead = weights("alone.pt", 0), weights("ahead.pt", 1)
    assert all(torch.equal(alone[name], ahead[name]) for name in alone)
    # goes on from its checkpoint, and is not refused
    again = weights("ahead.pt", 0)
    assert all(torch.equal(again[name], ahead[name]) for name in alone)


def test_a_daemon_makes_its_own_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    data = dataset()
    sampler = WindowSampler(data.n_windows, 1, 1, 1, seed=1)
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    assert loader(data, sampler, 1).num_workers == 0


def test_a_number_of_workers_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(UserError, match="num-workers is -1, expected 0 or 1"):
        Processes(num_workers=-1)


def test_killed_training_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    """SIGKILL after a checkpoint; the resumed run ends with the same weights as one that was left alone."""
    code = (
        "import sys, torch; torch.set_num_threads(1)\n"
        "from tests.cgplugin.test_training import *\n"
        "train(dimers(), sys.argv[1], options=TrainingOptions(**(TINY | {'steps': 400, 'patience': 100})))"
    )
    root = Path(__file__).parents[2]
    for name, kill in (("alone", False), ("killed", True)):
        command = [sys.executable, "-c", code, str(tmp_path / f"{name}.pt")]
        process = subprocess.Popen(command, cwd=root)
        if kill:
            last = tmp_path / "killed.training" / "last.ckpt"
            deadline = time.monotonic() + 120
            while not last.exists() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert not (tmp_path / "killed.pt").exists()
            process = subprocess.Popen(command, cwd=root)
        assert process.wait() == 0
    sessions = sorted((tmp_path / "killed.training" / "log").iterdir())
    assert [session.name for session in sessions] == ["session-0", "session-1"]
    assert all("train_nll" in (session / "metrics.csv").read_text() for session in sessions)
    alone, killed = (torch.jit.load(tmp_path / f"{name}.pt").state_dict() for name in ("alone", "killed"))
    for key in alone:
        assert torch.equal(alone[key], killed[key]), key


def test_other_options_do_not_continue_a_training(tmp_path: Path) -> None:
    train(dimers(), tmp_path / "m.pt", options=TrainingOptions(**TINY))
    with pytest.raises(UserError, match=r"differs in options.*--restart"):
        train(dimers(), tmp_path / "m.pt", options=TrainingOptions(**(TINY | {"seed": 9})))
    train(dimers(), tmp_path / "m.pt", options=TrainingOptions(**(TINY | {"seed": 9})), restart=True)


def test_logs_and_checkpoints_are_there(tmp_path: Path) -> None:
    train(dimers(), tmp_path / "m.pt", options=TrainingOptions(**TINY))
    folder = tmp_path / "m.training"
    assert {"best.ckpt", "last.ckpt", "training.json"} <= {item.name for item in folder.iterdir()}
    assert "val_nll" in (folder / "log" / "session-0" / "metrics.csv").read_text()
    assert list((folder / "tensorboard").glob("events*"))


def test_a_training_goes_on_from_its_last_steps_not_from_its_best(tmp_path: Path) -> None:
    """Where the loss no longer falls, a kill would throw all away since it last did."""
    options = TrainingOptions(
        **(TINY | {"learning_rate": 3.0, "final_learning_rate": 3.0, "steps": 100, "averaging": 0.0})
    )
    train(dimers(), tmp_path / "m.pt", options=options)
    best, last = (
        torch.load(tmp_path / "m.training" / f"{name}.ckpt", weights_only=True)["global_step"]
        for name in ("best", "last")
    )
    assert best < last == 100


def test_single_system_is_split_in_time(tmp_path: Path) -> None:
    path = train(dimers(1, 100), tmp_path / "m.pt", options=TrainingOptions(**TINY))
    assert LearnedModel.load(path).description.training["training_systems"] == ["d0"]


def test_model_describes_itself(small_model: Path) -> None:
    model = LearnedModel.load(small_model)
    described = model.description
    assert described.units == "lj"
    assert described.time_step == 5.0
    assert described.atoms_per_bead == 10
    assert set(described.atom_types) <= {"B1", "B2", "S1", "S2"}
    assert described.lammps_atom_types == {"1": "B1", "2": "B2", "3": "S1", "4": "S2"}
    assert described.force_field is not None
    assert 4 < described.longest_bond < 9
    assert described.training["versions"]["torch"]
    extra = {"cgplugin.json": ""}
    torch.jit.load(small_model, _extra_files=extra)
    assert json.loads(extra["cgplugin.json"])["format"] == "cgplugin model"


def test_longest_bond_is_that_of_the_data() -> None:
    data = dimers(2)
    expected = max(float(np.linalg.norm(t.positions[:, 0] - t.positions[:, 1], axis=-1).max()) for t in data)
    assert longest_bond(data) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b"rubbish" * 100), "not a model of cgplugin"),
        (lambda path: path.write_bytes(b""), "not a model of cgplugin"),
        (lambda path: torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), path), "it lacks cgplugin.json"),
        (lambda path: torchscript.save(torch.nn.Linear(1, 1), {"format": "else"}, path), "not a model of cgplugin"),
        (
            lambda path: torchscript.save(torch.nn.Linear(1, 1), {"format": "cgplugin model", "version": 99}, path),
            "model format 99, this cgplugin reads format 1",
        ),
        (
            lambda path: torchscript.save(torch.nn.Linear(1, 1), {"format": "cgplugin model", "version": 1}, path),
            "header is incomplete",
        ),
        (lambda _: None, "no such file"),
    ],
)
def test_what_is_no_model_is_refused_in_one_line(tmp_path: Path, make, message: str) -> None:
    path = tmp_path / "model.pt"
    make(path)
    with pytest.raises(UserError, match=message) as caught:
        LearnedModel.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_lammps_data_are_read_as_they_are(tmp_path: Path) -> None:
    """Also without forcefield.json above them: the package's own force field is recognised."""
    shutil.copytree(POLYMER / "train" / "001", tmp_path / "data" / "001")
    done = run_cli(
        "train",
        "--data",
        tmp_path / "data",
        "--out",
        tmp_path / "m.pt",
        "--steps",
        2,
        "--validate-every",
        1,
        "--threads",
        1,
    )
    assert done.returncode == 0, done.stderr
    assert LearnedModel.load(tmp_path / "m.pt").description.time_step == 5.0
    assert str(tmp_path / "m.pt") in done.stdout


def test_electrolytes_are_read_as_they_are(tmp_path: Path) -> None:
    """Recorded every 2 tau in a box of 7.2 sigma: neither 5 tau nor three bond lengths are possible, and none has to be given."""
    folder = POLYMER.parent / "electrolyte"
    data = [word for number in ("000", "001") for word in ("--data", folder / "train" / number)]
    done = run_cli(
        "train", *data, "--out", tmp_path / "m.pt", "--steps", 2, "--validate-every", 1, "--hidden", 8, "--layers", 1,
        "--systems-per-batch", 1, "--windows-per-system", 2, "--threads", 1,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    description = LearnedModel.load(tmp_path / "m.pt").description
    assert description.time_step == 4.0
    box_length = json.loads((folder / "train" / "000" / "meta.json").read_text())["box_length"]
    assert 0.45 * box_length < description.cutoff < 0.5 * box_length
    assert description.periodic
