"""How far molecules move in a step, in units in which it can be compared like a number of pairs."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from cgplugin.coarse_graining.drift import drifts

from .dataset import WindowDataset
from .pair_counts import FRAMES_PER_SYSTEM, kinds_of_beads


@dataclass(frozen=True)
class Mobilities:
    """Squared displacements of molecules' centres of mass, summed over the molecules of a kind.

    Of n molecules with a mean squared displacement mu the sum has mean n mu and, for normal displacements, variance
    2/3 n mu^2. In units of 2/3 mu mean and variance are equal, as those of a number of pairs are.

    Attributes
    ----------
    kinds : tuple of str
    units : Tensor, shape (n_kinds,)
        nm^2.
    molecules, masses : sequence of Tensor, shape (n_beads,)
        Of each system: molecule of each bead, and its mass.
    of_molecules : sequence of Tensor of int64, shape (n_molecules,)
        Of each system, numbers of its molecules' kinds.
    drifting : sequence of bool
        Of each system, whether the drift of the whole has been taken out of the data: then it is taken out of steps as well.
    """

    kinds: tuple[str, ...]
    units: Tensor = field(repr=False)
    molecules: Sequence[Tensor] = field(repr=False)
    masses: Sequence[Tensor] = field(repr=False)
    of_molecules: Sequence[Tensor] = field(repr=False)
    drifting: Sequence[bool] = field(repr=False)

    @classmethod
    def of(cls, data: WindowDataset, kinds: Sequence[str]) -> "Mobilities":
        """Units of the kinds of beads that the data have."""
        graphs = [path.cg for path in data.trajectories]
        boxes = [None if path.box_vectors is None else path.box_vectors[0] for path in data.trajectories]
        of_molecules = []
        for path in data.trajectories:
            names = kinds_of_beads(path)
            first_beads = np.unique(path.cg.molecules, return_index=True)[1]
            of_molecules.append(torch.tensor([kinds.index(names[bead]) for bead in first_beads]))
        raw = cls(
            tuple(kinds),
            torch.ones(len(kinds)),
            [torch.tensor(cg.molecules) for cg in graphs],
            [torch.tensor(cg.masses, dtype=torch.float32) for cg in graphs],
            of_molecules,
            [drifts(cg, box) for cg, box in zip(graphs, boxes, strict=True)],
        )
        sums, numbers = torch.zeros(len(kinds)), torch.zeros(len(kinds))
        for system, path in enumerate(data.trajectories):
            before = np.linspace(0, path.n_frames - 1 - data.stride, FRAMES_PER_SYSTEM).astype(np.int64)
            moved = np.asarray(path.positions[before + data.stride], np.float64) - path.positions[before]
            sums += raw.sums(system, torch.tensor(moved, dtype=torch.float32))
            numbers += torch.bincount(of_molecules[system], minlength=len(kinds))
        return replace(raw, units=2 / 3 * sums / numbers)

    def sums(self, system: int, moved: Tensor) -> Tensor:
        """Mean over windows of the sum over molecules, shape (n_kinds,), of displacements (n_windows, n_beads, 3) in nm."""
        masses, molecules = self.masses[system].to(moved.device), self.molecules[system].to(moved.device)
        kinds = self.of_molecules[system].to(moved.device)
        momenta = masses[:, None] * moved
        of_molecules = momenta.new_zeros(len(moved), len(kinds), 3).index_add(1, molecules, momenta)
        centres = of_molecules / masses.new_zeros(len(kinds)).index_add(0, molecules, masses)[:, None]
        if self.drifting[system]:
            centres = centres - momenta.sum(dim=1, keepdim=True) / masses.sum()
        squared = centres.square().sum(dim=2).mean(dim=0)
        return squared.new_zeros(len(self.kinds)).index_add(0, kinds, squared) / self.units.to(moved.device)
