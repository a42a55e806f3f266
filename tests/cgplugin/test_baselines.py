"""Baselines: units from bond graphs, ridge regression against its closed form, networks on a property they can learn."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from cgplugin import MolecularSystem, UserError
from cgplugin.baselines.backbone import constitutional_units, unit_fractions
from cgplugin.baselines.model_file import load, save, train_baseline
from cgplugin.baselines.options import BaselineOptions
from cgplugin.baselines.ridge import RidgeBaseline, leave_one_out_error
from cgplugin.baselines.structure_property import PropertyData
from cgplugin.cli.main import main
from cgplugin.systems.structure_files import load_structure
from tests.conftest import POLYMER, chain

FORCE_FIELD = json.loads((POLYMER / "forcefield.json").read_text())


def written(unit: list[str]) -> str:
    """A unit of the force field, as the bond graph's reader writes it."""
    text = unit[-1]
    for name in unit[-2::-1]:
        text = f"{name}(-{text})"
    return text


def polymer(units: list[list[str]], name: str = "p", order: np.ndarray | None = None) -> MolecularSystem:
    """Chain of units, its atoms numbered in any order."""
    types: list[str] = []
    bonds, previous = [], None
    for unit in units:
        backbone = len(types)
        if previous is not None:
            bonds.append((previous, backbone))
        bonds += [(backbone + n, backbone + n + 1) for n in range(len(unit) - 1)]
        types += unit
        previous = backbone
    place = np.arange(len(types)) if order is None else order[: len(types)].argsort()
    shuffled = [""] * len(types)
    for atom, kind in enumerate(types):
        shuffled[place[atom]] = kind
    return MolecularSystem(
        tuple(shuffled),
        np.ones(len(types)),
        place[np.array(bonds)],
        ("1",) * len(bonds),
        units="lj",
        name=name,
    )


def random_data(n: int, seed: int, n_units: int = 12) -> PropertyData:
    """Polymers with a property that is linear in the composition, and a little noise."""
    rng = np.random.default_rng(seed)
    known = FORCE_FIELD["constitutional_units"]
    weights = np.linspace(-5, 5, len(known))
    systems, values = [], []
    for number in range(n):
        drawn = rng.integers(len(known), size=n_units)
        systems.append(polymer([known[i] for i in drawn], f"s{number}"))
        mean = 20 + weights[drawn].mean() * 4 + 0.1 * rng.normal()
        values.append((mean, 0.3 * mean))
    return PropertyData(tuple(systems), np.array(values))


@pytest.mark.parametrize("folder", ["train/001", "train/013", "train/051", "train/060", "devtest/005", "devtest/007"])
def test_units_of_reference_polymers(folder: str) -> None:
    """The bond graph gives the sequence that the polymer was made of, also where its longest path ends in a side group."""
    meta = json.loads((POLYMER / folder / "meta.json").read_text())
    sequence = [written(FORCE_FIELD["constitutional_units"][i]) for i in meta["sequence"]]
    found = constitutional_units(load_structure(POLYMER / folder).system)
    assert found == min(sequence, sequence[::-1])
    assert sum(unit_fractions(found).values()) == pytest.approx(1)


def test_units_do_not_depend_on_the_numbering() -> None:
    units = [FORCE_FIELD["constitutional_units"][i] for i in (6, 0, 3, 8, 8, 1, 9, 2)]
    expected = constitutional_units(polymer(units))
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(sum(map(len, units)))
        assert constitutional_units(polymer(units, order=order)) == expected
        assert constitutional_units(polymer(units[::-1], order=order)) == expected


def test_units_of_rings_and_mixtures() -> None:
    ring = MolecularSystem(("A",) * 3, np.ones(3), np.array([[0, 1], [1, 2], [0, 2]]), ("1",) * 3, name="ring")
    pair = MolecularSystem(("A",) * 4, np.ones(4), np.array([[0, 1], [2, 3]]), ("1",) * 2, name="pair")
    for system in (ring, pair):
        with pytest.raises(UserError, match=f"{system.name}: is not a single chain without rings"):
            constitutional_units(system)


def test_leave_one_out_in_closed_form() -> None:
    """Equal to fitting n times; the centring is then that of all n systems, of which the closed form takes 1/n."""
    rng = np.random.default_rng(0)
    features, target = rng.normal(size=(12, 3)), rng.normal(size=12)
    penalty, errors = 0.7, []
    for left_out in range(12):
        rest = np.arange(12) != left_out
        # the intercept carries no penalty
        design = np.column_stack([np.ones(11), features[rest] - features.mean(axis=0)])
        matrix = design.T @ design + penalty * np.diag([0, 1, 1, 1])
        fitted = np.linalg.solve(matrix, design.T @ target[rest])
        errors.append(target[left_out] - fitted[0] - (features[left_out] - features.mean(axis=0)) @ fitted[1:])
    left, singular, _ = np.linalg.svd(features - features.mean(axis=0), full_matrices=False)
    found = leave_one_out_error(left, singular, target - target.mean(), penalty)
    assert found == pytest.approx(np.mean(np.square(errors)))


def test_ridge_regression_finds_a_linear_property(tmp_path: Path) -> None:
    fitted = train_baseline("ridge", random_data(60, 1))
    held_out = random_data(20, 2)
    predicted = fitted.predict(held_out.systems)
    assert np.abs(predicted - held_out.values).max() < 0.6
    save(fitted, tmp_path / "ridge.pt", {})
    again = load(tmp_path / "ridge.pt")
    assert isinstance(again, RidgeBaseline)
    np.testing.assert_array_equal(again.predict(held_out.systems), predicted)


@pytest.mark.parametrize("kind", ["gnn", "lstm"])
def test_network_learns_and_is_stored(kind: str, tmp_path: Path) -> None:
    """A small one explains most of a property that is linear in the composition; the same seed gives the same bits."""
    options = BaselineOptions(
        layers=1, hidden=24, mlp_layers=1, head_hidden=24, epochs=40, learning_rate=5e-3, final_learning_rate=1e-3,
        batch_size=20,
    )  # fmt: skip
    data, validation, held_out = random_data(80, 3, 8), random_data(20, 4, 8), random_data(20, 5, 8)
    before = torch.random.get_rng_state()
    fitted = train_baseline(kind, data, validation, options)
    assert torch.equal(torch.random.get_rng_state(), before)
    predicted = fitted.predict(held_out.systems)
    errors = predicted[:, 0] - held_out.values[:, 0]
    assert np.mean(errors**2) < 0.5 * held_out.values[:, 0].var()
    np.testing.assert_array_equal(train_baseline(kind, data, validation, options).predict(held_out.systems), predicted)
    save(fitted, tmp_path / "b.pt", {"note": "x"})
    np.testing.assert_array_equal(load(tmp_path / "b.pt").predict(held_out.systems), predicted)
    # nothing but tensors, numbers and text
    assert torch.load(tmp_path / "b.pt", weights_only=True)["training"] == {"note": "x"}
    # batches do not mix systems, and a chain has no direction
    np.testing.assert_allclose(fitted.predict(held_out.systems[:1]), predicted[:1], rtol=1e-5)


def test_paper_sizes() -> None:
    """10 message-passing layers of width 128, 2 LSTM layers of width 256."""
    from cgplugin.baselines.supervised_gnn import SupervisedGNN
    from cgplugin.baselines.supervised_lstm import SupervisedLSTM

    systems = random_data(2, 0).systems
    gnn = SupervisedGNN.for_systems(systems, BaselineOptions())
    assert len(gnn.encoder.layers) == 10
    assert gnn.encoder.n_out == 128
    lstm = SupervisedLSTM.for_systems(systems, BaselineOptions()).lstm
    assert (lstm.num_layers, lstm.hidden_size) == (2, 256)


def test_sum_pooling() -> None:
    """Two chains that are no part of each other, pooled, give the sum: the head sees twice as much of a system twice as large."""
    from cgplugin.baselines.supervised_gnn import SupervisedGNN

    network = SupervisedGNN.for_systems([chain(6)], BaselineOptions(layers=1, hidden=8)).eval()
    seen = []
    network.head.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0].detach()))
    one = chain(6)
    two = MolecularSystem(
        ("A",) * 12, np.ones(12), np.concatenate([one.bonds, one.bonds + 6]), ("b",) * 10, units="lj", name="two"
    )
    network([network.encode(one)])
    network([network.encode(two)])
    torch.testing.assert_close(seen[1], 2 * seen[0])


def test_unknown_units_and_types(tmp_path: Path) -> None:
    data = random_data(12, 6)
    stranger = chain(8, name="stranger")
    for kind in ("ridge", "lstm", "gnn"):
        options = BaselineOptions(layers=1, hidden=8, mlp_layers=1, head_hidden=8, epochs=1)
        fitted = train_baseline(kind, data, data, options)
        with pytest.raises(UserError, match=r"stranger: .* never saw"):
            fitted.predict([stranger])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no", "not a baseline of cgplugin"),
        ({"format": "other"}, "not a baseline of cgplugin"),
        ({"format": "cgplugin baseline", "version": 9}, "baseline format 9, this cgplugin reads format 1"),
        ({"format": "cgplugin baseline", "version": 1, "kind": "ridge"}, "the baseline is incomplete"),
        ({"format": "cgplugin baseline", "version": 1, "kind": "tea"}, "unknown kind 'tea'"),
    ],
)
def test_files_that_are_none(content: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "b.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(UserError, match=message):
        load(path)
    with pytest.raises(UserError, match="no such file"):
        load(tmp_path / "none.pt")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"dropout": 1.0}, "dropout is 1"),
        ({"learning_rate": 1e-4}, "learning-rate is 0.0001"),
        ({"seed": -1}, "seed is -1"),
        ({"weight_decay": -1.0}, "weight-decay is -1"),
    ],
)
def test_options(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        BaselineOptions(**changes)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(["baseline", *map(str, words)])
        said = capsys.readouterr()
        return int(stop.value.code or 0), said.out, said.err

    data = [word for number in range(5) for word in ("--data", POLYMER / "train" / f"{number:03d}")]
    status, out, err = run("ridge", *data, "--out", tmp_path / "ridge.pt")
    assert status == 0, err
    assert "read 5 systems" in out
    predicted = load(tmp_path / "ridge.pt").predict([load_structure(POLYMER / "train" / "002").system])
    assert 5 < predicted[0, 0] < 60
    assert math.isfinite(predicted[0, 1])
    for words, message in (
        (["gnn", *data, "--out", tmp_path / "g.pt"], "stops by its error on validation systems: give --validation"),
        (["ridge", *data, "--out", tmp_path], "is a folder"),
        (["ridge", *data, "--epochs", 3, "--out", tmp_path / "r.pt"], "no option --epochs"),
        (["ridge", *data[:4], "--out", tmp_path / "r.pt"], "2 systems are too few for a ridge regression"),
        (["tree", *data, "--out", tmp_path / "r.pt"], "'tree' is not one of"),
    ):
        status, _, err = run(*words)
        assert status == 2, err
        assert message in err
        assert len(err.strip().splitlines()) == 1
