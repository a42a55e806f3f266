"""What is there to be fast gives what the straightforward way gives, to rounding."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from benchmarks.speed.plain_network import plain_networks_of
from cgplugin import LearnedModel, UserError
from cgplugin.coarse_graining.coarsening import coarsen
from cgplugin.coarse_graining.neighbours import BeadGraph
from cgplugin.learned import torchscript
from cgplugin.networks.blocks import MANY_ROWS, NARROW, CentredLinear, CentredNorm, mlp
from cgplugin.networks.options import PAPER, NetworkOptions
from tests.cgplugin.network_calls import call_of_chains, close
from tests.conftest import ROOT, chain
from tests.random_model import random_model

OPTIONS = {
    "small": NetworkOptions(score=True, score_layers=2),
    "paper": NetworkOptions(**{**PAPER, "layers": 2, "score": True, "score_layers": 2}),
}


@pytest.fixture(scope="module", params=sorted(OPTIONS))
def model_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    return random_model(folder / "model.pt", [chain(60)], periodic=False, cutoff=8.0, options=OPTIONS[request.param])


@torch.inference_mode()
def test_networks_are_those_of_plain_torch_geometric(model_file: Path) -> None:
    model, plain = LearnedModel.load(model_file), plain_networks_of(model_file)
    for n_chains in (1, 24):
        embedding, masses, moved, edges = call_of_chains(model, n_chains)
        assert (edges.pairs.shape[1] >= MANY_ROWS) == (n_chains > 1)
        graph = (edges.pairs, edges.separations, edges.kinds)
        found, expected = model.predict(embedding, masses, moved, edges), plain(embedding, masses, moved, *graph)
        for a, b in zip(found, expected, strict=True):
            close(a, b)
        change = found.mean + 0.5
        noise = plain.estimate_noise(expected, change, *graph, torch.full((len(masses),), 0.3))
        close(model.estimate_noise(found, change, edges, 0.3), noise)


@torch.inference_mode()
def test_plain_networks_would_show_a_wrong_direction_of_the_messages(model_file: Path) -> None:
    """That the comparison can fail."""
    model, plain = LearnedModel.load(model_file), plain_networks_of(model_file)
    embedding, masses, moved, edges = call_of_chains(model, 24)
    expected = model.predict(embedding, masses, moved, edges).latents
    turned = plain(embedding, masses, moved, edges.pairs.flip(0), edges.separations, edges.kinds).latents
    assert (turned - expected).abs().max() > 1e-2 * expected.abs().max()


def test_plain_networks_have_no_layer_of_ours(model_file: Path) -> None:
    ours, _ = LearnedModel.read_networks(model_file)
    assert any(isinstance(module, CentredNorm) for module in ours.modules())
    kinds = {type(module) for module in plain_networks_of(model_file).modules()}
    assert not kinds & {CentredLinear, CentredNorm}


@settings(max_examples=30, deadline=None)
@given(
    width=st.integers(2, NARROW),
    n_in=st.integers(1, 40),
    n_rows=st.sampled_from([1, MANY_ROWS - 1, MANY_ROWS, MANY_ROWS + 7]),
    shift=st.floats(-1e3, 1e3),
    training=st.booleans(),
    seed=st.integers(0, 2**20),
)
def test_narrow_layer_norm_is_torch_s(
    width: int, n_in: int, n_rows: int, shift: float, training: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    sequence = mlp(n_in, 8, width, 1, "silu").double().train(training)
    for parameter in sequence.parameters():
        nn.init.normal_(parameter)
    last, norm = sequence[-2], sequence[-1]
    assert isinstance(last, nn.Linear)
    assert isinstance(norm, nn.LayerNorm)
    nn.init.constant_(last.bias, shift)
    rows = torch.randn(n_rows, n_in, dtype=torch.float64)
    hidden = nn.functional.linear(sequence[:-2](rows), last.weight, last.bias)
    expected = nn.functional.layer_norm(hidden, (width,), norm.weight, norm.bias, norm.eps)
    torch.testing.assert_close(sequence(rows), expected, rtol=1e-6, atol=1e-8)


def test_gradients_of_the_narrow_layer_norm_are_torch_s() -> None:
    torch.manual_seed(0)
    ours = mlp(6, 8, 5, 1, "silu").double()
    plain = nn.Sequential(ours[0], ours[1], nn.Linear(8, 5), nn.LayerNorm(5)).double()
    for mine, theirs in zip(ours[2:], plain[2:], strict=True):
        theirs.load_state_dict(mine.state_dict())
    rows, weights = torch.randn(20, 6).double(), torch.randn(20, 5).double()
    for sequence in (ours, plain):
        (sequence(rows) * weights).sum().backward()
    for mine, theirs in zip(ours[2:].parameters(), plain[2:].parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-9, atol=1e-9)


def test_frozen_model_centres_its_weights_once(tmp_path: Path) -> None:
    model_file = random_model(tmp_path / "narrow.pt", [chain(60)], periodic=False, options=OPTIONS["small"])
    module, _ = torchscript.load(model_file)
    torchscript.add_predict(module)
    frozen = torchscript.for_inference(module, ["predict"])
    assert module.forward.inlined_graph.findAllNodes("aten::mean", recurse=True)
    assert not frozen.predict.inlined_graph.findAllNodes("aten::mean", recurse=True)


@torch.inference_mode()
def test_plain_tuple_has_the_numbers_of_the_named_one(model_file: Path) -> None:
    model = LearnedModel.load(model_file)
    embedding, masses, moved, edges = call_of_chains(model, 3)
    found = model.predict(embedding, masses, moved, edges)
    named = torch.jit.load(model_file)(embedding, masses, moved, edges.pairs, edges.separations, edges.kinds)
    for name, values in found._asdict().items():
        close(values, getattr(named, name))


@torch.inference_mode()
def test_exporting_anew_changes_nothing(model_file: Path, tmp_path: Path) -> None:
    networks, description = LearnedModel.read_networks(model_file)
    again = LearnedModel.load(LearnedModel.export(networks, description, tmp_path / "again.pt"))
    model = LearnedModel.load(model_file)
    assert again.description == model.description
    call = call_of_chains(model, 24)
    for a, b in zip(again.predict(*call), model.predict(*call), strict=True):
        close(a, b)


@torch.inference_mode()
def test_shipped_model_with_the_code_of_today(tmp_path: Path) -> None:
    """Files of earlier versions keep their own code: both give the same numbers."""
    shipped = ROOT / "models" / "polymer.pt"
    networks, description = LearnedModel.read_networks(shipped)
    today = LearnedModel.load(LearnedModel.export(networks, description, tmp_path / "today.pt"))
    model = LearnedModel.load(shipped)
    random = np.random.default_rng(1)
    cg = coarsen(chain(600, atom_type=description.atom_types[0]), description.atoms_per_bead)
    positions = random.normal(size=(cg.n_beads, 3)).cumsum(axis=0) * 1.7
    edges = BeadGraph.of(cg).edges(torch.tensor(positions), description.cutoff)
    assert edges.pairs.shape[1] >= MANY_ROWS
    embedding = torch.tensor(random.normal(size=(cg.n_beads, description.networks["embedding_hidden"])))
    moved = torch.tensor(random.normal(size=(cg.n_beads, description.n_history, 3)))
    call = (embedding.float(), torch.tensor(cg.masses).float(), moved.float(), edges)
    for a, b in zip(today.predict(*call), model.predict(*call), strict=True):
        close(a, b)


def test_file_with_other_weights_is_refused(tmp_path: Path) -> None:
    networks, description = LearnedModel.read_networks(ROOT / "models" / "polymer.pt")
    wider = replace(description, networks={**description.networks, "hidden": 48})
    path = LearnedModel.export(networks, wider, tmp_path / "other.pt")
    with pytest.raises(UserError, match="networks are not those of this version"):
        LearnedModel.read_networks(path)


def test_score_of_a_model_from_before_the_choice_fades_out_as_it_did(tmp_path: Path) -> None:
    networks, description = LearnedModel.read_networks(ROOT / "models" / "electrolyte.pt")
    older = {name: value for name, value in description.networks.items() if name != "score_fading"}
    path = LearnedModel.export(networks, replace(description, networks=older), tmp_path / "older.pt")
    again, _ = LearnedModel.read_networks(path)
    assert again.score is not None
    assert again.score.half_fading == 1.0


def test_score_of_a_model_from_before_expected_separations(tmp_path: Path) -> None:
    options = NetworkOptions(score=True, score_layers=1, score_expected=False)
    networks, description = LearnedModel.read_networks(random_model(tmp_path / "m.pt", [chain(20)], options=options))
    older = {name: value for name, value in description.networks.items() if name != "score_expected"}
    path = LearnedModel.export(networks, replace(description, networks=older), tmp_path / "older.pt")
    again, _ = LearnedModel.read_networks(path)
    assert again.score is not None
    assert not again.score.expected
