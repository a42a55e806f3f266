"""Symmetries of the networks, batching, TorchScript, and the likelihood against a dense Gaussian."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from scipy.stats import multivariate_normal

from cgplugin.coarse_graining.coarsening import coarsen
from cgplugin.coarse_graining.neighbours import BatchedGraph, BeadGraph
from cgplugin.coarse_graining.vocabulary import Vocabulary, fine_graph
from cgplugin.networks.combined import LearnedNetworks
from cgplugin.networks.dynamics import Prediction, Scales
from cgplugin.networks.options import PAPER, NetworkOptions
from cgplugin.training.likelihood import ion_weights, negative_log_likelihood, score_loss
from tests.conftest import chain

SCALES = Scales(3.0, 0.7, 0.7, 10.0, 2.0, 0.09, 0.95)
N_HISTORY, CUTOFF = 2, 8.0


def networks(ion_cutoff: float | None = None, **options: object) -> LearnedNetworks:
    torch.manual_seed(3)
    made = LearnedNetworks(
        n_atom_types=2,
        n_bond_types=1,
        n_history=N_HISTORY,
        cutoff=CUTOFF,
        ion_cutoff=ion_cutoff,
        mean_atom_mass=1.0,
        options=NetworkOptions(**{"hidden": 16, "layers": 2, "embedding_hidden": 8, "embedding_layers": 2, **options}),
        scales=SCALES,
    )
    for parameter in made.parameters():
        # the heads start near zero: make every part matter
        torch.nn.init.normal_(parameter, std=0.3)
    return made.double().eval()


@pytest.fixture
def beads() -> dict:
    system = chain(40)
    cg = coarsen(system, 5)
    random = np.random.default_rng(1)
    positions = np.cumsum(random.normal(size=(cg.n_beads, 3)) * 1.7, axis=0)
    return {
        "cg": cg,
        "positions": torch.tensor(positions),
        "displacements": torch.tensor(random.normal(size=(cg.n_beads, N_HISTORY, 3))),
    }


def predict(made: LearnedNetworks, cg, positions: torch.Tensor, displacements: torch.Tensor) -> Prediction:
    graph = BeadGraph.of(cg)
    edges = graph.edges(positions, CUTOFF)
    fine = fine_graph(cg, Vocabulary(("A", "B"), ("b",)))
    embedding = made.embed(fine.atom_types, fine.atom_masses.double(), *fine[2:])
    with torch.no_grad():
        return made(
            embedding, torch.tensor(cg.masses), displacements, edges.pairs, edges.separations.double(), edges.kinds
        )


@pytest.mark.parametrize(
    "options",
    [{}, PAPER | {"hidden": 16, "layers": 2, "embedding_hidden": 8}, {"stochastic": False}, {"score": True}],
)
def test_script_gives_the_same(beads: dict, options: dict) -> None:
    made = networks(**options)
    expected = predict(made, **beads)
    found = predict(torch.jit.script(made), **beads)
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("options", [{}, {"symmetry": "none"}])
def test_translation_changes_nothing(beads: dict, options: dict) -> None:
    made = networks(**options)
    moved = {**beads, "positions": beads["positions"] + 1000.0}
    for a, b in zip(predict(made, **beads), predict(made, **moved), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_rotation_turns_the_mean_and_nothing_else(beads: dict) -> None:
    made = networks()
    turn = torch.tensor(Rotation.random(rng=5).as_matrix())
    before = predict(made, **beads)
    after = predict(
        made, beads["cg"], beads["positions"] @ turn.T, torch.einsum("ab,nkb->nka", turn, beads["displacements"])
    )
    # edges are in single precision
    torch.testing.assert_close(after.mean, before.mean @ turn.T, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(after.scale, before.scale, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(after.mixing, before.mixing, rtol=1e-4, atol=1e-4)


def test_paper_network_is_not_equivariant_by_construction(beads: dict) -> None:
    made = networks(symmetry="none")
    turn = torch.tensor(Rotation.from_rotvec([0, 0, 1.0]).as_matrix())
    turned = predict(
        made, beads["cg"], beads["positions"] @ turn.T, torch.einsum("ab,nkb->nka", turn, beads["displacements"])
    )
    assert (turned.mean - predict(made, **beads).mean @ turn.T).abs().max() > 1e-2


def test_order_of_beads_does_not_matter(beads: dict) -> None:
    """Relabelling atoms, and with them beads, permutes the answer."""
    from cgplugin import MolecularSystem

    made = networks()
    system, n = beads["cg"].system, beads["cg"].n_beads
    reverse = np.arange(system.n_atoms)[::-1]
    mirrored = MolecularSystem(system.atom_types, system.masses, reverse[system.bonds], system.bond_types, units="lj")
    cg = coarsen(mirrored, 5)
    assert (cg.mapping == n - 1 - beads["cg"].mapping[::-1]).all()
    expected = predict(made, **beads)
    found = predict(made, cg, beads["positions"].flip(0), beads["displacements"].flip(0))
    torch.testing.assert_close(found.mean.flip(0), expected.mean, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.scale.flip(0), expected.scale, rtol=1e-4, atol=1e-4)


def test_batch_gives_what_single_systems_give(beads: dict) -> None:
    made = networks()
    one, other = beads["cg"], coarsen(chain(25), 5)
    random = np.random.default_rng(2)
    positions = torch.tensor(np.cumsum(random.normal(size=(other.n_beads, 3)) * 1.7, axis=0))
    moved = torch.tensor(random.normal(size=(other.n_beads, N_HISTORY, 3)))
    singles = [predict(made, **beads), predict(made, other, positions, moved)]
    graph = BatchedGraph([BeadGraph.of(one), BeadGraph.of(other)], CUTOFF)
    edges = graph.edges(torch.cat([beads["positions"], positions]))
    vocabulary = Vocabulary(("A", "B"), ("b",))
    embeddings = []
    for cg in (one, other):
        fine = fine_graph(cg, vocabulary)
        embeddings.append(made.embed(fine.atom_types, fine.atom_masses.double(), *fine[2:]))
    with torch.no_grad():
        together = made(
            torch.cat(embeddings),
            torch.tensor(np.concatenate([one.masses, other.masses])),
            torch.cat([beads["displacements"], moved]),
            edges.pairs,
            edges.separations.double(),
            edges.kinds,
        )
    for name in ("mean", "scale", "internal_rg2"):
        expected = torch.cat([getattr(single, name) for single in singles])
        torch.testing.assert_close(getattr(together, name), expected, rtol=1e-5, atol=1e-6)


def test_correction_of_the_prior_is_bounded(beads: dict) -> None:
    """However wild the weights, the pull of the springs wins over the network's push on a stretched bond."""
    made = networks()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(50)
    stretched = beads["positions"] * 1000
    mean = predict(made, beads["cg"], stretched, torch.zeros_like(beads["displacements"])).mean
    assert float(mean[0] @ (stretched[1] - stretched[0])) > 0


@pytest.mark.parametrize("noise", ["diagonal", "bonded"])
def test_likelihood_is_that_of_a_gaussian(beads: dict, noise: str) -> None:
    made = networks(noise=noise)
    prediction = predict(made, **beads)
    edges = BeadGraph.of(beads["cg"]).edges(beads["positions"], CUTOFF)
    n = beads["cg"].n_beads
    target = torch.tensor(np.random.default_rng(0).normal(size=(n, 3)))
    factor = torch.eye(n, dtype=torch.float64)
    factor = factor.index_put((edges.pairs[1], edges.pairs[0]), prediction.mixing, accumulate=True)
    assert (noise == "bonded") == bool(prediction.mixing.any())
    expected = 0.0
    for axis in range(3):
        f = (prediction.scale[:, axis, None] * factor).numpy()
        gaussian = multivariate_normal(prediction.mean[:, axis].numpy(), f @ f.T)
        expected -= gaussian.logpdf(target[:, axis].numpy()) / (3 * n)
    found = negative_log_likelihood(prediction, target, edges.pairs, torch.zeros(n, dtype=torch.int64), 1.0)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_likelihood_of_a_batch_is_the_mean_of_its_parts(beads: dict) -> None:
    prediction = predict(networks(), **beads)
    edges = BeadGraph.of(beads["cg"]).edges(beads["positions"], CUTOFF)
    n = beads["cg"].n_beads
    target = torch.tensor(np.random.default_rng(0).normal(size=(n, 3)))
    one = negative_log_likelihood(prediction, target, edges.pairs, torch.zeros(n, dtype=torch.int64), 0.7)
    twice = Prediction(*(torch.cat([item, item]) for item in prediction))
    index = torch.cat([edges.pairs, edges.pairs + n], dim=1)
    molecules = torch.arange(2).repeat_interleave(n)
    both = negative_log_likelihood(twice, torch.cat([target, target]), index, molecules, 0.7)
    torch.testing.assert_close(one, both)


def test_weighted_likelihood_is_that_of_the_parts(beads: dict) -> None:
    """A chain, and what might be an ion: the mean of their likelihoods by beads times weight."""
    made = networks()
    prediction = predict(made, **beads)
    edges = BeadGraph.of(beads["cg"]).edges(beads["positions"], CUTOFF)
    target = torch.randn(prediction.mean.shape, dtype=torch.float64)
    n = len(target)
    chain_loss = negative_log_likelihood(prediction, target, edges.pairs, torch.zeros(n, dtype=torch.int64), 0.7)
    no_edges = torch.empty(2, 0, dtype=torch.int64)
    ion = Prediction(*(item[:0] if item is prediction.mixing else item[:1] for item in prediction))
    ion_loss = negative_log_likelihood(ion, target[:1], no_edges, torch.zeros(1, dtype=torch.int64), 0.7)
    both = Prediction(*(item if item is prediction.mixing else torch.cat([item, item[:1]]) for item in prediction))
    molecules = torch.arange(n + 1) // n
    found = negative_log_likelihood(
        both, torch.cat([target, target[:1]]), edges.pairs, molecules, 0.7, ion_weights(molecules, 4.0)
    )
    torch.testing.assert_close(found, (n * chain_loss + 4 * ion_loss) / (n + 4))
    assert not torch.isclose(chain_loss, ion_loss)


def test_score_of_a_pair_fades_out_at_the_cutoff() -> None:
    torch.manual_seed(4)
    prediction = Prediction(
        *torch.randn(2, 2, 3, dtype=torch.float64).abs(), torch.zeros(2), torch.zeros(2), torch.randn(2, 16).double()
    )
    change = torch.randn(2, 3, dtype=torch.float64)

    def influence(score_fading: int, distance: float, ion_cutoff: float | None = None) -> float:
        """Of a pair at this distance, against one beyond the cutoff."""
        net = networks(ion_cutoff=ion_cutoff, score=True, score_layers=1, score_fading=score_fading)
        pairs, kinds = torch.tensor([[0, 1], [1, 0]]), torch.full((2,), 3 if ion_cutoff else 0)
        near, beyond = (
            net.estimate_noise(
                prediction,
                change,
                pairs,
                torch.tensor([[r, 0.0, 0.0], [-r, 0.0, 0.0]], dtype=torch.float64),
                kinds,
                torch.full((2,), 0.4).double(),
            )
            for r in (distance, 1.5 * CUTOFF)
        )
        return float((near - beyond).abs().max())

    for score_fading in (2, 6):
        assert influence(score_fading, (1 - 1e-4) * CUTOFF) < 1e-4 * influence(score_fading, 0.8 * CUTOFF)
    # ions as far as their own cutoff
    farther = 1.3 * CUTOFF
    assert influence(6, (1 - 1e-4) * farther, farther) < 1e-4 * influence(6, CUTOFF, farther)
    assert influence(6, 1.01 * CUTOFF) == 0
    # the higher, the farther a pair reaches
    assert influence(6, 0.8 * CUTOFF) > 2 * influence(2, 0.8 * CUTOFF)


def test_ions_count_more_in_the_loss_of_the_score() -> None:
    # a chain of three beads, an ion, a chain of two, an ion
    weights = ion_weights(torch.tensor([0, 0, 0, 1, 2, 2, 3]), 4.0)
    assert weights.tolist() == [1, 1, 1, 4, 1, 1, 4]
    normal = torch.zeros(7, 3)
    estimate = torch.ones(7, 3)
    assert score_loss(estimate, normal, weights) == pytest.approx(0.5)
    estimate[3] = 3.0
    assert score_loss(estimate, normal) == pytest.approx(0.5 * (6 + 9) / 7)
    assert score_loss(estimate, normal, weights) == pytest.approx(0.5 * (9 + 4 * 9) / 13)
