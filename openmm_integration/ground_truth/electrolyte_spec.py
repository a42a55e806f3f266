"""Electrolytes that ``cgplugin generate`` is asked for."""

from dataclasses import dataclass, field
from typing import Any

from cgplugin.errors import UserError

from .spec import MdSpec
from .spec_file import check_integer, is_integer, is_number


@dataclass(frozen=True, kw_only=True)
class ElectrolyteSpec(MdSpec):
    """Polymer electrolytes to generate; times in ps (tau for reduced units). See `MdSpec` for the other entries.

    Attributes
    ----------
    n_chains : int
    n_repeats : int
        Of the pattern along every chain.
    n_salt : int or list of int
        Ion pairs of a system; of a list, one is drawn for each system.
    compositions : list of dict, optional
        Systems as ``{pattern: [P, A, E, E], n_salt: 8}``, in place of sampling; ``n_systems`` then is their number. Without an
        ``n_salt`` of its own, a system's is drawn.
    density : float
        Atoms per nm^3 in the cubic box.

    Raises
    ------
    UserError
        If an entry makes no sense; the message names it.
    """

    kind = "electrolytes"

    force_field: str = "electrolyte"
    n_chains: int = 8
    n_repeats: int = 8
    n_salt: int | list[int] = field(default_factory=lambda: [8, 12, 16, 20, 24])
    compositions: list[dict[str, Any]] | None = None
    density: float = 0.80
    length: float = 500.0
    recording_interval: float = 2.0
    relaxation: float = 200.0

    def __post_init__(self) -> None:
        if self.compositions is not None:
            _check_compositions(self.compositions)
            object.__setattr__(self, "n_systems", len(self.compositions))
        super().__post_init__()
        check_integer("n_chains", self.n_chains, 0)
        check_integer("n_repeats", self.n_repeats, 1)
        if not self.salt_contents or not all(is_integer(n) and n >= 0 for n in self.salt_contents):
            raise UserError(f"n_salt is {self.n_salt!r}, expected a number of ion pairs, or a list to draw from")
        if not is_number(self.density) or self.density <= 0:
            raise UserError(f"density is {self.density!r}, expected a positive number of atoms per nm^3")
        if not self.n_chains and 0 in self.salt_contents:
            raise UserError("n_chains and n_salt are both 0: there are no atoms")

    @property
    def salt_contents(self) -> list[int]:
        """Numbers of ion pairs that are drawn from."""
        return self.n_salt if isinstance(self.n_salt, list) else [self.n_salt]


def _check_compositions(compositions: Any) -> None:
    if not isinstance(compositions, list) or not compositions:
        raise UserError(f"compositions is {compositions!r}, expected a list of systems")
    for number, entry in enumerate(compositions):
        if not isinstance(entry, dict) or "pattern" not in entry or not set(entry) <= {"pattern", "n_salt"}:
            raise UserError(f"system {number} of compositions is {entry!r}, expected 'pattern' and perhaps 'n_salt'")
        pattern = entry["pattern"]
        if not isinstance(pattern, list) or not pattern or not all(isinstance(unit, str) for unit in pattern):
            raise UserError(f"the pattern of system {number} is {pattern!r}, expected a list of backbone units")
        if "n_salt" in entry:
            check_integer(f"n_salt of system {number}", entry["n_salt"], 0)
