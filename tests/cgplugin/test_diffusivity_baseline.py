"""The baseline of diffusivities: known curves, systems whose y and theta follow from their composition, and the command."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cgplugin import MolecularSystem, UserError
from cgplugin.baselines.apparent_diffusivity import DiffusivityCurves, decay, fit_decay, species_of_atoms
from cgplugin.baselines.diffusivity import DiffusivityBaseline
from cgplugin.baselines.model_file import load, save
from cgplugin.baselines.options import BaselineOptions
from cgplugin.cli.main import main
from cgplugin.evaluation.reference import PeriodicReference
from cgplugin.evaluation.reference_data import load_reference
from tests.conftest import POLYMER, ROOT, SHARED, chain

ELECTROLYTE = SHARED / "electrolyte"
TIMES = np.geomspace(2, 250, 20)
SMALL = BaselineOptions(
    layers=1, hidden=16, mlp_layers=1, head_hidden=16, epochs=120, learning_rate=1e-2, final_learning_rate=1e-3,
    batch_size=10,
)  # fmt: skip


def electrolyte(n_salt: int, share: float, name: str = "e") -> MolecularSystem:
    """Three chains of 20 atoms, a share of which are of type A and the others of type B, and a salt."""
    n_chain = 60
    n_a = round(share * 20)
    types = (["A"] * n_a + ["B"] * (20 - n_a)) * 3 + ["Li"] * n_salt + ["Cl"] * n_salt
    bonds = [(20 * c + i, 20 * c + i + 1) for c in range(3) for i in range(19)]
    charges = np.array([0.0] * n_chain + [1.0] * n_salt + [-1.0] * n_salt)
    return MolecularSystem(
        tuple(types), np.ones(len(types)), np.array(bonds), ("b",) * len(bonds), charges=charges, units="lj", name=name
    )


def parameters(n_salt: int, share: float) -> dict[str, tuple[float, float]]:
    """What the made-up systems do: y falls with the salt, theta rises with the share of A."""
    y, theta = -1.0 - 0.02 * n_salt, 0.01 * 3 ** (share - 0.5)
    return {"cation": (y, theta), "anion": (y - 0.5, 2 * theta), "neutral": (y - 1.5, theta)}


def made_up(n: int, seed: int) -> list[DiffusivityCurves]:
    rng = np.random.default_rng(seed)
    found = []
    for number in range(n):
        n_salt, share = int(rng.integers(5, 40)), float(rng.uniform(0.1, 0.9))
        system = electrolyte(n_salt, share, f"e{number}")
        known = parameters(n_salt, round(share * 20) / 20)
        values = np.array([decay(TIMES, *known[name]) for name in ("cation", "anion", "neutral")])
        found.append(DiffusivityCurves(system, ("cation", "anion", "neutral"), TIMES, values))
    return found


@given(st.floats(-4, 1), st.floats(1e-3, 0.3))
@settings(max_examples=60, deadline=None)
def test_fit_finds_the_parameters(y: float, theta: float) -> None:
    fitted = fit_decay(TIMES, decay(TIMES, y, theta))
    assert fitted == (pytest.approx(y, abs=1e-3), pytest.approx(theta, rel=5e-3))


def test_fit_of_a_curve_that_is_flat_or_steep_stays_in_bounds() -> None:
    for values in (np.full(20, -2.0), np.linspace(-1, -5, 20)):
        y, theta = fit_decay(TIMES, values)
        assert np.isfinite(y)
        assert 0.01 / 250 <= theta <= 10 / 2


def test_extrapolation_of_made_up_systems(tmp_path: Path) -> None:
    """Trained on short times, it gives the limit at long ones; so does the file."""
    training, validation, unseen = made_up(40, 1), made_up(10, 2), made_up(10, 3)
    before = torch.random.get_rng_state()
    fitted = DiffusivityBaseline.fit(training, validation, SMALL)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert fitted.error(unseen) < 0.03
    for curves in unseen:
        share = curves.system.atom_types[:60].count("A") / 60
        known = parameters(curves.system.atom_types.count("Li"), share)
        predicted = fitted.predict(curves.system, 10_000)
        for name, (y, _) in known.items():
            assert np.log10(predicted[name]) == pytest.approx(y, abs=0.12)
    save(fitted, tmp_path / "d.pt", {"note": "x"})
    loaded = load(tmp_path / "d.pt")
    assert isinstance(loaded, DiffusivityBaseline)
    assert loaded.predict(unseen[0].system, 500) == fitted.predict(unseen[0].system, 500)


def test_batches_do_not_mix_systems() -> None:
    """The curve of a system depends on the seed, not on what else is in the batch, nor on how its atoms are numbered."""
    curves = made_up(6, 4)
    fitted, again, other = (
        DiffusivityBaseline.fit(curves, curves, replace(SMALL, epochs=2, seed=seed)) for seed in (0, 0, 1)
    )
    assert again.parameters(curves[0].system) == fitted.parameters(curves[0].system)
    assert other.parameters(curves[0].system) != fitted.parameters(curves[0].system)
    graphs = [fitted.network.encode(item.system) for item in curves]
    with torch.inference_mode():
        together = fitted.network(graphs)
        alone = torch.cat([fitted.network([graph]) for graph in graphs])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    system = curves[0].system
    order = np.random.default_rng(0).permutation(system.n_atoms)
    place = np.argsort(order)
    shuffled = replace(
        system,
        atom_types=tuple(system.atom_types[i] for i in order),
        bonds=place[system.bonds],
        charges=None if system.charges is None else system.charges[order],
    )
    expected, found = fitted.parameters(system), fitted.parameters(shuffled)
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, rel=1e-4)


def test_species_of_atoms() -> None:
    names, owners = species_of_atoms(electrolyte(5, 0.5))
    assert names == ("cation", "anion", "neutral")
    assert owners.tolist() == [2] * 60 + [0] * 5 + [1] * 5
    # nothing says which is an ion
    names, owners = species_of_atoms(replace(electrolyte(5, 0.5), charges=None))
    assert names == ("A10B10", "Li", "Cl")
    assert owners.tolist() == [0] * 60 + [1] * 5 + [2] * 5


def test_curves_of_recorded_md() -> None:
    """The apparent diffusivity at one lag by hand: centres of mass, without the drift of the system, all time origins."""
    reference = load_reference(ELECTROLYTE / "val" / "000")
    assert isinstance(reference, PeriodicReference)
    curves = DiffusivityCurves.of(reference)
    assert curves.species == ("cation", "anion", "neutral")
    assert curves.times[0] == 2
    assert curves.times[-1] <= 250
    frames = np.concatenate([block.positions for block in reference.trajectories[0].blocks()])
    masses = reference.system.masses
    frames = frames - np.einsum("fnd,n->fd", frames, masses / masses.sum())[:, None]
    cations = frames[:, np.array(reference.system.atom_types) == "Li"]
    lag = 8
    squared = ((cations[lag:] - cations[:-lag]) ** 2).sum(axis=-1).mean()
    place = int(np.flatnonzero(curves.times == 2 * lag)[0])
    assert 10 ** curves.values[0, place] == pytest.approx(squared / (6 * 2 * lag), rel=1e-4)


def test_data_that_do_not_do() -> None:
    curves = made_up(3, 5)
    with pytest.raises(UserError, match="1 systems and 1 for validation are too few"):
        DiffusivityBaseline.fit(curves[:1], curves[:1], SMALL)
    with pytest.raises(UserError, match="0 for validation are too few"):
        DiffusivityBaseline.fit(curves, [], SMALL)
    other = replace(curves[2], system=replace(curves[2].system, units="openmm"))
    with pytest.raises(UserError, match="are in different units"):
        DiffusivityBaseline.fit(curves[:2], [other], SMALL)
    fitted = DiffusivityBaseline.fit(curves, curves, replace(SMALL, epochs=1))
    with pytest.raises(UserError, match=r"stranger: atom 0 has type 'X', which the model never saw"):
        fitted.predict(chain(4, "stranger", "X"), 10)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main([*map(str, words)])
        said = capsys.readouterr()
        return int(stop.value.code or 0), said.out, said.err

    data = ["--data", ELECTROLYTE / "val" / "000", "--data", ELECTROLYTE / "val" / "001"]
    small = ["--layers", 1, "--hidden", 8, "--head-hidden", 8, "--epochs", 20]
    words = ["baseline", "diffusivity", *data, "--validation", ELECTROLYTE / "val" / "002", *small]
    status, out, err = run(*words, "--out", tmp_path / "d.pt")
    assert status == 0, err
    assert "read 2 systems" in out
    assert "validation: log10 of D(t) is off by" in out
    polymer = ["--data", POLYMER / "train" / "000"]
    for words, message in (
        (["baseline", "diffusivity", *data, "--out", tmp_path / "e.pt"], "give --validation"),
        (
            ["baseline", "diffusivity", *polymer, "--validation", POLYMER / "train" / "001", "--out", tmp_path / "e.pt"],
            "has no periodic box",
        ),
        (["baseline", "ridge", *data, "--out", tmp_path / "e.pt"], "has a periodic box: Rg^2 is a property of chains"),
        (
            ["evaluate", ROOT / "models" / "polymer.pt", "--reference",
             POLYMER / "devtest" / "006", "--baseline", tmp_path / "d.pt", "--out", tmp_path / "out"],
            "the baseline d predicts diffusivities",
        ),
    ):  # fmt: skip
        status, _, err = run(*words)
        assert status == 2, err
        assert message in err
        assert len(err.strip().splitlines()) == 1
