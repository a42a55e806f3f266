"""Every kind of dump, written by real LAMMPS and compared with the arrays that it held; MDAnalysis as a second reader."""

import warnings
from pathlib import Path
from typing import Any

import MDAnalysis
import numpy as np
import pytest

from lammps_reader import Frame, LammpsFormatError, LammpsFormatWarning, open_dump, read_data
from tests.lammps_reader.real_lammps import run_lammps

BOXES = {
    "orthogonal": "region b block -1 7 0.5 6 -3 3 units box",
    "triclinic": "region b prism -1 7 0.5 6 -3 3 1.5 -1 0.7 units box",
}
KINDS = {
    "xyz": "id type x y z",
    "image": "id mol type x y z ix iy iz",
    "xu": "id type xu yu zu",
    "xs": "id type xs ys zs",
    "xs_image": "iz ys id xs iy type ix zs",
    "xsu": "id type xsu ysu zsu",
    "velocity": "vx vy id vz xu yu zu element",
}
FLAGGED = ("image", "xu", "xs_image", "xsu", "velocity", "atom_image", "packed", "digits")
FOLLOWED = ("xyz", "xs", "atom")


def script(box: str) -> str:
    deform = (
        "fix d all deform 1 xy erate 4 remap v flip yes" if box == "triclinic" else "fix d all deform 1 x erate 0.05"
    )
    dumps = [f"dump {kind} all custom 10 {kind}.lammpstrj {columns}" for kind, columns in KINDS.items()]
    runs = ["run 0", "write_data start.data nocoeff", "RECORD"] + ["run 10", "RECORD"] * 8
    return "\n".join(
        [
            "units lj", "atom_style molecular", "boundary p p p", BOXES[box], "create_box 2 b",
            "create_atoms 1 random 70 4711 b overlap 0.7", "create_atoms 2 random 30 815 b overlap 0.7", "mass * 1.0",
            "set group all mol 3", "pair_style soft 1.0", "pair_coeff * * 5.0", "velocity all create 2.0 99 loop geom",
            "velocity all set 9 5 -4 sum yes", "neighbor 0.3 bin", "fix n all nve", "timestep 0.003", deform, *dumps,
            "dump_modify velocity element C O", "dump_modify xu sort id time yes units yes",
            "dump atom all atom 10 atom.lammpstrj", "dump atom_image all atom 10 atom_image.lammpstrj",
            "dump_modify atom_image image yes scale no", "dump packed all custom/gz 10 packed.lammpstrj.gz id type xu yu zu",
            "dump digits all custom 10 digits.lammpstrj id x y z ix iy iz", "dump_modify digits format float %.17g",
            "dump dcd all dcd 10 wrapped.dcd", "dump udcd all dcd 10 unwrapped.dcd", "dump_modify udcd unwrap yes",
            "dump_modify dcd sort id", "dump_modify udcd sort id", "dump xyz2 all xyz 10 atoms.xyz",
            "dump_modify xyz2 sort id element C O", "dump each all custom 10 each.*.lammpstrj id type x y z ix iy iz",
            *runs,
        ]
    )  # fmt: skip


@pytest.fixture(scope="module", params=list(BOXES))
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp(request.param)
    return folder, run_lammps(script(request.param), folder)


def vectors(record: dict[str, Any]) -> np.ndarray:
    (lx, ly, lz), (xy, xz, yz) = np.subtract(record["hi"], record["lo"]), record["tilt"]
    return np.array([[lx, 0, 0], [xy, ly, 0], [xz, yz, lz]])


def unwrapped(record: dict[str, Any]) -> np.ndarray:
    return np.array(record["x"]) + np.array(record["images"]) @ vectors(record)


def check_frame(frame: Frame, record: dict[str, Any]) -> None:
    assert frame.timestep == record["step"]
    assert frame.ids.tolist() == record["ids"]
    np.testing.assert_allclose(frame.box.lo, record["lo"], atol=1e-12)
    np.testing.assert_allclose(frame.box.hi, record["hi"], atol=1e-12)
    np.testing.assert_allclose(frame.box.tilt, record["tilt"], atol=1e-12)
    assert list(frame.box.periodic) == record["periodic"]


def test_the_run_is_a_hard_one(run: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, records = run
    images = np.array([record["images"] for record in records])
    assert np.abs(images[-1] - images[0]).max() >= 1
    tilts = np.array([record["tilt"][0] for record in records])
    if folder.name.startswith("triclinic"):
        assert np.diff(tilts).min() < -3, "the box is flipped"


@pytest.mark.parametrize("kind", FLAGGED)
def test_positions_that_the_file_tells(run: tuple[Path, list[dict[str, Any]]], kind: str) -> None:
    folder, records = run
    path = folder / f"{kind}.lammpstrj{'.gz' if kind == 'packed' else ''}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dump = open_dump(path)
        for frame, record in zip(dump, records, strict=True):
            check_frame(frame, record)
            atol = 1e-11 if kind == "digits" else 1e-4
            np.testing.assert_allclose(frame.positions, unwrapped(record), atol=atol)
            if kind == "velocity":
                v = np.stack([frame.columns[name] for name in ("vx", "vy", "vz")], axis=1)
                np.testing.assert_allclose(v, record["v"], atol=1e-4)
                assert set(frame.columns["element"]) == {"C", "O"}
    assert dump.units == ("lj" if kind == "xu" else None)
    if kind == "xu":
        np.testing.assert_allclose([frame.time for frame in dump], 0.003 * dump.timesteps, rtol=1e-6)


@pytest.mark.parametrize("kind", FOLLOWED)
def test_positions_that_are_followed(run: tuple[Path, list[dict[str, Any]]], kind: str) -> None:
    folder, records = run
    with pytest.warns(LammpsFormatWarning, match="no image flags"):
        frames = list(open_dump(folder / f"{kind}.lammpstrj"))
    first = frames[0].positions - unwrapped(records[0])
    turns = np.round(first @ np.linalg.inv(vectors(records[0])))
    for frame, record, before, after in zip(frames[1:], records[1:], frames, frames[1:], strict=False):
        check_frame(frame, record)
        images = (frame.positions - unwrapped(record)) @ np.linalg.inv(vectors(record))
        np.testing.assert_allclose(images, np.round(images), atol=1e-3)
        if not folder.name.startswith("triclinic"):
            np.testing.assert_array_equal(np.round(images), turns)
        assert np.abs((after.positions - before.positions) @ np.linalg.inv(vectors(record))).max() < 0.6


@pytest.mark.parametrize("kind", FOLLOWED)
def test_positions_that_are_followed_from_a_data_file(run: tuple[Path, list[dict[str, Any]]], kind: str) -> None:
    folder, records = run
    dump = open_dump(folder / f"{kind}.lammpstrj", unwrap=True, reference=read_data(folder / "start.data"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # the last one first: what lies between is followed, too
        np.testing.assert_allclose(dump[-1].positions, unwrapped(records[-1]), atol=2e-4)
        for frame, record in zip(dump, records, strict=True):
            np.testing.assert_allclose(frame.positions, unwrapped(record), atol=2e-4)


def test_dcd(run: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, records = run
    dump = open_dump(folder / "unwrapped.dcd")
    assert dump.timesteps.tolist() == [record["step"] for record in records]
    for frame, record in zip(dump, records, strict=True):
        np.testing.assert_allclose(frame.positions, unwrapped(record), atol=1e-5)
        np.testing.assert_allclose(frame.box.vectors, vectors(record), atol=1e-4)
        assert frame.ids.tolist() == record["ids"]
    followed = open_dump(folder / "wrapped.dcd", unwrap=True, reference=read_data(folder / "start.data"))
    for frame, record in zip(followed, records, strict=True):
        np.testing.assert_allclose(frame.positions, unwrapped(record), atol=2e-4)


def test_xyz(run: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, records = run
    dump = open_dump(folder / "atoms.xyz")
    assert dump.timesteps.tolist() == [record["step"] for record in records]
    for frame, record in zip(dump, records, strict=True):
        apart = (frame.positions - np.array(record["x"])) @ np.linalg.inv(vectors(record))
        np.testing.assert_allclose(apart, np.round(apart), atol=1e-4)
        assert set(frame.columns["element"]) == {"C", "O"}


def test_a_file_for_each_frame(run: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, records = run
    dump = open_dump(folder / "each.*.lammpstrj")
    assert len(dump.paths) == len(records)
    for frame, record in zip(dump, records, strict=True):
        check_frame(frame, record)
        np.testing.assert_allclose(frame.positions, unwrapped(record), atol=1e-4)


@pytest.mark.parametrize("kind", ["image", "xyz"])
def test_mdanalysis_reads_the_same(run: tuple[Path, list[dict[str, Any]]], kind: str) -> None:
    folder, _ = run
    dump = open_dump(folder / f"{kind}.lammpstrj", unwrap=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe = MDAnalysis.Universe(
            folder / f"{kind}.lammpstrj",
            format="LAMMPSDUMP",
            topology_format="LAMMPSDUMP",
            lammps_coordinate_convention="unscaled",
            unwrap_images=kind == "image",
        )
        for step, frame in zip(universe.trajectory, dump, strict=True):
            assert step.data["step"] == frame.timestep
            if folder.name.startswith("orthogonal"):
                # MDAnalysis moves the origin of the box to zero
                np.testing.assert_allclose(step.positions, frame.positions - frame.box.lo, atol=1e-4)
                np.testing.assert_allclose(step.dimensions[:3], frame.box.hi - frame.box.lo, rtol=1e-5)


def test_atoms_that_come_and_go_and_boundaries_that_follow(tmp_path: Path) -> None:
    commands = """
units lj
boundary s f p
region b block -1 7 0.5 6 -3 3 units box
create_box 1 b
create_atoms 1 random 60 4711 b overlap 0.7
mass * 1.0
pair_style soft 1.0
pair_coeff * * 5.0
velocity all create 2.0 99 loop geom
velocity all set 0 0 -6 sum yes
fix n all nve
timestep 0.003
thermo_modify lost ignore
dump some all custom 10 some.lammpstrj id type xs ys zs ix iy iz
dump none all custom 10 none.lammpstrj id x y z
group few id 3 17 20:30
dump few few custom 10 few.lammpstrj id x y z ix iy iz
run 0
RECORD
run 10
RECORD
group gone id 5 6 7 41
delete_atoms group gone compress no
run 20
RECORD
undump some
undump none
undump few
reset_timestep 20
dump some all custom 10 some.lammpstrj id type xs ys zs ix iy iz
dump_modify some append yes
run 20
RECORD
"""
    records = run_lammps(commands, tmp_path)
    dump = open_dump(tmp_path / "some.lammpstrj")
    # the atoms were there at step 10, and are not at the step 10 after it
    by_step = {record["step"]: record for record in records[:2]}
    assert dump.timesteps[:3].tolist() == [0, 10, 20]
    for frame in dump[:2]:
        record = by_step[frame.timestep]
        check_frame(frame, record)
        np.testing.assert_allclose(frame.positions, unwrapped(record), atol=1e-4)
    np.testing.assert_allclose(dump[-1].positions, unwrapped(records[-1]), atol=1e-4)
    assert dump.n_atoms[0] == 60
    assert dump.n_atoms[-1] == len(records[-1]["ids"]) <= 56
    assert dump.timesteps.tolist() == [0, 10, 20, 30, 20, 30, 40]
    once = dump.without_repeats()
    assert once.timesteps.tolist() == [0, 10, 20, 30, 40]
    np.testing.assert_array_equal(once[2].positions, dump[4].positions)
    few = open_dump(tmp_path / "few.lammpstrj")
    assert few[0].ids.tolist() == [3, 17, *range(20, 31)]
    with pytest.warns(LammpsFormatWarning, match="no image flags"):
        frames = list(open_dump(tmp_path / "none.lammpstrj"))
    assert [len(frame.ids) for frame in frames] == dump.n_atoms[:4].tolist()


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("dump d all local 1 d.dump c_b[1]", "local dump"),
        ("dump d all yaml 1 d.dump id x y z", "yaml dump"),
        ("dump d all custom 1 d.dump type x y z", "no column id"),
        ("dump d all custom 1 d.dump id type vx", "no complete set of coordinates"),
        ("dump d all custom 1 d.dump id x yu z", "no complete set of coordinates"),
        ("dump d all grid 1 d.dump c_g:grid:data[1]", "grid dump"),
        ("dump d all custom 1 d.lammpstrj.bin id x y z", "not a text dump"),
        ("dump d all custom 1 d.dump id xu yu zu\ndump_modify d triclinic/general yes", "general triclinic"),
    ],
)
def test_what_is_refused(tmp_path: Path, command: str, reason: str) -> None:
    start = [
        "units lj", "lattice custom 1.0 a1 1 0 0 a2 0.2 1 0 a3 0 0.1 1 basis 0 0 0 triclinic/general",
        "create_box 1 NULL 0 3 0 3 0 3", "create_atoms 1 box", "mass 1 1.0", "pair_style lj/cut 1.3", "pair_coeff 1 1 1 1",
        "compute b all pair/local dist eng", "compute g all property/grid 2 2 2 id",
    ]  # fmt: skip
    run_lammps(
        "\n".join([*start, *command.replace("c_g:grid:data[1]", "c_g:grid:data").split("\n"), "run 0"]), tmp_path
    )
    (path,) = tmp_path.glob("d.*")
    with pytest.raises(LammpsFormatError, match=reason) as caught:
        list(open_dump(path))
    assert "\n" not in str(caught.value)
    assert caught.value.line is not None
