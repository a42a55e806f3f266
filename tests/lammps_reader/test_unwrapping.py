"""Laws of unwrapping, and text dumps of any content: what is written comes back."""

import contextlib
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lammps_reader import Box, LammpsFormatError, LammpsFormatWarning, open_dump
from lammps_reader.unwrapping import KEPT, MinimumImageUnwrapping, TooFarApartError, WrappedAtoms
from tests.lammps_reader.dumps import frame_text, positions_text

RELAXED = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
finite = st.floats(-1e12, 1e12, allow_subnormal=False)


def wrap(positions: np.ndarray, box: Box) -> np.ndarray:
    fractions = (positions - box.lo) @ np.linalg.inv(box.vectors)
    return positions - np.floor(fractions) * np.array(box.periodic) @ box.vectors


def walk(n_frames: int, n_atoms: int, seed: int, farthest: float = 1.5) -> np.ndarray:
    random = np.random.default_rng(seed)
    steps = random.uniform(-farthest, farthest, size=(n_frames, n_atoms, 3))
    steps[0] = random.uniform(0, 5, size=(n_atoms, 3))
    return np.cumsum(steps, axis=0)


@given(
    seed=st.integers(0, 1000),
    tilt=st.tuples(*[st.floats(-2.4, 2.4)] * 3),
    periodic=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    order=st.permutations(range(9)),
)
@RELAXED
def test_a_walk_is_followed_in_any_order_of_frames(seed: int, tilt, periodic, order) -> None:
    box = Box(np.array([-1.0, 2, 0]), np.array([4.0, 7, 5]), np.array(tilt), periodic)
    path = walk(9, 4, seed, farthest=0.5)
    ids = np.array([2, 3, 5, 8])
    frames = [WrappedAtoms(ids, wrap(x, box), box) for x in path]
    unwrapping = MinimumImageUnwrapping(9, (ids, path[0]))
    for n in order:
        np.testing.assert_allclose(unwrapping.positions(n, frames.__getitem__), path[n], atol=1e-9)


@given(seed=st.integers(0, 1000))
@RELAXED
def test_flips_of_the_box_do_not_matter(seed: int) -> None:
    path = walk(12, 3, seed, farthest=0.4)
    ids = np.arange(1, 4)
    frames = []
    for n, x in enumerate(path):
        # the same lattice by other vectors
        tilt = np.array([1.0 if n < 5 else -4.0, 0.5, 1.5 if n < 8 else -3.5])
        box = Box(np.zeros(3), np.full(3, 5.0), tilt)
        frames.append(WrappedAtoms(ids, wrap(x, box), box))
    unwrapping = MinimumImageUnwrapping(12, (ids, path[0]))
    for n, x in enumerate(path):
        np.testing.assert_allclose(unwrapping.positions(n, frames.__getitem__), x, atol=1e-9)


def test_frames_are_not_read_again_from_the_first_one() -> None:
    box = Box(np.zeros(3), np.full(3, 5.0), np.zeros(3))
    path = walk(1000, 2, 0)
    read: list[int] = []

    def wrapped(n: int) -> WrappedAtoms:
        read.append(n)
        return WrappedAtoms(np.arange(1, 3), wrap(path[n], box), box)

    unwrapping = MinimumImageUnwrapping(1000, (np.arange(1, 3), path[0]))
    for n in range(1000):
        np.testing.assert_allclose(unwrapping.positions(n, wrapped), path[n], atol=1e-8)
    assert read == list(range(1000))
    read.clear()
    np.testing.assert_allclose(unwrapping.positions(777, wrapped), path[777], atol=1e-8)
    assert len(read) <= 2 * 1000 / KEPT


def test_atom_that_moves_too_far() -> None:
    box = Box(np.zeros(3), np.full(3, 10.0), np.zeros(3))
    places = [np.array([[1.0, 1, 1], [5, 5, 5]]), np.array([[1.0, 1, 1], [5, 9.5, 5]])]
    unwrapping = MinimumImageUnwrapping(2)
    with pytest.raises(TooFarApartError, match=r"atom 9 moves by 0\.45 of the box"):
        unwrapping.positions(1, lambda n: WrappedAtoms(np.array([4, 9]), places[n], box))


def test_dump_whose_frames_are_too_far_apart(tmp_path: Path) -> None:
    path = tmp_path / "t.lammpstrj"
    places = [np.full((2, 3), 1.0), np.full((2, 3), 5.5), np.full((2, 3), 5.6)]
    path.write_text("".join(positions_text(n, [1, 2], x, "x y z") for n, x in enumerate(places)))
    dump = open_dump(path)
    with pytest.warns(LammpsFormatWarning), pytest.raises(LammpsFormatError, match="too far to be unwrapped") as caught:
        list(dump)
    assert caught.value.line == 12
    # the cure that is named
    frames = list(open_dump(path, unwrap=False))
    np.testing.assert_array_equal([frame.positions for frame in frames], places)


def test_directions_that_are_not_periodic_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "t.lammpstrj"
    places = [np.array([[1.0, 9.9, 1]]), np.array([[9.0, 0.2, 9.9]])]
    path.write_text(
        "".join(positions_text(n, [1], x, "x y z", flags="ff pp ss") for n, x in enumerate(places)),
    )
    with pytest.warns(LammpsFormatWarning):
        frames = list(open_dump(path))
    np.testing.assert_allclose(frames[1].positions, [[9.0, 10.2, 9.9]])


@given(data=st.data())
@RELAXED
def test_any_frames_come_back(tmp_path: Path, data: st.DataObject) -> None:
    n_atoms = data.draw(st.integers(0, 6), "n_atoms")
    ids = data.draw(st.lists(st.integers(1, 2**40), min_size=n_atoms, max_size=n_atoms, unique=True), "ids")
    n_frames = data.draw(st.integers(1, 3), "n_frames")
    kind = data.draw(st.sampled_from(["xu", "xsu", "x", "xs"]), "kind")
    lo = np.array(data.draw(st.tuples(*[st.floats(-50, 50)] * 3), "lo"))
    edges = np.array(data.draw(st.tuples(*[st.floats(0.5, 99)] * 3), "edges"))
    extra = data.draw(st.lists(st.sampled_from(["vx", "c_pe", "q", "f_1[2]"]), unique=True), "extra")
    names = [kind, kind.replace("x", "y", 1), kind.replace("x", "z", 1)]
    flags = ["ix", "iy", "iz"] if kind in ("x", "xs") else []
    columns = data.draw(st.permutations(["type", *names, *flags, *extra, "element"]), "columns")
    crlf, blank = data.draw(st.booleans(), "crlf"), data.draw(st.booleans(), "blank")
    bounds = list(zip(lo.tolist(), (lo + edges).tolist(), strict=True))
    values: list[dict[str, list]] = []
    text = ""
    for n in range(n_frames):
        content: dict[str, list] = {}
        for name in columns:
            strategy = (
                st.integers(-9, 9)
                if name in flags
                else st.integers(1, 9)
                if name == "type"
                else st.sampled_from(["C", "O_2", "x+"])
                if name == "element"
                else finite
            )
            content[name] = data.draw(st.lists(strategy, min_size=n_atoms, max_size=n_atoms))
        values.append(content)
        text += frame_text(n, ids, {k: [str(x) for x in v] for k, v in content.items()}, bounds) + "\n" * blank
    path = tmp_path / "t.lammpstrj"
    path.write_bytes((text.replace("\n", "\r\n") if crlf else text).encode())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dump = open_dump(path)
        frames = list(dump)
    order = np.argsort(ids)
    assert len(frames) == n_frames
    for frame, content in zip(frames, values, strict=True):
        assert frame.ids.tolist() == sorted(ids)
        written = np.array([content[name] for name in names], dtype=np.float64).T.reshape(n_atoms, 3)[order]
        size = frame.box.hi - frame.box.lo
        if "s" in kind:
            written = frame.box.lo + written * size
        if flags:
            written = written + np.array([content[f] for f in flags], dtype=float).T.reshape(n_atoms, 3)[order] * size
        np.testing.assert_allclose(frame.positions, written, rtol=1e-14, atol=1e-9)
        for name in extra:
            # bit for bit
            np.testing.assert_array_equal(frame.columns[name], np.array(content[name], dtype=np.float64)[order])
        assert frame.columns["element"].tolist() == np.array(content["element"], dtype=object)[order].tolist()
        assert frame.columns["type"].dtype == np.int64


@given(cut=st.integers(0, 2000), where=st.integers(0, 2000), byte=st.binary(min_size=1, max_size=3))
@RELAXED
def test_damage_anywhere_is_told_or_harmless(tmp_path: Path, cut: int, where: int, byte: bytes) -> None:
    whole = "".join(positions_text(n, [1, 2, 3], walk(4, 3, 1)[n]) for n in range(4)).encode()
    path = tmp_path / "t.lammpstrj"
    for damaged in (whole[: cut % len(whole)], whole[: where % len(whole)] + byte + whole[where % len(whole) + 1 :]):
        path.write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LammpsFormatWarning)
            with contextlib.suppress(LammpsFormatError):
                for frame in open_dump(path):
                    assert np.isfinite(frame.positions).all()
                    assert frame.positions.shape == (len(frame.ids), 3)
