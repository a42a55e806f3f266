"""Radial distribution functions against exact results, mdtraj and LAMMPS."""

import mdtraj
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgplugin import UserError
from cgplugin.observables.first_shell import find_first_shell
from cgplugin.observables.pairs import PairKinds, near_pairs
from cgplugin.observables.radial_distribution import RadialDistributionAccumulator, RadialDistributions
from tests.lammps_process import job, run_jobs

CUBE = 6.0 * np.eye(3)
TRICLINIC = np.array([[6.0, 0, 0], [1.5, 6.5, 0], [-1.2, 2.0, 7.0]])


def distributions(
    frames: np.ndarray, box: np.ndarray, names: list[str], reach: float, n_bins: int = 40
) -> RadialDistributions:
    accumulator = RadialDistributionAccumulator(PairKinds.of(names), np.linspace(0, reach, n_bins + 1))
    for frame in frames:
        accumulator.update(near_pairs(frame, box, reach))
    return accumulator.result()


def gas(n_frames: int, n: int, box: np.ndarray, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(size=(n_frames, n, 3)) @ box


@pytest.mark.parametrize("box", [CUBE, TRICLINIC])
def test_ideal_gas(box: np.ndarray) -> None:
    rdf = distributions(gas(40, 150, box), box, ["A"] * 50 + ["B"] * 100, 2.6)
    for pair in (("A", "A"), ("A", "B"), ("B", "B")):
        index = rdf.kinds.index(*pair)
        counted = rdf.expected[index] > 10
        deviations = ((rdf.counts - rdf.expected) / np.sqrt(rdf.expected))[index, counted]
        # chi^2 of independent Poisson numbers
        assert abs((deviations**2).sum() - counted.sum()) < 4 * np.sqrt(2 * counted.sum())
        # blocks of frames are independent, so that both kinds of errors agree
        ratio = rdf.error(*pair)[counted] / np.sqrt(rdf.counts[index, counted]) * rdf.expected[index, counted]
        assert (ratio >= 1 - 1e-9).all()
        assert ratio.mean() < 1.25
        assert np.isnan(rdf.first_shell(*pair).position)
    density = 100 / np.linalg.det(box)
    assert rdf.coordination("A", "B")[-1] == pytest.approx(density * 4 / 3 * np.pi * 2.6**3, rel=0.03)


def test_fcc_lattice() -> None:
    """Shells of 12, 6 and 24 at a / sqrt 2, a and a sqrt(3/2)."""
    a, cells = 1.5, 4
    corners = np.stack(np.meshgrid(*[np.arange(cells)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    basis = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    crystal = a * (corners + basis).reshape(1, -1, 3)
    box = a * cells * np.eye(3)
    rdf = distributions(crystal, box, ["A"] * crystal.shape[1], 1.95, 390)
    shells = np.flatnonzero(rdf.counts[0])
    np.testing.assert_allclose(rdf.centres[shells], a * np.sqrt([0.5, 1, 1.5]), atol=0.0026)
    np.testing.assert_allclose(rdf.coordination("A", "A")[shells], [12, 18, 42])
    # each shell's g is its number over the ideal gas's of N - 1 others
    ideal = 4 / 3 * np.pi * np.diff(rdf.edges**3)[shells] * (crystal.shape[1] - 1) / np.linalg.det(box)
    np.testing.assert_allclose(rdf.g("A", "A")[shells], np.array([12, 6, 24]) / ideal)
    # the two kinds of rock salt's chlorine and sodium: every neighbour at a / 2 is of the other kind
    salt = np.concatenate([crystal[0], crystal[0] + [a / 2, 0, 0]])
    mixed = distributions(salt[None], box, ["Na"] * 256 + ["Cl"] * 256, 1.95, 390)
    assert mixed.coordination("Na", "Cl")[np.flatnonzero(mixed.counts[1])[0]] == 6


@pytest.mark.parametrize("box", [CUBE, TRICLINIC])
def test_equal_to_mdtraj(box: np.ndarray) -> None:
    frames = gas(6, 90, box).astype(np.float32)
    names, reach, n_bins = ["A"] * 30 + ["B"] * 60, 2.6, 26
    rdf = distributions(frames.astype(np.float64), box, names, reach, n_bins)
    topology = mdtraj.Topology()
    residue = topology.add_residue("X", topology.add_chain())
    for _ in names:
        topology.add_atom("X", mdtraj.element.carbon, residue)
    trajectory = mdtraj.Trajectory(frames, topology)
    trajectory.unitcell_vectors = np.broadcast_to(box, (6, 3, 3)).astype(np.float32)
    chosen = {
        ("A", "A"): np.stack(np.triu_indices(30, 1), axis=1),
        ("A", "B"): np.stack(np.add(np.indices((30, 60)).reshape(2, -1), [[0], [30]]), axis=1),
    }
    for pair, atoms in chosen.items():
        r, g = mdtraj.compute_rdf(trajectory, atoms, r_range=(0, reach), n_bins=n_bins)
        np.testing.assert_allclose(rdf.centres, r, rtol=1e-6)
        index = rdf.kinds.index(*pair)
        # in single precision a pair may fall on the other side of an edge
        assert np.abs(g * rdf.expected[index] - rdf.counts[index]).sum() <= 4


def test_equivalent_boxes() -> None:
    """Another cell of the same lattice, and a supercell, give the same g."""
    frames, names = gas(3, 60, TRICLINIC), ["A"] * 20 + ["B"] * 40
    # no more than half the height of the skewed cell
    rdf = distributions(frames, TRICLINIC, names, 1.9)
    skewed = TRICLINIC.copy()
    skewed[2] += TRICLINIC[1] - TRICLINIC[0]
    np.testing.assert_array_equal(distributions(frames, skewed, names, 1.9).counts, rdf.counts)
    # twice as long along each edge
    shifts = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) @ TRICLINIC
    copies = (frames[:, None] + shifts[:, None]).reshape(3, -1, 3)
    large = distributions(copies, 2 * TRICLINIC, names * 8, 1.9)
    np.testing.assert_array_equal(large.counts, 8 * rdf.counts)
    np.testing.assert_allclose(large.g("A", "B"), rdf.g("A", "B"), rtol=1e-12)
    np.testing.assert_allclose(large.coordination("B", "A"), rdf.coordination("B", "A"), rtol=1e-12)


@given(st.integers(0, 10_000))
@settings(max_examples=25)
def test_images_and_shifts_change_nothing(seed: int) -> None:
    random = np.random.default_rng(seed)
    frame, names = gas(1, 30, TRICLINIC, seed), ["A"] * 10 + ["B"] * 20
    moved = frame + random.normal(size=3) * 5 + random.integers(-4, 5, size=(30, 3)) @ TRICLINIC
    rdf, other = (distributions(x, TRICLINIC, names, 2.5) for x in (frame, moved))
    np.testing.assert_array_equal(other.counts, rdf.counts)


def test_order_of_kinds_and_volume_of_each_frame() -> None:
    """Frames of different boxes count with their own volume."""
    names = ["A"] * 40 + ["B"] * 40
    accumulator = RadialDistributionAccumulator(PairKinds.of(names, ("B", "A")), np.linspace(0, 2, 11))
    for scale in (1.0, 1.5):
        accumulator.update(near_pairs(gas(1, 80, scale * CUBE)[0], scale * CUBE, 2.0))
    rdf = accumulator.result()
    shells = 4 / 3 * np.pi * np.diff(rdf.edges**3)
    np.testing.assert_allclose(rdf.expected[rdf.kinds.index("A", "B")], 1600 * shells * (1 / 216 + 1 / 729))
    np.testing.assert_array_equal(rdf.g("A", "B"), rdf.g("B", "A"))
    assert rdf.kinds.pairs == (("B", "B"), ("B", "A"), ("A", "A"))


def test_distance_at_a_coordination() -> None:
    rdf = distributions(np.array([[[0, 0, 0], [0, 0, 1.05]]]), CUBE, ["A", "B"], 2.0, 20)
    assert rdf.distance_at(0.5, "A", "B") == pytest.approx(1.05)
    assert np.isnan(rdf.distance_at(1.5, "A", "B"))


def test_equal_to_lammps(tmp_path) -> None:
    """``compute rdf`` of LAMMPS on the same frame."""
    frame, box, reach = gas(1, 50, TRICLINIC, seed=4)[0], TRICLINIC, 2.4
    (a, _, _), (xy, b, _), (xz, yz, c) = box
    commands = [
        "units lj",
        "atom_style atomic",
        f"region box prism 0 {a} 0 {b} 0 {c} {xy} {xz} {yz}",
        "create_box 2 box",
        *(f"create_atoms {1 if n < 20 else 2} single {x:.12f} {y:.12f} {z:.12f}" for n, (x, y, z) in enumerate(frame)),
        "mass * 1.0",
        f"pair_style zero {reach}",
        "pair_coeff * *",
        "compute rdf all rdf 24 1 1 1 2 2 1",
        f"fix out all ave/time 1 1 1 c_rdf[*] file {tmp_path / 'rdf.txt'} mode vector",
        "run 0",
    ]
    run_jobs([job(commands)])
    table = np.loadtxt(tmp_path / "rdf.txt", skiprows=4)
    rdf = distributions(frame[None], box, ["A"] * 20 + ["B"] * 30, reach, 24)
    np.testing.assert_allclose(rdf.centres, table[:, 1], rtol=1e-5)
    for column, pair in ((2, ("A", "A")), (4, ("A", "B")), (6, ("B", "A"))):
        np.testing.assert_allclose(rdf.g(*pair), table[:, column], rtol=1e-4)
        np.testing.assert_allclose(rdf.coordination(*pair), table[:, column + 1], rtol=1e-4)


def test_first_shell_of_a_known_function() -> None:
    """Poisson counts of a function with a peak of height 1.8 at 1.2 and a minimum of 0.7 at 1.9."""
    edges = np.linspace(0, 4, 201)
    r = 0.5 * (edges[1:] + edges[:-1])
    peak, trough = np.exp(-(((r - 1.2) / 0.25) ** 2)), np.exp(-(((r - 1.9) / 0.3) ** 2))
    g = 1 / (1 + np.exp(-(r - 0.8) / 0.02)) + 0.8 * peak - 0.3 * trough
    truth = float(g.max()), float(r[np.argmax(g)]), float(r[np.argmin(np.where(r > 1.2, g, 9))])
    random = np.random.default_rng(0)
    n_blocks, found = 20, []
    for _ in range(40):
        expected = np.full((n_blocks, 1), 1 / n_blocks) * 200 * (4 * np.pi * r**2)
        counts = random.poisson(g.clip(0) * expected)
        found.append(
            find_first_shell(edges, counts.sum(axis=0), expected.sum(axis=0), counts, expected, np.arange(200.0))
        )
    heights, places = (np.array([getattr(shell, name) for shell in found]) for name in ("height", "position"))
    assert abs(heights.mean() - truth[0]) < 0.03
    assert abs(places.mean() - truth[1]) < 0.02
    assert np.median([abs(shell.end - truth[2]) for shell in found]) < 0.1
    # the errors are as large as the scatter
    for name, values in (("height_error", heights), ("position_error", places)):
        assert np.mean([getattr(shell, name) for shell in found]) == pytest.approx(values.std(), rel=0.4)
    assert found[0].coordination == pytest.approx(np.interp(found[0].end, edges[1:], np.arange(200.0)))


def test_noise_is_no_peak() -> None:
    edges = np.linspace(0, 4, 201)
    expected = np.full((20, 1), 1.5) * (0.5 * (edges[1:] + edges[:-1])) ** 2
    random = np.random.default_rng(1)
    found = 0
    for _ in range(40):
        counts = random.poisson(expected)
        shell = find_first_shell(edges, counts.sum(axis=0), expected.sum(axis=0), counts, expected, np.zeros(200))
        found += np.isfinite(shell.position)
    assert found <= 2


def test_bad_ranges_are_refused() -> None:
    with pytest.raises(UserError, match=r"the range of 3.1 nm exceeds half of the smallest box height \(6 nm\)"):
        near_pairs(np.zeros((2, 3)), CUBE, 3.1)
    with pytest.raises(UserError, match="two or more distances that increase"):
        RadialDistributionAccumulator(PairKinds.of(["A"]), np.array([0.0, 2.0, 1.0]))
    with pytest.raises(UserError, match="no particles of kind 'C': there are A, B"):
        PairKinds.of(["A", "B"]).index("A", "C")
