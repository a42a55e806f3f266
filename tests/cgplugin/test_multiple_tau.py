"""The buffer of a correlation: which frames it brings together."""

from collections import defaultdict
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cgplugin.observables.multiple_tau import POINTS, MultipleTauBuffer


@given(st.integers(1, 700))
def test_lags_and_origins(n_frames: int) -> None:
    buffer: MultipleTauBuffer[int] = MultipleTauBuffer()
    origins = defaultdict(list)
    for frame in range(n_frames):
        for lag, earlier in buffer.push(frame):
            assert frame - earlier == lag
            origins[lag].append(earlier)
    for lag, found in origins.items():
        spacing = 1
        while lag // spacing >= POINTS:
            spacing *= 2
        # every time origin that is a multiple of the spacing, and each once
        assert found == [start for start in range(0, n_frames - lag, spacing) if lag % spacing == 0]
        assert 8 * spacing <= lag or spacing == 1
    # no gap: between two lags there is never more than an eighth
    lags = [0, *sorted(origins)]
    assert all(b - a <= max(1, a // 8) for a, b in pairwise(lags))
    assert n_frames == 1 or lags[-1] >= 0.8 * (n_frames - 1)
