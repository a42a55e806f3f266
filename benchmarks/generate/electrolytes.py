"""Electrolytes of `cgplugin generate` against LAMMPS trajectories of the same composition: structure, energies, dynamics.

    python benchmarks/generate/electrolytes.py --reference ../shared/electrolyte/devtest/000 --out /tmp/electrolytes

Runs independent systems from random starts (those that are there already are kept), and prints a Markdown table. The errors of
ours are from system to system; those of the reference, which is one run, from blocks of it.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import mdtraj
import numpy as np
import openmm
from numpy.typing import NDArray

from cgplugin.coarse_graining.coarse_trajectory import FineTrajectory
from cgplugin.systems.force_field import built_in
from cgplugin.systems.lammps_files import LammpsConventions
from cgplugin.systems.molecular_system import MolecularSystem
from cgplugin.systems.structure_files import load_structure, open_trajectory
from openmm_integration.ground_truth.bead_spring import create_system, energy_terms
from openmm_integration.ground_truth.electrolytes import ElectrolyteSpec, generate_electrolytes
from openmm_integration.topology import to_openmm_topology

Array = NDArray[np.float64]
Values = dict[str, float]

BLOCKS = 6
"""Of the reference run, about as many relaxation times of its chains as there are blocks apart."""

ENERGY_FRAMES = 40
"""Per system or block."""

LAGS = (2.0, 10.0, 40.0, 100.0)
"""tau."""

RDF_RANGE, RDF_BIN = (0.0, 2.5), 0.05
"""sigma."""

SHELLS = ((0.85, 1.05), (1.3, 1.6), (1.9, 2.1))
"""Ranges in sigma that g(r) is averaged over: the first peak, what follows it, the second.

Averages over a fixed range are linear in the counts. The height of a peak is not: in a short block, with ten pairs in a bin, the
highest bin is high by chance.
"""


def energies(system: MolecularSystem, frames: Array, box_vectors: Array) -> Values:
    """Mean of each term per atom."""
    context = openmm.Context(
        create_system(built_in("electrolyte"), [system], box_vectors),
        openmm.VerletIntegrator(0.001),
        openmm.Platform.getPlatformByName("Reference"),
    )
    terms = []
    for frame in frames[:: max(1, len(frames) // ENERGY_FRAMES)]:
        context.setPositions(frame)
        found = energy_terms(context)
        found["coulomb"] += found.pop("coulomb_reciprocal")
        terms.append(found)
    return {f"{name} energy": float(np.mean([term[name] for term in terms])) / system.n_atoms for name in terms[0]}


def radial_distribution(system: MolecularSystem, frames: Array, box_vectors: Array, partner: str) -> Values:
    """g(r) between Li and a type, averaged over each of `SHELLS`."""
    trajectory = mdtraj.Trajectory(frames, mdtraj.Topology.from_openmm(to_openmm_topology(system)))
    trajectory.unitcell_vectors = np.tile(box_vectors, (len(frames), 1, 1)).astype(np.float32)
    ions, others = (np.flatnonzero(np.array(system.atom_types) == name) for name in ("Li", partner))
    pairs = np.array([(i, j) for i in ions for j in others])
    r, g = mdtraj.compute_rdf(trajectory, pairs, r_range=RDF_RANGE, bin_width=RDF_BIN)
    found = {}
    for near, far in SHELLS:
        inside = (r > near) & (r < far)
        # by volume, so that it is the number of pairs in the shell over that of an ideal gas
        value = np.average(g[inside], weights=r[inside] ** 2)
        found[f"Li-{partner} g({near:g} to {far:g} sigma)"] = float(value)
    return found


def displacements(system: MolecularSystem, frames: Array, interval: float) -> Values:
    """Mean squared displacement of Li over all origins, in sigma^2, without the drift of the centre of mass."""
    weights = system.masses / system.masses.sum()
    frames = frames - np.einsum("i,tik->tk", weights, frames)[:, None]
    paths = frames[:, np.array(system.atom_types) == "Li"]
    found = {}
    for lag in LAGS:
        stride = round(lag / interval)
        if stride and abs(stride * interval - lag) < 1e-6 and stride < len(paths):
            moved = ((paths[stride:] - paths[:-stride]) ** 2).sum(axis=2).mean()
            found[f"Li MSD({lag:g} tau) / sigma^2"] = float(moved)
    return found


def averages(system: MolecularSystem, frames: Array, box_vectors: Array, interval: float) -> Values:
    """All that is compared."""
    return {
        **energies(system, frames, box_vectors),
        **radial_distribution(system, frames, box_vectors, "N"),
        **radial_distribution(system, frames, box_vectors, "E"),
        **displacements(system, frames, interval),
    }


def mean_and_error(parts: list[Values]) -> dict[str, tuple[float, float]]:
    """Mean, and standard error from independent parts."""
    return {
        name: (
            float(np.mean([part[name] for part in parts])),
            float(np.std([part[name] for part in parts], ddof=1) / np.sqrt(len(parts))),
        )
        for name in parts[0]
    }


def in_blocks(frames: Array, measure: Callable[[Array], Values]) -> dict[str, tuple[float, float]]:
    """Mean and error of what is measured in each block of a run."""
    return mean_and_error([measure(block) for block in np.array_split(frames, BLOCKS)])


def read_frames(trajectory: FineTrajectory) -> Array:
    """All frames, unwrapped, shape (n_frames, n_atoms, 3), nm."""
    return np.concatenate([block.positions for block in trajectory.blocks()])


def reference_values(folder: Path) -> dict[str, tuple[float, float]]:
    """Averages of a folder of the reference data: the long trajectory, and for short lags the dense one."""
    conventions = LammpsConventions(force_field=built_in("electrolyte"))
    structure = load_structure(folder, conventions)
    box_vectors = structure.box_vectors
    assert box_vectors is not None
    dense, long = (
        open_trajectory(folder / f"{name}.lammpstrj.bz2", structure, conventions) for name in ("traj", "long")
    )
    dense_frames, long_frames = read_frames(dense), read_frames(long)
    # the long one last: where both know a value, it is the better
    return {
        **in_blocks(dense_frames, lambda block: displacements(structure.system, block, dense.interval)),
        **in_blocks(long_frames, lambda block: averages(structure.system, block, box_vectors, long.interval)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--reference", type=Path, required=True, help="folder of a reference system, with long.lammpstrj.bz2"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the systems that are generated")
    parser.add_argument("--n-systems", type=int, default=4)
    parser.add_argument("--length", type=float, default=400.0, help="tau")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    described = json.loads((options.reference / "meta.json").read_text())
    composition = {"pattern": described["pattern"], "n_salt": described["n_salt"]}
    spec = ElectrolyteSpec(compositions=[composition] * options.n_systems, length=options.length, seed=17)
    folders = generate_electrolytes(spec, options.out, workers=options.workers, report=print)
    parts = []
    for folder in folders:
        structure = load_structure(folder)
        frames = read_frames(open_trajectory(folder / "trajectory.dcd", structure))
        assert structure.box_vectors is not None
        parts.append(averages(structure.system, frames, structure.box_vectors, spec.recording_interval))
    ours, theirs = mean_and_error(parts), reference_values(options.reference)
    print("\n| | OpenMM | LAMMPS | difference / error |")
    print("|---|---|---|---|")
    for name, (mean, error) in ours.items():
        expected, uncertain = theirs[name]
        apart = (mean - expected) / np.hypot(error, uncertain)
        print(f"| {name} | {mean:.3f} ± {error:.3f} | {expected:.3f} ± {uncertain:.3f} | {apart:+.1f} |")


if __name__ == "__main__":
    main()
