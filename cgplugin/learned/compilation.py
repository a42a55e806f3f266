"""Networks as machine code for this processor: ``torch.export``, then AOTInductor, which needs a C++ compiler.

What is compiled takes any number of beads and of edges from `FEWEST` on. torch is asked for what it calls private here alone.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from cgplugin.errors import UserError, one_line
from cgplugin.networks.blocks import CentredNorm
from cgplugin.networks.combined import LearnedNetworks
from cgplugin.networks.dynamics import DynamicsGNN, Prediction
from cgplugin.networks.score import ScoreGNN

FEWEST = 2
"""Beads, and edges: torch.export takes sizes of 0 and 1 for constants."""

MOST = 2**31
"""Beads, and edges: far more than memory holds in one call."""

OPTIONS = {
    # weights become constants, what depends on them alone is computed once
    "freezing": True,
    # Code of several threads adds up the messages in an order of chance, and 'same seed, same bits' would not hold. Matrix
    # products are torch's own and use as many threads as torch is set to when they run.
    "cpp.threads": 1,
}
"""Of the compiler (``torch._inductor.config``)."""

N_BEADS, N_EDGES = 5, 14
"""Of the example that the networks are traced with; they occur nowhere else, so that no size is mistaken for another."""


class DynamicsCall(nn.Module):
    """Dynamics GNN from tensors to a plain tuple of the fields of a `Prediction`; see `DynamicsGNN.forward`."""

    def __init__(self, dynamics: DynamicsGNN, n_embedding: int) -> None:
        super().__init__()
        self.dynamics = dynamics
        self.n_embedding = n_embedding

    def forward(
        self,
        embedding: Tensor,
        masses: Tensor,
        displacements: Tensor,
        edge_index: Tensor,
        separations: Tensor,
        edge_kinds: Tensor,
    ) -> tuple[Tensor, ...]:
        """Fields of the prediction."""
        return tuple(self.dynamics(embedding, masses, displacements, edge_index, separations, edge_kinds))

    def example(self) -> dict[str, Tensor]:
        """Arguments of `forward`."""
        return {
            "embedding": torch.randn(N_BEADS, self.n_embedding),
            "masses": torch.rand(N_BEADS) + 1.0,
            "displacements": torch.randn(N_BEADS, self.dynamics.n_history, 3),
            **_example_edges(),
        }


class ScoreCall(nn.Module):
    """Score GNN from tensors to the noise, in a tuple of one; see `ScoreGNN.forward`."""

    def __init__(self, score: ScoreGNN, hidden: int) -> None:
        super().__init__()
        self.score = score
        self.hidden = hidden

    def forward(
        self,
        mean: Tensor,
        scale: Tensor,
        latents: Tensor,
        change: Tensor,
        edge_index: Tensor,
        separations: Tensor,
        edge_kinds: Tensor,
        sigma: Tensor,
    ) -> tuple[Tensor]:
        """Noise; of the prediction there is what the Score GNN reads."""
        unread = mean[:0, 0]
        prediction = Prediction(mean, scale, unread, unread, latents)
        return (self.score(prediction, change, edge_index, separations, edge_kinds, sigma),)

    def example(self) -> dict[str, Tensor]:
        """Arguments of `forward`."""
        return {
            "mean": torch.randn(N_BEADS, 3),
            "scale": torch.rand(N_BEADS, 3) + 0.1,
            "latents": torch.randn(N_BEADS, self.hidden),
            "change": torch.randn(N_BEADS, 3),
            **_example_edges(),
            "sigma": torch.rand(N_BEADS) + 0.1,
        }


def calls_of(networks: LearnedNetworks, hidden: int) -> dict[str, DynamicsCall | ScoreCall]:
    """What can be compiled, by name; ``hidden`` is the width of the Dynamics GNN."""
    calls: dict[str, DynamicsCall | ScoreCall] = {"dynamics": DynamicsCall(networks.dynamics, networks.embedding.n_out)}
    if networks.score is not None:
        calls["score"] = ScoreCall(networks.score, hidden)
    return calls


def cpp_compiler() -> str | None:
    """The C++ compiler that torch finds: that of the variable ``CXX``, else ``g++``; None where there is none."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        return get_cpp_compiler()
    except InvalidCxxCompiler:
        return None


def compile_call(call: DynamicsCall | ScoreCall, target: Path) -> None:
    """Compile a network for this processor and write it to ``target``, whose name ends in ``.pt2``.

    Raises
    ------
    UserError
        If there is no C++ compiler, or it fails.
    """
    if cpp_compiler() is None:
        raise UserError(
            "compiled networks need a C++ compiler, and none is found: install g++, set CXX, or leave --compile out"
        )
    example = call.eval().example()
    for module in call.modules():
        if isinstance(module, CentredNorm):
            # one branch for all sizes; the compiler fuses torch's own norm with what is around it
            module.many_rows = MOST
    sizes = {
        N_BEADS: torch.export.Dim("beads", min=FEWEST, max=MOST - 1),
        N_EDGES: torch.export.Dim("edges", min=FEWEST, max=MOST - 1),
    }
    dynamic = {name: {_varied(name): sizes[values.shape[_varied(name)]]} for name, values in example.items()}
    try:
        with (
            torch.inference_mode(False),
            torch.no_grad(),
            _without_onednn(),
            # as arguments of the compiler, some of the options come too late
            torch._inductor.config.patch(OPTIONS),
        ):
            program = torch.export.export(call, (), example, dynamic_shapes=dynamic)
            torch._inductor.aoti_compile_and_package(program, package_path=str(target))
    except Exception as error:  # torch raises many kinds here, from a missing header to a full disk
        raise UserError(
            f"the networks cannot be compiled here ({one_line(error)[:200]}): leave --compile out"
        ) from error


class CompiledCall:
    """A network that was compiled, ready to be called.

    Parameters
    ----------
    package : Path
        What `compile_call` wrote.

    Raises
    ------
    RuntimeError
        If it cannot be loaded.
    """

    def __init__(self, package: Path) -> None:
        # the object around it reads the structure of its arguments anew in every call, which takes longer than a small network
        self._loader = torch._inductor.aoti_load_package(str(package)).loader

    def __call__(self, *arguments: Tensor) -> list[Tensor]:
        """Results, flat; the arguments are those of the compiled ``forward``, in its order."""
        # compiled code takes for granted that rows follow one another
        return self._loader.boxed_run([argument.contiguous() for argument in arguments])


@contextmanager
def _without_onednn() -> Iterator[None]:
    """Products by BLAS: those of oneDNN for packed weights prepare themselves anew, 15 us, wherever the number of rows varies."""
    with warnings.catch_warnings():
        # about settings of Intel's GPUs
        warnings.simplefilter("ignore", UserWarning)
        with torch.backends.mkldnn.flags(enabled=False):
            yield


def _varied(name: str) -> int:
    """Axis of an argument that has the length of the beads or of the edges."""
    return 1 if name == "edge_index" else 0


def _example_edges() -> dict[str, Tensor]:
    return {
        "edge_index": torch.randint(N_BEADS, (2, N_EDGES)),
        "separations": torch.randn(N_EDGES, 3),
        "edge_kinds": torch.arange(N_EDGES) % 3,
    }
