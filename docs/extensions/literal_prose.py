"""Docstrings and ``--help`` texts are prose first: a ``*`` or ``|`` in them is that character, not markup.

``*.data`` is a file name and ``|x|`` an absolute value; reStructuredText would look for emphasis and a substitution.
"""

import re
from collections.abc import Callable

import click
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

_LITERAL = re.compile(r"(``.*?``)")
_BAR_BEFORE_WORD = re.compile(r"(?<!\\)\|(?=\S)")
_MARKUP = re.compile(r"[*|]")
_DIRECTIVE = re.compile(r"\s*(\.\. |:\w+: |\*\*Required\*\*)")


def _outside_literals(line: str, change: Callable[[str], str]) -> str:
    """Change what of a line does not stand between double backticks."""
    return "".join(part if part.startswith("``") else change(part) for part in _LITERAL.split(line))


def escape_bars(lines: list[str]) -> None:
    """Escape absolute values in a docstring, in place."""
    lines[:] = [_outside_literals(line, lambda text: _BAR_BEFORE_WORD.sub(r"\\|", text)) for line in lines]


def escape_help(lines: list[str]) -> None:
    """Escape stars and bars in a help text, in place, but for what sphinx-click wrote around it."""
    lines[:] = [
        line if _DIRECTIVE.match(line) else _outside_literals(line, lambda text: _MARKUP.sub(r"\\\g<0>", text))
        for line in lines
    ]


def _docstring(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:  # noqa: ARG001
    escape_bars(lines)


def _help(app: Sphinx, context: click.Context, lines: list[str]) -> None:  # noqa: ARG001
    escape_help(lines)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Connect to autodoc and sphinx-click, which must be loaded before."""
    app.connect("autodoc-process-docstring", _docstring)
    for part in ("description", "options"):
        app.connect(f"sphinx-click-process-{part}", _help)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
