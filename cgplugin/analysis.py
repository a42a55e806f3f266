"""Properties of recorded trajectories: numbers, tables and plots."""

import csv
import io
import math
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import UserError
from .files import write_json, write_text
from .observables import bond_lengths, chain_ends, end_to_end_distance, squared_radius_of_gyration
from .statistics import (
    autocorrelation,
    block_standard_error,
    integrated_autocorrelation_time,
    relaxation_time,
    standard_error,
)
from .trajectory_folders import TrajectoryFolder, find_folders, read_chunks
from .units import Units, length_unit, time_unit

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SeriesStatistics:
    """Mean and spread of a correlated series.

    Attributes
    ----------
    mean, standard_deviation : float
    standard_error, block_standard_error : float
        Of the mean: from the autocorrelation, and by block averaging.
    effective_samples : float
        Independent values that would give the same error; NaN if the series is constant.
    """

    mean: float
    standard_deviation: float
    standard_error: float
    block_standard_error: float
    effective_samples: float

    @classmethod
    def of(cls, series: Array) -> "SeriesStatistics":
        """Describe a series."""
        return cls(
            float(series.mean()),
            float(series.std()),
            standard_error(series),
            block_standard_error(series),
            len(series) / integrated_autocorrelation_time(series),
        )


@dataclass(frozen=True)
class SystemAnalysis:
    """Properties of one trajectory; lengths in nm (sigma), times in ps (tau).

    Attributes
    ----------
    name : str
    units : str
    n_frames : int
        Of the trajectory, after what was discarded.
    duration : float
        Time from the first to the last value of Rg^2.
    rg2 : SeriesStatistics
        Squared radius of gyration of the molecule: of the fine system as the model predicts it, at every learned step, where
        there is a ``properties.csv``; else of the frames.
    rg2_of_frames : SeriesStatistics
        Of the positions in the trajectory (of the beads, for a learned simulation).
    relaxation_time : float
        Of Rg^2; NaN if it cannot be told.
    relaxation_note : str
        Why not.
    end_to_end : SeriesStatistics
        End-to-end distance.
    mean_squared_end_to_end : float
    longest_bond : float
    times, series : array, shape (n,)
        Of ``rg2``.
    distances : array, shape (n_frames,)
        End-to-end distance.
    """

    name: str
    units: Units
    n_frames: int
    duration: float
    rg2: SeriesStatistics
    rg2_of_frames: SeriesStatistics
    relaxation_time: float
    relaxation_note: str
    end_to_end: SeriesStatistics
    mean_squared_end_to_end: float
    longest_bond: float
    times: Array = field(repr=False)
    series: Array = field(repr=False)
    distances: Array = field(repr=False)

    @property
    def interval(self) -> float:
        """Time between values of ``series``."""
        return float(self.times[1] - self.times[0])

    def to_json(self) -> dict[str, Any]:
        """Numbers without the series; what is not known is null."""
        skipped = ("times", "series", "distances")
        content = {key: value for key, value in asdict(self).items() if key not in skipped}
        content["length_unit"], content["time_unit"] = length_unit(self.units), time_unit(self.units)
        return _without_nan(content)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def analyze_folder(folder: TrajectoryFolder, discard: float = 0.0) -> SystemAnalysis:
    """Properties of one trajectory, read in chunks.

    Parameters
    ----------
    folder : TrajectoryFolder
    discard : float
        Time at the beginning that is left out, ps.

    Raises
    ------
    UserError
        If less than two frames are left, or the trajectory is damaged.
    """
    ends = chain_ends(len(folder.masses), folder.bonds)
    of_frames, distances, longest = [], [], 0.0
    for positions in read_chunks(folder):
        of_frames.append(squared_radius_of_gyration(positions, folder.masses))
        distances.append(end_to_end_distance(positions, ends))
        longest = max(longest, float(bond_lengths(positions, folder.bonds).max(initial=0.0)))
    frame_rg2, distance = np.concatenate(of_frames), np.concatenate(distances)
    frame_times = folder.first_time + folder.trajectory.interval * np.arange(len(frame_rg2))
    kept = frame_times >= discard
    times, series = frame_times, frame_rg2
    if "rg2" in folder.properties:
        times, series = folder.properties["time"], folder.properties["rg2"]
    used = times >= discard
    if kept.sum() < 2 or used.sum() < 2:
        raise UserError(f"{folder.path}: less than two frames are left after {discard:g} of {frame_times[-1]:g} ps")
    times, series = times[used], series[used]
    relaxation = relaxation_time(series, float(times[1] - times[0]))
    return SystemAnalysis(
        name=folder.name,
        units=folder.units,
        n_frames=int(kept.sum()),
        duration=float(times[-1] - times[0]),
        rg2=SeriesStatistics.of(series),
        rg2_of_frames=SeriesStatistics.of(frame_rg2[kept]),
        relaxation_time=relaxation.time,
        relaxation_note=relaxation.reason,
        end_to_end=SeriesStatistics.of(distance[kept]),
        mean_squared_end_to_end=float((distance[kept] ** 2).mean()),
        longest_bond=longest,
        times=times,
        series=series,
        distances=distance[kept],
    )


def analyze(
    directory: str | os.PathLike[str],
    *,
    discard: float = 0.0,
    interval: float | None = None,
    out: str | os.PathLike[str] | None = None,
) -> list[SystemAnalysis]:
    """Analyse every trajectory below a directory and write tables and plots.

    Per system ``analysis.json``, ``distribution.csv``, ``autocorrelation.csv`` and ``analysis.png``, beside its trajectory or
    below ``out``; for all together ``analysis.csv``, ``analysis.json`` and ``analysis.png`` in the directory itself.

    Parameters
    ----------
    directory : path
    discard : float
        Time at the beginning that is left out, ps.
    interval : float, optional
        Time between frames, for trajectories without a description.
    out : path, optional
        Where to write; by default to the directory.

    Raises
    ------
    UserError
        If there is nothing to analyse, or a file is damaged.
    """
    from . import plots

    base = Path(directory)
    target = base if out is None else Path(out)
    results = []
    for folder in find_folders(directory, interval):
        result = analyze_folder(folder, discard)
        place = target / folder.path.relative_to(base)
        if place != target:
            write_json(place / "analysis.json", result.to_json())
        write_text(place / "distribution.csv", _distribution_csv(result))
        write_text(place / "autocorrelation.csv", _autocorrelation_csv(result))
        plots.plot_system(result, place / "analysis.png" if place != target else target / "system.png")
        results.append(result)
    write_text(target / "analysis.csv", summary_csv(results))
    write_json(target / "analysis.json", [result.to_json() for result in results])
    plots.plot_overview(results, target / "analysis.png")
    return results


COLUMNS = (
    "name", "rg2_mean", "rg2_standard_error", "rg2_block_standard_error", "rg2_standard_deviation", "effective_samples",
    "relaxation_time", "end_to_end_mean", "end_to_end_standard_error", "mean_squared_end_to_end", "longest_bond",
    "n_frames", "duration",
)  # fmt: skip


def summary_rows(results: list[SystemAnalysis]) -> list[list[Any]]:
    """One row per system, in the order of `COLUMNS`."""
    return [
        [
            r.name,
            r.rg2.mean,
            r.rg2.standard_error,
            r.rg2.block_standard_error,
            r.rg2.standard_deviation,
            r.rg2.effective_samples,
            r.relaxation_time,
            r.end_to_end.mean,
            r.end_to_end.standard_error,
            r.mean_squared_end_to_end,
            r.longest_bond,
            r.n_frames,
            r.duration,
        ]
        for r in results
    ]


def summary_csv(results: list[SystemAnalysis]) -> str:
    """Table of all systems as CSV."""
    return _csv(list(COLUMNS), [[_text(value) for value in row] for row in summary_rows(results)])


def summary_table(results: list[SystemAnalysis]) -> str:
    """Table of all systems for the terminal."""
    length, time = length_unit(results[0].units), time_unit(results[0].units)
    header = ["system", f"Rg^2 [{length}^2]", f"relaxation [{time}]", f"end-to-end [{length}]", "effective samples"]
    rows = [
        [
            r.name,
            f"{r.rg2.mean:.2f} +- {r.rg2.standard_error:.2f}",
            f"{r.relaxation_time:.0f}" if math.isfinite(r.relaxation_time) else f"- ({r.relaxation_note})",
            f"{r.end_to_end.mean:.2f} +- {r.end_to_end.standard_error:.2f}",
            f"{r.rg2.effective_samples:.0f}",
        ]
        for r in results
    ]
    widths = [max(len(row[n]) for row in [header, *rows]) for n in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def distribution(series: Array) -> tuple[Array, Array]:
    """Centres and densities of a histogram whose integral is one."""
    density, edges = np.histogram(series, bins="auto" if len(series) < 1000 else 60, density=True)
    return 0.5 * (edges[1:] + edges[:-1]), density


def _distribution_csv(result: SystemAnalysis) -> str:
    centres, density = distribution(result.series)
    return _csv(["rg2", "density"], [[f"{a:.7g}", f"{b:.7g}"] for a, b in zip(centres, density, strict=True)])


def _autocorrelation_csv(result: SystemAnalysis) -> str:
    correlation = autocorrelation(result.series)[: max(2, len(result.series) // 4)]
    return _csv(
        ["lag", "autocorrelation"], [[f"{n * result.interval:.10g}", f"{c:.7g}"] for n, c in enumerate(correlation)]
    )


def _text(value: Any) -> str:
    return f"{value:.7g}" if isinstance(value, float) else str(value)


def _csv(header: list[str], rows: list[list[str]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue()
