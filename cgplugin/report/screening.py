"""The report's part on a screening."""

from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

from cgplugin.files import read_json
from cgplugin.observables.statistics import value_and_error

from .content import Plot, Section, Table
from .figures import color, label, panels, place, symbol

ROWS = 100
"""Candidates in the table; all are in ``ranking.csv``."""

MOST_TICKS = 25
"""Up to this many candidates each rank has its number on the axis."""

NAMES = {
    "rg2": "mean Rg²",
    "relaxation_time": "relaxation time of Rg²",
    "end_to_end": "mean end-to-end distance",
}
"""What the properties are called on axes."""


def ranked_names(folder: Path) -> list[str]:
    """Names of the candidates in the order of their rank; none where the folder holds no screening."""
    path = folder / "ranking.json"
    return [item["name"] for item in read_json(path)["ranked"]] if path.is_file() else []


def screening_sections(folder: Path) -> list[Section]:
    """Sections of what ``cgplugin screen`` wrote."""
    content = read_json(folder / "ranking.json")
    ranked, apart, unit = content["ranked"], content["apart"], symbol(content["unit"])
    name = NAMES[content["property"]]
    n = len(ranked) + len(apart)
    best = "smallest" if content["ascending"] else "largest"
    remarks = [
        f"{n} candidates, ranked by {name}, the {best} first; {content['core_seconds']:.3g} core-seconds.",
        "The errors are those of sampling: what the model gets wrong comes on top.",
    ]
    if any(_of(item, content)["error_is_lower_bound"] for item in ranked):
        remarks.append("Errors with > are lower bounds: the runs are too short for their correlation.")
    tables = [_table(content, name, unit)]
    if apart:
        rows = [[item["name"], item["remark"], f"{item['stretched_steps']}"] for item in apart]
        tables.append(Table(["candidate", "why", "stretched steps"], rows[:ROWS], "Not ranked"))
    plots = [_ranking(content, name, unit)] if ranked else []
    return [Section("Ranking", remarks, tables, plots)]


def _of(item: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    """Estimate of the property that a candidate is ranked by."""
    estimate: dict[str, Any] = item["estimates"][content["property"]]
    return estimate


def _table(content: dict[str, Any], name: str, unit: str) -> Table:
    low, high = content["rank_interval_percentiles"]
    rows = []
    for item in content["ranked"][:ROWS]:
        value, error = value_and_error(item["value"], item["standard_error"])
        bound = ">" if _of(item, content)["error_is_lower_bound"] else ""
        ranks = f"{item['rank_low']} to {item['rank_high']}"
        odds = f"{100 * item['probability_in_top']:.0f} %"
        cost = f"{item['core_seconds'] or 0:.3g}"
        rows.append([f"{item['rank']}", item["name"], f"{value} ± {bound}{error}", odds, ranks, cost])
    left_out = len(content["ranked"]) - len(rows)
    note = f"The {left_out} that follow are in ranking.csv." if left_out else ""
    header = ["rank", "candidate", f"{name} ({unit})", f"among the top {content['top']}"]
    return Table([*header, f"true rank ({high - low} %)", "core-s"], rows, "Candidates", note)


def _ranking(content: dict[str, Any], name: str, unit: str) -> Plot:
    ranked = content["ranked"]
    ranks = np.arange(1, len(ranked) + 1)
    names = [label(item["name"]) for item in ranked]
    tints = [color(1) if rank <= content["top"] else color(0) for rank in ranks]
    figure = panels(["", ""], "rank", [f"{name} ({unit})", f"P(among the top {content['top']})"], columns=1, height=250)
    values = go.Scatter(
        x=ranks,
        y=[item["value"] for item in ranked],
        error_y={"array": [item["standard_error"] for item in ranked], "thickness": 1, "width": 2, "color": "#888888"},
        mode="markers",
        marker={"color": tints, "size": 8},
        text=names,
        hovertemplate="%{text}<br>%{y:.4g}<extra></extra>",
        showlegend=False,
    )
    odds = go.Bar(
        x=ranks,
        y=[item["probability_in_top"] for item in ranked],
        marker={"color": tints},
        text=names,
        textposition="none",
        hovertemplate="%{text}<br>%{y:.2f}<extra></extra>",
        showlegend=False,
    )
    figure.add_trace(values, **place(0, 1))
    figure.add_trace(odds, **place(1, 1))
    figure.update_xaxes(range=[0.4, len(ranked) + 0.6], tickformat="d", dtick=1 if len(ranked) <= MOST_TICKS else None)
    figure.update_yaxes(range=[0, 1.02], **place(1, 1))
    caption = "Bars: standard errors. Orange: the top. The name is under the pointer."
    return Plot("Ranking", figure, caption, wide=True)
