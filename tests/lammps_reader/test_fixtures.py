"""Data files that LAMMPS wrote, against the arrays that LAMMPS itself held (``shared/lammps/expected.json``)."""

import json
import time

import numpy as np
import pytest

from lammps_reader import LammpsFormatError, read_data
from tests.conftest import SHARED

FOLDER = SHARED / "lammps"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())

DATA = {name: entry for name, entry in EXPECTED["data"].items() if not entry.get("optional")}
MALFORMED = {name: entry for name, entry in EXPECTED["malformed"].items() if ".data" in name}


@pytest.mark.parametrize("name", DATA)
def test_data(name: str) -> None:
    entry = DATA[name]
    given = None if entry["style_hint_in_file"] else entry["atom_style"]
    data = read_data(FOLDER / name, atom_style=given)
    assert data.ids.tolist() == entry["ids_sorted"]
    assert data.types.tolist() == entry["types"]
    if entry.get("molecules") is not None:
        assert data.molecules.tolist() == entry["molecules"]
    if entry.get("charges") is not None:
        np.testing.assert_allclose(data.charges, entry["charges"])
    else:
        assert data.charges is None
    assert data.masses == {int(kind): mass for kind, mass in entry["masses"].items()}
    for kind in ("bonds", "angles", "dihedrals", "impropers"):
        assert sorted(getattr(data, kind).tolist()) == sorted(entry[kind])
    box = entry["box"]
    np.testing.assert_allclose(data.box.lo, box["lo"])
    np.testing.assert_allclose(data.box.hi, box["hi"])
    np.testing.assert_allclose(data.box.tilt, [box["xy"], box["xz"], box["yz"]])
    index = {number: i for i, number in enumerate(data.ids.tolist())}
    for number, atom in entry["atoms"].items():
        i = index[int(number)]
        np.testing.assert_allclose(data.positions[i], atom["unwrapped"], atol=1e-6)
        if atom.get("velocity") is not None:
            np.testing.assert_allclose(data.velocities[i], atom["velocity"], atol=1e-6)


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(name: str) -> None:
    entry = MALFORMED[name]
    begin = time.monotonic()
    error = complaint(name)
    assert time.monotonic() - begin < 5
    if error is None:
        assert entry["reader_must"] != "error", "was read without complaint"
        return
    message = str(error)
    assert message.startswith(str(FOLDER / name))
    assert "\n" not in message
    assert len(message) < len(str(FOLDER / name)) + 250
    if entry["line"] is not None and error.line is not None:
        # a section that is too short at the end of the file is cut off, or miscounted: the message names both lines
        assert abs(error.line - entry["line"]) <= 1 or f"line {entry['line']} says" in message


def complaint(name: str) -> LammpsFormatError | None:
    try:
        read_data(FOLDER / name)
    except LammpsFormatError as error:
        return error
    return None
