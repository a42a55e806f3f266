"""The last stage of a training, in which refined steps learn to end with MD's pairs."""

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cgplugin import LearnedModel, UserError
from cgplugin.coarse_graining.coarse_trajectory import CoarseTrajectory
from cgplugin.coarse_graining.vocabulary import Vocabulary
from cgplugin.learned.simulator import LearnedSimulator
from cgplugin.networks.options import NetworkOptions
from cgplugin.observables.pairs import near_pairs
from cgplugin.training.dataset import Augmentation, Request, WindowDataset, WindowSampler, random_numbers
from cgplugin.training.loading import loader
from cgplugin.training.matching import FLOOR, MatchingModule, StepBatch, StepDataset
from cgplugin.training.options import TrainingOptions
from cgplugin.training.pair_counts import PairBands
from cgplugin.training.processes import Processes
from cgplugin.training.trainer import train
from tests.cgplugin.test_pair_counts import BOX, salt
from tests.conftest import ROOT, bead_path
from tests.random_model import random_model

Array = NDArray[np.float64]

CUTOFF, ION_CUTOFF = 2.5, 3.0

CORE = 1.2
"""Unlike ions do not come closer in the data, nm."""


def hard_core_salt(n_frames: int, seed: int = 0, n_pairs: int = 6) -> CoarseTrajectory:
    """Brownian ions, unlike ones of which refuse to overlap."""
    random = np.random.default_rng(seed)
    charges = np.array([1, -1] * n_pairs)
    x = random.uniform(size=(2 * n_pairs, 3)) @ BOX
    frames = []
    for frame in range(-100, n_frames):
        for bead in random.permutation(len(x)):
            tried = x[bead] + 0.5 * random.standard_normal(3)
            apart = tried - x[charges != charges[bead]]
            apart -= np.rint(apart @ np.linalg.inv(BOX)) @ BOX
            if (np.linalg.norm(apart, axis=1) > CORE).all():
                x[bead] = tried
        if frame >= 0:
            frames.append(x.copy())
    path = bead_path(salt(n_pairs), np.array(frames), 1.0)
    return replace(path, box_vectors=np.repeat(BOX[None], n_frames, axis=0))


@pytest.fixture(scope="module")
def paths() -> list[CoarseTrajectory]:
    return [hard_core_salt(60, seed) for seed in range(3)]


@pytest.fixture(scope="module")
def model_file(paths: list[CoarseTrajectory], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_model(
        tmp_path_factory.mktemp("model") / "model.pt",
        [paths[0].cg.system],
        cutoff=CUTOFF,
        ion_cutoff=ION_CUTOFF,
        score_ion_cutoff=CUTOFF,
        atoms_per_bead=1,
        options=NetworkOptions(
            hidden=16, layers=1, score=True, score_layers=1, score_levels=3, score_min=0.2, embedding_hidden=8
        ),
        refinement_levels=3,
    )


def matching(model_file: Path, paths: list[CoarseTrajectory], **options: object) -> tuple[MatchingModule, StepDataset]:
    networks, description = LearnedModel.read_networks(model_file)
    refinement = LearnedModel.load(model_file).refinement
    data = WindowDataset(
        paths,
        Vocabulary(description.atom_types, description.bond_types),
        stride=1,
        n_history=description.n_history,
        cutoff=CUTOFF,
        augmentation=Augmentation(time_reversal=True),
        levels=description.noise_levels,
        ion_cutoff=ION_CUTOFF,
        score_ion_cutoff=CUTOFF,
    )
    bands = PairBands.of(data, CUTOFF)
    levels = description.noise_levels
    module = MatchingModule(networks, TrainingOptions(**options), data, bands, levels, refinement)
    return module, StepDataset(data, refinement.n_normal)


def test_a_step_is_that_of_a_simulation(model_file: Path, paths: list[CoarseTrajectory]) -> None:
    module, steps = matching(model_file, paths)
    request = Request(1, np.array([4, 30, 17]), (7,))
    batch = steps[[request]]
    with torch.no_grad():
        change = module.step(batch, module.predict(batch.windows))
    model = LearnedModel.load(model_file)
    simulator = LearnedSimulator(model, [paths[1].cg] * 3, box_vectors=[BOX] * 3)
    # start() would take the drift out of the displacements, which these data have
    state = simulator.start([np.zeros((3, 12, 3)) + np.arange(12)[:, None]] * 3)
    state = replace(state, positions=batch.present, displacements=batch.windows.displacements.double())
    expected = simulator.advance(state, batch.normal).state.displacements[:, 0] - state.displacements[:, 0]
    torch.testing.assert_close(change.double(), expected, rtol=0, atol=1e-5)
    assert change.norm(dim=1).mean() > 0.1


def test_true_steps_count_as_the_true_next_frames(model_file: Path, paths: list[CoarseTrajectory]) -> None:
    module, steps = matching(model_file, paths)
    batch = steps[[Request(n, np.arange(50), (n,)) for n in range(3)]]
    counts = module.counts(batch, batch.windows.target)
    for system, path in enumerate(paths):
        request = Request(system, np.arange(50), (system,))
        after = steps.data.frames(request, random_numbers(request))[:, -1]
        # windows that run backwards end at their first frame
        assert (np.diff(after) != 1).any()
        expected = np.mean([len(near_pairs(frame, BOX, CUTOFF).first) for frame in path.positions[after].astype(float)])
        assert float(counts[system].sum()) == pytest.approx(expected, rel=1e-4)


def close_unlike_pairs(module: MatchingModule, batch: StepBatch) -> float:
    """Unlike ions within 0.7 of the core after a step, per frame."""
    with torch.no_grad():
        change = module.step(batch, module.predict(batch.windows))
        edges = module.edges(batch, change, CUTOFF)
    kinds = torch.cat([module.kinds[system].repeat(batch.frames.shape[1]) for system in batch.systems.tolist()])
    unlike = kinds[edges.pairs[0]] != kinds[edges.pairs[1]]
    return float((edges.separations.norm(dim=1)[unlike] < 0.7 * CORE).sum()) / (2 * batch.frames.numel())


def test_pairs_alone_teach_a_core(model_file: Path, paths: list[CoarseTrajectory]) -> None:
    """The Score GNN has random weights, and no loss but that of the pairs."""
    module, steps = matching(model_file, paths, windows_per_system=8)
    held_out = steps[[Request(n, np.arange(50), (100 + n,)) for n in range(3)]]
    frozen = {k: v.clone() for k, v in module.networks.state_dict().items() if not k.startswith("score")}
    before = close_unlike_pairs(module, held_out)
    optimizer = torch.optim.Adam(module.networks.score.parameters(), 5e-3)
    for batch in loader(steps, WindowSampler(steps.n_windows, 60, 3, 8, seed=1)):
        with torch.no_grad():
            true = module.counts(batch, batch.windows.target)
        simulated = module.started(batch)
        change = module.step(simulated, module.predict(simulated.windows))
        learned = module.counts(simulated, change)
        module.keep(simulated, change)
        optimizer.zero_grad()
        module.pair_loss(batch.systems, learned, true).backward()
        optimizer.step()
    after = close_unlike_pairs(module, held_out)
    assert before > 0.3
    assert after < 0.4 * before
    for name, tensor in frozen.items():
        assert torch.equal(module.networks.state_dict()[name], tensor), name


def test_gradient_is_that_of_the_squared_error(model_file: Path, paths: list[CoarseTrajectory]) -> None:
    """At the first batch the means are its own."""
    module, _ = matching(model_file, paths)
    learned = torch.rand(2, module.bands.n_features, requires_grad=True)
    true = torch.rand(2, module.bands.n_features)
    systems = torch.tensor([0, 0])
    module.pair_loss(systems, learned, true).backward()
    mean = learned.detach().mean(dim=0).requires_grad_()
    (0.5 * (mean - true.mean(dim=0)).square() / (true.mean(dim=0) + FLOOR)).sum().backward()
    torch.testing.assert_close(learned.grad, mean.grad.expand(2, -1) / 2)


def test_a_systems_own_error_counts_the_more_the_more_often_it_was_seen(
    model_file: Path, paths: list[CoarseTrajectory]
) -> None:
    """Two systems that err by +1 and -1: no error on average, and each is driven its own way in the end."""
    module, _ = matching(model_file, paths)
    expected = torch.full((2, module.bands.n_features), 3.0)
    errors = torch.stack([torch.ones_like(expected[0]), -torch.ones_like(expected[0])])
    drives = []
    for _ in range(400):
        learned = (expected + errors).requires_grad_()
        module.pair_loss(torch.tensor([0, 2]), learned, expected).backward()
        drives.append(learned.grad[:, 0])
    first, last = drives[0], drives[-1]
    assert abs(first[0]) < 0.3 * abs(last[0])
    assert last[0] > 0 > last[1]
    torch.testing.assert_close(module.of_all, torch.zeros_like(module.of_all), rtol=0, atol=1e-5)
    assert module.seen.tolist() == [400, 0, 400]


def test_a_step_begins_where_the_last_one_of_its_system_ended(model_file: Path, paths: list[CoarseTrajectory]) -> None:
    module, steps = matching(model_file, paths, windows_per_system=2)
    first, second = (steps[[Request(1, np.array(own), (n,))]] for n, own in enumerate(([3, 9], [20, 30])))
    never, once = torch.tensor([[False, False]]), torch.tensor([[False, True]])
    first, second = first._replace(begins=never), second._replace(begins=once)
    # nothing to go on from yet
    begun = module.started(first)
    assert torch.equal(begun.present, first.present)
    torch.testing.assert_close(begun.windows.displacements, first.windows.displacements)
    one, other = (
        {(int(j), int(i)): r for (j, i), r in zip(b.windows.edge_index.T, b.windows.separations, strict=True)}
        for b in (begun, first)
    )
    assert one.keys() == other.keys()
    change = torch.randn(24, 3)
    module.pair_loss(first.systems, *2 * [torch.zeros(1, module.bands.n_features)])
    module.keep(begun, change)
    goes_on = module.started(second)
    latest = first.windows.displacements[:, 0] + change
    torch.testing.assert_close(goes_on.present[:12], (first.present + latest)[:12])
    torch.testing.assert_close(goes_on.windows.displacements[:12, 0], latest[:12])
    torch.testing.assert_close(goes_on.windows.displacements[:12, 1], first.windows.displacements[:12, 0])
    # the second window begins anew
    assert torch.equal(goes_on.present[12:], second.present[12:])
    torch.testing.assert_close(goes_on.windows.displacements[12:], second.windows.displacements[12:])
    # the edges are those of these positions
    expected = steps.data.edges(
        1, goes_on.present.reshape(2, 12, 3).numpy(), second.frames[0].numpy(), CUTOFF, ION_CUTOFF
    )
    assert torch.equal(goes_on.windows.edge_index, expected.pairs)
    torch.testing.assert_close(goes_on.windows.separations, expected.separations)
    # other systems have nothing of it
    elsewhere = steps[[Request(2, np.array([1, 2]), (5,))]]._replace(begins=never)
    assert torch.equal(module.started(elsewhere).present, elsewhere.present)


def test_a_box_that_changes_is_never_gone_on_in(model_file: Path, paths: list[CoarseTrajectory]) -> None:
    """Positions of one box have no place in another."""
    swelling = paths[1].box_vectors * np.linspace(1, 1.1, paths[1].n_frames)[:, None, None]
    module, steps = matching(model_file, [paths[0], replace(paths[1], box_vectors=swelling)], windows_per_system=1)
    assert module.goes_on.tolist() == [True, False]
    batch = steps[[Request(1, np.array([3]), (0,))]]
    module.seen += 1
    module.keep(batch, torch.ones(12, 3))
    assert torch.equal(module.started(batch._replace(begins=torch.tensor([[False]]))).present, batch.present)


def test_no_batch_has_a_system_twice() -> None:
    """Two steps of one simulation at once would both be the next."""
    sampler = WindowSampler(np.array([50, 1, 1]), 40, 5, 2, seed=0, distinct=True)
    assert all(sorted(request.system for request in batch) == [0, 1, 2] for batch in sampler)
    few = WindowSampler(np.array([50, 1, 1]), 40, 2, 2, seed=0, distinct=True)
    assert all(len({request.system for request in batch}) == 2 for batch in few)


OPTIONS = TrainingOptions(
    time_step=1.0, n_history=1, atoms_per_bead=1, steps=20, validate_every=10, systems_per_batch=2, windows_per_system=3,
    cutoff=CUTOFF, refinement_levels=2, matching_steps=40,
)  # fmt: skip
NETWORK = NetworkOptions(hidden=8, layers=1, score=True, score_layers=1)


def test_killed_matching_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    """SIGKILL after its first checkpoint: weights and running means are as of a training that was left alone."""
    code = (
        "import sys, torch; torch.set_num_threads(1)\n"
        "from tests.cgplugin.test_matching import *\n"
        "train([hard_core_salt(40, seed) for seed in range(3)], sys.argv[1], options=OPTIONS, network=NETWORK)"
    )
    for name, kill in (("alone", False), ("killed", True)):
        command = [sys.executable, "-c", code, str(tmp_path / f"{name}.pt")]
        process = subprocess.Popen(command, cwd=ROOT)
        if kill:
            last = tmp_path / "killed.training" / "matching" / "last.ckpt"
            deadline = time.monotonic() + 240
            while not last.exists() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert not (tmp_path / "killed.pt").exists()
            process = subprocess.Popen(command, cwd=ROOT)
        assert process.wait() == 0
    alone, killed = (torch.jit.load(tmp_path / f"{name}.pt").state_dict() for name in ("alone", "killed"))
    for key in alone:
        assert torch.equal(alone[key], killed[key]), key
    logs = list((tmp_path / "killed.training" / "matching" / "log").iterdir())
    assert len(logs) == 2
    assert "train_pairs" in (logs[0] / "metrics.csv").read_text()


def test_only_the_score_network_learns(paths: list[CoarseTrajectory], tmp_path: Path) -> None:
    states = []
    for steps in (0, 10):
        options = replace(OPTIONS, matching_steps=steps)
        path = train(paths, tmp_path / f"{steps}.pt", options=options, network=NETWORK)
        assert LearnedModel.load(path).description.training["options"]["matching_steps"] == steps
        states.append(torch.jit.load(path).state_dict())
    differ = {key for key in states[0] if not torch.equal(states[0][key], states[1][key])}
    assert differ
    assert all("score" in key for key in differ), differ


def test_without_a_score_network_there_is_nothing_to_match(paths: list[CoarseTrajectory], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="matching-steps is 40, but there is no Score GNN: use --score"):
        train(paths, tmp_path / "m.pt", options=OPTIONS, network=replace(NETWORK, score=False))


def test_more_processes_than_systems_are_refused(paths: list[CoarseTrajectory], tmp_path: Path) -> None:
    options = replace(OPTIONS, systems_per_batch=4)
    with pytest.raises(UserError, match="matching-steps: 4 processes share 2 systems, one each at least"):
        train(paths, tmp_path / "m.pt", options=options, network=NETWORK, processes=Processes(4))
