"""Plot of a ranking."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from cgplugin.analysis import plots

from .ranking import Ranking

_NAMES = 60
"""Candidates whose names fit below the axis."""

_LABELS = {
    "rg2": r"mean $R_\mathrm{g}^2$",
    "relaxation_time": r"relaxation time of $R_\mathrm{g}^2$",
    "end_to_end": "mean end-to-end distance",
}


def plot_ranking(ranking: Ranking, path: Path) -> None:
    """Values of the property with standard errors in order of rank; below, the probability of being among the top.

    Hollow symbols: the error is a lower bound.

    Parameters
    ----------
    ranking : Ranking
    path : Path
        PNG, or what else the suffix says.
    """
    places = ranking.places
    n = len(places)
    ranks = np.arange(1, n + 1)
    in_top = ranks <= ranking.top
    with mpl.rc_context(plots.STYLE):
        figure = Figure(figsize=(min(4 + 0.16 * min(n, 60), 12), 4.6), layout="constrained")
        values, odds = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        for color, chosen in ((plots.ORANGE, in_top), (plots.BLUE, ~in_top)):
            for n_place in np.flatnonzero(chosen):
                estimate = places[n_place].estimate
                values.errorbar(
                    ranks[n_place],
                    estimate.value,
                    yerr=estimate.standard_error,
                    fmt="o",
                    color=color,
                    markerfacecolor="white" if estimate.error_is_lower_bound else color,
                    markersize=4 if n <= _NAMES else 2,
                    elinewidth=1,
                )
        colors = np.where(in_top, plots.ORANGE, plots.BLUE)
        odds.bar(ranks, [place.probability_in_top for place in places], color=colors, width=0.8)
        odds.set(ylim=(0, 1), ylabel=f"P(top {ranking.top})")
        unit = ranking.unit.replace("^2", "$^2$").replace("sigma", "σ").replace("tau", "τ")
        values.set_ylabel(f"{_LABELS[ranking.what]} ({unit})")
        if not places:
            values.text(0.5, 0.5, "no candidate could be ranked", transform=values.transAxes, ha="center")
        elif n <= _NAMES:
            odds.set_xticks(ranks, [place.result.name for place in places], rotation=90)
        else:
            odds.set_xlabel("rank")
        odds.set_xlim(0.4, max(n, 1) + 0.6)
        if ranking.apart:
            plots.title(values, f"{len(ranking.apart)} not ranked: see ranking.csv")
        plots.save(figure, path)
