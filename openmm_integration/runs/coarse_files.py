"""Files of bead systems: topology, mapping, trajectory."""

from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from cgplugin.coarse_graining.coarse_trajectory import FineTrajectory, coarsen_frames
from cgplugin.coarse_graining.coarsening import CoarseGraining
from cgplugin.files import read_json, replacing, write_json
from cgplugin.systems.periodic import MoleculeMender
from cgplugin.systems.species import ParticleSpecies
from cgplugin.systems.structure_files import Structure
from openmm_integration.cg_system import bead_topology
from openmm_integration.topology import write_pdb


def write_beads(
    folder: Path,
    cg: CoarseGraining,
    positions: NDArray[np.float64],
    box_vectors: NDArray[np.float64] | None = None,
    **extra: Any,
) -> None:
    """Write ``topology.pdb`` (beads with CONECT) and ``mapping.json`` into a folder.

    The mapping also says the species of each bead and, where the fine system has charges, its charge.

    Parameters
    ----------
    folder : Path
    cg : CoarseGraining
    positions : array, shape (n_beads, 3)
        nm.
    box_vectors : array, shape (3, 3), optional
        nm.
    extra
        Further entries of ``mapping.json``.
    """
    write_pdb(folder / "topology.pdb", bead_topology([cg], box_vectors), positions)
    particles = ParticleSpecies.of_beads(cg.system, cg.mapping)
    charges = None if particles.charges is None else particles.charges.tolist()
    cg.save(folder / "mapping.json", species=list(particles.names), charges=charges, **extra)


def write_coarse_structure(folder: Path, cg: CoarseGraining, structure: Structure) -> None:
    """Write the beads of a structure; see `write_beads`."""
    fine = structure.positions
    if structure.box_vectors is not None:
        fine = MoleculeMender(cg.system).make_whole(fine, structure.box_vectors)
    write_beads(folder, cg, cg.positions(fine), structure.box_vectors, units=cg.system.units)


def write_coarse_trajectory(
    folder: Path, cg: CoarseGraining, trajectory: FineTrajectory, progress: bool = False
) -> None:
    """Write the path of the beads to ``trajectory.dcd`` in a folder, streamed and unwrapped, whole or not at all.

    The interval between frames, which the format does not say reliably, goes into the ``mapping.json`` that is there.
    """
    with (
        replacing(folder / "trajectory.dcd") as temporary,
        mdtraj.formats.DCDTrajectoryFile(str(temporary), "w", force_overwrite=True) as file,
        tqdm(total=trajectory.n_frames, unit="frame", disable=not progress) as bar,
    ):
        blocks = coarsen_frames(cg, trajectory.blocks(), unwrapped=trajectory.unwrapped, source=trajectory.source)
        for block, _ in blocks:
            cell = {}
            if block.box_vectors is not None:
                lengths, angles = _lengths_and_angles(block.box_vectors)
                cell = {"cell_lengths": lengths, "cell_angles": angles}
            # the format is in angstrom and single precision
            file.write((10 * block.positions).astype(np.float32), **cell)
            bar.update(len(block.positions))
    mapping = folder / "mapping.json"
    write_json(mapping, {**read_json(mapping), "recording_interval": trajectory.interval})


def _lengths_and_angles(box_vectors: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    edges = mdtraj.utils.unitcell.box_vectors_to_lengths_and_angles(*np.moveaxis(box_vectors, 1, 0))
    lengths, angles = np.stack(edges[:3], axis=-1), np.stack(edges[3:], axis=-1)
    return (10 * lengths).astype(np.float32), angles.astype(np.float32)
