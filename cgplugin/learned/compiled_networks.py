"""The networks of a model as machine code, behind the interface of the TorchScript ones."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from cgplugin.networks.combined import LearnedNetworks
from cgplugin.networks.dynamics import Prediction

from .compilation import FEWEST, OPTIONS, CompiledCall, DynamicsCall, ScoreCall, calls_of, compile_call
from .package_cache import kept, key_of

if TYPE_CHECKING:
    from .learned_model import ModelDescription

Report = Callable[[str], object]


class CompiledNetworks:
    """Dynamics GNN and Score GNN compiled; everything else, and graphs of a bead or an edge or less, by the TorchScript networks.

    The results are those of the TorchScript networks within float32 rounding; the types of all tensors are as well.

    Parameters
    ----------
    scripted : object
        The TorchScript networks, with ``predict``, ``embed`` and, where there is a Score GNN, ``estimate_noise``.
    calls : dict
        The compiled networks, ``dynamics`` and, where there is one, ``score``.
    """

    def __init__(self, scripted: Any, calls: dict[str, CompiledCall]) -> None:
        self._scripted = scripted
        self._dynamics, self._score = calls["dynamics"], calls.get("score")
        self.embed = scripted.embed

    def predict(
        self,
        embedding: Tensor,
        masses: Tensor,
        displacements: Tensor,
        edge_index: Tensor,
        separations: Tensor,
        edge_kinds: Tensor,
    ) -> Any:
        """Fields of a `Prediction`; see `cgplugin.networks.dynamics.DynamicsGNN.forward`."""
        call = self._dynamics if _is_large_enough(masses, edge_kinds) else self._scripted.predict
        return call(embedding, masses, displacements, edge_index, separations, edge_kinds)

    def estimate_noise(
        self,
        prediction: Prediction,
        change: Tensor,
        edge_index: Tensor,
        separations: Tensor,
        edge_kinds: Tensor,
        sigma: Tensor,
    ) -> Tensor:
        """Noise in a tentative step; see `cgplugin.networks.score.ScoreGNN.forward`."""
        if self._score is None or not _is_large_enough(change, edge_kinds):
            return self._scripted.estimate_noise(prediction, change, edge_index, separations, edge_kinds, sigma)
        read = (prediction.mean, prediction.scale, prediction.latents)
        return self._score(*read, change, edge_index, separations, edge_kinds, sigma)[0]


def compile_networks(
    networks: LearnedNetworks, description: "ModelDescription", source: str, report: Report | None = None
) -> dict[str, CompiledCall]:
    """Compile what is not in the cache yet, and load it.

    Parameters
    ----------
    networks : LearnedNetworks
        With the model's weights.
    description : ModelDescription
    source : str
        The model's file, for messages.
    report : callable, optional
        Called with one line before the first compilation, which takes a minute.

    Raises
    ------
    UserError
        If there is no C++ compiler, or no place to keep what it makes.
    """
    # what shapes the networks; the rest of a description is about data and training
    names = ("networks", "scales", "n_history", "cutoff", "score_cutoff", "ion_cutoff", "score_ion_cutoff")
    shape = {name: value for name, value in asdict(description).items() if name in names}
    tell_once = [report] if report is not None else []

    def compiled(name: str, call: DynamicsCall | ScoreCall) -> CompiledCall:
        def make(path: Path) -> None:
            if tell_once:
                tell_once.pop()(f"compiling the networks of {source} for this machine, once: takes a minute or two")
            compile_call(call, path)

        return CompiledCall(kept(f"{name}-{key_of(call, {**shape, 'compiler': OPTIONS})}.pt2", make))

    return {name: compiled(name, call) for name, call in calls_of(networks, description.networks["hidden"]).items()}


def _is_large_enough(of_beads: Tensor, of_edges: Tensor) -> bool:
    return len(of_beads) >= FEWEST and len(of_edges) >= FEWEST
