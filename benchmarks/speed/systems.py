"""What is simulated: the reference polymers, chains of the paper's length, an electrolyte; and models with random weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cgplugin import LearnedModel, MolecularSystem
from cgplugin.coarse_graining.coarsening import CoarseGraining
from cgplugin.learned.simulator import LearnedSimulator
from cgplugin.networks.options import PAPER, NetworkOptions
from cgplugin.systems.force_field import BeadSpringForceField, built_in
from cgplugin.systems.lammps_files import LammpsConventions
from cgplugin.systems.structure_files import load_structure
from openmm_integration.ground_truth.chemical_space import sample_sequence
from openmm_integration.ground_truth.polymer_builder import build_polymer, start_positions
from openmm_integration.ground_truth.push_off import push_off
from tests.random_model import random_model

LONG_CHAIN = 889
"""Atoms of a chain in the paper."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FineSystem:
    """Atoms to be simulated by MD and, as beads, by a model.

    Attributes
    ----------
    system : MolecularSystem
    positions : array, shape (n_atoms, 3)
        nm.
    box_vectors : array, shape (3, 3), or None
        nm.
    force_field : BeadSpringForceField
    """

    system: MolecularSystem
    positions: Array
    box_vectors: Array | None
    force_field: BeadSpringForceField


def recorded(path: Path, name: str) -> FineSystem:
    """System of a LAMMPS data file with a built-in force field."""
    force_field = built_in(name)
    structure = load_structure(path, LammpsConventions(force_field=force_field))
    return FineSystem(structure.system, structure.positions, structure.box_vectors, force_field)


def long_chain(number: int) -> FineSystem:
    """A random copolymer of about the paper's length, its overlaps removed."""
    force_field = built_in("polymer")
    drawn = sample_sequence(force_field, "II", LONG_CHAIN, (number,)).units
    lengths = np.cumsum([len(force_field.constitutional_units[unit]) for unit in drawn])
    n_units = int(np.searchsorted(lengths, LONG_CHAIN)) + 1
    system = build_polymer(force_field, drawn[:n_units], f"long{number}")
    positions = start_positions(system, force_field.bond_r0, (number,))
    # wide enough that no image is met
    box = np.eye(3) * (np.ptp(positions, axis=0).max() + 100.0)
    positions = push_off(force_field, system, positions, box, seed=number, platform="CPU", threads=1)
    return FineSystem(system, positions, None, force_field)


def paper_size_model(folder: Path, systems: Sequence[FineSystem], like: LearnedModel) -> Path:
    """Random weights in networks of the paper's size, with the cutoff and the bead size of another model."""
    description = like.description
    return random_model(
        folder / "paper_size.pt",
        [fine.system for fine in systems],
        cutoff=description.cutoff,
        atoms_per_bead=description.atoms_per_bead,
        periodic=description.periodic,
        options=NetworkOptions(**{**PAPER, "score": bool(description.noise_levels)}),
        refinement_levels=description.refinement.get("levels", 0),
    )


def start_frames(model: LearnedModel, cg: CoarseGraining, fine: FineSystem, random: np.random.Generator) -> Array:
    """Frames to start from: the beads, with displacements of a usual size before."""
    beads = cg.positions(fine.positions)
    moved = random.normal(size=(model.n_history, *beads.shape)) * model.description.scales.get("displacement", 0.5)
    return np.concatenate([beads - moved[::-1].cumsum(axis=0)[::-1], beads[None]])


def simulator_of(model: LearnedModel, systems: Sequence[FineSystem], n: int) -> tuple[LearnedSimulator, list[Array]]:
    """A simulator of ``n`` systems, the given ones again and again, and its start frames."""
    random = np.random.default_rng(0)
    graining = [model.coarsen(fine.system) for fine in systems]
    chosen = [i % len(systems) for i in range(n)]
    simulator = LearnedSimulator(
        model, [graining[i] for i in chosen], box_vectors=[systems[i].box_vectors for i in chosen]
    )
    return simulator, [start_frames(model, graining[i], systems[i], random) for i in chosen]
