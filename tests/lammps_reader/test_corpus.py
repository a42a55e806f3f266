"""Small files, sound and damaged, among them those that fuzzing found: read, or refused with one line that names the file."""

import shutil
import warnings
from pathlib import Path

import pytest

from lammps_reader import LammpsFormatError, LammpsFormatWarning, open_dump, read_data, read_log

CORPUS = Path(__file__).parent / "corpus"
SUFFIXES = {"data": ".data", "dump": ".lammpstrj", "log": ".log", "xyz": ".xyz"}
FILES = sorted(path for path in CORPUS.glob("*/*") if path.is_file())


def read(path: Path, kind: str) -> None:
    if kind == "data":
        read_data(path)
    elif kind == "log":
        read_log(path)
    else:
        dump = open_dump(path)
        assert len(list(dump)) == len(dump) > 0


def test_there_is_a_corpus_of_every_kind() -> None:
    assert {path.parent.name for path in FILES} == set(SUFFIXES)
    assert sum(path.stat().st_size for path in FILES) < 2**18


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_file(path: Path, tmp_path: Path) -> None:
    kind = path.parent.name
    copy = tmp_path / f"copy{SUFFIXES[kind]}"
    shutil.copy(path, copy)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            read(copy, kind)
            message = None
        except LammpsFormatError as error:
            message = str(error)
    assert all(warning.category is LammpsFormatWarning for warning in caught)
    for said in [message] if message is not None else [str(warning.message) for warning in caught]:
        assert said.startswith(str(copy))
        assert "\n" not in said
