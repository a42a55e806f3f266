"""Whether a structure can start a learned simulation: found out before any MD is run for it."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from cgplugin.coarse_graining.verlet_list import VerletList, check_cutoff, squared_length
from cgplugin.errors import UserError
from cgplugin.systems.periodic import MoleculeMender, box_heights, check_box
from cgplugin.systems.structure_files import Structure

from .learned_model import LearnedModel

OVERLAP = 0.01
"""Atoms or beads that are closer than this, in nm, are at the same place by mistake: no bond is as short."""

SEARCH_RANGE = 0.5
"""Overlaps are looked for among pairs within this distance, nm: cells of the size of an overlap would be too many."""


def check_box_fits(model: LearnedModel, name: str, box_vectors: NDArray[np.float64] | None) -> None:
    """Check the box of a system.

    Raises
    ------
    UserError
        If the system has a box and the model's training systems had none, or the reverse; if the box is none, or too small for
        the model's cutoff.
    """
    if (box_vectors is not None) != model.description.periodic:
        has, was = ("without", "with") if model.description.periodic else ("with", "without")
        raise UserError(f"{name}: a system {has} a box, but {model.source} was trained {was} one")
    if box_vectors is None:
        return
    check_box(box_vectors, name)
    try:
        for cutoff, ion_cutoff in (model.description.cutoffs, model.description.score_cutoffs):
            check_cutoff(cutoff, box_vectors, ion_cutoff)
    except UserError as error:
        raise UserError(f"{name}: {error}") from error


def check_no_overlap(
    positions: NDArray[np.float64], box_vectors: NDArray[np.float64] | None, name: str, what: str
) -> None:
    """Refuse positions, shape (n, 3) in nm, two of which are at the same place; ``what`` they are is for the message.

    Raises
    ------
    UserError
        If two are closer than `OVERLAP`, in any image.
    """
    if len(positions) < 2:
        return
    box = None if box_vectors is None else torch.tensor(box_vectors)
    reach = SEARCH_RANGE if box_vectors is None else min(SEARCH_RANGE, 0.49 * float(box_heights(box_vectors).min()))
    pairs, separations = VerletList(len(positions), reach, box, skin=0.0).find(torch.tensor(positions))
    distances = squared_length(separations).sqrt()
    if len(distances) and float(distances.min()) < OVERLAP:
        worst = int(distances.argmin())
        i, j = pairs[:, worst].tolist()
        raise UserError(
            f"{name}: {what} {i} and {j} overlap: they are {float(distances[worst]):.2g} nm apart; move them apart"
        )


def checked_structure(model: LearnedModel, structure: Structure) -> Structure:
    """The structure with its molecules whole, if it can start a simulation.

    Raises
    ------
    UserError
        If it has a type that the model never saw, its box does not fit, atoms overlap, or a molecule cannot be made whole.
    """
    model.check(structure.system)
    name, box = structure.system.name, structure.box_vectors
    check_box_fits(model, name, box)
    check_no_overlap(structure.positions, box, name, "atoms")
    if box is None:
        return structure
    return replace(structure, positions=MoleculeMender(structure.system).make_whole(structure.positions, box))
