"""Dumps that LAMMPS wrote, against the arrays that LAMMPS itself held, and damaged ones (``shared/lammps/expected.json``)."""

import json
import time
import warnings

import numpy as np
import pytest

from lammps_reader import Dump, Frame, LammpsFormatError, LammpsFormatWarning, open_dump
from tests.conftest import SHARED

FOLDER = SHARED / "lammps"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())

REFUSED = {
    "dump/no_id.lammpstrj": (9, "the dump has no column id"),
    "dump/image.yaml": (1, "this is a yaml dump"),
    "dump/local_bonds.dump": (3, "this is a local dump"),
}
"""Files that are not read, by choice, with the line and the beginning of what is said."""

NAMES = {"dump/colname.lammpstrj": {"kind": "type", "X_pos": "x"}}
DUMPS = {name: entry for name, entry in EXPECTED["dump"].items() if name not in REFUSED}
TOLD = {
    name: entry for name, entry in DUMPS.items() if any(word in entry["coordinates"] for word in ("unwrapped", "image"))
}
"""The unwrapped positions can be had from the file."""

MALFORMED = {name: entry for name, entry in EXPECTED["malformed"].items() if ".data" not in name and ".log" not in name}


def opened(name: str, **options) -> Dump:
    return open_dump(FOLDER / name, names=NAMES.get(name), **options)


def check_box(frame: Frame, box: dict) -> None:
    np.testing.assert_allclose(frame.box.hi - frame.box.lo, np.subtract(box["hi"], box["lo"]), atol=2e-5)
    np.testing.assert_allclose(frame.box.tilt, [box["xy"], box["xz"], box["yz"]], atol=2e-5)


def differences(frame: Frame, atoms: dict, kind: str) -> np.ndarray:
    """Positions of some atoms less those expected, shape (n, 3)."""
    numbers = [int(number) for number in atoms]
    found = frame.positions[np.searchsorted(frame.ids, numbers)]
    return found - np.array([atom[kind] for atom in atoms.values()]).reshape(-1, 3)


@pytest.mark.parametrize("name", DUMPS)
def test_frames(name: str) -> None:
    entry = DUMPS[name]
    dump = opened(name, unwrap=False)
    assert len(dump) == entry["n_frames"]
    assert dump.timesteps.tolist() == entry["timesteps"]
    assert dump.n_atoms.tolist() == entry["natoms_per_frame"]
    assert dump.units == entry.get("units")
    frames = list(dump)
    assert [len(frame.ids) for frame in frames] == entry["natoms_per_frame"]
    assert [frame.timestep for frame in frames] == entry["timesteps"]
    if "times" in entry:
        np.testing.assert_allclose([frame.time for frame in frames], entry["times"])
    else:
        assert {frame.time for frame in frames} == {None}
    for frame, expected in ((frames[0], entry["first"]), (frames[-1], entry["last"])):
        check_box(frame, expected["box"])
        if entry["columns"] is not None:
            np.testing.assert_allclose(frame.box.lo, expected["box"]["lo"], atol=2e-5)
            assert list(frame.box.periodic) == expected["box"]["periodic"]
            named = [NAMES.get(name, {}).get(column, column) for column in entry["columns"]]
            assert set(frame.columns) <= set(named)
            assert len(named) - len(frame.columns) == 4, "id and one kind of coordinates are no further columns"
        assert (np.diff(frame.ids) > 0).all()


@pytest.mark.parametrize("name", TOLD)
def test_positions_are_unwrapped_by_what_the_file_says(name: str) -> None:
    entry = TOLD[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dump = opened(name)
        for frame, expected in ((dump[0], entry["first"]), (dump[-1], entry["last"])):
            apart = differences(frame, expected["atoms"], "unwrapped")
            if entry["columns"] is None:
                # a DCD file does not say where the box is, but positions are as LAMMPS has them
                assert frame.box.lo.tolist() == [0, 0, 0]
            np.testing.assert_allclose(apart, 0, atol=entry["tolerance"])


@pytest.mark.parametrize("name", [name for name in DUMPS if name not in TOLD])
def test_wrapped_positions_are_followed_with_a_warning(name: str) -> None:
    entry = DUMPS[name]
    stored = opened(name, unwrap=False)
    dump = opened(name)
    if name == "dump/boundary_ss_scaled.lammpstrj" or entry["columns"] is None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            frames = list(dump)
    else:
        with pytest.warns(LammpsFormatWarning, match="positions are in the box and have no image flags") as caught:
            frames = list(dump)
        assert len(caught) == 1
        assert "\n" not in str(caught[0].message)
    for frame, expected in ((stored[0], entry["first"]), (stored[-1], entry["last"])):
        np.testing.assert_allclose(differences(frame, expected["atoms"], "wrapped"), 0, atol=entry["tolerance"])
    before: Frame | None = None
    for frame, expected in zip(frames, stored, strict=True):
        images = (frame.positions - expected.positions) @ np.linalg.inv(frame.box.vectors)
        np.testing.assert_allclose(images, np.round(images), atol=1e-9)
        if before is None or not len(before.ids):
            np.testing.assert_array_equal(np.round(images), 0)
        elif not np.array_equal(frame.positions, expected.positions):
            moved = (frame.positions - before.positions) @ np.linalg.inv(frame.box.vectors)
            assert np.abs(moved).max() < 0.5
        before = frame


@pytest.mark.parametrize(("name", "line", "reason"), [(name, *said) for name, said in REFUSED.items()])
def test_what_is_no_dump_of_atoms_that_can_be_told_apart_is_refused(name: str, line: int, reason: str) -> None:
    with pytest.raises(LammpsFormatError) as caught:
        list(open_dump(FOLDER / name))
    assert caught.value.line == line
    assert caught.value.reason.startswith(reason)


def test_renamed_columns_without_their_names_are_refused() -> None:
    with pytest.raises(LammpsFormatError, match="no complete set of coordinates") as caught:
        _ = open_dump(FOLDER / "dump/colname.lammpstrj")[0]
    assert caught.value.line == 9
    assert "names={'COLUMN': 'x', ...}" in caught.value.reason


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(name: str) -> None:
    entry = MALFORMED[name]
    path = FOLDER / name
    begin = time.monotonic()
    said: LammpsFormatError | str | None = None
    frames = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            frames.extend(open_dump(path, unwrap=False))
        except LammpsFormatError as error:
            said = error
    assert time.monotonic() - begin < 5
    shown = [str(warning.message) for warning in caught if issubclass(warning.category, LammpsFormatWarning)]
    if entry["reader_must"] == "read per frame, or error":
        assert said is None
        assert not shown
        assert len(frames) == 5
        return
    if said is None:
        assert "warn" in entry["reader_must"], "was read without complaint"
        assert len(shown) == 1
        assert len(frames) == entry.get("frames_readable_before_the_fault", len(frames)) > 0
        message = shown[0]
    else:
        message = str(said)
    line = entry["line"]
    assert message.startswith(str(path) if line is None else f"{path}:{line}: "), message
    assert "\n" not in message
    assert len(message) < len(str(path)) + 250


def test_frames_before_a_fault_are_readable() -> None:
    for name, entry in MALFORMED.items():
        if not entry.get("frames_readable_before_the_fault"):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LammpsFormatWarning)
            try:
                dump = open_dump(FOLDER / name)
            except LammpsFormatError:
                # the place of the second frame could not be found, and then nothing is believed
                continue
            assert len(dump[0].ids) == 100
