"""Smooth counts of pairs of beads, by kind and distance: what learned steps and MD have to agree in."""

import itertools
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cgplugin.coarse_graining.coarse_trajectory import CoarseTrajectory
from cgplugin.coarse_graining.neighbours import Edges
from cgplugin.systems.periodic import box_heights
from cgplugin.systems.species import ParticleSpecies

from .dataset import WindowDataset

RAREST = 1e-3
"""Pairs per frame and bead of the rarer kind in the innermost band: beads that collide, as evaluations count them."""

GROWTH = 2.0
"""Each band holds as many pairs as all within it, so that bands are fine where pairs are rare and their number rises steeply."""

SOFTNESS = 0.06
"""Width over which a pair passes from one band to the next, as a share of the distance: counts have gradients."""

BEFORE = (0.5, 0.75)
"""Where pairs are told apart by their distance before the step, as shares of the reach."""

FRAMES_PER_SYSTEM = 50
"""Frames of each system that the bands are laid by."""

FINE = 2000
"""Distances that pairs are sorted by first."""


def kinds_of_beads(path: CoarseTrajectory) -> tuple[str, ...]:
    """Kind of each bead: the charge of its molecule, since beads of several compositions are to be compared."""
    return ParticleSpecies.of_beads(path.cg.system, path.cg.mapping).by_role().names


@dataclass(frozen=True)
class PairBands:
    """Bands of distance for each pair of kinds of beads, laid by how many pairs of training data are within them.

    Attributes
    ----------
    kinds : tuple of str
    edges : Tensor, shape (n_pair_kinds, n_bands)
        Upper ends of the bands, nm, of pairs of kinds in the order of ``table``; `reach` over and over where there are fewer.
    table : Tensor of int64, shape (n_kinds, n_kinds)
        Number of each pair of kinds.
    reach : float
        nm.
    """

    kinds: tuple[str, ...]
    edges: Tensor = field(repr=False)
    table: Tensor = field(repr=False)
    reach: float

    @classmethod
    def of(cls, data: WindowDataset, reach: float) -> "PairBands":
        """Lay the bands by training data; the cutoff of pairs is ``reach`` in nm."""
        names = [kinds_of_beads(path) for path in data.trajectories]
        kinds = tuple(sorted(set(itertools.chain(*names))))
        first, second = np.triu_indices(len(kinds))
        table = np.empty((len(kinds), len(kinds)), dtype=np.int64)
        table[first, second] = table[second, first] = np.arange(len(first))
        found, rarer = np.zeros((len(first), FINE)), np.zeros(len(first))
        for system, path in enumerate(data.trajectories):
            own = np.array([kinds.index(name) for name in names[system]])
            frames = np.unique(np.linspace(0, path.n_frames - 1, FRAMES_PER_SYSTEM).astype(np.int64))
            pairs, distances = _pairs(data, system, frames, reach)
            of_pairs = table[own[pairs[0] % len(own)], own[pairs[1] % len(own)]]
            fine = np.minimum((distances / reach * FINE).astype(np.int64), FINE - 1)
            found += np.bincount(of_pairs * FINE + fine, minlength=found.size).reshape(found.shape)
            counts = np.bincount(own, minlength=len(kinds))
            rarer += len(frames) * np.minimum(counts[first], counts[second])
        within = found.cumsum(axis=1) / np.maximum(rarer, 1)[:, None]
        ends = [_ends(values, reach) for values in within]
        longest = max(map(len, ends))
        padded = [[*own_ends, *[reach] * (longest - len(own_ends))] for own_ends in ends]
        return cls(kinds, torch.tensor(padded), torch.from_numpy(table), reach)

    @property
    def n_features(self) -> int:
        """Counts of a sample."""
        return (len(BEFORE) + 1) * self.edges.numel()

    def numbers(self, path: CoarseTrajectory) -> Tensor:
        """Number of each bead's kind, shape (n_beads,)."""
        return torch.tensor([self.kinds.index(name) for name in kinds_of_beads(path)])

    def counts(self, edges: Edges, moved: Tensor, kinds: Tensor, samples: Tensor, n_samples: int) -> Tensor:
        """Pairs in each band, told apart by how far they were from each other before the step (`BEFORE`).

        A step thus has to take as many pairs out of each other's neighbourhood, and to bring as many into it, as MD does, and
        not merely to have the right number in the end.

        Parameters
        ----------
        edges : Edges
            Both directions of all pairs within `reach` after the step.
        moved : Tensor, shape (n_beads, 3)
            What each bead moved by in the step, nm.
        kinds, samples : Tensor, shape (n_beads,)
            Of the beads, numbers.
        n_samples : int

        Returns
        -------
        Tensor, shape (n_samples, n_features)
            Differentiable with respect to ``edges.separations``.
        """
        once = (edges.pairs[0] < edges.pairs[1]).nonzero().squeeze(1)
        sender, receiver = edges.pairs.index_select(1, once)
        separations = edges.separations.index_select(0, once)
        before = (separations - moved.index_select(0, receiver) + moved.index_select(0, sender)).detach()
        come_from = torch.bucketize(before.norm(dim=1), before.new_tensor(BEFORE) * self.reach)
        of_pairs = self.table.to(kinds.device)[kinds[sender], kinds[receiver]]
        ends = self.edges.to(separations).index_select(0, of_pairs)
        distance = (separations.square().sum(dim=1, keepdim=True) + 1e-12).sqrt()
        # no end is soft where pairs are no longer looked for; those along bonds come from farther
        within = torch.sigmoid((ends - distance) / (SOFTNESS * ends)).masked_fill(ends >= self.reach, 1.0)
        within = within * (distance.detach() < self.reach)
        in_bands = torch.cat([within[:, :1], within.diff(dim=1)], dim=1)
        n_kinds, n_bands = self.edges.shape
        n_before = len(BEFORE) + 1
        rows = (samples[receiver] * n_kinds + of_pairs) * n_before + come_from
        counts = separations.new_zeros(n_samples * n_kinds * n_before, n_bands).index_add(0, rows, in_bands)
        return counts.reshape(n_samples, -1)


def reach_of_pairs(data: WindowDataset) -> float:
    """As far as the Score GNN sees, in nm, though not beyond half a box, where pairs of several images begin."""
    boxes = [path.box_vectors for path in data.trajectories if path.box_vectors is not None]
    return min(
        [max(filter(None, data.score_cutoffs)), *(0.5 * float(box_heights(of_frames).min()) for of_frames in boxes)]
    )


def _pairs(
    data: WindowDataset, system: int, frames: NDArray[np.int64], reach: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pairs within a reach in some frames, whose beads follow each other, and their distances."""
    path = data.trajectories[system]
    edges = data.edges(system, np.asarray(path.positions[frames], dtype=np.float64), frames, reach)
    once = edges.pairs[0] < edges.pairs[1]
    distances = edges.separations[once].norm(dim=1)
    near = distances < reach
    return edges.pairs[:, once][:, near].numpy(), distances[near].numpy().astype(np.float64)


def _ends(within: NDArray[np.float64], reach: float) -> list[float]:
    """Distances at which the number of pairs has grown by another factor, the last of them at ``reach``."""
    wanted = RAREST * GROWTH ** np.arange(64)
    wanted = wanted[wanted < within[-1]]
    ends = (np.searchsorted(within, wanted) + 1) * reach / len(within)
    # a band narrower than what it is soft by cannot be told from the one before
    kept: list[float] = []
    for end in ends.tolist():
        if not kept or end > (1 + SOFTNESS) * kept[-1]:
            kept.append(end)
    return [*[end for end in kept if end < (1 - SOFTNESS) * reach], reach]
