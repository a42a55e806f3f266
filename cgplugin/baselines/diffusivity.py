"""Supervised GNN for diffusivities: from a structure to the curve of every species' apparent diffusivity (paper, Methods)."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cgplugin.coarse_graining.coarsening import CoarseGraining
from cgplugin.coarse_graining.vocabulary import FineGraph, Vocabulary, fine_graph, join_fine_graphs
from cgplugin.errors import UserError
from cgplugin.networks.embedding import EmbeddingGNN
from cgplugin.networks.options import NetworkOptions
from cgplugin.systems.molecular_system import MolecularSystem
from cgplugin.units import Units

from .apparent_diffusivity import DiffusivityCurves, decay, fit_decay, species_of_atoms
from .network_training import SupervisedTraining
from .options import BaselineOptions
from .supervised import property_head
from .supervised_gnn import HIDDEN, LAYERS

Array = NDArray[np.float64]

MINIMUM_SYSTEMS = 2


class DiffusivityGNN(nn.Module):
    """Message passing on atoms and bonds, means over the atoms of every species and of the system, and an MLP on both.

    The message passing is that of the `EmbeddingGNN` with all atoms of a species in one group. The mean over the system says
    what surrounds the species: how much salt there is, and which chains.

    Parameters
    ----------
    vocabulary : Vocabulary
    options : BaselineOptions
    mean_mass : float
        Of the training systems' atoms, g/mol.
    """

    def __init__(self, vocabulary: Vocabulary, options: BaselineOptions, mean_mass: float = 1.0) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        hidden = options.hidden or HIDDEN
        sizes = NetworkOptions(
            embedding_hidden=hidden,
            embedding_layers=options.layers or LAYERS,
            mlp_layers=options.mlp_layers,
            activation="relu",
        )
        self.encoder = EmbeddingGNN(len(vocabulary.atom_types), len(vocabulary.bond_types), sizes, mean_mass)
        self.head = property_head(2 * hidden, options)

    def encode(self, system: MolecularSystem) -> FineGraph:
        """Graph of a system with the atoms of a species as one group; a `UserError` where it has an unknown type."""
        _, owners = species_of_atoms(system)
        return fine_graph(CoarseGraining(system, owners, system.n_atoms, 0), self.vocabulary)

    def forward(self, graphs: Sequence[FineGraph]) -> Tensor:
        """Normalised y and log theta of the species of all systems in turn, shape (n_species of all, 2)."""
        joined = join_fine_graphs(graphs)
        of_species = self.encoder(*joined)
        atoms = torch.bincount(joined.mapping, minlength=joined.n_beads).to(of_species.dtype).unsqueeze(1)
        owner = torch.repeat_interleave(
            torch.arange(len(graphs)), torch.tensor([graph.n_beads for graph in graphs], dtype=torch.int64)
        )
        total = of_species.new_zeros(len(graphs), of_species.size(1)).index_add(0, owner, of_species * atoms)
        count = atoms.new_zeros(len(graphs), 1).index_add(0, owner, atoms)
        result: Tensor = self.head(torch.cat([of_species, (total / count)[owner]], dim=1))
        return result


class DiffusivityBaseline:
    """A trained network with the scales of the two parameters of f(t) = y + exp(-theta t).

    Parameters
    ----------
    network : DiffusivityGNN
    options : BaselineOptions
    units : str
    centre, scale : array, shape (2,)
        Mean and standard deviation of y (decades) and log theta (theta in 1/ps) fitted to the curves of the training systems.
    """

    kind = "diffusivity"

    def __init__(
        self, network: DiffusivityGNN, options: BaselineOptions, units: Units, centre: Array, scale: Array
    ) -> None:
        self.network, self.options, self.units, self.centre, self.scale = network, options, units, centre, scale

    @classmethod
    def fit(
        cls,
        data: Sequence[DiffusivityCurves],
        validation: Sequence[DiffusivityCurves],
        options: BaselineOptions,
        progress: bool = False,
    ) -> "DiffusivityBaseline":
        """Train; the weights are those of the epoch with the least validation loss.

        The loss is the squared deviation of f(t) from the curves themselves, averaged over lags, species and systems.

        Raises
        ------
        UserError
            If there are too few systems, units differ, or a validation system has a type that the training systems lack.
        """
        if len(data) < MINIMUM_SYSTEMS or not validation:
            raise UserError(
                f"{len(data)} systems and {len(validation)} for validation are too few for training a network: it takes at "
                f"least {MINIMUM_SYSTEMS} and 1"
            )
        if len({curves.system.units for curves in (*data, *validation)}) > 1:
            raise UserError("the training and validation systems are in different units")
        fits = np.array([fit_decay(curves.times, values) for curves in data for values in curves.values])
        fits[:, 1] = np.log(fits[:, 1])
        centre, scale = fits.mean(axis=0), np.maximum(fits.std(axis=0), 1e-3)
        systems = [curves.system for curves in data]
        # leaves the caller's random numbers alone
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            mean_mass = float(np.concatenate([system.masses for system in systems]).mean())
            network = DiffusivityGNN(Vocabulary.of(systems), options, mean_mass)
            module = _CurveRegression(network, options, centre, scale)
            module.fit_network(module.examples(data), module.examples(validation), progress)
        return cls(network, options, systems[0].units, centre, scale)

    def parameters(self, system: MolecularSystem) -> dict[str, tuple[float, float]]:
        """The parameters y (log10 of nm^2/ps) and theta (1/ps) of every species.

        Raises
        ------
        UserError
            If the system has a type that the training systems lack.
        """
        with torch.inference_mode():
            raw = self.network([self.network.encode(system)]).numpy().astype(np.float64)
        species, _ = species_of_atoms(system)
        values = self.centre + self.scale * raw
        return {name: (float(y), float(np.exp(log))) for name, (y, log) in zip(species, values, strict=True)}

    def predict(self, system: MolecularSystem, time: float) -> dict[str, float]:
        """Apparent diffusivity of every species after a time in ps, nm^2/ps; see `parameters`."""
        return {
            name: float(10 ** decay(np.array(time), y, theta)) for name, (y, theta) in self.parameters(system).items()
        }

    def error(self, data: Sequence[DiffusivityCurves]) -> float:
        """Root of the mean squared deviation from curves, in decades: the mean is over lags, then over curves."""
        squared = []
        for curves in data:
            parameters = self.parameters(curves.system)
            for name, values in zip(curves.species, curves.values, strict=True):
                squared.append(((decay(curves.times, *parameters[name]) - values) ** 2).mean())
        return float(np.sqrt(np.mean(squared)))

    def to_content(self) -> dict[str, Any]:
        """Tensors, numbers and text that say everything about the trained baseline."""
        vocabulary = self.network.vocabulary
        return {
            "units": self.units,
            "words": {"atom_types": list(vocabulary.atom_types), "bond_types": list(vocabulary.bond_types)},
            "options": asdict(self.options),
            "centre": self.centre.tolist(),
            "scale": self.scale.tolist(),
            "weights": self.network.state_dict(),
        }

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> "DiffusivityBaseline":
        """Inverse of `to_content`."""
        options = BaselineOptions(**content["options"])
        words = content["words"]
        network = DiffusivityGNN(Vocabulary(tuple(words["atom_types"]), tuple(words["bond_types"])), options)
        network.load_state_dict(content["weights"])
        return cls(network.eval(), options, content["units"], np.array(content["centre"]), np.array(content["scale"]))


class _CurveRegression(SupervisedTraining):
    """Least squares of the curves."""

    network: DiffusivityGNN

    def __init__(self, network: DiffusivityGNN, options: BaselineOptions, centre: Array, scale: Array) -> None:
        super().__init__(network, options)
        self.centre = torch.tensor(centre, dtype=torch.float32)
        self.scale = torch.tensor(scale, dtype=torch.float32)

    def examples(self, data: Sequence[DiffusivityCurves]) -> list[tuple[FineGraph, Tensor, Tensor]]:
        """Graph, times (n_lags,) and curves (n_species, n_lags) of every system."""
        return [
            (
                self.network.encode(curves.system),
                torch.tensor(curves.times, dtype=torch.float32),
                torch.tensor(curves.values, dtype=torch.float32),
            )
            for curves in data
        ]

    def loss(self, batch: list[Any]) -> Tensor:
        """Mean over the curves of the mean squared deviation in decades."""
        graphs, times, curves = zip(*batch, strict=True)
        y, log_theta = (self.centre + self.scale * self.network(graphs)).unbind(dim=1)
        errors, done = [], 0
        for lags, values in zip(times, curves, strict=True):
            own = slice(done, done + len(values))
            done += len(values)
            predicted = y[own, None] + torch.exp(-torch.exp(log_theta[own, None]) * lags)
            errors.append((predicted - values).square().mean(dim=1))
        return torch.cat(errors).mean()
