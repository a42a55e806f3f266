"""Every reporter of OpenMM's and mdtraj's with a learned simulation, before and after a restart, read back by other codes."""

import csv
from dataclasses import dataclass
from pathlib import Path

import MDAnalysis
import mdtraj
import numpy as np
import parmed
import pytest
from mdtraj.formats import HDF5TrajectoryFile
from mdtraj.reporters import DCDReporter, HDF5Reporter, NetCDFReporter
from mdtraj.utils import box_vectors_to_lengths_and_angles
from numpy.typing import NDArray
from openmm import app

from cgplugin import LearnedModel, UserError
from cgplugin.networks.options import NetworkOptions
from cgplugin.systems.structure_files import Structure, load_structure, open_trajectory
from openmm_integration import CoarseSystem, PartReporter, learned_simulation
from openmm_integration.cg_system import bead_topology
from openmm_integration.runs.start_frames import from_trajectory
from openmm_integration.topology import write_pdb
from tests.random_model import random_model

from .electrolytes import CONVENTIONS

Array = NDArray[np.float64]

INTERVAL, CHECKPOINT, KILLED, STEPS = 3, 12, 17, 24
"""The run that goes on at the checkpoint had gone on to where it was killed."""

TILT = np.array([[1, 0, 0], [0.3, 1, 0], [-0.2, 0.1, 1]])

XTC_ERROR = 6e-4
"""nm; half the precision of the format, with some reserve for single precision."""


@dataclass(frozen=True)
class Run:
    """What a simulation was, and what was written: in ``folder``, files before the restart and after it.

    Attributes
    ----------
    x : array, shape (n_frames, n_beads, 3)
        nm, unwrapped, at the reported steps, of an uninterrupted run.
    """

    folder: Path
    cg: CoarseSystem
    x: Array
    times: Array

    @property
    def topology(self) -> str:
        return str(self.folder / "topology.pdb")

    @property
    def box(self) -> Array | None:
        return self.cg.common_box

    @property
    def n_first(self) -> int:
        return CHECKPOINT // INTERVAL


@pytest.fixture(scope="module")
def model(electrolyte_model: Path) -> LearnedModel:
    return LearnedModel.load(electrolyte_model)


@pytest.fixture(scope="module", params=["chain", "orthorhombic", "triclinic"])
def run(
    request: pytest.FixtureRequest,
    model: LearnedModel,
    electrolytes: list[Structure],
    polymer_data: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    """A run with all reporters up to a checkpoint and on, killed, and resumed at the checkpoint in a new Simulation."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "chain":
        structure = load_structure(polymer_data)
        options = NetworkOptions(hidden=8, layers=1)
        file = random_model(
            folder / "model.pt", [structure.system], periodic=False, options=options, refinement_levels=0
        )
        used, box = LearnedModel.load(file), None
        dump = open_trajectory(polymer_data.parent / "traj.lammpstrj.bz2", structure)
    else:
        structure, used = electrolytes[0], model
        dump = open_trajectory(structure.source.parent / "traj.lammpstrj.bz2", structure, CONVENTIONS)
        box = structure.box_vectors
        if request.param == "triclinic":
            box = TILT * box[0, 0]
    own = used.coarsen(structure.system)
    cg = CoarseSystem((own,), box, from_trajectory(used, own, dump))
    write_pdb(folder / "topology.pdb", cg.topology, cg.start_frames[-1])

    whole, first, second = (learned_simulation(used, cg, seed=2, platform="Reference") for _ in range(3))
    seen = []
    whole.integrator.observers.append(lambda o: seen.append(o.state.positions.numpy().copy()))
    whole.step(STEPS)

    first.reporters += reporters(folder, cg, append=False)
    first.step(CHECKPOINT)
    first.saveCheckpoint(str(folder / "restart.chk"))
    first.saveState(str(folder / "restart.xml"))
    # OpenMM's and mdtraj's reporters know nothing of frames behind a checkpoint: theirs end with it
    first.reporters = close(first.reporters)
    first.step(KILLED - CHECKPOINT)
    close(first.reporters, last=True)

    second.loadCheckpoint(str(folder / "restart.chk"))
    second.reporters += reporters(folder, cg, append=True)
    second.step(STEPS - CHECKPOINT)
    close(second.reporters, last=True)
    times = used.time_step * np.arange(INTERVAL, STEPS + 1, INTERVAL)
    return Run(folder, cg, np.array(seen)[INTERVAL - 1 :: INTERVAL], times)


def close(attached: list, last: bool = False) -> list:
    """Close files, but those of the `PartReporter`, which stay if it is not the last time."""
    kept = [] if last else [reporter for reporter in attached if isinstance(reporter, PartReporter)]
    for reporter in attached:
        if reporter not in kept and hasattr(reporter, "close"):
            reporter.close()
    return kept


def reporters(folder: Path, cg: CoarseSystem, *, append: bool) -> list:
    """All reporters; those that cannot append write a second file after the restart."""
    second = "-2" if append else ""
    has_box = cg.common_box is not None

    def name(file: str) -> str:
        return str(folder / file)

    made = []
    # without a box there is nothing to wrap into, see `test_wrapping_without_a_box`
    for wrap in (None, False, True) if has_box else (None, False):
        made += [
            app.DCDReporter(name(f"{wrap}.dcd"), INTERVAL, append=append, enforcePeriodicBox=wrap),
            app.XTCReporter(name(f"{wrap}.xtc"), INTERVAL, append=append, enforcePeriodicBox=wrap),
            app.PDBReporter(name(f"{wrap}{second}.pdb"), INTERVAL, enforcePeriodicBox=wrap),
            app.PDBxReporter(name(f"{wrap}{second}.cif"), INTERVAL, enforcePeriodicBox=wrap),
        ]
    hdf5 = HDF5TrajectoryFile(name("mdtraj.h5"), "a" if append else "w")
    return [
        *made,
        app.StateDataReporter(
            name("state.csv"),
            INTERVAL,
            step=True,
            time=True,
            potentialEnergy=True,
            kineticEnergy=True,
            totalEnergy=True,
            temperature=True,
            append=append,
        ),
        app.CheckpointReporter(name("reporter.chk"), INTERVAL),
        app.CheckpointReporter(name("reporter.xml"), INTERVAL, writeState=True),
        HDF5Reporter(hdf5, INTERVAL, cell=has_box),
        NetCDFReporter(name(f"mdtraj{second}.nc"), INTERVAL, cell=has_box),
        DCDReporter(name(f"mdtraj{second}.dcd"), INTERVAL),
        PartReporter(name("part-False.dcd"), INTERVAL, cg, 0, append=append),
        PartReporter(name("part-True.dcd"), INTERVAL, cg, 0, wrap=True, append=append),
    ]


def check_positions(x: Array, expected: Array, wrapped: bool, run: Run, tolerance: float) -> None:
    """Equal but for images; wrapped ones with every molecule whole and its centre in the box."""
    assert x.shape == expected.shape
    if run.box is None or not wrapped:
        np.testing.assert_allclose(x, expected, atol=tolerance)
        return
    images = (x - expected) @ np.linalg.inv(run.box)
    np.testing.assert_allclose(images, np.rint(images), atol=2 * tolerance)
    molecules = run.cg.parts[0].molecules
    for molecule in range(int(molecules.max()) + 1):
        own = molecules == molecule
        assert np.ptp(np.rint(images[:, own]), axis=1).max() == 0
    assert np.abs(np.rint(images)).max() > 0


def check_boxes(lengths: Array | None, angles: Array | None, run: Run) -> None:
    """In nm and degrees; none where there is none."""
    if run.box is None:
        assert lengths is None or not np.any(lengths)
        return
    expected = box_vectors_to_lengths_and_angles(*run.box)
    np.testing.assert_allclose(
        np.atleast_2d(lengths), np.broadcast_to(expected[:3], np.atleast_2d(lengths).shape), atol=1e-4
    )
    np.testing.assert_allclose(
        # two decimals in a PDB file
        np.atleast_2d(angles),
        np.broadcast_to(expected[3:], np.atleast_2d(angles).shape),
        atol=6e-3,
    )


def wraps(run: Run) -> list[bool | None]:
    return [None, False] if run.box is None else [None, False, True]


@pytest.mark.parametrize("suffix", ["dcd", "xtc"])
def test_appended_trajectories(run: Run, suffix: str) -> None:
    """No frame twice, none missing; wrapped by default in a box. mdtraj and MDAnalysis agree, times are the simulation's."""
    tolerance = XTC_ERROR if suffix == "xtc" else 1e-5
    for wrap in wraps(run):
        file = run.folder / f"{wrap}.{suffix}"
        loaded = mdtraj.load(file, top=run.topology)
        check_positions(loaded.xyz, run.x, wrap is not False, run, tolerance)
        check_boxes(loaded.unitcell_lengths, loaded.unitcell_angles, run)
        universe = MDAnalysis.Universe(run.topology, str(file))
        frames = [(0.1 * frame.positions, frame.time, frame.dimensions) for frame in universe.trajectory]
        np.testing.assert_allclose([x for x, _, _ in frames], loaded.xyz, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose([time for _, time, _ in frames], run.times, rtol=1e-6)
        for _, _, dimensions in frames:
            check_boxes(*((None, None) if dimensions is None else (0.1 * dimensions[:3], dimensions[3:])), run)
        # the format has no times; what mdtraj gives are numbers of frames
        np.testing.assert_allclose(loaded.time, np.arange(len(run.x)) if suffix == "dcd" else run.times)


@pytest.mark.parametrize("wrap", [False, True])
def test_part_reporter_goes_on_where_a_killed_run_was_resumed(run: Run, wrap: bool) -> None:
    """It had written a frame behind the checkpoint."""
    file = run.folder / f"part-{wrap}.dcd"
    loaded = mdtraj.load(file, top=run.topology)
    check_positions(loaded.xyz, run.x, wrap, run, 1e-5)
    check_boxes(loaded.unitcell_lengths, loaded.unitcell_angles, run)
    universe = MDAnalysis.Universe(run.topology, str(file))
    np.testing.assert_allclose([frame.time for frame in universe.trajectory], run.times, rtol=1e-6)


@pytest.mark.parametrize("suffix", ["pdb", "cif"])
def test_files_with_a_model_per_frame(run: Run, suffix: str) -> None:
    """OpenMM reads both, mdtraj and ParmEd the PDB file; they have three decimals of an angstrom or more, and no times."""
    for wrap in wraps(run):
        parts = []
        for part in ("", "-2"):
            file = str(run.folder / f"{wrap}{part}.{suffix}")
            read = (app.PDBFile if suffix == "pdb" else app.PDBxFile)(file)
            parts.append([read.getPositions(asNumpy=True, frame=n)._value for n in range(read.getNumFrames())])
            found = read.topology.getPeriodicBoxVectors()
            assert (found is None) == (run.box is None)
            if found is not None:
                np.testing.assert_allclose(np.array(found._value), run.box, atol=1e-3)
            if suffix == "pdb":
                np.testing.assert_allclose(mdtraj.load_pdb(file).xyz, parts[-1], atol=1e-6)
                of_parmed = parmed.load_file(file)
                np.testing.assert_allclose(0.1 * of_parmed.get_coordinates(), parts[-1], atol=1e-6)
                if run.box is not None:
                    check_boxes(0.1 * of_parmed.box[:3], of_parmed.box[3:], run)
        assert [len(part) for part in parts] == [run.n_first, len(run.x) - run.n_first]
        check_positions(np.concatenate(parts), run.x, wrap is not False, run, 1e-4)


def test_hdf5_goes_on_with_steps_and_times(run: Run) -> None:
    """mdtraj's reporters ask for wrapped positions wherever there is a box."""
    loaded = mdtraj.load(run.folder / "mdtraj.h5")
    check_positions(loaded.xyz, run.x, True, run, 1e-5)
    check_boxes(loaded.unitcell_lengths, loaded.unitcell_angles, run)
    np.testing.assert_allclose(loaded.time, run.times)
    assert loaded.topology.n_bonds == len(run.cg.parts[0].bonds)


def test_netcdf_in_mdtraj_mdanalysis_and_parmed(run: Run) -> None:
    parts = []
    for part in ("", "-2"):
        file = str(run.folder / f"mdtraj{part}.nc")
        loaded = mdtraj.load(file, top=run.topology)
        check_boxes(loaded.unitcell_lengths, loaded.unitcell_angles, run)
        universe = MDAnalysis.Universe(run.topology, file)
        np.testing.assert_allclose([0.1 * f.positions for f in universe.trajectory], loaded.xyz, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose([float(frame.time) for frame in universe.trajectory], loaded.time)
        of_parmed = parmed.amber.NetCDFTraj.open_old(file)
        np.testing.assert_allclose(0.1 * of_parmed.coordinates, loaded.xyz, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(of_parmed.time, loaded.time)
        if run.box is not None:
            check_boxes(0.1 * of_parmed.box[:, :3], of_parmed.box[:, 3:], run)
        of_parmed.close()
        parts.append(loaded)
    check_positions(np.concatenate([part.xyz for part in parts]), run.x, True, run, 1e-5)
    np.testing.assert_allclose(np.concatenate([part.time for part in parts]), run.times)


def test_dcd_of_mdtraj(run: Run) -> None:
    parts = [mdtraj.load(run.folder / f"mdtraj{part}.dcd", top=run.topology) for part in ("", "-2")]
    check_positions(np.concatenate([part.xyz for part in parts]), run.x, True, run, 1e-5)
    if run.box is not None:
        check_boxes(parts[1].unitcell_lengths, parts[1].unitcell_angles, run)


def test_table_of_the_state(run: Run) -> None:
    """Steps and times go on; there is no kinetic energy and no temperature, and nothing raises."""
    rows = list(csv.reader((run.folder / "state.csv").open()))
    # OpenMM writes the header again where it appends
    rows = [row for row in rows if not row[0].startswith("#")]
    columns = np.array(rows, dtype=float).T
    np.testing.assert_array_equal(columns[0], np.arange(INTERVAL, STEPS + 1, INTERVAL))
    np.testing.assert_allclose(columns[1], run.times)
    assert not columns[2:5].any()
    assert np.isnan(columns[5]).all()
    frames = HDF5TrajectoryFile(str(run.folder / "mdtraj.h5"))
    read = frames.read()
    frames.close()
    assert not np.any([read.kineticEnergy, read.temperature, read.potentialEnergy])


@pytest.mark.parametrize("suffix", ["chk", "xml"])
def test_checkpoint_reporter_writes_what_goes_on(run: Run, model: LearnedModel, suffix: str) -> None:
    used = LearnedModel.load(run.folder / "model.pt") if run.box is None else model
    ends = []
    for file, steps in ((f"restart.{suffix}", STEPS - CHECKPOINT + 1), (f"reporter.{suffix}", 1)):
        made = learned_simulation(used, run.cg, seed=2, platform="Reference")
        (made.loadCheckpoint if suffix == "chk" else made.loadState)(str(run.folder / file))
        made.step(steps)
        assert made.currentStep == STEPS + 1
        ends.append(made.context.getState(positions=True).getPositions(asNumpy=True)._value)
    np.testing.assert_array_equal(*ends)


@pytest.mark.parametrize("run", ["chain"], indirect=True)
def test_wrapping_without_a_box(run: Run, tmp_path: Path) -> None:
    """OpenMM then shifts by its default box of 2 nm, as in any simulation without a box: leave the choice to it."""
    made = learned_simulation(LearnedModel.load(run.folder / "model.pt"), run.cg, seed=2, platform="Reference")
    made.reporters.append(app.DCDReporter(str(tmp_path / "t.dcd"), INTERVAL, enforcePeriodicBox=True))
    made.step(STEPS)
    loaded = mdtraj.load(tmp_path / "t.dcd", top=run.topology)
    shifts = (loaded.xyz - run.x)[:, :1] / 2
    np.testing.assert_allclose(shifts, np.rint(shifts), atol=1e-5)
    assert np.any(np.rint(shifts))
    np.testing.assert_allclose(loaded.xyz - 2 * shifts, run.x, atol=1e-5)


def part_simulation(model: LearnedModel, electrolytes: list[Structure]) -> app.Simulation:
    """Two systems in one Context, in boxes of different size and shape."""
    parts, frames, boxes = [], [], []
    for structure, shape in zip(electrolytes, (np.eye(3), TILT), strict=True):
        own = model.coarsen(structure.system)
        dump = open_trajectory(structure.source.parent / "traj.lammpstrj.bz2", structure, CONVENTIONS)
        parts.append(own)
        frames.append(from_trajectory(model, own, dump))
        boxes.append(shape * structure.box_vectors[0, 0])
    cg = CoarseSystem(tuple(parts), np.array(boxes), np.concatenate(frames, axis=1))
    return learned_simulation(model, cg, seed=1, platform="Reference")


def test_parts_begun_late_and_taken_back_in_time(
    model: LearnedModel, electrolytes: list[Structure], tmp_path: Path
) -> None:
    made = part_simulation(model, electrolytes)
    cg = made.integrator.cg
    seen = {}
    made.integrator.observers.append(lambda o: seen.__setitem__(o.state.step, o.state.positions.numpy().copy()))
    made.step(5)
    for part in range(2):
        made.reporters.append(PartReporter(tmp_path / f"{part}.dcd", 2, cg, part))
        write_pdb(
            tmp_path / f"{part}.pdb",
            bead_topology([cg.parts[part]]),
            cg.start_frames[-1][cg.beads_of(part)],
        )
    made.saveCheckpoint(str(tmp_path / "5.chk"))
    made.step(3)
    made.saveCheckpoint(str(tmp_path / "8.chk"))
    made.step(5)
    before = [(tmp_path / f"{part}.dcd").read_bytes() for part in range(2)]
    for checkpoint, steps in (("8.chk", 5), ("5.chk", 8)):
        made.loadCheckpoint(str(tmp_path / checkpoint))
        made.step(steps)
        assert [(tmp_path / f"{part}.dcd").read_bytes() for part in range(2)] == before
    for part in range(2):
        universe = MDAnalysis.Universe(str(tmp_path / f"{part}.pdb"), str(tmp_path / f"{part}.dcd"))
        assert [round(frame.time) for frame in universe.trajectory] == [24, 32, 40, 48]
        loaded = mdtraj.load(tmp_path / f"{part}.dcd", top=tmp_path / f"{part}.pdb")
        np.testing.assert_allclose(loaded.unitcell_vectors, np.broadcast_to(cg.box_of(part), (4, 3, 3)), atol=1e-5)
        expected = np.array([seen[step][cg.beads_of(part)] for step in (6, 8, 10, 12)])
        np.testing.assert_allclose(loaded.xyz, expected, atol=1e-5)


def test_part_reporter_refuses_what_does_not_go_on(
    model: LearnedModel, electrolytes: list[Structure], tmp_path: Path
) -> None:
    made = part_simulation(model, electrolytes)
    cg, file = made.integrator.cg, tmp_path / "0.dcd"
    with pytest.raises(UserError, match=r"0\.dcd: there is nothing to append to"):
        PartReporter(file, 2, cg, 0, append=True)
    file.write_bytes(b"\0" * 300)
    with pytest.raises(UserError, match=r"0\.dcd: not a DCD file that OpenMM wrote"):
        PartReporter(file, 2, cg, 0, append=True)
    made.reporters.append(PartReporter(file, 2, cg, 0))
    made.step(4)
    whole = file.read_bytes()
    for interval, part, start, message in (
        (2, 1, 4, r"0\.dcd: has \d+ beads, the part that is to be appended \d+"),
        (1, 0, 4, r"0\.dcd: has frames every 8 ps, those to be appended come every 4 ps"),
        (2, 0, 6, r"0\.dcd: ends at step 4, but the simulation goes on behind step 6"),
    ):
        made.currentStep = start
        made.reporters = [PartReporter(file, interval, cg, part, append=True)]
        with pytest.raises(UserError, match=message):
            made.step(2)
        assert file.read_bytes() == whole
    file.write_bytes(whole[:150])
    with pytest.raises(UserError, match=r"0\.dcd: its header is cut off"):
        PartReporter(file, 2, cg, 0, append=True)
