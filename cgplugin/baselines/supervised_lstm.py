"""Supervised LSTM: reads a chain as the sequence of its constitutional units (paper, Methods)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cgplugin.errors import UserError
from cgplugin.systems.molecular_system import MolecularSystem

from .backbone import constitutional_units
from .options import BaselineOptions
from .supervised import SupervisedNetwork, property_head

LAYERS, HIDDEN = 2, 256


class SupervisedLSTM(SupervisedNetwork[Tensor]):
    """Learned embedding of the units, an LSTM along the chain, and an MLP on its last state.

    A chain has no direction, but its text has: the last states of both readings are averaged.

    Parameters
    ----------
    units : sequence of str
        Constitutional units that it knows, as `cgplugin.baselines.backbone` writes them.
    options : BaselineOptions
    """

    kind = "lstm"

    def __init__(self, units: Sequence[str], options: BaselineOptions) -> None:
        super().__init__()
        self.units = tuple(units)
        hidden = options.hidden or HIDDEN
        self.embedding = nn.Embedding(len(self.units), hidden)
        self.lstm = nn.LSTM(hidden, hidden, num_layers=options.layers or LAYERS, batch_first=True)
        self.head = property_head(hidden, options)

    @classmethod
    def for_systems(cls, systems: Sequence[MolecularSystem], options: BaselineOptions) -> "SupervisedLSTM":
        """Untrained network for the units of the training systems."""
        return cls(sorted({unit for system in systems for unit in constitutional_units(system)}), options)

    def encode(self, system: MolecularSystem) -> Tensor:
        """Indices of the units of a chain, shape (n_units,)."""
        index = {unit: number for number, unit in enumerate(self.units)}
        chain = constitutional_units(system)
        for unit in chain:
            if unit not in index:
                raise UserError(
                    f"{system.name}: has the constitutional unit {unit}, which the baseline never saw; it knows "
                    f"{', '.join(self.units)}"
                )
        return torch.tensor([index[unit] for unit in chain], dtype=torch.int64)

    def forward(self, chains: Sequence[Tensor]) -> Tensor:
        """Normalised mean and standard deviation of Rg^2, shape (n_systems, 2)."""
        both = [self._last_state(readings) for readings in (chains, [chain.flip(0) for chain in chains])]
        result: Tensor = self.head((both[0] + both[1]) / 2)
        return result

    def _last_state(self, chains: Sequence[Tensor]) -> Tensor:
        packed = nn.utils.rnn.pack_sequence([self.embedding(chain) for chain in chains], enforce_sorted=False)
        _, (state, _) = self.lstm(packed)
        last: Tensor = state[-1]
        return last

    def words(self) -> dict[str, list[str]]:
        """Vocabulary, for the file."""
        return {"units": list(self.units)}

    @classmethod
    def from_words(cls, words: dict[str, list[str]], options: BaselineOptions) -> "SupervisedLSTM":
        """Network of a file, before its weights are loaded."""
        return cls(words["units"], options)
