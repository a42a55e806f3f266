"""What a report consists of: sections of tables and plots."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import plotly.graph_objects as go


@dataclass(frozen=True)
class Table:
    """A table; its cells are plain text, which the page escapes.

    Attributes
    ----------
    header : sequence of str
    rows : sequence of sequences of str
    title : str
    note : str
        Below the table: what the columns mean, or what was left out.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]] = field(repr=False)
    title: str = ""
    note: str = ""


@dataclass(frozen=True)
class Plot:
    """An interactive plot.

    Attributes
    ----------
    title : str
        Plain text.
    figure : plotly.graph_objects.Figure
        Its texts are plotly's own kind of HTML: names that come from files go through `cgplugin.report.figures.label`.
    caption : str
        Plain text.
    wide : bool
        Over the whole width of the page, as figures of several panels are.
    """

    title: str
    figure: go.Figure = field(repr=False)
    caption: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Section:
    """A part of the report under a heading.

    Attributes
    ----------
    title : str
    remarks : sequence of str
        Lines above the tables.
    tables : sequence of Table
    plots : sequence of Plot
    """

    title: str
    remarks: Sequence[str] = ()
    tables: Sequence[Table] = ()
    plots: Sequence[Plot] = ()
