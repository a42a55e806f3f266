"""What ``cgplugin generate`` is asked for: a YAML or JSON file, checked once at the door."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self, get_args

from cgplugin.errors import UserError

from .chemical_space import PolymerClass
from .spec_file import check_integer, check_name, check_time, is_integer, read_spec_file, spec_from_mapping


@dataclass(frozen=True, kw_only=True)
class MdSpec:
    """What the specs of all bead-spring systems have in common; times in ps (tau for reduced units).

    Attributes
    ----------
    force_field : str
        File, or name of a force field of the package.
    n_systems : int
    length : float
        Recorded time.
    recording_interval : float
    relaxation : float
        Time before the first frame.
    seed : int
    name : str
        Prefix of the systems' names.

    Raises
    ------
    UserError
        If an entry makes no sense; the message names it.
    """

    kind: ClassVar[str]
    """What the entry ``system`` of a file calls it."""

    force_field: str
    n_systems: int = 10
    length: float
    recording_interval: float
    relaxation: float
    seed: int = 0
    name: str = ""

    def __post_init__(self) -> None:
        check_integer("n_systems", self.n_systems, 1)
        check_integer("seed", self.seed, 0)
        check_time("length", self.length)
        check_time("recording_interval", self.recording_interval)
        check_time("relaxation", self.relaxation, zero=True)
        if not isinstance(self.force_field, str) or not self.force_field:
            raise UserError(f"force_field is {self.force_field!r}, expected a file or a name")
        check_name(self.name)

    @property
    def n_frames(self) -> int:
        """Recorded frames, the first after the relaxation."""
        return round(self.length / self.recording_interval) + 1

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a YAML or JSON file; a force field file in it is looked for beside it.

        Raises
        ------
        UserError
            If the file cannot be read, is of another kind of system, or has an entry that is unknown or makes no sense.
        """
        kind, content = read_spec_file(path)
        if kind != cls.kind:
            raise UserError(f"{path}: is a spec of {kind}, expected one of {cls.kind}")
        return spec_from_mapping(cls, content, Path(path))


@dataclass(frozen=True, kw_only=True)
class GenerateSpec(MdSpec):
    """Single polymers to generate; times in ps (tau for reduced units). See `MdSpec` for the other entries.

    Attributes
    ----------
    polymer_class : str
        ``I`` (regular copolymers) or ``II`` (random ones).
    n_units : int
        Constitutional units per chain.
    sequences : list of lists of int, optional
        Chains as indices of constitutional units, in place of sampling; ``n_systems`` then is their number.
    chains_per_context : int
        Chains that share an OpenMM Context. They are generated together, so that a system does not depend on which
        others are there already. Ten are nearly as fast as any number (``benchmarks/generate``).

    Raises
    ------
    UserError
        If an entry makes no sense; the message names it.
    """

    kind = "polymers"

    force_field: str = "polymer"
    polymer_class: str = "I"
    n_units: int = 40
    sequences: list[list[int]] | None = None
    length: float = 250.0
    recording_interval: float = 1.0
    relaxation: float = 1000.0
    chains_per_context: int = 10

    def __post_init__(self) -> None:
        if self.sequences is not None:
            _check_sequences(self.sequences)
            object.__setattr__(self, "n_systems", len(self.sequences))
        super().__post_init__()
        check_integer("n_units", self.n_units, 1)
        check_integer("chains_per_context", self.chains_per_context, 1)
        if self.polymer_class not in get_args(PolymerClass):
            raise UserError(
                f"unknown polymer class {self.polymer_class!r}: expected one of {', '.join(get_args(PolymerClass))}"
            )

    def groups(self) -> list[range]:
        """Indices of the systems that share a Context."""
        ends = range(self.chains_per_context, self.n_systems + self.chains_per_context, self.chains_per_context)
        return [range(end - self.chains_per_context, min(end, self.n_systems)) for end in ends]


def _check_sequences(sequences: Any) -> None:
    if not isinstance(sequences, list) or not sequences:
        raise UserError(f"sequences is {sequences!r}, expected a list of chains")
    for number, units in enumerate(sequences):
        if not isinstance(units, list) or not units or not all(is_integer(unit) for unit in units):
            raise UserError(
                f"chain {number} of sequences is {units!r}, expected a list of indices of constitutional units"
            )
