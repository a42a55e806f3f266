"""What ``cgplugin generate`` is asked for: a YAML or JSON file, checked once at the door."""

import math
import os
import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args

import yaml

from cgplugin.errors import UserError, one_line

from .chemical_space import PolymerClass


@dataclass(frozen=True)
class GenerateSpec:
    """What to generate; times in ps (tau for reduced units).

    Attributes
    ----------
    force_field : str
        File, or name of a force field of the package.
    polymer_class : str
        ``I`` (regular copolymers) or ``II`` (random ones).
    n_systems : int
    n_units : int
        Constitutional units per chain.
    sequences : list of lists of int, optional
        Chains as indices of constitutional units, in place of sampling; ``n_systems`` then is their number.
    length : float
        Recorded time.
    recording_interval : float
    relaxation : float
        Time before the first frame.
    seed : int
    chains_per_context : int
        Chains that share an OpenMM Context. They are generated together, so that a system does not depend on which
        others are there already. Ten are nearly as fast as any number (``benchmarks/generate``).
    name : str
        Prefix of the systems' names.

    Raises
    ------
    UserError
        If an entry makes no sense; the message names it.
    """

    force_field: str = "polymer"
    polymer_class: str = "I"
    n_systems: int = 10
    n_units: int = 40
    sequences: list[list[int]] | None = None
    length: float = 250.0
    recording_interval: float = 1.0
    relaxation: float = 1000.0
    seed: int = 0
    chains_per_context: int = 10
    name: str = ""

    def __post_init__(self) -> None:
        if self.sequences is not None:
            _check_sequences(self.sequences)
            object.__setattr__(self, "n_systems", len(self.sequences))
        for name, least in (("n_systems", 1), ("n_units", 1), ("chains_per_context", 1), ("seed", 0)):
            value = getattr(self, name)
            if not _is_integer(value) or value < least:
                raise UserError(f"{name} is {value!r}, expected an integer of at least {least}")
        for name in ("length", "recording_interval"):
            if not _is_time(value := getattr(self, name)) or value == 0:
                raise UserError(f"{name} is {value!r}, expected a positive time")
        if not _is_time(self.relaxation):
            raise UserError(f"relaxation is {self.relaxation!r}, expected a time of at least 0")
        if self.polymer_class not in get_args(PolymerClass):
            raise UserError(
                f"unknown polymer class {self.polymer_class!r}: expected one of {', '.join(get_args(PolymerClass))}"
            )
        if not isinstance(self.force_field, str) or not self.force_field:
            raise UserError(f"force_field is {self.force_field!r}, expected a file or a name")
        if not isinstance(self.name, str) or not re.fullmatch(r"([A-Za-z0-9_][A-Za-z0-9_.-]*)?", self.name):
            raise UserError(f"name is {self.name!r}, expected letters, digits, '_', '-' and '.', no '-' or '.' first")

    @property
    def n_frames(self) -> int:
        """Recorded frames, the first after the relaxation."""
        return round(self.length / self.recording_interval) + 1

    def groups(self) -> list[range]:
        """Indices of the systems that share a Context."""
        ends = range(self.chains_per_context, self.n_systems + self.chains_per_context, self.chains_per_context)
        return [range(end - self.chains_per_context, min(end, self.n_systems)) for end in ends]

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "GenerateSpec":
        """Read a YAML or JSON file; a force field file in it is looked for beside it.

        Raises
        ------
        UserError
            If the file cannot be read, or has an entry that is unknown or makes no sense.
        """
        path = Path(path)
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{path}: no such file") from None
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise UserError(f"{path}: not a readable YAML file ({one_line(error)})") from error
        if not isinstance(content, dict):
            raise UserError(f"{path}: expected a mapping of entries to values")
        known = {item.name for item in fields(cls)}
        for key in content:
            if key not in known:
                raise UserError(f"{path}: unknown entry {key!r}, the entries are {', '.join(sorted(known))}")
        try:
            spec = cls(**content)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        if (beside := path.parent / spec.force_field).is_file():
            spec = replace(spec, force_field=str(beside))
        return spec


def _is_integer(value: Any) -> bool:
    # YAML's true is a Python int, too
    return isinstance(value, int) and not isinstance(value, bool)


def _is_time(value: Any) -> bool:
    return (_is_integer(value) or isinstance(value, float)) and math.isfinite(value) and value >= 0


def _check_sequences(sequences: Any) -> None:
    if not isinstance(sequences, list) or not sequences:
        raise UserError(f"sequences is {sequences!r}, expected a list of chains")
    for number, units in enumerate(sequences):
        if not isinstance(units, list) or not units or not all(_is_integer(unit) for unit in units):
            raise UserError(
                f"chain {number} of sequences is {units!r}, expected a list of indices of constitutional units"
            )
