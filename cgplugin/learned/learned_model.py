"""A trained model: networks plus all that is needed to use them right, in one self-describing file."""

import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cgplugin.coarse_graining.coarsening import CoarseGraining, coarsen
from cgplugin.coarse_graining.neighbours import Edges
from cgplugin.coarse_graining.vocabulary import Vocabulary, fine_graph
from cgplugin.errors import UserError, one_line
from cgplugin.networks.combined import LearnedNetworks
from cgplugin.networks.dynamics import Prediction, Scales
from cgplugin.networks.options import NetworkOptions
from cgplugin.systems.force_field import BeadSpringForceField
from cgplugin.systems.molecular_system import MolecularSystem
from cgplugin.units import Units, check_units

from . import torchscript
from .compiled_networks import CompiledNetworks, Report, compile_networks
from .refinement import Refinement

FORMAT = "cgplugin model"
VERSION = 1


def _is_integer(value: Any) -> bool:
    # JSON's true is a Python int, too
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    # JSON as Python reads it has NaN and Infinity
    return (_is_integer(value) or isinstance(value, float)) and math.isfinite(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _all(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda values: isinstance(values, (list, tuple)) and all(map(check, values))


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "time_step": (lambda value: _is_number(value) and value > 0, "a positive time"),
    "n_history": (lambda value: _is_integer(value) and value >= 1, "an integer of at least 1"),
    "cutoff": (lambda value: _is_number(value) and value > 0, "a positive length"),
    "atoms_per_bead": (lambda value: _is_integer(value) and value >= 1, "an integer of at least 1"),
    "partition_seed": (_is_integer, "an integer"),
    "atom_types": (_all(_is_text), "a list of names"),
    "bond_types": (_all(_is_text), "a list of names"),
    "lammps_atom_types": (
        lambda value: _is_object(value) and all(map(_is_text, value.values())),
        "types and their names",
    ),
    "longest_bond": (lambda value: _is_number(value) and value >= 0, "a length"),
    "periodic": (lambda value: isinstance(value, bool), "true or false"),
    "networks": (_is_object, "an object"),
    "scales": (lambda value: _is_object(value) and all(map(_is_number, value.values())), "an object of numbers"),
    "noise_levels": (_all(lambda value: _is_number(value) and value > 0), "a list of positive lengths"),
    "score_cutoff": (lambda value: value is None or (_is_number(value) and value > 0), "a positive length or null"),
    "ion_cutoff": (lambda value: value is None or (_is_number(value) and value > 0), "a positive length or null"),
    "score_ion_cutoff": (lambda value: value is None or (_is_number(value) and value > 0), "a positive length or null"),
    "refinement": (_is_object, "an object"),
    "force_field": (lambda value: value is None or _is_object(value), "an object or null"),
    "training": (_is_object, "an object"),
}
"""For every entry of a model's header, what it has to be; `check_units` has the units."""


BEFORE = {"score_fading": 2, "score_expected": False}
"""Options of networks that older models do not mention, since there was no choice."""


@dataclass(frozen=True)
class ModelDescription:
    """What a model says of itself.

    Attributes
    ----------
    units : str
        ``lj`` or ``openmm``.
    time_step : float
        ps per learned step.
    n_history : int
        Past displacements that the networks see; a simulation starts from ``n_history + 1`` frames.
    cutoff : float
        nm.
    atoms_per_bead, partition_seed : int
        Of the coarse-graining.
    atom_types, bond_types : tuple of str
        The vocabulary.
    lammps_atom_types : dict
        Integer type of the training data's LAMMPS files (as text) to name, where they had no type labels.
    longest_bond : float
        Longest CG bond in the training data, nm; far beyond it a simulation has left what the model knows.
    periodic : bool
        Whether the training systems had a box.
    networks : dict
        Options of the networks.
    scales : dict
        Normalisation and linear prior.
    noise_levels : tuple of float
        Levels that the Score GNN was trained on, nm, descending; empty where there is none.
    score_cutoff : float or None
        Of the Score GNN's edges, nm.
    ion_cutoff : float or None
        Of the edges between ions, nm; None: they are like all others.
    score_ion_cutoff : float or None
        Of the Score GNN's edges between ions, nm; None: that of all edges between ions.
    refinement : dict
        How a simulation refines its steps by default; see `cgplugin.learned.refinement.Refinement`.
    force_field : dict or None
        Force field of the training systems, for the short MD that starts a simulation.
    training : dict
        Provenance: data, options, seeds, versions, losses.
    """

    units: Units
    time_step: float
    n_history: int
    cutoff: float
    atoms_per_bead: int
    partition_seed: int
    atom_types: tuple[str, ...]
    bond_types: tuple[str, ...]
    lammps_atom_types: dict[str, str]
    longest_bond: float
    periodic: bool
    networks: dict[str, Any]
    scales: dict[str, float]
    noise_levels: tuple[float, ...] = ()
    score_cutoff: float | None = None
    ion_cutoff: float | None = None
    score_ion_cutoff: float | None = None
    refinement: dict[str, Any] = field(default_factory=dict)
    force_field: dict[str, Any] | None = field(default=None, repr=False)
    training: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def cutoffs(self) -> tuple[float, float | None]:
        """Cutoff of the Dynamics GNN's edges, and of those between ions where it is their own, nm."""
        return self.cutoff, self.ion_cutoff

    @property
    def score_cutoffs(self) -> tuple[float, float | None]:
        """The same of the Score GNN's edges."""
        return self.score_cutoff or self.cutoff, self.score_ion_cutoff or self.ion_cutoff

    @property
    def vocabulary(self) -> Vocabulary:
        """Types that the model knows."""
        return Vocabulary(self.atom_types, self.bond_types)

    def to_json(self) -> dict[str, Any]:
        """Content of the file's header."""
        return {"format": FORMAT, "version": VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, content: Any, source: str) -> "ModelDescription":
        """Check and read the header.

        Raises
        ------
        UserError
            If it is of something else, of a newer version, or incomplete.
        """
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise UserError(f"{source}: not a model of cgplugin")
        if content.get("version") != VERSION:
            raise UserError(
                f"{source}: model format {content.get('version')!r}, this cgplugin reads format {VERSION}: update cgplugin"
            )
        known = {item.name for item in fields(cls)}
        values = {name: value for name, value in content.items() if name in known}
        for name, (is_valid, expected) in _CHECKS.items():
            if name in values and not is_valid(values[name]):
                raise UserError(f"{source}: the model's header has {name} = {values[name]!r:.60}, expected {expected}")
        try:
            values["atom_types"] = tuple(values["atom_types"])
            values["bond_types"] = tuple(values["bond_types"])
            values["noise_levels"] = tuple(values.get("noise_levels", ()))
            check_units(values["units"])
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise UserError(f"{source}: the model's header is incomplete ({error})") from error


class LearnedModel:
    """A trained model, ready to simulate.

    Use `LearnedModel.load`. The methods take and give plain tensors; `cgplugin.learned.simulator` does the stepping.

    Attributes
    ----------
    description : ModelDescription
    source : str
        The file.
    compiled : bool
        Whether its networks are machine code.
    """

    def __init__(
        self, networks: Any, description: ModelDescription, source: str = "model", *, compiled: bool = False
    ) -> None:
        self._networks = networks
        self.description = description
        self.source = source
        self.compiled = compiled

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, compiled: bool = False, report: Report | None = None
    ) -> "LearnedModel":
        """Read a model file.

        Parameters
        ----------
        path : path
        compiled : bool
            Compile the networks for this machine's processor, or find them compiled in the user's cache: one to three times
            as fast (docs/speed.md), the same results within float32 rounding. Needs a C++ compiler the first time, which takes
            a minute or two.
        report : callable, optional
            Called with one line before that.

        Raises
        ------
        UserError
            If the file is missing, is not a model, or is of a newer format; if the networks cannot be compiled.
        """
        module, header = torchscript.load(path)
        description = ModelDescription.from_json(header, str(path))
        networks = torchscript.networks_for_inference(module)
        if compiled:
            of_today = _networks_of_today(module, description, str(path))
            networks = CompiledNetworks(networks, compile_networks(of_today, description, str(path), report))
        return cls(networks, description, str(path), compiled=compiled)

    @staticmethod
    def read_networks(path: str | os.PathLike[str]) -> tuple[LearnedNetworks, ModelDescription]:
        """Weights of a model file in networks as this version has them.

        A file holds the code of the version that wrote it. `export` what this gives to have the code of this version instead.

        Raises
        ------
        UserError
            As for `load`, or if the networks of this version have other weights.
        """
        module, header = torchscript.load(path)
        description = ModelDescription.from_json(header, str(path))
        return _networks_of_today(module, description, str(path)), description

    @staticmethod
    def export(networks: LearnedNetworks, description: ModelDescription, path: str | os.PathLike[str]) -> Path:
        """Write trained networks as a model file, whole or not at all."""
        torchscript.save(networks, description.to_json(), path)
        return Path(path)

    @property
    def time_step(self) -> float:
        """Ps per learned step."""
        return self.description.time_step

    @property
    def n_history(self) -> int:
        """Past displacements that the model sees."""
        return self.description.n_history

    @property
    def refinement(self) -> Refinement:
        """How a simulation refines its steps by default."""
        return Refinement(**self.description.refinement)

    @property
    def units(self) -> Units:
        """Unit system of the training data."""
        return self.description.units

    @property
    def force_field(self) -> BeadSpringForceField | None:
        """Force field of the training systems, where it is known."""
        raw = self.description.force_field
        return None if raw is None else BeadSpringForceField.from_dict(raw, f"force field of {self.source}")

    def check(self, system: MolecularSystem) -> None:
        """Raise a `UserError` where the system is in other units or has a type that the model never saw."""
        if system.units != self.units:
            raise UserError(f"{system.name}: is in units {system.units!r}, the model {self.source} in {self.units!r}")
        self.description.vocabulary.check(system)

    def coarsen(self, system: MolecularSystem) -> CoarseGraining:
        """Coarse-grain a system as the model's training data was."""
        self.check(system)
        return coarsen(system, self.description.atoms_per_bead, self.description.partition_seed)

    def embed(self, cg: CoarseGraining) -> Tensor:
        """Embeddings of the beads, shape (n_beads, n_embedding)."""
        self.check(cg.system)
        with torch.inference_mode():
            return self._networks.embed(*fine_graph(cg, self.description.vocabulary))

    def predict(self, embedding: Tensor, masses: Tensor, displacements: Tensor, edges: Edges) -> Prediction:
        """Distribution of the next step; see `cgplugin.networks.dynamics.DynamicsGNN.forward`."""
        with torch.inference_mode():
            predicted = self._networks.predict(
                embedding, masses, displacements, edges.pairs, edges.separations, edges.kinds
            )
            # the first models had no Score GNN and gave no latents; nothing asks them for any
            latents = [] if len(predicted) == len(Prediction._fields) else [embedding]
            return Prediction(*predicted, *latents)

    def estimate_noise(self, prediction: Prediction, change: Tensor, edges: Edges, sigma: float) -> Tensor:
        """Noise in a tentative step, of a model with a Score GNN; see `cgplugin.networks.score.ScoreGNN.forward`."""
        levels = torch.full((len(change),), sigma)
        with torch.inference_mode():
            return self._networks.estimate_noise(
                prediction, change, edges.pairs, edges.separations, edges.kinds, levels
            )


def _networks_of_today(module: Any, description: ModelDescription, source: str) -> LearnedNetworks:
    """Weights of a loaded module in networks as this version has them."""
    try:
        networks = LearnedNetworks(
            n_atom_types=len(description.atom_types),
            n_bond_types=len(description.bond_types),
            n_history=description.n_history,
            cutoff=description.cutoff,
            score_cutoff=description.score_cutoff,
            ion_cutoff=description.ion_cutoff,
            score_ion_cutoff=description.score_ion_cutoff,
            mean_atom_mass=1.0,  # comes with the weights
            options=NetworkOptions(**{**BEFORE, **description.networks}),
            scales=Scales(**description.scales),
        )
        networks.load_state_dict(module.state_dict())
    except (TypeError, RuntimeError) as error:
        raise UserError(
            f"{source}: its networks are not those of this version of cgplugin ({one_line(error)[:120]})"
        ) from error
    return networks.eval()
