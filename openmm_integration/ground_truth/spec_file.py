"""Spec files as dataclasses, and checks of their entries."""

import math
import os
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

import yaml

from cgplugin.errors import UserError, one_line

KIND_ENTRY, DEFAULT_KIND = "system", "polymers"

Spec = TypeVar("Spec")


def read_spec_file(path: str | os.PathLike[str]) -> tuple[str, dict[str, Any]]:
    """Kind of system and the other entries of a YAML or JSON file.

    Raises
    ------
    UserError
        If the file cannot be read, or is no mapping.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: not a readable YAML file ({one_line(error)})") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a mapping of entries to values")
    kind = content.pop(KIND_ENTRY, DEFAULT_KIND)
    return str(kind), content


def spec_from_mapping(spec_class: type[Spec], content: dict[str, Any], path: Path) -> Spec:
    """Spec from the entries of a file; a force field file that it names is looked for beside the file.

    Parameters
    ----------
    spec_class : type
        A frozen dataclass that checks its entries.
    content : dict
    path : Path
        For messages, and for what is beside it.

    Raises
    ------
    UserError
        If an entry is unknown or makes no sense.
    """
    known = {item.name for item in fields(spec_class)}  # type: ignore[arg-type]
    for key in content:
        if key not in known:
            entries = ", ".join(sorted({KIND_ENTRY, *known}))
            raise UserError(f"{path}: unknown entry {key!r}, the entries are {entries}")
    try:
        spec = spec_class(**content)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    named = getattr(spec, "force_field", None)
    if isinstance(named, str) and (beside := path.parent / named).is_file():
        spec = replace(spec, force_field=str(beside))  # type: ignore[type-var]
    return spec


def is_integer(value: Any) -> bool:
    """Whether a value of a YAML file is an integer."""
    # YAML's true is a Python int, too
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether a value of a YAML file is a finite number."""
    return (is_integer(value) or isinstance(value, float)) and math.isfinite(value)


def check_integer(name: str, value: Any, least: int) -> None:
    """Raise a `UserError` that names the entry, unless it is an integer of at least ``least``."""
    if not is_integer(value) or value < least:
        raise UserError(f"{name} is {value!r}, expected an integer of at least {least}")


def check_time(name: str, value: Any, *, zero: bool = False) -> None:
    """Raise a `UserError` that names the entry, unless it is a positive time, or, where allowed, zero."""
    if not is_number(value) or value < 0 or (value == 0 and not zero):
        raise UserError(f"{name} is {value!r}, expected a {'time of at least 0' if zero else 'positive time'}")


def check_name(value: Any) -> None:
    """Raise a `UserError` unless ``name`` can begin the name of a folder."""
    if not isinstance(value, str) or not re.fullmatch(r"([A-Za-z0-9_][A-Za-z0-9_.-]*)?", value):
        raise UserError(f"name is {value!r}, expected letters, digits, '_', '-' and '.', no '-' or '.' first")
