"""Supervised networks: from a structure to the mean and standard deviation of Rg^2, trained by Lightning."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Generic, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cgplugin.systems.molecular_system import MolecularSystem
from cgplugin.units import Units

from .network_training import SupervisedTraining
from .options import BaselineOptions
from .structure_property import PropertyData, positive_deviations

Array = NDArray[np.float64]
Encoded = TypeVar("Encoded")

MINIMUM_SYSTEMS = 2


class SupervisedNetwork(nn.Module, ABC, Generic[Encoded]):
    """A network that reads structures; the two concrete ones differ in what they read."""

    kind: str

    @classmethod
    @abstractmethod
    def for_systems(cls, systems: Sequence[MolecularSystem], options: BaselineOptions) -> Self:
        """Untrained network that knows the types of the training systems."""

    @classmethod
    @abstractmethod
    def from_words(cls, words: dict[str, list[str]], options: BaselineOptions) -> Self:
        """Network of a file, before its weights are loaded."""

    @abstractmethod
    def words(self) -> dict[str, list[str]]:
        """Vocabulary, for the file."""

    @abstractmethod
    def encode(self, system: MolecularSystem) -> Encoded:
        """Input of the network; a `UserError` where the system has a type that is not known."""

    @abstractmethod
    def forward(self, encoded: Sequence[Encoded]) -> Tensor:
        """Normalised mean and standard deviation of Rg^2, shape (n_systems, 2)."""


def property_head(n_in: int, options: BaselineOptions) -> nn.Sequential:
    """MLP with two hidden layers that gives mean and standard deviation."""
    width = options.head_hidden
    return nn.Sequential(
        nn.Dropout(options.dropout),
        nn.Linear(n_in, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, 2),
    )


class SupervisedBaseline:
    """A trained network with the scales of the property.

    Parameters
    ----------
    network : SupervisedNetwork
    options : BaselineOptions
    units : str
    centre, scale : array, shape (2,)
        Mean and standard deviation over the training systems of mean and standard deviation of Rg^2, nm^2.
    """

    def __init__(
        self, network: SupervisedNetwork[Any], options: BaselineOptions, units: Units, centre: Array, scale: Array
    ) -> None:
        self.network, self.options, self.units, self.centre, self.scale = network, options, units, centre, scale
        self.kind = network.kind

    @classmethod
    def fit(
        cls,
        network_class: type[SupervisedNetwork[Any]],
        data: PropertyData,
        validation: PropertyData,
        options: BaselineOptions,
        progress: bool = False,
    ) -> "SupervisedBaseline":
        """Train; the weights are those of the epoch with the least validation loss.

        Raises
        ------
        UserError
            If there are too few systems, or one has a type that the training systems lack.
        """
        data.check(MINIMUM_SYSTEMS, "training a network")
        validation.check(1, "validation")
        # leaves the caller's random numbers alone
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            network = network_class.for_systems(data.systems, options)
            centre, scale = data.values.mean(axis=0), np.maximum(data.values.std(axis=0), 1e-6)
            module = _Regression(network, options, centre, scale)
            module.fit_network(module.examples(data), module.examples(validation), progress)
        return cls(network, options, data.systems[0].units, centre, scale)

    def predict(self, systems: Sequence[MolecularSystem]) -> Array:
        """Mean and standard deviation of Rg^2, shape (n, 2), nm^2; see `StructureBaseline.predict`."""
        with torch.inference_mode():
            raw = self.network([self.network.encode(system) for system in systems])
        return positive_deviations(self.centre + self.scale * raw.numpy().astype(np.float64))

    def to_content(self) -> dict[str, Any]:
        """Content of the file."""
        return {
            "units": self.units,
            "words": self.network.words(),
            "options": asdict(self.options),
            "centre": self.centre.tolist(),
            "scale": self.scale.tolist(),
            "weights": self.network.state_dict(),
        }

    @classmethod
    def from_content(cls, network_class: type[SupervisedNetwork[Any]], content: dict[str, Any]) -> "SupervisedBaseline":
        """Inverse of `to_content`."""
        options = BaselineOptions(**content["options"])
        network = network_class.from_words(content["words"], options)
        network.load_state_dict(content["weights"])
        return cls(network.eval(), options, content["units"], np.array(content["centre"]), np.array(content["scale"]))


class _Regression(SupervisedTraining):
    """Least squares of the normalised mean and standard deviation."""

    network: SupervisedNetwork[Any]

    def __init__(self, network: SupervisedNetwork[Any], options: BaselineOptions, centre: Array, scale: Array) -> None:
        super().__init__(network, options)
        self.centre, self.scale = centre, scale

    def examples(self, data: PropertyData) -> list[tuple[Any, Tensor]]:
        """Encoded systems with their targets."""
        targets = torch.tensor((data.values - self.centre) / self.scale, dtype=torch.float32)
        return [(self.network.encode(system), target) for system, target in zip(data.systems, targets, strict=True)]

    def loss(self, batch: list[Any]) -> Tensor:
        """Mean squared error."""
        encoded, targets = zip(*batch, strict=True)
        return nn.functional.mse_loss(self.network(encoded), torch.stack(targets))
