"""The report on a folder: what the commands wrote there, on one page."""

import os
from collections.abc import Sequence
from pathlib import Path

from cgplugin.errors import UserError
from cgplugin.files import read_json, write_text

from .content import Section
from .page import render
from .provenance import provenance_section
from .screening import ranked_names, screening_sections
from .trajectory_view import MOST_POSITIONS, TrajectoryView, trajectory_paths, view_trajectory

FILE = "report.html"

MOST_TRAJECTORIES = 4
"""Trajectories in the viewer by default."""


def write_report(
    directory: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    trajectories: str | os.PathLike[str] | None = None,
    n_trajectories: int = MOST_TRAJECTORIES,
    interval: float | None = None,
) -> Path:
    """Write the report on what ``cgplugin evaluate``, ``screen``, ``analyze`` or ``simulate`` wrote, and give its file.

    Parameters
    ----------
    directory : path
    out : path, optional
        The HTML file; by default ``report.html`` in the directory.
    trajectories : path, optional
        Where the trajectories are, if not below the directory.
    n_trajectories : int
        How many of them can be looked at.
    interval : float, optional
        Time between their frames in ps, where nothing beside them says it.

    Raises
    ------
    UserError
        If there is nothing to report, or a file is damaged.
    """
    folder = Path(directory)
    if not folder.is_dir():
        raise UserError(f"{directory}: no such folder")
    if n_trajectories < 0:
        raise UserError(f"{n_trajectories} trajectories: expected a number that is not negative")
    base = folder if trajectories is None else Path(trajectories)
    sections = _sections(folder)
    views, n_found = _views(base, n_trajectories, ranked_names(folder), interval)
    if not sections and not views:
        raise UserError(
            f"{directory}: nothing to report: expected what 'cgplugin evaluate', 'screen', 'analyze' or 'simulate' wrote"
        )
    note = f"{len(views)} of {n_found} trajectories can be chosen." if len(views) < n_found else ""
    path = folder / FILE if out is None else Path(out)
    sections = [*(sections or [Section("Trajectories")]), provenance_section(folder)]
    write_text(path, render(folder.resolve().name, sections, views, note))
    return path


def _sections(folder: Path) -> list[Section]:
    sections: list[Section] = []
    if (folder / "evaluation.json").is_file():
        content = read_json(folder / "evaluation.json")
        # each takes a second to import, for what the other does not need
        if (folder / "comparisons.csv").is_file():
            from .electrolytes import electrolyte_sections

            sections += electrolyte_sections(folder, content)
        else:
            from .chains import chain_sections

            sections += chain_sections(folder, content)
    if (folder / "ranking.json").is_file():
        sections += screening_sections(folder)
    if (folder / "analysis.csv").is_file():
        from .analysis import analysis_sections

        sections += analysis_sections(folder)
    runs = {
        str(path.parent.relative_to(folder)) if path.parent != folder else folder.resolve().name: path.parent
        for path in sorted(folder.rglob("summary.json"))
        if (path.parent / "mapping.json").is_file()
    }
    if runs:
        from .runs import run_sections

        sections += run_sections(runs)
    return sections


def _views(base: Path, most: int, first: Sequence[str], interval: float | None) -> tuple[list[TrajectoryView], int]:
    paths, n_found = trajectory_paths(base, most, list(first))
    names = [str(path.relative_to(base)) if path != base else base.resolve().name for path in paths]
    each = MOST_POSITIONS // max(len(paths), 1)
    return [view_trajectory(path, name, each, interval) for path, name in zip(paths, names, strict=True)], n_found
