"""Command line: ``python -m lammps_reader FILE`` says what a file holds."""

import argparse
import sys
import warnings
from typing import Any

from .errors import LammpsFormatError
from .summary import summarise


def main(arguments: list[str] | None = None) -> int:
    """Describe files; return the exit status: 0, or 2 if a file cannot be read."""
    parser = argparse.ArgumentParser(
        prog="python -m lammps_reader",
        description="Say what a data file, a dump (text, DCD, XYZ) or a log of LAMMPS holds.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="plain or compressed (.gz, .bz2, .zst)")
    parser.add_argument("--atom-style", help="of a data file that does not say it, such as 'charge' or 'full'")
    options = parser.parse_args(arguments)
    status = 0
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = _show_warning
        for name in options.files:
            try:
                lines = summarise(name, atom_style=options.atom_style)
            except (LammpsFormatError, ImportError) as error:
                _say(str(error))
                status = 2
            except OSError as error:
                _say(f"{name}: {error.strerror or error}")
                status = 2
            else:
                sys.stdout.write("\n".join(lines) + "\n")
    return status


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    _say(f"warning: {message}")


def _say(message: str) -> None:
    sys.stdout.flush()
    sys.stderr.write(f"lammps_reader: {message}\n")


if __name__ == "__main__":
    sys.exit(main())
