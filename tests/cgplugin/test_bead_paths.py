"""Runs that lie in several files: which belong together, and the path that they make."""

import bz2
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgplugin import MolecularSystem, UserError
from cgplugin.coarse_graining.coarse_trajectory import FrameBlock
from cgplugin.coarse_graining.coarsening import coarsen
from cgplugin.evaluation.bead_paths import BeadPath, densest_part, whole_run
from cgplugin.evaluation.reference import PeriodicReference, segments_of_run
from cgplugin.evaluation.reference_data import load_reference
from cgplugin.systems.structure_files import Structure
from tests.conftest import SHARED

ELECTROLYTE = SHARED / "electrolyte"
BOX = 5.0


class Recorded:
    """Frames in memory, in blocks of seven."""

    def __init__(self, positions: np.ndarray, interval: float, wrapped: bool) -> None:
        self.positions = positions % BOX if wrapped else positions
        self.source, self.n_frames, self.interval, self.unwrapped = "memory", len(positions), interval, not wrapped

    def blocks(self) -> Iterator[FrameBlock]:
        for start in range(0, self.n_frames, 7):
            part = self.positions[start : start + 7]
            yield FrameBlock(part, np.broadcast_to(BOX * np.eye(3), (len(part), 3, 3)))


def atoms(n: int) -> MolecularSystem:
    """Lone atoms."""
    return MolecularSystem(("A",) * n, np.ones(n), np.empty((0, 2), dtype=np.int64), (), units="lj", name="atoms")


def reference(trajectories: list[Recorded], n: int) -> PeriodicReference:
    longest_first = sorted(trajectories, key=lambda item: -item.n_frames * item.interval)
    structure = Structure(atoms(n), trajectories[0].positions[0], BOX * np.eye(3), "memory")  # type: ignore[arg-type]
    return PeriodicReference(
        "atoms", "memory", structure, tuple(longest_first), None, segments_of_run(longest_first)  # type: ignore[arg-type]
    )  # fmt: skip


@given(st.integers(0, 2**32 - 1), st.integers(2, 7), st.integers(3, 30), st.booleans())
@settings(max_examples=40, deadline=None)
def test_segments_make_the_run_that_they_were_cut_from(seed: int, stride: int, meeting: int, wrapped: bool) -> None:
    """First densely recorded, then rarely, then densely again: the frames are those at the longest interval."""
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(scale=0.15, size=(meeting + 41 * stride, 4, 3)), axis=0)
    second = meeting + 40 * stride
    parts = [
        Recorded(walk[: meeting + 1], 0.5, wrapped),
        Recorded(walk[meeting : second + 1 : stride], 0.5 * stride, wrapped),
        Recorded(walk[second:], 0.5, wrapped),
    ]
    found = reference(parts, 4)
    assert found.segments == tuple(parts)
    run = whole_run(coarsen(found.system, 1), found)
    kept = walk[meeting % stride : second + 1 + stride * ((len(walk) - 1 - second) // stride) : stride]
    assert run.interval == 0.5 * stride
    assert run.first_time == pytest.approx(0.5 * (meeting % stride))
    # an image of the first frame is as good as another
    np.testing.assert_allclose(run.positions - run.positions[0], kept - kept[0], atol=1e-5)
    dense = densest_part(coarsen(found.system, 1), found)
    assert dense.interval == 0.5


def test_trajectories_of_other_runs_are_left_alone() -> None:
    rng = np.random.default_rng(0)
    walk = np.cumsum(rng.normal(scale=0.1, size=(100, 3, 3)), axis=0)
    long, next_one = Recorded(walk[:81], 1, False), Recorded(walk[80:], 1, False)
    other = Recorded(walk[:30] + 1.0, 1, False)
    uneven = Recorded(walk[80:], 0.7, False)
    assert segments_of_run([long, other]) == (long,)
    assert segments_of_run([long, uneven]) == (long,)
    assert segments_of_run([long, other, next_one]) == (long, next_one)


def test_real_run_in_two_files() -> None:
    """200 tau every 2, then up to 5,000 every 20; the centre of an anion by hand from the text of the dumps."""
    found = load_reference(ELECTROLYTE / "devtest" / "000")
    assert isinstance(found, PeriodicReference)
    assert [segment.interval for segment in found.segments] == [2, 20]
    assert (found.duration, found.interval) == (5000, 20)
    cg = coarsen(found.system, 5)
    run = whole_run(cg, found)
    assert (run.n_frames, run.first_time, run.duration) == (251, 0, 5000)
    assert densest_part(cg, found).interval == 2
    anion = np.flatnonzero(np.array(found.system.atom_types) == "N")[0]
    molecule = np.flatnonzero(found.system.molecules == found.system.molecules[anion])
    for name, step, frame in (("traj", 0, 0), ("traj", 6000, 3), ("long", 22_000, 11), ("long", 500_000, 250)):
        with bz2.open(ELECTROLYTE / "devtest" / "000" / f"{name}.lammpstrj.bz2", "rt") as file:
            frame_text = file.read().split(f"ITEM: TIMESTEP\n{step}\n")[1].split("ITEM: TIMESTEP")[0]
        rows = frame_text.split("ITEM: ATOMS id type xu yu zu")[1].splitlines()[1:]
        table = np.array([row.split() for row in rows], dtype=float)
        by_hand = table[molecule, 2:].mean(axis=0)
        np.testing.assert_allclose(run.positions[frame, cg.mapping[anion]], by_hand, atol=1e-3)


def test_parts_of_a_path() -> None:
    path = BeadPath(np.arange(30.0).reshape(10, 1, 3), np.broadcast_to(np.eye(3), (10, 3, 3)), 2.0, 4.0)
    np.testing.assert_array_equal(path.times, 4 + 2 * np.arange(10))
    assert path.duration == 18
    assert (path.until(8.0).n_frames, path.until(7.9).n_frames, path.until(100).n_frames) == (5, 4, 10)
    part = path.part(3, 6)
    assert (part.n_frames, part.first_time) == (3, 10)
    assert path.every(4).times.tolist() == [4, 12, 20]
    assert path.every(4, backwards=True).times.tolist() == [6, 14, 22]
    assert [path.lag_of(time) for time in (2.0, 6.0, 5.0, 18.0, 20.0, 0.5)] == [1, 3, None, 9, None, None]


def test_reference_that_is_too_short() -> None:
    walk = np.zeros((39, 2, 3))
    with pytest.raises(UserError, match=r"the reference has 39 frames at equal intervals, 19 tau: .* at least 40"):
        reference([Recorded(walk, 0.5, False)], 2).check_length()
    reference([Recorded(np.zeros((40, 2, 3)), 0.5, False)], 2).check_length()


def test_wrapped_path_that_cannot_be_followed() -> None:
    walk = np.zeros((50, 2, 3))
    walk[20:, 1] += 0.49 * BOX
    found = reference([Recorded(walk, 0.5, True)], 2)
    with pytest.raises(UserError, match="bead 1 moves by nearly half the box between frames"):
        whole_run(coarsen(found.system, 1), found)
