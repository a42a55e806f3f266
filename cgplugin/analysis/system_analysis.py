"""What an analysis finds for one trajectory, and its tables."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cgplugin.observables.electrolyte import ElectrolyteObservables
from cgplugin.observables.statistics import Relaxation, SeriesStatistics, autocorrelation, density
from cgplugin.tables import csv_text, without_nan
from cgplugin.units import Units, length_unit, time_unit

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SystemAnalysis:
    """Properties of one trajectory; lengths in nm (sigma), times in ps (tau).

    Where a system has several molecules, Rg^2 and end-to-end distance of a frame are means over those of more than one
    atom or bead.

    Attributes
    ----------
    name : str
    units : str
    n_frames : int
        Of the trajectory, after what was left out.
    duration : float
        Time from the first to the last value of Rg^2.
    rg2 : SeriesStatistics
        Squared radius of gyration: of the fine system as the model predicts it, at every learned step, where there is a
        ``properties.csv``; else of the positions in the trajectory.
    rg2_beads : SeriesStatistics or None
        That of the beads in the trajectory, where ``rg2`` is of the fine system.
    rg2_power : int
        Power of Rg^2 in the autocorrelation that gives the relaxation time: 1, or 2 for the formula in the paper.
    relaxation : Relaxation
        Of Rg^2.
    end_to_end : SeriesStatistics
        End-to-end distance.
    mean_squared_end_to_end : float
    longest_bond : float
        In any frame of the trajectory.
    masses_known : bool
        Whether masses were found; if not, all count the same.
    times, series : array, shape (n,)
        Of ``rg2``.
    frame_times, frame_rg2, frame_end_to_end : array, shape (n_frames,)
        Of the positions in the trajectory.
    electrolyte : ElectrolyteObservables or None
        Of several molecules of known species in a periodic box.
    """

    name: str
    units: Units
    n_frames: int
    duration: float
    rg2: SeriesStatistics
    rg2_beads: SeriesStatistics | None
    rg2_power: int
    relaxation: Relaxation
    end_to_end: SeriesStatistics
    mean_squared_end_to_end: float
    longest_bond: float
    masses_known: bool
    times: Array = field(repr=False)
    series: Array = field(repr=False)
    frame_times: Array = field(repr=False)
    frame_rg2: Array = field(repr=False)
    frame_end_to_end: Array = field(repr=False)
    electrolyte: ElectrolyteObservables | None = field(default=None, repr=False)

    @property
    def interval(self) -> float:
        """Time between values of ``series``."""
        return float(self.times[1] - self.times[0])

    def to_json(self) -> dict[str, Any]:
        """Numbers without the series; what is not known is null."""
        values = ((item.name, getattr(self, item.name)) for item in fields(self) if item.name != "electrolyte")
        content = {
            name: asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
            for name, value in values
            if not isinstance(value, np.ndarray)
        }
        if self.electrolyte is not None:
            content["electrolyte"] = self.electrolyte.to_json()
        content["length_unit"], content["time_unit"] = length_unit(self.units), time_unit(self.units)
        return without_nan(content)


def summary_row(result: SystemAnalysis) -> dict[str, str | float | int]:
    """Numbers of one system under the headings of ``analysis.csv``."""
    return {
        "name": result.name,
        "length_unit": length_unit(result.units),
        "time_unit": time_unit(result.units),
        "rg2_mean": result.rg2.mean,
        "rg2_standard_error": result.rg2.standard_error,
        "rg2_block_standard_error": result.rg2.block_standard_error,
        "rg2_standard_deviation": result.rg2.standard_deviation,
        "rg2_beads_mean": result.rg2_beads.mean if result.rg2_beads else math.nan,
        "effective_samples": result.rg2.effective_samples,
        "relaxation_time": result.relaxation.time,
        "relaxation_time_error": result.relaxation.error,
        "relaxation_time_fitted": result.relaxation.fitted_time,
        "integrated_autocorrelation_time": result.rg2.integrated_autocorrelation_time,
        "end_to_end_mean": result.end_to_end.mean,
        "end_to_end_standard_error": result.end_to_end.standard_error,
        "mean_squared_end_to_end": result.mean_squared_end_to_end,
        "longest_bond": result.longest_bond,
        "n_frames": result.n_frames,
        "duration": result.duration,
    }


def summary_csv(results: Sequence[SystemAnalysis]) -> str:
    """Table of all systems as CSV; what is not known is empty."""
    rows = [summary_row(result) for result in results]
    return csv_text(list(rows[0]), [list(row.values()) for row in rows])


def frames_csv(result: SystemAnalysis) -> str:
    """Rg^2 and end-to-end distance in every frame, as CSV."""
    columns = zip(result.frame_times, result.frame_rg2, result.frame_end_to_end, strict=True)
    return csv_text(["time", "rg2_beads" if result.rg2_beads else "rg2", "end_to_end"], columns)


def distribution_csv(result: SystemAnalysis) -> str:
    """Probability density of Rg^2, as CSV."""
    return csv_text(["rg2", "density"], zip(*density(result.series, result.rg2.effective_samples), strict=True))


def autocorrelation_csv(result: SystemAnalysis) -> str:
    """Autocorrelation of Rg^2, as CSV."""
    # longer lags are averages over so little that they are noise
    correlation = autocorrelation(result.series, result.rg2_power)[: max(2, len(result.series) // 4)]
    return csv_text(
        ["lag", "autocorrelation"], zip(result.interval * np.arange(len(correlation)), correlation, strict=True)
    )
