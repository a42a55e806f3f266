"""Entry point: finds the command, turns exceptions into one line and an exit status."""

import importlib
import os
import sys
import traceback
import warnings
from typing import Any

import click

from cgplugin.errors import UserError, one_line

COMMANDS = {
    "generate": "Short MD with OpenMM, a folder per system.",
    "coarsen": "Partition molecules into beads (METIS).",
    "train": "Train a learned simulator on short MD.",
    "simulate": "Run a trained model, as an OpenMM simulation.",
    "analyze": "Properties of trajectories: numbers and plots.",
    "evaluate": "Measure a model against reference MD.",
    "baseline": "Regress a property from structures, for comparison.",
    "export": "Write a learned simulation as stock OpenMM files.",
    "screen": "Rank candidates by a property, from structure alone.",
    "report": "Results as one HTML file: tables, plots, a 3-D view.",
    "doctor": "What is installed here, what works, what is missing.",
}
"""Name of each command and its one line in ``cgplugin --help``; the module of that name has the rest."""


class _Program(click.Group):
    """Group whose commands are imported when they are called, so that ``--help`` needs neither torch nor openmm."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        return importlib.import_module(f"cgplugin.cli.{cmd_name}").command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="cgplugin")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def program(debug: bool) -> None:
    """Turn short molecular dynamics into long, learned, coarse-grained simulation.

    The usual order: generate (or bring your own trajectories), train, simulate, analyze.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the program and exit: status 0, 2 for the user's mistake, 1 for ours; errors are one line on stderr."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    # accepted after the command as well, where it is easily typed
    arguments = [*(["--debug"] if debug else []), *(word for word in arguments if word != "--debug")]
    warnings.showwarning = _show_warning
    try:
        status = program.main(arguments, prog_name="cgplugin", standalone_mode=False)
    except click.exceptions.Abort:
        _fail("interrupted", 130, debug)
    except KeyboardInterrupt:
        _fail("interrupted", 130, debug)
    except click.ClickException as error:
        command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "cgplugin"
        _fail(f"{' '.join(error.format_message().split())} (see {command} --help)", 2, debug)
    except BrokenPipeError:
        # the reader of our output went away: nothing to report, and nowhere to report it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - the last resort, so that no traceback reaches the user
        if is_users_mistake(error):
            _fail(one_line(error), 2, debug)
        _fail(
            f"internal error: {type(error).__name__}: {one_line(error)} (--debug shows the traceback)",
            1,
            debug,
        )
    sys.exit(status if isinstance(status, int) else 0)


def is_users_mistake(error: BaseException) -> bool:
    """Whether the message of an exception is meant for the user: a `UserError`, or a format error of the reader."""
    from lammps_reader import LammpsFormatError

    return isinstance(error, (UserError, LammpsFormatError))


_show_other_warning = warnings.showwarning


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    """Show what the reader has to say about a file as one line; anything else as Python does."""
    from lammps_reader import LammpsFormatWarning

    if issubclass(category, LammpsFormatWarning):
        click.echo(f"cgplugin: warning: {message}", err=True)
    else:
        _show_other_warning(message, category, filename, lineno, file, line)


def _fail(message: str, status: int, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    click.echo(f"cgplugin: {message}", err=True)
    sys.exit(status)
