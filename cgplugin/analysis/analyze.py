"""Properties of recorded trajectories: numbers, tables and plots."""

import math
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from cgplugin.coarse_graining.coarse_trajectory import FrameBlock
from cgplugin.errors import UserError, one_line
from cgplugin.files import read_json, write_json, write_text
from cgplugin.observables.chains import bond_lengths, end_to_end_distances, ends_of_molecules, squared_radii_of_gyration
from cgplugin.observables.electrolyte import FROM_FIRST_FRAMES, ContactDistances
from cgplugin.observables.statistics import SeriesStatistics, relaxation_time
from cgplugin.systems.molecular_system import MolecularSystem
from cgplugin.systems.periodic import MoleculeMender
from cgplugin.units import check_units, parse_time, time_unit

from .electrolyte import FolderElectrolyte, first_shells_csv, species_csv, write_tables
from .system_analysis import SystemAnalysis, autocorrelation_csv, distribution_csv, frames_csv, summary_csv
from .trajectory_folders import TRAJECTORY, TrajectoryFolder, find_folders

Array = NDArray[np.float64]


def analyze_folder(
    folder: TrajectoryFolder,
    *,
    discard: float = 0.0,
    stride: int = 1,
    rg2_power: int = 1,
    distances: ContactDistances | float = FROM_FIRST_FRAMES,
) -> SystemAnalysis:
    """Properties of one trajectory, read in blocks of frames, so that it need not fit in memory.

    Parameters
    ----------
    folder : TrajectoryFolder
    discard : float
        Time at the beginning that is left out, ps.
    stride : int
        Every how many frames of the trajectory one is used. A ``properties.csv`` is used whole.
    rg2_power : int
        See `cgplugin.observables.statistics.autocorrelation`.
    distances : ContactDistances or float
        What counts as a collision and as an ion pair, see `FolderElectrolyte`.

    Raises
    ------
    UserError
        If less than two frames are left, or a file is damaged.
    """
    bonds = folder.bonds
    system = MolecularSystem(("X",) * len(folder.masses), folder.masses, bonds, ("",) * len(bonds), name=folder.name)
    chains = np.flatnonzero(np.bincount(system.molecules) > 1)
    if len(chains) == 0:
        raise UserError(f"{folder.path / 'topology.pdb'}: has no bonds (CONECT), so that there is no chain to analyse")
    ends = ends_of_molecules(bonds, system.molecules)
    rg2, end_to_end, squared, longest, n_read = [], [], [], 0.0, 0
    electrolyte = FolderElectrolyte(folder, discard, stride, distances)
    for block in whole_molecules(folder, system):
        electrolyte.update(block)
        positions = block.positions
        longest = max(longest, float(bond_lengths(positions, bonds).max()))
        used = positions[-n_read % stride :: stride]
        n_read += len(positions)
        rg2.append(squared_radii_of_gyration(used, folder.masses, system.molecules)[:, chains].mean(axis=1))
        lengths = end_to_end_distances(used, ends)
        end_to_end.append(lengths.mean(axis=1))
        squared.append((lengths**2).mean(axis=1))
    _check_length(folder, n_read)
    frame_times: Array = folder.first_time + folder.trajectory.interval * np.arange(0, n_read, stride, dtype=np.float64)
    kept = frame_times >= discard
    frame_times, frame_rg2 = frame_times[kept], np.concatenate(rg2)[kept]
    times, series = _property_series(folder, n_read) or (frame_times, frame_rg2)
    times, series = times[times >= discard], series[times >= discard]
    if len(frame_times) < 2 or len(times) < 2:
        end = folder.first_time + folder.trajectory.interval * (n_read - 1)
        raise UserError(
            f"{folder.trajectory.source}: less than two frames are left after {discard:g} {time_unit(folder.units)}: "
            f"it has {n_read} and ends at {end:g} {time_unit(folder.units)}"
        )
    between_frames = folder.trajectory.interval * stride
    interval = float(times[1] - times[0])
    frame_end_to_end = np.concatenate(end_to_end)[kept]
    return SystemAnalysis(
        name=folder.name,
        units=folder.units,
        n_frames=len(frame_times),
        duration=float(times[-1] - times[0]),
        rg2=SeriesStatistics.of(series, interval),
        rg2_beads=SeriesStatistics.of(frame_rg2, between_frames) if "rg2" in folder.properties else None,
        rg2_power=rg2_power,
        relaxation=relaxation_time(series, interval, rg2_power),
        end_to_end=SeriesStatistics.of(frame_end_to_end, between_frames),
        mean_squared_end_to_end=float(np.concatenate(squared)[kept].mean()),
        longest_bond=longest,
        masses_known=_describes_itself(folder.path),
        times=times,
        series=series,
        frame_times=frame_times,
        frame_rg2=frame_rg2,
        frame_end_to_end=frame_end_to_end,
        electrolyte=electrolyte.result(),
    )


def _describes_itself(path: Path) -> bool:
    """Whether a folder says the masses: as beads, or as a generated system."""
    return (path / "mapping.json").is_file() or (path / "system.json").is_file()


def whole_molecules(folder: TrajectoryFolder, system: MolecularSystem) -> Iterator[FrameBlock]:
    """Successive frames, finite and with whole molecules."""
    # beads are written whole, and their bonds may be longer than half a small box, so that images could not be told
    mender = None if (folder.path / "mapping.json").is_file() else MoleculeMender(system)
    done = 0
    for block in folder.trajectory.blocks():
        if not np.isfinite(block.positions).all():
            frame, atom, _ = np.argwhere(~np.isfinite(block.positions))[0]
            raise UserError(
                f"{folder.trajectory.source}: the position of atom {atom} in frame {done + frame} is not finite"
            )
        done += len(block.positions)
        if mender is None or block.box_vectors is None:
            yield block
        else:
            yield FrameBlock(mender.make_whole(block.positions, block.box_vectors), block.box_vectors)


def _check_length(folder: TrajectoryFolder, n_read: int) -> None:
    """Refuse a trajectory that ends early: the reader takes a damaged frame for the end."""
    source = Path(folder.trajectory.source)
    expected = folder.trajectory.n_frames
    if source.suffix == ".dcd":
        with source.open("rb") as file:
            header = file.read(12)
        order = "<" if header[:4] == struct.pack("<i", 84) else ">"
        expected = max(expected, struct.unpack(f"{order}i", header[8:12])[0])
    if n_read < expected:
        raise UserError(f"{source}: cut off or damaged at frame {n_read}, it should have {expected} frames")


def _property_series(folder: TrajectoryFolder, n_frames: int) -> tuple[Array, Array] | None:
    """Give times and values of Rg^2 in ``properties.csv``, where there are."""
    if "rg2" not in folder.properties:
        return None
    path, times = folder.path / "properties.csv", folder.properties["time"]
    steps = np.diff(times)
    if len(steps) and steps[0] <= 0:
        raise UserError(f"{path}:3: the time does not increase")
    if len(uneven := np.flatnonzero(np.abs(steps - steps[:1]) > 1e-4 * np.abs(steps[:1]))):
        # the first row of numbers is line 2
        raise UserError(
            f"{path}:{uneven[0] + 3}: the time {times[uneven[0] + 1]:g} does not continue the even steps before"
        )
    interval = folder.trajectory.interval
    last_frame = folder.first_time + interval * (n_frames - 1)
    # an interval of slack: steps after the last frame, or a first frame whose time nothing says
    if not last_frame - 0.01 * interval <= times[-1] <= last_frame + 1.01 * interval:
        raise UserError(
            f"{path}: ends at time {times[-1]:g}, but the trajectory at {last_frame:g}: they are not of one run"
        )
    return times, folder.properties["rg2"]


def _check_run_files(directory: Path) -> None:
    """Refuse run descriptions that are not what ``cgplugin simulate`` writes, before anything relies on them."""
    for root, _, files in os.walk(directory):
        folder = Path(root)
        if TRAJECTORY not in files:
            continue
        if "properties.csv" in files:
            try:
                (folder / "properties.csv").read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise UserError(f"{folder / 'properties.csv'}: cannot be read ({one_line(error)})") from error
        if "mapping.json" in files:
            _check_mapping(folder / "mapping.json")
        if "summary.json" in files and "mapping.json" in files:
            summary = read_json(folder / "summary.json")
            try:
                check_units(summary.get("units", "missing"))
            except UserError as error:
                raise UserError(f"{folder / 'summary.json'}: {error}") from error
            for key in ("time_step", "report_interval"):
                value = summary.get(key)
                if not isinstance(value, int | float) or not 0 < value < math.inf:
                    raise UserError(f"{folder / 'summary.json'}: '{key}' is {value!r}, expected a positive number")


def _check_mapping(path: Path) -> None:
    content = read_json(path)
    masses = content.get("masses")
    if not isinstance(masses, list) or not all(isinstance(m, int | float) and 0 < m < math.inf for m in masses):
        raise UserError(f"{path}: 'masses' is not a list of positive numbers")
    interval = content.get("recording_interval", 1.0)
    if not isinstance(interval, int | float) or not 0 < interval < math.inf:
        raise UserError(f"{path}: 'recording_interval' is {interval!r}, expected a positive number")
    try:
        check_units(content.get("units", "openmm"))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def analyze(
    directory: str | os.PathLike[str],
    *,
    discard: float | str = 0.0,
    stride: int = 1,
    interval: float | None = None,
    rg2_power: int = 1,
    out: str | os.PathLike[str] | None = None,
    distances: ContactDistances | float = FROM_FIRST_FRAMES,
    progress: bool = False,
) -> list[SystemAnalysis]:
    """Analyse every trajectory below a directory and write tables and plots.

    Per system ``analysis.json``, ``frames.csv``, ``distribution.csv``, ``autocorrelation.csv`` and ``analysis.png``,
    beside its trajectory or below ``out``; for all together ``analysis.csv``, ``analysis.json`` (a list) and
    ``analysis.png`` in the directory itself. If that is itself the folder of a trajectory, ``analysis.png`` shows this
    one. An electrolyte (several molecules of known species in a box) also has ``rdf``, ``msd`` and ``collisions`` as CSV
    and PNG, ``ion_pairs.csv`` and ``contacts.json``; for all together there are then ``species.csv`` and
    ``first_shells.csv``. Nothing is written until all trajectories are found good.

    Parameters
    ----------
    directory : path
    discard : float or str
        Time at the beginning that is left out, ps (tau), or with a unit: ``"2 ns"``.
    stride : int
        Every how many frames of the trajectory one is used.
    interval : float, optional
        Time between frames in ps, for trajectories without a description.
    rg2_power : int
        2 for the relaxation time of Rg^4, as the formula in the paper has it; see
        `cgplugin.observables.statistics.autocorrelation`.
    out : path, optional
        Where to write; by default to the directory.
    distances : ContactDistances or float
        What counts as a collision and as an ion pair in electrolytes: of a reference (its ``contacts.json``), or one
        distance in nm below which any two particles collide. By default they are found from the first frames.
    progress : bool
        Show a progress bar.

    Raises
    ------
    UserError
        If there is nothing to analyse, a file is damaged, or units differ between systems.
    """
    # matplotlib takes a second to import
    from .electrolyte_plots import plot_electrolyte
    from .plots import plot_overview, plot_system

    if stride < 1:
        raise UserError(f"a stride of {stride}: expected at least 1")
    base = Path(directory)
    target = base if out is None else Path(out)
    _check_run_files(base)
    folders = find_folders(directory, interval)
    if len({folder.units for folder in folders}) > 1:
        examples = " and ".join(str(next(f.path for f in folders if f.units == u)) for u in ("lj", "openmm"))
        raise UserError(f"{directory}: {examples} are in different units: analyse them separately")
    results = []
    for folder in tqdm(folders, unit="system", desc="reading", disable=not progress):
        time = discard if isinstance(discard, float | int) else parse_time(discard, folder.units)
        results.append(analyze_folder(folder, discard=time, stride=stride, rg2_power=rg2_power, distances=distances))
    pairs = zip(folders, results, strict=True)
    for folder, result in tqdm(pairs, total=len(folders), unit="system", desc="writing", disable=not progress):
        place = target / folder.path.relative_to(base)
        if place != target:
            write_json(place / "analysis.json", result.to_json())
        write_text(place / "frames.csv", frames_csv(result))
        write_text(place / "distribution.csv", distribution_csv(result))
        write_text(place / "autocorrelation.csv", autocorrelation_csv(result))
        plot_system(result, place / "analysis.png")
        if result.electrolyte is not None:
            write_tables(result, place)
            plot_electrolyte(result, place)
    write_text(target / "analysis.csv", summary_csv(results))
    write_json(target / "analysis.json", [result.to_json() for result in results])
    if any(result.electrolyte is not None for result in results):
        write_text(target / "species.csv", species_csv(results))
        write_text(target / "first_shells.csv", first_shells_csv(results))
    if [folder.path for folder in folders] != [base]:
        plot_overview(results, target / "analysis.png")
    return results
