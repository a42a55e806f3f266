from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgplugin import MolecularSystem, UserError
from cgplugin.coarse_graining.coarse_trajectory import FrameBlock, coarsen_frames, coarsen_trajectory
from cgplugin.coarse_graining.coarsening import coarsen
from cgplugin.systems.periodic import MoleculeMender, minimum_image, reduce_box_vectors, unwrap
from tests.conftest import chain

BOX = np.array([[6.0, 0, 0], [2.0, 7.0, 0], [-1.5, 3.0, 8.0]])


def wrapped(x: np.ndarray, box: np.ndarray) -> np.ndarray:
    fractions = x @ np.linalg.inv(box)
    return (fractions - np.floor(fractions)) @ box


@given(st.integers(0, 10_000))
def test_minimum_image_is_the_shortest(seed: int) -> None:
    random = np.random.default_rng(seed)
    short = random.normal(size=(5, 3))
    short *= random.uniform(0, 2.9, size=(5, 1)) / np.linalg.norm(short, axis=1, keepdims=True)
    shifted = short + random.integers(-3, 4, size=(5, 3)) @ BOX
    np.testing.assert_allclose(minimum_image(shifted, BOX), short, atol=1e-12)


def test_reduced_box_is_the_same_lattice() -> None:
    skewed = BOX.copy()
    skewed[2] += 2 * BOX[1] - 3 * BOX[0]
    reduced = reduce_box_vectors(skewed)
    combination = reduced @ np.linalg.inv(skewed)
    np.testing.assert_allclose(combination, np.round(combination), atol=1e-12)
    assert (np.abs(reduced[1:, 0]) <= 0.5 * reduced[0, 0] + 1e-12).all()
    assert abs(reduced[2, 1]) <= 0.5 * reduced[1, 1] + 1e-12


@given(st.integers(0, 10_000))
def test_wrapped_trajectory_gives_the_same_beads(seed: int) -> None:
    """Whatever image each atom is written in, the path of the beads is the same up to one lattice vector per molecule."""
    random = np.random.default_rng(seed)
    one = chain(8)
    system = MolecularSystem(
        one.atom_types * 2, random.uniform(1, 3, 16), np.concatenate([one.bonds, one.bonds + 8]), one.bond_types * 2
    )
    cg = coarsen(system, 4)
    start = np.cumsum(random.uniform(-0.8, 0.8, size=(16, 3)), axis=0)
    drift = np.repeat(np.cumsum(random.normal(size=(12, 2, 3)) * 0.5, axis=0), 8, axis=1)
    truth = start + drift + random.uniform(-0.2, 0.2, size=(12, 16, 3))
    boxes = np.broadcast_to(BOX, (12, 3, 3))
    blocks = [FrameBlock(wrapped(truth[a : a + 5], BOX), boxes[a : a + 5]) for a in range(0, 12, 5)]
    found = list(coarsen_frames(cg, blocks, unwrapped=False, source="test"))
    beads = np.concatenate([block.positions for block, _ in found])
    shift = beads[0] - cg.positions(truth)[0]
    np.testing.assert_allclose(beads - shift, cg.positions(truth), atol=1e-9)
    np.testing.assert_allclose(shift @ np.linalg.inv(BOX), np.round(shift @ np.linalg.inv(BOX)), atol=1e-9)
    np.testing.assert_allclose(np.concatenate([rg2 for _, rg2 in found]), cg.internal_rg2(truth), atol=1e-9)


def test_ring_is_made_whole() -> None:
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    bonds = np.array([[i, (i + 1) % 12] for i in range(12)])
    system = MolecularSystem(("A",) * 12, np.ones(12), bonds, ("b",) * 12)
    whole = MoleculeMender(system).make_whole(wrapped(ring, BOX), BOX)
    np.testing.assert_allclose(whole - whole[0], ring - ring[0], atol=1e-12)


def test_path_that_cannot_be_followed_is_refused() -> None:
    jump = np.zeros((2, 1, 3))
    jump[1, 0, 0] = 2.9
    with pytest.raises(UserError, match=r"bead 0 moves by nearly half the box between frames 0 and 1"):
        unwrap(jump, np.broadcast_to(np.eye(3) * 6, (2, 3, 3)), source="file")


def test_not_finite_position_is_named() -> None:
    x = np.zeros((3, 4, 3))
    x[2, 1, 0] = np.nan
    with pytest.raises(UserError, match=r"run\.dcd: the position of atom 1 in frame 2 is not finite"):
        list(coarsen_frames(coarsen(chain(4), 2), [FrameBlock(x, None)], unwrapped=True, source="run.dcd"))


def test_unwrapped_atoms_in_another_image_do_not_stretch_their_molecule() -> None:
    # a path that leaves the box, with image flags of two atoms that are wrong from the start, in a box that changes
    random = np.random.default_rng(4)
    cg = coarsen(chain(6), 2)
    right = np.arange(6)[:, None] * np.array([0.6, 0.3, 0.2]) + random.normal(0, 0.1, size=(20, 6, 3)).cumsum(axis=0)
    boxes = BOX * np.linspace(1, 1.05, 20)[:, None, None]
    wrong = right.copy()
    wrong[:, 3:5] += np.array([1.0, -2.0, 1.0]) @ boxes[:, None]
    found, expected = (
        [block.positions for block, _ in coarsen_frames(cg, blocks, unwrapped=True, source="dump")]
        for blocks in (
            [FrameBlock(wrong[:7], boxes[:7]), FrameBlock(wrong[7:], boxes[7:])],
            [FrameBlock(right, boxes)],
        )
    )
    np.testing.assert_allclose(np.concatenate(found), np.concatenate(expected), atol=1e-9)


class WanderingBox:
    """Two rigid molecules that move with a common drift, and against each other."""

    source, n_frames, interval, unwrapped = "run.dcd", 30, 1.0, True

    def __init__(self, boxed: bool) -> None:
        random = np.random.default_rng(7)
        self.drift = random.normal(0, 1, size=(30, 1, 3)).cumsum(axis=0)
        self.apart = random.normal(0, 0.1, size=(30, 2, 3)).cumsum(axis=0)
        # equal masses: what is against each other leaves the centre of mass alone
        self.apart -= self.apart.mean(axis=1, keepdims=True)
        self.boxes = np.broadcast_to(10 * np.eye(3), (30, 3, 3)) if boxed else None

    def blocks(self) -> Iterator[FrameBlock]:
        x = self.drift + self.apart
        for part in (slice(0, 11), slice(11, 30)):
            yield FrameBlock(x[part], None if self.boxes is None else self.boxes[part])


@pytest.mark.parametrize(("boxed", "keep", "gone"), [(True, False, True), (True, True, False), (False, False, False)])
def test_drift_of_a_box_is_not_learned(boxed: bool, keep: bool, gone: bool) -> None:
    run = WanderingBox(boxed)
    ions = coarsen(MolecularSystem(("Li", "Cl"), np.ones(2), np.empty((0, 2), dtype=np.int64), ()), 1)
    path = coarsen_trajectory(ions, run, keep_drift=keep)
    moved = path.positions - path.positions[:1]
    expected = run.apart - run.apart[0] + (0 if gone else run.drift - run.drift[0])
    np.testing.assert_allclose(moved, expected, atol=1e-5)


def test_a_single_chain_in_a_box_keeps_its_diffusion() -> None:
    cg = coarsen(chain(2), 1)
    path = coarsen_trajectory(cg, run := WanderingBox(boxed=True), keep_drift=False)
    truth = run.drift + run.apart
    np.testing.assert_allclose(path.positions[-1] - path.positions[0], truth[-1] - truth[0], atol=1e-5)
