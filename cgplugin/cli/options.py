"""Options that commands share, and options made from a dataclass, so that they are listed in one place only."""

import dataclasses
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import yaml

from cgplugin.errors import UserError, one_line

if TYPE_CHECKING:
    from cgplugin.learned.refinement import Refinement

Command = TypeVar("Command", bound=Callable[..., Any])


def config_option(function: Command) -> Command:
    """Add ``--config FILE``: a YAML mapping of option names to values; what is typed on the command line wins."""

    def load(ctx: click.Context, _parameter: click.Parameter, value: str | None) -> None:
        if value is not None:
            ctx.default_map = {**(ctx.default_map or {}), **_read_config(ctx, value)}

    return click.option(
        "--config",
        type=click.Path(),
        callback=load,
        is_eager=True,
        expose_value=False,
        help="YAML file with values for these options.",
    )(function)


def _read_config(ctx: click.Context, path: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: not a readable YAML file ({one_line(error)})") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a mapping of option names to values")
    options = [p for p in ctx.command.params if isinstance(p, click.Option)]
    # as they are typed: the name of the command's parameter may be another one
    known = {flag.lstrip("-").replace("-", "_"): p.name for p in options for flag in p.opts if flag.startswith("--")}
    values = {}
    for key, value in content.items():
        name = str(key).replace("-", "_")
        if name not in known:
            raise UserError(f"{path}: unknown option {key!r}, the options are {', '.join(sorted(known))}")
        values[str(known[name])] = value
    return values


def dataclass_options(cls: type) -> Callable[[Command], Command]:
    """Add an option for every field of a dataclass; ``metadata={"help": ...}`` is its help text.

    The command gets the values as keyword arguments of the fields' names; see `from_options`. An option that was not
    given has the value None, so that presets can tell it from one that was.
    """
    hints = typing.get_type_hints(cls)

    def decorate(function: Command) -> Command:
        for item in reversed(dataclasses.fields(cls)):
            flag = "--" + item.name.replace("_", "-")
            kind: Any = hints[item.name]
            arguments = [a for a in typing.get_args(kind) if a is not type(None)]
            if typing.get_origin(kind) is typing.Literal:
                kind = click.Choice([str(a) for a in typing.get_args(kind)])
            elif arguments:
                kind = arguments[0]
            shown = "" if item.default is dataclasses.MISSING or item.default is None else f"  [{item.default}]"
            if kind is bool:
                flag = f"{flag}/--no-{item.name.replace('_', '-')}"
            function = click.option(flag, item.name, type=kind, default=None, help=item.metadata["help"] + shown)(
                function
            )
        return function

    return decorate


def from_options(cls: type[Any], values: dict[str, Any], **presets: Any) -> Any:
    """Build the dataclass from the options that were given, the presets and its own defaults, in this order.

    Raises
    ------
    UserError
        Where the dataclass refuses a value.
    """
    given = {item.name: values[item.name] for item in dataclasses.fields(cls) if values.get(item.name) is not None}
    return cls(**{**presets, **given})


def device_option(function: Command) -> Command:
    """Add ``--device``; see `cgplugin.learned.devices.choose_device`."""
    option = click.option(
        "--device", default="cpu", show_default=True, help="Where the networks run: cpu, cuda, cuda:1, ... or auto."
    )
    return option(function)


def compile_option(function: Command) -> Command:
    """Add ``--compile``; see `cgplugin.learned.learned_model.LearnedModel.load`."""
    option = click.option(
        "--compile",
        "compiled",
        is_flag=True,
        help="Compile the networks for this machine: up to twice as fast; needs a C++ compiler, and a minute the first time.",
    )
    return option(function)


def notice(line: str) -> None:
    """Print a line that is not part of the results."""
    click.echo(line, err=True)


def refinement_options(function: Command) -> Command:
    """Add ``--refinement-levels``, ``-steps`` and ``-sampler``; see `refinement_from`."""
    options = (
        click.option(
            "--refinement-levels",
            type=int,
            help="Noise levels of the score-based refinement, 0 for none. [as the model says]",
        ),
        click.option("--refinement-steps", type=int, help="Langevin steps at each of them. [as the model says]"),
        click.option(
            "--refinement-sampler",
            type=click.Choice(["flow", "langevin"]),
            help="flow: few evaluations; langevin: as in the paper. [as the model says]",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def refinement_from(default: "Refinement", levels: int | None, steps: int | None, sampler: str | None) -> "Refinement":
    """Refinement of a model with what was given on the command line in its place.

    Raises
    ------
    UserError
        If a value makes no sense.
    """
    given: dict[str, Any] = {"levels": levels, "steps": steps, "sampler": sampler}
    return dataclasses.replace(default, **{name: value for name, value in given.items() if value is not None})


def show_progress() -> bool:
    """Whether progress bars are of use: only on a terminal."""
    return sys.stderr.isatty()
