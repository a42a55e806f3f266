"""What all baselines have in common: structures with the property to learn, and the question that they answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cgplugin.errors import UserError
from cgplugin.evaluation.reference_data import ReferenceSystem
from cgplugin.systems.molecular_system import MolecularSystem
from cgplugin.units import Units

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PropertyData:
    """Structures with mean and standard deviation of Rg^2 over their MD.

    Attributes
    ----------
    systems : tuple of MolecularSystem, length n
    values : array, shape (n, 2)
        Mean and standard deviation of Rg^2, nm^2. Of short MD they are noisy.
    """

    systems: tuple[MolecularSystem, ...] = field(repr=False)
    values: Array = field(repr=False)

    @classmethod
    def of(cls, references: Sequence[ReferenceSystem]) -> "PropertyData":
        """Take the property from recorded MD."""
        values = [[reference.rg2.mean(), reference.rg2.std(ddof=1)] for reference in references]
        return cls(tuple(reference.system for reference in references), np.array(values).reshape(-1, 2))

    def __len__(self) -> int:
        return len(self.systems)

    def check(self, minimum: int, what: str) -> None:
        """Raise a `UserError` where there are fewer systems than ``minimum``, or units differ."""
        if len(self) < minimum:
            raise UserError(f"{len(self)} systems are too few for {what}: it takes at least {minimum}")
        if len({system.units for system in self.systems}) > 1:
            raise UserError("the training systems are in different units")


class StructureBaseline(Protocol):
    """Predicts from structures alone."""

    @property
    def kind(self) -> str:
        """Name of the kind of baseline."""
        ...

    @property
    def units(self) -> Units:
        """Unit system of the training data."""
        ...

    def predict(self, systems: Sequence[MolecularSystem]) -> Array:
        """Mean and standard deviation of Rg^2, shape (n, 2), nm^2.

        Raises
        ------
        UserError
            If a system has a type or a constitutional unit that the training systems do not have.
        """
        ...

    def to_content(self) -> dict[str, Any]:
        """Tensors, numbers and text that say everything about the trained baseline."""
        ...


class HasUnits(Protocol):
    """A baseline of any property."""

    @property
    def units(self) -> Units:
        """Unit system of the training data."""
        ...


def check_units(baselines: Mapping[str, HasUnits], units: Units) -> None:
    """Raise a `UserError` that names the first baseline in other units than a model's."""
    for name, baseline in baselines.items():
        if baseline.units != units:
            raise UserError(f"the baseline {name} is in units {baseline.units!r}, the model in {units!r}")


def positive_deviations(values: Array) -> Array:
    """Predictions (n, 2) with a standard deviation that is not negative, however far a regression extrapolates."""
    return np.column_stack([values[:, 0], np.maximum(values[:, 1], 0.0)])
