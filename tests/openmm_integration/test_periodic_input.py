"""What a user may get wrong with a periodic system: one line, exit status 2, before anything long is run."""

from pathlib import Path

import numpy as np
import pytest

from cgplugin import LearnedModel
from cgplugin.cli.main import main
from cgplugin.learned.start_checks import checked_structure
from cgplugin.networks.options import NetworkOptions
from cgplugin.systems.structure_files import Structure, load_structure
from tests.conftest import run_cli
from tests.random_model import random_model

from .electrolytes import CONVENTIONS, ELECTROLYTES, OPTIONS

SMALL = NetworkOptions(hidden=8, layers=1, embedding_layers=1)


def as_written(text: str, tmp_path: Path) -> Path:
    path = tmp_path / "e.data"
    path.write_text(text)
    return path


def refused(message: str, *arguments: object, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["simulate", *map(str, arguments), "--time", "40"])
    lines = capsys.readouterr().err.strip().splitlines()
    assert left.value.code == 2, lines
    assert len(lines) == 1, lines
    assert lines[0].startswith("cgplugin: ")
    assert message in lines[0], lines[0]


def atom_lines(text: str) -> dict[int, str]:
    section = text.split("Atoms")[1].split("\n\n")[1]
    return {int(line.split()[0]): line for line in section.splitlines()}


def moved_to(text: str, number: int, x: list[float]) -> str:
    """The data file with an atom somewhere else (id molecule type charge x y z ix iy iz)."""
    line = atom_lines(text)[number]
    words = line.split()
    return text.replace(f"\n{line}\n", f"\n{' '.join([*words[:4], *map(repr, x), '0 0 0'])}\n")


@pytest.fixture
def text(electrolytes: list[Structure]) -> str:
    return electrolytes[0].source.read_text()


def test_overlapping_atoms(
    electrolyte_model: Path, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    atom = [float(word) for word in atom_lines(text)[7].split()[4:7]]
    path = as_written(moved_to(text, 300, [atom[0] + 0.002, *atom[1:]]), tmp_path)
    message = "e: atoms 6 and 299 overlap: they are 0.002 nm apart"
    refused(message, electrolyte_model, path, "--out", tmp_path / "o", *OPTIONS, capsys=capsys)
    assert not (tmp_path / "o").exists()


def test_box_smaller_than_twice_the_cutoff(
    electrolytes: list[Structure], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wide = random_model(tmp_path / "wide.pt", [electrolytes[0].system], cutoff=3.7, options=SMALL)
    message = "000: the cutoff of 3.7 nm exceeds half of the smallest box height (7.24316 nm): use a larger box"
    refused(message, wide, electrolytes[0].source, "--out", tmp_path / "o", *OPTIONS, capsys=capsys)


def test_box_where_the_model_knows_none_and_the_reverse(
    electrolyte_model: Path, electrolytes: list[Structure], polymer_data: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    systems = [electrolytes[0].system, load_structure(polymer_data).system]
    open_model = random_model(tmp_path / "open.pt", systems, periodic=False, options=SMALL)
    closed_model = random_model(tmp_path / "closed.pt", systems, options=SMALL)
    out = ["--out", tmp_path / "o"]
    message = "000: a system with a box, but"
    refused(message, open_model, electrolytes[0].source, *out, *OPTIONS, capsys=capsys)
    message = "000: a system without a box, but"
    refused(message, closed_model, polymer_data, *out, capsys=capsys)
    message = "000: has no box to wrap molecules into: leave --wrap out"
    refused(message, open_model, polymer_data, "--wrap", *out, capsys=capsys)


def test_type_that_the_model_never_saw(
    electrolyte_model: Path, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = atom_lines(text)[300].split()
    changed = text.replace("8 atom types", "9 atom types").replace("\n8 1\n\nAtoms", "\n8 1\n9 1\n\nAtoms")
    changed = changed.replace(f"\n{atom_lines(text)[300]}\n", f"\n{' '.join([*words[:2], '9', *words[3:]])}\n")
    message = "atom 299 has type '9', which the model never saw"
    refused(message, electrolyte_model, as_written(changed, tmp_path), "--out", tmp_path / "o", *OPTIONS, capsys=capsys)


def test_bond_over_half_the_box(
    electrolyte_model: Path, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = [float(word) for word in atom_lines(text)[1].split()[4:7]]
    far = [x + 3.0 if x < 0 else x - 3.0 for x in first]
    path = as_written(moved_to(text, 2, far), tmp_path)
    message = "e: the bond between atoms 0 and 1 is 5.19"
    refused(message, electrolyte_model, path, "--out", tmp_path / "o", *OPTIONS, capsys=capsys)


def test_box_that_is_not_a_number(
    electrolyte_model: Path, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = as_written(text.replace("-3.62157822172087 3.62157822172087 ylo yhi", "nan nan ylo yhi"), tmp_path)
    message = f"{path}:11: 'nan' is not a finite number"
    refused(message, electrolyte_model, path, "--out", tmp_path / "o", *OPTIONS, capsys=capsys)


def test_molecules_without_image_flags_are_made_whole(
    electrolyte_model: Path, electrolytes: list[Structure], text: str, tmp_path: Path
) -> None:
    """A file whose atoms are all in the box starts where the one with image flags does, up to a lattice vector per molecule."""
    stripped = text
    for line in atom_lines(text).values():
        stripped = stripped.replace(f"\n{line}\n", f"\n{' '.join(line.split()[:7])}\n")
    wrapped = load_structure(as_written(stripped, tmp_path), CONVENTIONS)
    box = electrolytes[0].box_vectors
    i, j = electrolytes[0].system.bonds.T
    assert np.linalg.norm(wrapped.positions[i] - wrapped.positions[j], axis=1).max() > 5
    whole = [
        checked_structure(LearnedModel.load(electrolyte_model), structure).positions
        for structure in (wrapped, electrolytes[0])
    ]
    assert np.linalg.norm(whole[0][i] - whole[0][j], axis=1).max() < 2
    images = (whole[0] - whole[1]) @ np.linalg.inv(box)
    np.testing.assert_allclose(images, np.rint(images), atol=1e-9)
    for molecule in range(int(electrolytes[0].system.molecules.max()) + 1):
        assert np.ptp(np.rint(images[electrolytes[0].system.molecules == molecule]), axis=0).max() == 0


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        (["--cutoff", 3.7], "the cutoff of 3.7 nm exceeds half of the smallest box height"),
        (["--score-cutoff", 3.7], "the cutoff of 3.7 nm exceeds half of the smallest box height"),
        (["--ion-cutoff", 7.3], "the ion cutoff of 7.3 nm exceeds the smallest box height"),
        (["--ion-cutoff", 5, "--score-ion-cutoff", 7.3], "the ion cutoff of 7.3 nm exceeds the smallest box height"),
    ],
)
def test_training_with_a_cutoff_beyond_the_box(options: list[str | float], refusal: str, tmp_path: Path) -> None:
    data = ["--data", ELECTROLYTES / "000", "--force-field", "electrolyte", "--atoms-per-bead", 5, "--time-step", 10]
    done = run_cli("train", *data, "--score", *options, "--steps", 1, "--out", tmp_path / "m.pt")
    assert done.returncode == 2
    assert done.stderr.strip() == (
        f"cgplugin: {ELECTROLYTES / '000' / 'traj.lammpstrj.bz2'}: {refusal} (7.24316 nm): use a larger box, or a shorter cutoff"
    )
