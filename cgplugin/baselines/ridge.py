"""Ridge regression on the composition: fractions of the constitutional units."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cgplugin.errors import UserError
from cgplugin.systems.molecular_system import MolecularSystem
from cgplugin.units import Units

from .backbone import constitutional_units, unit_fractions
from .structure_property import PropertyData, positive_deviations

Array = NDArray[np.float64]

PENALTIES = np.logspace(-4, 2, 25)
"""Candidates for the penalty."""

MINIMUM_SYSTEMS = 5


@dataclass(frozen=True)
class RidgeBaseline:
    """Linear in the composition, with a penalty on the squared coefficients: |y - y0 - (X - <X>) w|^2 + penalty |w|^2.

    Attributes
    ----------
    units : str
    vocabulary : tuple of str
        Constitutional units, as `cgplugin.baselines.backbone` writes them; their fractions are the features.
    centre : array, shape (n_features,)
        <X>
    intercept : array, shape (2,)
        y0, for mean and standard deviation of Rg^2.
    coefficients : array, shape (n_features, 2)
    penalties : array, shape (2,)
    """

    units: Units
    vocabulary: tuple[str, ...]
    centre: Array = field(repr=False)
    intercept: Array = field(repr=False)
    coefficients: Array = field(repr=False)
    penalties: Array

    kind = "ridge"

    @classmethod
    def fit(cls, data: PropertyData) -> "RidgeBaseline":
        """Fit to all systems; the penalty is the one with the least error in leaving out one system at a time.

        Raises
        ------
        UserError
            If there are fewer than `MINIMUM_SYSTEMS` systems, or one is no chain.
        """
        data.check(MINIMUM_SYSTEMS, "a ridge regression")
        fractions = [unit_fractions(constitutional_units(system)) for system in data.systems]
        vocabulary = tuple(sorted({unit for own in fractions for unit in own}))
        features = np.array([[own.get(unit, 0.0) for unit in vocabulary] for own in fractions])
        centre, intercept = features.mean(axis=0), data.values.mean(axis=0)
        left, singular, right = np.linalg.svd(features - centre, full_matrices=False)
        coefficients, penalties = [], []
        for target in (data.values - intercept).T:
            errors = [leave_one_out_error(left, singular, target, penalty) for penalty in PENALTIES]
            penalty = float(PENALTIES[int(np.argmin(errors))])
            shrunk = singular / (singular**2 + penalty)
            coefficients.append(right.T @ (shrunk * (left.T @ target)))
            penalties.append(penalty)
        return cls(
            data.systems[0].units,
            vocabulary,
            centre,
            intercept,
            np.column_stack(coefficients),
            np.array(penalties),
        )

    def predict(self, systems: Sequence[MolecularSystem]) -> Array:
        """Mean and standard deviation of Rg^2, shape (n, 2), nm^2; see `StructureBaseline.predict`."""
        features = np.array([self._features(system) for system in systems])
        return positive_deviations(self.intercept + (features - self.centre) @ self.coefficients)

    def _features(self, system: MolecularSystem) -> list[float]:
        fractions = unit_fractions(constitutional_units(system))
        for unit in fractions:
            if unit not in self.vocabulary:
                raise UserError(
                    f"{system.name}: has the constitutional unit {unit}, which the baseline never saw; it knows "
                    f"{', '.join(self.vocabulary)}"
                )
        return [fractions.get(unit, 0.0) for unit in self.vocabulary]

    def to_content(self) -> dict[str, Any]:
        """Content of the file."""
        return {
            "units": self.units,
            "vocabulary": list(self.vocabulary),
            **{
                name: torch.from_numpy(getattr(self, name).copy())
                for name in ("centre", "intercept", "coefficients", "penalties")
            },
        }

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> "RidgeBaseline":
        """Inverse of `to_content`."""
        arrays = {
            name: content[name].numpy().astype(np.float64)
            for name in ("centre", "intercept", "coefficients", "penalties")
        }
        return cls(content["units"], tuple(content["vocabulary"]), **arrays)


def leave_one_out_error(left: Array, singular: Array, target: Array, penalty: float) -> float:
    """Mean squared error of a ridge regression for systems that were left out of its fit, one at a time.

    In closed form: the residual of system i over 1 - h_i, with h the diagonal of the hat matrix (the intercept's 1/n
    included).

    Parameters
    ----------
    left : array, shape (n, k)
        Left singular vectors of the centred features.
    singular : array, shape (k,)
    target : array, shape (n,)
        Centred.
    penalty : float
    """
    share = singular**2 / (singular**2 + penalty)
    residual = target - left @ (share * (left.T @ target))
    leverage = (left**2) @ share + 1 / len(target)
    return float(((residual / (1 - leverage)) ** 2).mean())
