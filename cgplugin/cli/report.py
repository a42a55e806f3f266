"""``cgplugin report``: results as one HTML file; and how the other commands write it at their end."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from .options import config_option

if TYPE_CHECKING:
    from cgplugin.learned.learned_model import LearnedModel


@click.command("report")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="The HTML file. [report.html in DIRECTORY]")
@click.option("--trajectories", "n_trajectories", type=int, default=4, show_default=True, help="How many to embed.")
@click.option(
    "--interval", type=float, help="Time between frames, ps or tau, where nothing beside the trajectory says it."
)
@config_option
def command(directory: Path, out: Path | None, n_trajectories: int, interval: float | None) -> None:
    """Write a report on DIRECTORY, where "cgplugin evaluate", "screen", "analyze" or "simulate" wrote.

    One HTML file that needs no network: tables, interactive plots, where the numbers come from, and a view of the
    trajectories with a slider. Of long trajectories and large systems a part is embedded; the page says which.
    """
    from cgplugin.errors import UserError
    from cgplugin.report.report import write_report

    if interval is not None and not interval > 0:
        raise UserError(f"--interval {interval:g}: expected a positive time")
    click.echo(f"written: {write_report(directory, out, n_trajectories=n_trajectories, interval=interval)}")


def finish_with_report(
    out: Path,
    model: "LearnedModel | None" = None,
    trajectories: Path | None = None,
    interval: float | None = None,
) -> None:
    """Record the running command in the folder that it wrote to, and write the report there.

    Parameters
    ----------
    out : Path
    model : LearnedModel, optional
        The model that it used.
    trajectories : Path, optional
        Where the trajectories are, if not below ``out``.
    interval : float, optional
        Time between their frames in ps, where nothing beside them says it.
    """
    from cgplugin.report.report import write_report

    record_running_command(out, model)
    click.echo(f"report: {write_report(out, trajectories=trajectories, interval=interval)}")


def record_running_command(out: Path, model: "LearnedModel | None" = None) -> None:
    """Record the running command, and the model that it used, in the ``provenance.json`` of the folder that it wrote to."""
    from cgplugin.report.provenance import ModelRecord, record_command

    context = click.get_current_context()
    used = None if model is None else ModelRecord.of(Path(model.source), model.description)
    record_command(out, context.info_name or "", command_line(context), context.params.get("seed"), used)


def command_line(context: click.Context) -> str:
    """The command with what was given to it, on the command line or in a file of options."""
    words = [context.command_path]
    for parameter in context.command.params:
        name = parameter.name or ""
        given = context.get_parameter_source(name) in (ParameterSource.COMMANDLINE, ParameterSource.DEFAULT_MAP)
        value = context.params.get(name)
        if not given or value is None:
            continue
        values = value if isinstance(value, tuple | list) else (value,)
        if isinstance(parameter, click.Argument):
            words += [str(item) for item in values]
        elif isinstance(value, bool):
            words.append((parameter.opts if value else parameter.secondary_opts or parameter.opts)[0])
        else:
            words += [word for item in values for word in (parameter.opts[0], str(item))]
    return shlex.join(words)
