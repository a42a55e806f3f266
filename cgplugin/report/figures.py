"""Building blocks of the interactive plots: layout, colours, lines, grids of panels."""

import html
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray
from plotly.subplots import make_subplots

COLORS = ("#2a5d9f", "#d9792b", "#3d8567", "#8a4f9e", "#b03a48", "#8a7a2f", "#4d9bb8", "#777777")
"""Of lines and beads, in the order of what they stand for; the first three are those of the PNG files."""

GREY = "#777777"

MOST_POINTS = 1000
"""Points of a line; more are not seen, and make the file large."""

_AXIS = {
    "showline": True,
    "linecolor": "#444444",
    "ticks": "outside",
    "gridcolor": "#eeeeee",
    "zeroline": False,
    "automargin": True,
}


def label(text: str) -> str:
    """A name that comes from a file as plotly's texts want it: they are read as HTML."""
    return html.escape(text)


def symbol(unit: str) -> str:
    """A unit as it is printed: σ, τ, nm²."""
    return unit.replace("sigma", "σ").replace("tau", "τ").replace("^2", "²")


def color(number: int) -> str:
    """Colour of the n-th thing; they come again after the last."""
    return COLORS[number % len(COLORS)]


def panels(
    titles: Sequence[str], x: str | Sequence[str], y: str | Sequence[str], *, columns: int = 3, height: int = 270
) -> go.Figure:
    """A figure with a panel for each title (plain text), in reading order; `place` says where the n-th is.

    Parameters
    ----------
    titles : sequence of str
        One without a text for a single panel.
    x, y : str or sequence of str
        Titles of the axes, of all panels or of each; of all panels y is written at the first column only.
    columns : int
        Most panels side by side.
    height : int
        Of a row, pixels.
    """
    n = len(titles)
    n_columns = min(columns, n)
    n_rows = math.ceil(n / n_columns)
    figure = make_subplots(
        rows=n_rows,
        cols=n_columns,
        subplot_titles=[label(title) for title in titles] if any(titles) else None,
        horizontal_spacing=0.09 if n_columns > 1 else 0.0,
        vertical_spacing=min(0.24 / n_rows, 0.9 / max(n_rows - 1, 1)) if n_rows > 1 else 0.0,
    )
    total = height * n_rows + 110
    figure.update_layout(
        template="plotly_white",
        height=total,
        margin={"l": 60, "r": 20, "t": 80, "b": 50},
        font={"family": "system-ui, sans-serif", "size": 13, "color": "#222222"},
        # below the buttons
        legend={"orientation": "h", "yref": "container", "y": 1 - 28 / total, "yanchor": "top", "x": 0},
        hovermode="closest",
    )
    figure.update_annotations(font={"size": 13})
    figure.update_xaxes(**_AXIS)
    figure.update_yaxes(**_AXIS)
    for number in range(n):
        own = place(number, n_columns)
        if isinstance(x, str):
            # of a column of panels the lowest says it for all
            figure.update_xaxes(title_text=x if number + n_columns >= n else None, **own)
        else:
            figure.update_xaxes(title_text=x[number], **own)
        if isinstance(y, str):
            figure.update_yaxes(title_text=y if own["col"] == 1 else None, **own)
        else:
            figure.update_yaxes(title_text=y[number], **own)
    return figure


def place(number: int, columns: int = 3) -> dict[str, int]:
    """Row and column of the n-th panel, as plotly counts them."""
    return {"row": number // columns + 1, "col": number % columns + 1}


def single(x: str, y: str, *, height: int = 330) -> go.Figure:
    """A figure with one pair of axes."""
    return panels([""], x, y, height=height)


def logarithmic(figure: go.Figure) -> None:
    """Make all axes logarithmic, with ticks at 1, 2 and 5."""
    figure.update_xaxes(type="log", dtick="D2")
    figure.update_yaxes(type="log", dtick="D2")


def thinned(*arrays: ArrayLike) -> list[NDArray[np.float64]]:
    """Every n-th value of arrays of equal length, so that a line has at most `MOST_POINTS`."""
    values = [np.asarray(array, dtype=np.float64) for array in arrays]
    every = max(1, math.ceil(len(values[0]) / MOST_POINTS))
    return [value[::every] for value in values]


def line(x: ArrayLike, y: ArrayLike, name: str, tint: str, *, legend: bool = True, **style: Any) -> go.Scatter:
    """A line; ``style`` is that of plotly's lines (width, dash). ``name`` is plain text and groups the lines of a legend."""
    xs, ys = thinned(x, y)
    return go.Scatter(
        x=xs,
        y=ys,
        mode="lines",
        name=label(name),
        legendgroup=label(name),
        showlegend=legend,
        line={"color": tint, "width": 1.8, **style},
    )


def points(
    x: ArrayLike, y: ArrayLike, names: Sequence[str], name: str, tint: str, *, legend: bool = True, **more: Any
) -> go.Scatter:
    """Points with a name each, which is shown under the pointer; ``more`` goes to plotly's Scatter."""
    return go.Scatter(
        x=np.asarray(x),
        y=np.asarray(y),
        mode="markers",
        name=label(name),
        legendgroup=label(name),
        showlegend=legend,
        marker={"color": tint, "size": 8, "opacity": 0.85},
        text=[label(own) for own in names],
        hovertemplate="%{text}<br>%{x:.4g}, %{y:.4g}",
        **more,
    )


def diagonal(figure: go.Figure, low: float, high: float, **where: int) -> None:
    """The line of equal values in a parity plot."""
    figure.add_trace(
        go.Scatter(
            x=[low, high],
            y=[low, high],
            mode="lines",
            line={"color": GREY, "width": 1},
            showlegend=False,
            hoverinfo="skip",
        ),
        **where,
    )


def spread(values: Sequence[ArrayLike], *, log: bool = False) -> tuple[float, float]:
    """Range that holds all finite values (of a logarithmic axis: positive ones) with a margin; 0 to 1 where there are none."""
    known = np.concatenate([np.asarray(value, dtype=np.float64).ravel() for value in values])
    known = known[np.isfinite(known) & ((known > 0) | (not log))]
    if len(known) == 0:
        return (0.1, 1.0) if log else (0.0, 1.0)
    low, high = float(known.min()), float(known.max())
    if log:
        return low / 1.3, high * 1.3
    margin = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    return low - margin, high + margin
