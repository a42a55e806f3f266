"""Text dumps for tests, written line by line as LAMMPS writes them."""

from collections.abc import Sequence

import numpy as np


def frame_text(
    step: int,
    ids: Sequence[int],
    columns: dict[str, Sequence[object]],
    bounds: Sequence[Sequence[float]] = ((0, 10), (0, 10), (0, 10)),
    *,
    flags: str = "pp pp pp",
) -> str:
    """One frame; bounds of three numbers are those of a triclinic box."""
    tilted = "xy xz yz " if len(bounds[0]) == 3 else ""
    rows = zip(ids, *columns.values(), strict=True)
    return (
        f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n{len(ids)}\nITEM: BOX BOUNDS {tilted}{flags}\n"
        + "".join(" ".join(f"{value:.17g}" for value in bound) + "\n" for bound in bounds)
        + f"ITEM: ATOMS {' '.join(['id', *columns])}\n"
        + "".join(" ".join(map(str, row)) + "\n" for row in rows)
    )


def positions_text(step: int, ids: Sequence[int], positions: np.ndarray, names: str = "xu yu zu", **options) -> str:
    """One frame of positions with all their digits."""
    columns = {name: [repr(float(x)) for x in positions[:, k]] for k, name in enumerate(names.split())}
    return frame_text(step, ids, columns, **options)
