"""Training, from trajectories of beads to a model file."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import lightning
import numpy as np
import torch

from cgplugin.coarse_graining.coarse_trajectory import CoarseTrajectory
from cgplugin.coarse_graining.vocabulary import Vocabulary
from cgplugin.errors import UserError
from cgplugin.learned.learned_model import LearnedModel, ModelDescription
from cgplugin.learned.refinement import Refinement, noise_levels
from cgplugin.networks.combined import LearnedNetworks
from cgplugin.networks.options import NetworkOptions

from .dataset import Augmentation, WindowDataset
from .fitting import Stage, fit
from .lightning_notices import quiet_lightning
from .matching import MatchingModule, StepDataset
from .normalisation import fit_scales
from .options import TrainingOptions
from .pair_counts import PairBands, reach_of_pairs
from .processes import Processes
from .settling import common_force_field, default_cutoff, longest_bond, settle, split_off_validation
from .training_module import TrainingModule
from .unfinished import check_output, prepare_folder, provenance_of, working_folder

__all__ = ["check_output", "longest_bond", "train", "working_folder"]


def train(
    trajectories: Sequence[CoarseTrajectory],
    out: str | os.PathLike[str],
    *,
    options: TrainingOptions = TrainingOptions(),
    network: NetworkOptions = NetworkOptions(),
    validation: Sequence[CoarseTrajectory] | None = None,
    lammps_atom_types: dict[str, str] | None = None,
    processes: Processes = Processes(),
    restart: bool = False,
    progress: bool = False,
) -> Path:
    """Train a model and write it to ``out``.

    Checkpoints and logs (CSV, TensorBoard) go to the folder ``<out without suffix>.training``. If it holds an unfinished
    training with the same options and data, that one goes on.

    Parameters
    ----------
    trajectories : sequence of CoarseTrajectory
        Training systems, all coarse-grained with the options' bead size and seed; equal recording intervals.
    out : path
        Model file.
    options, network
        See `TrainingOptions` and `NetworkOptions`.
    validation : sequence of CoarseTrajectory, optional
        If not given, a share of the training systems is set aside (of a single system: the end of its trajectory).
    lammps_atom_types : dict, optional
        LAMMPS type (as text) to name; stored with the model.
    processes : Processes
        Several of them share the systems of each batch, and give the same losses as one, to rounding; a training may go on with
        another number.
    restart : bool
        Throw an unfinished training away.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Path
        The model file, holding the weights of the best validation loss; the first node writes it.

    Raises
    ------
    UserError
        If the data do not fit together or with the options.
    """
    out = Path(out)
    if not trajectories:
        raise UserError("there are no trajectories to train on")
    if options.matching_steps and not (network.score and options.refinement_levels):
        lacks = "no refinement: give refinement-levels" if network.score else "no Score GNN: use --score"
        raise UserError(f"matching-steps is {options.matching_steps}, but there is {lacks}")
    options, stride = settle(options, trajectories, validation or ())
    if options.systems_per_batch < processes.number:
        raise UserError(
            f"systems-per-batch is {options.systems_per_batch}, but {processes.number} processes share them: give more"
        )
    if validation is None:
        trajectories, validation = split_off_validation(trajectories, options, stride)
    if options.matching_steps and len(trajectories) < processes.number:
        raise UserError(
            f"matching-steps: {processes.number} processes share {len(trajectories)} systems, one each at least"
        )
    everything = [*trajectories, *validation]
    vocabulary = Vocabulary.of(t.cg.system for t in everything)
    scales = fit_scales(trajectories, stride, prior=network.prior == "linear")
    cutoff = options.cutoff if options.cutoff is not None else default_cutoff(scales, everything)
    augmentation = Augmentation(
        rotate=options.rotate and network.symmetry == "none",
        time_reversal=options.time_reversal,
        noise=options.history_noise * scales.displacement,
    )
    levels = noise_levels(network, scales.residual)
    score_cutoff = cutoff if options.score_cutoff is None else options.score_cutoff
    windows = partial(
        WindowDataset,
        vocabulary=vocabulary,
        stride=stride,
        n_history=options.n_history,
        cutoff=cutoff,
        levels=levels,
        score_cutoff=score_cutoff,
        ion_cutoff=options.ion_cutoff,
        score_ion_cutoff=options.score_ion_cutoff,
    )
    training_set, validation_set = windows(trajectories, augmentation=augmentation), windows(validation)

    folder = working_folder(out)
    provenance = provenance_of(options, network, trajectories, validation)
    goes_on = prepare_folder(folder, provenance, restart, processes)

    lightning.seed_everything(options.seed, workers=False, verbose=False)
    networks = LearnedNetworks(
        n_atom_types=len(vocabulary.atom_types),
        n_bond_types=len(vocabulary.bond_types),
        n_history=options.n_history,
        cutoff=cutoff,
        score_cutoff=score_cutoff,
        ion_cutoff=options.ion_cutoff,
        score_ion_cutoff=options.score_ion_cutoff,
        mean_atom_mass=float(np.mean(np.concatenate([t.cg.system.masses for t in trajectories]))),
        options=network,
        scales=scales,
    )
    refinement = Refinement(
        min(options.refinement_levels, len(levels)),
        options.refinement_steps,
        sampler=options.refinement_sampler,
        skip=options.refinement_skip,
        reuse=options.refinement_reuse,
    )
    module = TrainingModule(networks, options, scales)
    with quiet_lightning(), processes.prepared():
        stage = Stage(options.steps, folder, "val_nll", goes_on)
        best = fit(module, training_set, validation_set, options, stage, processes, progress)
        module.load_state_dict(torch.load(best, weights_only=True)["state_dict"])
        if options.matching_steps:
            # not turned, as the positions that come with these windows are not
            recorded = windows(trajectories, augmentation=Augmentation(time_reversal=options.time_reversal))
            stage = Stage(options.matching_steps, folder / "matching", None, goes_on)
            bands = PairBands.of(recorded, reach_of_pairs(recorded))
            matching = MatchingModule(networks, options, recorded, bands, levels, refinement)
            steps = StepDataset(recorded, refinement.n_normal)
            last = fit(matching, steps, validation_set, options, stage, processes, progress)
            matching.load_state_dict(torch.load(last, weights_only=True)["state_dict"])
    if processes.node:
        return out
    description = ModelDescription(
        units=everything[0].cg.system.units,
        time_step=float(options.time_step or 0.0),
        n_history=options.n_history,
        cutoff=cutoff,
        score_cutoff=score_cutoff if levels else None,
        ion_cutoff=options.ion_cutoff,
        score_ion_cutoff=options.score_ion_cutoff if levels else None,
        atoms_per_bead=options.atoms_per_bead,
        partition_seed=options.partition_seed,
        atom_types=vocabulary.atom_types,
        bond_types=vocabulary.bond_types,
        lammps_atom_types=lammps_atom_types or {},
        longest_bond=longest_bond(everything),
        periodic=everything[0].box_vectors is not None,
        networks=asdict(network),
        scales=scales._asdict(),
        noise_levels=levels,
        refinement=asdict(refinement),
        force_field=common_force_field(everything),
        training={**provenance, "val_nll": float(torch.load(best, weights_only=True)["cgplugin_val_nll"])},
    )
    return LearnedModel.export(networks, description, out)
