"""Training on several processes, for real: forked ones, killed and resumed ones, and two that play nodes."""

import csv
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from cgplugin import LearnedModel, UserError
from cgplugin.coarse_graining.coarse_trajectory import CoarseTrajectory
from cgplugin.networks.options import NetworkOptions
from cgplugin.training.dataset import FixedSampler
from cgplugin.training.options import TrainingOptions
from cgplugin.training.processes import Processes
from cgplugin.training.trainer import train
from tests.conftest import ROOT, bead_path, chain
from tests.processes import ornstein_uhlenbeck

NETWORK = NetworkOptions(hidden=8, layers=1, score=True, score_layers=1)
OPTIONS = TrainingOptions(
    time_step=2.0, n_history=1, atoms_per_bead=1, steps=30, validate_every=10, systems_per_batch=3, windows_per_system=4,
    patience=50, cutoff=4.0, refinement_levels=2, matching_steps=20,
)  # fmt: skip


def unequal_chains() -> list[CoarseTrajectory]:
    """A lone bead and chains of up to nine around their equilibrium: shares of a batch differ in beads and in their weights."""
    paths = []
    for n, size in enumerate((2, 9, 1, 7, 5, 4)):
        noise = np.stack([ornstein_uhlenbeck(60, 5.0, 100 * n + i) for i in range(3 * size)], axis=1)
        straight = 1.5 * np.arange(size)[:, None] * np.array([1.0, 0.0, 0.0])
        paths.append(bead_path(chain(size, f"c{n}"), straight + 0.3 * noise.reshape(60, size, 3), 1.0))
    return paths


def losses(training: Path, session: int = 0) -> dict[str, dict[int, float]]:
    """Logged losses, by name and step."""
    found: dict[str, dict[int, float]] = {}
    for row in csv.DictReader((training / "log" / f"session-{session}" / "metrics.csv").open()):
        for name, value in row.items():
            if name.startswith(("train_", "val_")) and value:
                found.setdefault(name, {})[int(row["step"])] = float(value)
    return found


def matching_losses(training: Path, session: int = 0) -> dict[str, dict[int, float]]:
    """Those of the last stage."""
    return losses(training / "matching", session)


def assert_same_losses(one: dict[str, dict[int, float]], other: dict[str, dict[int, float]]) -> None:
    assert {name: list(values) for name, values in one.items()} == {name: list(v) for name, v in other.items()}
    for name, values in one.items():
        np.testing.assert_allclose(
            list(other[name].values()), list(values.values()), rtol=1e-4, atol=1e-5, err_msg=name
        )


def weights(path: Path) -> torch.Tensor:
    return torch.cat([tensor.flatten().float() for tensor in torch.jit.load(path).state_dict().values()])


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process makes of it."""
    return train(unequal_chains(), tmp_path_factory.mktemp("alone") / "m.pt", options=OPTIONS, network=NETWORK)


def test_two_processes_give_the_losses_of_one(alone: Path, tmp_path: Path) -> None:
    before = dict(os.environ)
    two = train(unequal_chains(), tmp_path / "m.pt", options=OPTIONS, network=NETWORK, processes=Processes(2))
    known = losses(alone.with_suffix(".training"))
    assert set(known) == {"train_nll", "train_score", "val_nll", "val_size", "val_score"}
    assert [len(known[name]) for name in ("train_nll", "val_nll")] == [3, 3]
    assert_same_losses(known, losses(two.with_suffix(".training")))
    known = matching_losses(alone.with_suffix(".training"))
    assert set(known) == {"train_pairs", "train_score", "val_score"}
    assert_same_losses(known, matching_losses(two.with_suffix(".training")))
    torch.testing.assert_close(weights(two), weights(alone), rtol=1e-3, atol=1e-4)
    val_nll = [LearnedModel.load(path).description.training["val_nll"] for path in (alone, two)]
    assert val_nll[1] == pytest.approx(val_nll[0], rel=1e-4)
    assert dict(os.environ) == before


def test_shares_without_their_weights_would_be_noticed(alone: Path, tmp_path: Path, monkeypatch) -> None:
    """The test above can fail: it does when every process counts the same."""
    monkeypatch.setattr("cgplugin.training.training_module.weight_of_share", lambda *_: 1.0)
    two = train(unequal_chains(), tmp_path / "m.pt", options=OPTIONS, network=NETWORK, processes=Processes(2))
    with pytest.raises(AssertionError):
        assert_same_losses(losses(alone.with_suffix(".training")), losses(two.with_suffix(".training")))


PROGRAM = """
import sys
from pathlib import Path
from tests.cgplugin.test_distributed_training import NETWORK, OPTIONS, unequal_chains
from cgplugin.training.processes import Processes
from cgplugin.training.trainer import train
out, devices, nodes = sys.argv[1:]
train(unequal_chains(), out, options=OPTIONS, network=NETWORK, processes=Processes(int(devices), int(nodes)))
"""


def start(out: Path, devices: int = 1, nodes: int = 1, **environment: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", PROGRAM, str(out), str(devices), str(nodes)]
    return subprocess.Popen(words, cwd=ROOT, env={**os.environ, **environment}, start_new_session=True)


def test_killed_on_two_processes_and_resumed_on_one(alone: Path, tmp_path: Path) -> None:
    """The processes end with the one that started them; the rest of the training gives the same losses on one."""
    out, folder = tmp_path / "m.pt", tmp_path / "m.training"
    process = start(out, devices=2)
    deadline = time.monotonic() + 600
    while not (folder / "last.ckpt").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    # its session: there is nobody left in it
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.05)
    else:
        pytest.fail("a process outlived the one that started it")
    train(unequal_chains(), out, options=OPTIONS, network=NETWORK)
    uninterrupted, resumed = losses(alone.with_suffix(".training")), losses(folder, session=1)
    assert resumed["val_nll"]
    rest = {name: {step: values[step] for step in resumed[name]} for name, values in uninterrupted.items()}
    assert_same_losses(rest, resumed)
    torch.testing.assert_close(weights(out), weights(alone), rtol=1e-3, atol=1e-4)


def test_two_nodes(alone: Path, tmp_path: Path) -> None:
    """The program started once per node, here on one machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    nodes = [start(tmp_path / "m.pt", nodes=2, **meeting, NODE_RANK=str(rank)) for rank in (0, 1)]
    assert [node.wait(timeout=600) for node in nodes] == [0, 0]
    for of_stage in (losses, matching_losses):
        assert_same_losses(of_stage(alone.with_suffix(".training")), of_stage(tmp_path / "m.training"))
    torch.testing.assert_close(weights(tmp_path / "m.pt"), weights(alone), rtol=1e-3, atol=1e-4)


def test_validation_batches_of_all_processes_are_all(monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list = [[n] for n in range(5)]
    for number in (1, 2, 5):
        shares = []
        for place in [(rank, number) for rank in range(number)]:
            monkeypatch.setattr("cgplugin.training.processes.rank_and_number", lambda place=place: place)
            shares += list(FixedSampler(batches))
        assert sorted(shares) == batches


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "devices is 0, expected at least 1"),
        ((1, 0), "nodes is 0, expected at least 1"),
        ((1, 2), "training on 2 nodes takes the environment variables MASTER_ADDR, MASTER_PORT, NODE_RANK"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[int, ...], message: str, monkeypatch) -> None:
    for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match=message):
        Processes(*arguments)


def test_more_processes_than_systems_in_a_batch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="systems-per-batch is 3, but 4 processes share them"):
        train(unequal_chains(), tmp_path / "m.pt", options=OPTIONS, network=NETWORK, processes=Processes(4))
