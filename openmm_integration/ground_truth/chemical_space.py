"""Sampling of polymers: which constitutional units, in which order."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from cgplugin.errors import UserError
from cgplugin.systems.force_field import BeadSpringForceField

PolymerClass = Literal["I", "II"]
"""I: regular copolymer, four units repeated in the same order; II: random copolymer of four units."""

UNITS_DRAWN = 4


@dataclass(frozen=True)
class Sequence:
    """One polymer: indices into the force field's constitutional units, along the chain."""

    polymer_class: str
    units_drawn: tuple[int, ...]
    units: tuple[int, ...]


def sample_sequence(
    force_field: BeadSpringForceField, polymer_class: PolymerClass, n_units: int, seed: tuple[int, ...]
) -> Sequence:
    """Draw a polymer of a class.

    Four constitutional units are drawn with replacement; class I repeats them in the same order along the chain,
    class II draws every position among the four.

    Parameters
    ----------
    force_field : BeadSpringForceField
    polymer_class : str
        ``I`` or ``II``.
    n_units : int
        Length of the chain in constitutional units.
    seed : tuple of int
        Names the polymer; equal seeds give equal polymers.

    Raises
    ------
    UserError
        If the class is unknown, or the force field has no constitutional units.
    """
    if polymer_class not in get_args(PolymerClass):
        raise UserError(f"unknown polymer class {polymer_class!r}: expected one of {', '.join(get_args(PolymerClass))}")
    if not force_field.constitutional_units:
        raise UserError(f"{force_field.source}: has no constitutional_units to build polymers of")
    random = np.random.default_rng(np.random.SeedSequence(seed))
    drawn = random.integers(len(force_field.constitutional_units), size=UNITS_DRAWN)
    units = np.resize(drawn, n_units) if polymer_class == "I" else drawn[random.integers(UNITS_DRAWN, size=n_units)]
    return Sequence(polymer_class, tuple(drawn.tolist()), tuple(units.tolist()))
