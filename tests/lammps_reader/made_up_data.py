"""Data made up for tests, of every atom style and with everything that a data file may hold."""

import numpy as np
from hypothesis import strategies as st

from lammps_reader import Box, LammpsData
from lammps_reader.data import ATOM_STYLES
from lammps_reader.lammps_data import STYLE_TOPOLOGY

TOPOLOGY = {"bond": 2, "angle": 3, "dihedral": 4, "improper": 4}


def chain_data(style: str, *, tilt: bool = False, moving: bool = True, labels: bool = False) -> LammpsData:
    """Three chains of four atoms with ids that have gaps, in a box of which they leave."""
    random = np.random.default_rng(sum(map(ord, style)))
    n, per_chain = 12, 4
    ids = np.arange(1, 2 * n, 2) + 100
    columns, kinds = ATOM_STYLES[style], STYLE_TOPOLOGY[style]
    box = Box(np.array([-3.0, 0.5, -2.0]), np.array([5.0, 9.25, 6.5]), np.array([1.25, -0.5, 0.75]) * tilt)
    starts = [chain * per_chain for chain in range(n // per_chain)]

    def rows(kind: str) -> np.ndarray:
        size = TOPOLOGY[kind]
        if kind not in kinds:
            return np.empty((0, 1 + size), dtype=np.int64)
        runs = [ids[start + k : start + k + size] for start in starts for k in range(per_chain - size + 1)]
        return np.column_stack([np.arange(len(runs)) % 2 + 1, np.array(runs)])

    names = {kind: {1: f"{kind[0].upper()}1-x", 2: f"{kind}=2"} for kind in ("atom", *kinds)}
    # in the image flags' boxes: multiples of a power of two, so that wrapping and unwrapping are exact
    images = random.integers(-3, 4, (n, 3)) * moving
    positions = np.round(random.uniform(-2, 8, (n, 3)) * 256) / 256 + images @ box.vectors
    return LammpsData(
        ids=ids,
        types=np.arange(n) % 3 % 2 + 1,
        molecules=np.arange(n) // per_chain + 1 if "molecule" in columns else None,
        charges=random.normal(size=n) if "charge" in columns else None,
        positions=positions,
        images=images,
        velocities=random.normal(size=(n, 3)) if moving else None,
        masses={1: 1.25, 2: 12.011},
        bonds=rows("bond"),
        angles=rows("angle"),
        dihedrals=rows("dihedral"),
        impropers=rows("improper"),
        box=box,
        atom_style=style,
        units="real",
        type_labels=names if labels else {},
        n_types=dict.fromkeys(("atom", *kinds), 2),
    )


@st.composite
def any_data(draw: st.DrawFn, exact: bool = True) -> LammpsData:
    """Data of any style; if exact, positions and box are such that wrapping loses nothing."""
    style = draw(st.sampled_from(sorted(ATOM_STYLES)))
    n = draw(st.integers(1, 8))
    ids = np.array(sorted(draw(st.sets(st.integers(1, 2**31 - 1), min_size=n, max_size=n))), dtype=np.int64)
    columns, kinds = ATOM_STYLES[style], STYLE_TOPOLOGY[style]
    n_types = draw(st.integers(1, 4))
    any_float = st.floats(-1e6, 1e6, allow_nan=False, allow_infinity=False)
    place = st.integers(-4096, 4096).map(lambda k: k / 64) if exact else any_float

    def array(strategy: st.SearchStrategy, *shape: int) -> np.ndarray:
        size = int(np.prod(shape))
        return np.array(draw(st.lists(strategy, min_size=size, max_size=size))).reshape(shape)

    lo = array(place, 3)
    edge = st.integers(1, 4096).map(lambda k: k / 64)
    tilt = array(place, 3) if draw(st.booleans()) else np.zeros(3)
    box = Box(lo, lo + array(edge, 3), tilt)
    images = array(st.integers(-8, 8), n, 3).astype(np.int64) if draw(st.booleans()) else np.zeros((n, 3), np.int64)
    topology, counts = {}, {"atom": n_types}
    for kind, size in TOPOLOGY.items():
        rows = []
        if kind in kinds and n >= size:
            rows = draw(
                st.lists(
                    st.tuples(st.integers(1, 3), st.permutations(ids.tolist()).map(lambda p, k=size: p[:k])),
                    max_size=4,
                    unique_by=lambda row: tuple(sorted(row[1])),
                )
            )
        topology[kind] = np.array([[number, *atoms] for number, atoms in rows], dtype=np.int64).reshape(-1, 1 + size)
        if rows:
            counts[kind] = 3
    word = st.text(st.sampled_from("ABCxyz019-=_()*'é"), min_size=1, max_size=6).filter(
        lambda w: w[0] not in "0123456789*"
    )
    labels, coefficients = {}, {}
    for kind, count in counts.items():
        if draw(st.booleans()):
            names = draw(st.lists(word, min_size=count, max_size=count, unique=True))
            labels[kind] = dict(enumerate(names, start=1))
        if draw(st.booleans()):
            name = "Pair Coeffs" if kind == "atom" else f"{kind.capitalize()} Coeffs"
            coefficients[name] = [f"{k} {draw(any_float)!r} style/x" for k in range(1, 1 + count)]
    masses = {k: draw(st.floats(1e-3, 1e3)) for k in range(1, 1 + n_types)} if draw(st.booleans()) else {}
    return LammpsData(
        ids=ids,
        types=array(st.integers(1, n_types), n).astype(np.int64),
        molecules=array(st.integers(0, 5), n).astype(np.int64) if "molecule" in columns else None,
        charges=array(any_float, n) if "charge" in columns else None,
        positions=array(place, n, 3) + images @ box.vectors,
        images=images,
        velocities=array(any_float, n, 3) if draw(st.booleans()) else None,
        masses=masses,
        bonds=topology["bond"],
        angles=topology["angle"],
        dihedrals=topology["dihedral"],
        impropers=topology["improper"],
        box=box,
        atom_style=style,
        units=draw(st.sampled_from([None, "lj", "real"])),
        type_labels=labels,
        coefficients=coefficients,
        coefficient_styles={name: "zero" for name in coefficients if draw(st.booleans())},
        n_types=counts,
    )
