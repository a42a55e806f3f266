"""A large bead graph in pieces that fit into memory, each with the halo that its message passing reaches.

The networks see one piece at a time. What they say of its core is what they would say in the whole graph, to rounding: after
L layers of message passing a bead knows of those up to L edges away, and a piece holds them all.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from torch import Tensor

from cgplugin.coarse_graining.neighbours import Edges


@dataclass(frozen=True)
class Piece:
    """Part of a graph.

    Attributes
    ----------
    beads : Tensor of int64, shape (n_beads,)
        Which beads of the whole graph: the core, then its halo.
    n_core : int
    edges : Tensor of int64, shape (n_edges,)
        Which edges of the whole graph; those that end in the core come first.
    n_core_edges : int
    pairs : Tensor of int64, shape (2, n_edges)
        Sender and receiver, counted within the piece.
    """

    beads: Tensor = field(repr=False)
    n_core: int
    edges: Tensor = field(repr=False)
    n_core_edges: int
    pairs: Tensor = field(repr=False)

    @property
    def core(self) -> Tensor:
        """Which beads of the whole graph are the core."""
        return self.beads[: self.n_core]

    @property
    def core_edges(self) -> Tensor:
        """Which edges of the whole graph end in the core."""
        return self.edges[: self.n_core_edges]

    def edges_of(self, whole: Edges) -> Edges:
        """The edges, with separations and kinds."""
        return Edges(self.pairs, whole.separations.index_select(0, self.edges), whole.kinds.index_select(0, self.edges))


class GraphPieces:
    """Cuts a graph into pieces; iterate to get them, made one at a time.

    Parameters
    ----------
    cores : sequence of array of int64
        Beads of each core; every bead is in one of them.
    pairs : Tensor, shape (2, n_edges)
        Sender and receiver.
    n_beads : int
    hops : int
        How far the halo reaches, in edges; at least 1.
    """

    def __init__(self, cores: list[NDArray[np.int64]], pairs: Tensor, n_beads: int, hops: int) -> None:
        self._cores, self._n_beads, self._hops = cores, n_beads, hops
        sender, receiver = pairs.numpy()
        n_edges = len(sender)
        index = np.int32 if n_edges < 2**31 else np.int64
        # scipy's conversion is a counting sort: linear, and edges of a receiver keep their order
        table = coo_matrix(
            (np.arange(n_edges, dtype=index), (receiver, np.zeros(n_edges, dtype=np.int32))), shape=(n_beads, 1)
        )
        table.has_canonical_format = True  # so that entries are not summed
        by_receiver = table.tocsr()
        self._starts = by_receiver.indptr.astype(np.int64)
        self._order = by_receiver.data
        self._sender = sender

    def __iter__(self) -> Iterator[Piece]:
        place = np.full(self._n_beads, -1, dtype=np.int64)
        for core in self._cores:
            shells, edges, receivers = [core], [], []
            place[core] = np.arange(len(core))
            n_local = len(core)
            for _ in range(self._hops):
                into = self._edges_into(shells[-1])
                edges.append(into)
                counts = self._starts[shells[-1] + 1] - self._starts[shells[-1]]
                receivers.append(np.repeat(place[shells[-1]], counts))
                new = self._sender[into]
                new = np.unique(new[place[new] < 0])
                place[new] = np.arange(n_local, n_local + len(new))
                n_local += len(new)
                shells.append(new)
            beads, chosen = np.concatenate(shells), np.concatenate(edges)
            local = np.stack([place[self._sender[chosen]], np.concatenate(receivers)])
            place[beads] = -1
            yield Piece(
                torch.from_numpy(beads), len(core), torch.from_numpy(chosen), len(edges[0]), torch.from_numpy(local)
            )

    def _edges_into(self, beads: NDArray[np.int64]) -> NDArray[np.int64]:
        """Edges that end in beads, receiver by receiver."""
        starts, counts = self._starts[beads], self._starts[beads + 1] - self._starts[beads]
        ends = np.cumsum(counts)
        return self._order[np.repeat(starts - (ends - counts), counts) + np.arange(counts.sum())].astype(np.int64)


def compact_groups(points: NDArray[np.float64], size: int) -> list[NDArray[np.int64]]:
    """Divide points (n, 3) into compact groups of at most ``size``: halved at the median of the longest side, again and again."""
    groups, open_groups = [], [np.arange(len(points))]
    while open_groups:
        group = open_groups.pop()
        if len(group) <= size:
            groups.append(np.sort(group))
            continue
        own = points[group]
        side = int(np.ptp(own, axis=0).argmax())
        half = len(group) // 2
        order = np.argpartition(own[:, side], half)
        open_groups += [group[order[half:]], group[order[:half]]]
    return groups
