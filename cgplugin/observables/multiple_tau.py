"""Time correlations of a stream: lags that are spaced finely where short and coarsely where long."""

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")

POINTS = 16
"""Lags per level; every level has twice the spacing of the one before, so that half of them are new."""


class MultipleTauBuffer(Generic[Item]):
    """Keeps the frames that are needed to correlate a stream with its past at about eight lags per doubling.

    The order-n algorithm of Frenkel and Smit (Understanding molecular simulation, 4.4.2) without its averages: level k
    looks at every 2^k-th frame and remembers the last `POINTS` - 1 of those, so that a lag of j 2^k frames is exact and has
    a time origin every 2^k frames, at most an eighth of the lag. Memory grows with the logarithm of the length of the
    stream, and the work per frame is that of at most `POINTS` - 1 + 8 pairs of frames.
    """

    def __init__(self) -> None:
        self._levels: list[deque[Item]] = []
        self._first: list[Item] = []
        self._n_frames = 0

    def push(self, item: Item) -> Iterator[tuple[int, Item]]:
        """Add a frame, and give the earlier frames that it is correlated with, each with its lag in frames.

        The frame is part of the buffer once the iterator is exhausted.
        """
        if self._n_frames == 0:
            self._first.append(item)
        elif self._n_frames == 1 << len(self._levels):
            # of the multiples of this spacing only frame 0 is past
            self._levels.append(deque(self._first, maxlen=POINTS - 1))
        for level, remembered in enumerate(self._levels):
            spacing = 1 << level
            if self._n_frames % spacing:
                break
            shortest = 1 if level == 0 else POINTS // 2
            for n in range(shortest, len(remembered) + 1):
                yield n * spacing, remembered[-n]
            remembered.append(item)
        self._n_frames += 1
