"""Training with Lightning: from trajectories of beads to a model file."""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import (
    EarlyStopping,
    EMAWeightAveraging,
    LearningRateMonitor,
    ModelCheckpoint,
    TQDMProgressBar,
)
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.plugins import TorchCheckpointIO
from torch import Tensor
from torch.utils.data import DataLoader

from cgplugin.coarse_graining.coarse_trajectory import CoarseTrajectory
from cgplugin.coarse_graining.vocabulary import Vocabulary
from cgplugin.errors import UserError
from cgplugin.files import read_json, replacing, write_json
from cgplugin.learned.learned_model import LearnedModel, ModelDescription
from cgplugin.learned.model_archive import check_unpacked_size
from cgplugin.learned.refinement import Refinement, noise_levels
from cgplugin.networks.combined import LearnedNetworks
from cgplugin.networks.dynamics import Scales
from cgplugin.networks.options import NetworkOptions
from cgplugin.systems.periodic import box_heights

from .dataset import Augmentation, Batch, FixedSampler, WindowDataset, WindowSampler, fixed_batches
from .lightning_notices import quiet_lightning
from .likelihood import negative_log_likelihood, score_loss, size_loss
from .normalisation import fit_scales
from .options import TrainingOptions
from .processes import Processes, weight_of_share

VALIDATION_WINDOWS = 100
"""Windows of each validation system."""

DEFAULT_TIME_STEP_LJ = 5.0
"""tau; the learned time step that the reference polymers ask for (500 MD steps)."""


class TrainingModule(lightning.LightningModule):
    """The networks, their loss and their optimiser.

    Parameters
    ----------
    networks : LearnedNetworks
    options : TrainingOptions
    scales : Scales
    """

    def __init__(self, networks: LearnedNetworks, options: TrainingOptions, scales: Scales) -> None:
        super().__init__()
        self.networks, self.options, self.scales = networks, options, scales

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Losses per degree of freedom: ``nll``, ``size`` and, with a Score GNN, ``score``."""
        embedded = self.networks.embed(
            batch.atom_types, batch.atom_masses, batch.bonds, batch.bond_types, batch.mapping, batch.n_embedded
        )
        prediction = self.networks(
            embedded[batch.embedding_row],
            batch.masses,
            batch.displacements,
            batch.edge_index,
            batch.separations,
            batch.edge_kinds,
        )
        unit = self.scales.residual
        losses = {
            "nll": negative_log_likelihood(prediction, batch.target, batch.edge_index, batch.molecules, unit),
            "size": size_loss(prediction, batch.internal_rg2, self.scales.internal_rg2),
        }
        if batch.noisy is not None:
            noisy = batch.noisy
            estimate = self.networks.estimate_noise(
                prediction, noisy.change, noisy.edge_index, noisy.separations, noisy.edge_kinds, noisy.sigma
            )
            losses["score"] = score_loss(estimate, noisy.normal)
        return losses

    def training_step(self, batch: Batch) -> Tensor:
        """Loss of a training batch (paper: L = L_dyn + L_score)."""
        losses = self.losses(batch)
        several = self.trainer.world_size > 1
        if several:
            weight = weight_of_share(len(batch.target), self.device)
            losses = {name: weight * loss for name, loss in losses.items()}
            # DDP waits for a gradient of every parameter, and a share without CG bonds, say, has none for some
            losses["size"] = losses["size"] + 0.0 * sum(parameter.sum() for parameter in self.parameters())
        for name in ("nll", "score"):
            if name in losses:
                self.log(f"train_{name}", losses[name], prog_bar=True, batch_size=1, sync_dist=several)
        return losses["nll"] + self.options.size_weight * losses["size"] + losses.get("score", torch.tensor(0.0))

    def validation_step(self, batch: Batch) -> None:
        """Losses of a validation batch, weighted by its number of beads."""
        for name, loss in self.losses(batch).items():
            self.log(
                f"val_{name}",
                loss,
                prog_bar=name == "nll",
                batch_size=len(batch.target),
                sync_dist=self.trainer.world_size > 1,
            )

    def configure_optimizers(self) -> Any:
        """Adam with exponential decay of the learning rate (paper, Methods)."""
        options = self.options
        optimizer = torch.optim.AdamW(self.parameters(), options.learning_rate, weight_decay=options.weight_decay)
        decay = (options.final_learning_rate / options.learning_rate) ** (1 / options.steps)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, decay)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class _WholeCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint whole or not at all, so that a kill in mid-write costs nothing."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        with replacing(path) as temporary:
            super().save_checkpoint(checkpoint, temporary, storage_options)


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
    options, stride = _settle(options, trajectories, validation or ())
    if options.systems_per_batch < processes.number:
        raise UserError(
            f"systems-per-batch is {options.systems_per_batch}, but {processes.number} processes share them: give more"
        )
    if validation is None:
        trajectories, validation = _split(trajectories, options, stride)
    everything = [*trajectories, *validation]
    vocabulary = Vocabulary.of(t.cg.system for t in everything)
    scales = fit_scales(trajectories, stride, prior=network.prior == "linear")
    cutoff = options.cutoff if options.cutoff is not None else _default_cutoff(scales, everything)
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
    )
    training_set, validation_set = windows(trajectories, augmentation=augmentation), windows(validation)

    folder = working_folder(out)
    provenance = _provenance(options, network, trajectories, validation)
    unfinished = _prepare_folder(folder, provenance, restart, processes)

    lightning.seed_everything(options.seed, workers=False, verbose=False)
    networks = LearnedNetworks(
        n_atom_types=len(vocabulary.atom_types),
        n_bond_types=len(vocabulary.bond_types),
        n_history=options.n_history,
        cutoff=cutoff,
        score_cutoff=score_cutoff,
        mean_atom_mass=float(np.mean(np.concatenate([t.cg.system.masses for t in trajectories]))),
        options=network,
        scales=scales,
    )
    module = TrainingModule(networks, options, scales)
    with quiet_lightning(), processes.prepared():
        best = _fit(module, training_set, validation_set, options, processes, folder, unfinished, progress)
    if processes.node:
        return out
    module.load_state_dict(torch.load(best, weights_only=True)["state_dict"])
    description = ModelDescription(
        units=everything[0].cg.system.units,
        time_step=float(options.time_step or 0.0),
        n_history=options.n_history,
        cutoff=cutoff,
        score_cutoff=score_cutoff if levels else None,
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
        refinement=asdict(
            Refinement(
                min(options.refinement_levels, len(levels)),
                options.refinement_steps,
                sampler=options.refinement_sampler,
                skip=options.refinement_skip,
            )
        ),
        force_field=_common_force_field(everything),
        training={**provenance, "val_nll": float(torch.load(best, weights_only=True)["cgplugin_val_nll"])},
    )
    return LearnedModel.export(networks, description, out)


def working_folder(out: Path) -> Path:
    """Folder for checkpoints and logs of a training that writes ``out``."""
    return out.with_suffix(".training")


def check_output(out: Path) -> None:
    """Find out before a long training whether its result can be written.

    Raises
    ------
    UserError
        If not.
    """
    if out.is_dir():
        raise UserError(f"{out}: is a folder, expected the name of a model file")
    with replacing(working_folder(out) / ".writable") as temporary:
        temporary.touch()
    (working_folder(out) / ".writable").unlink()


class _RecordLoss(lightning.Callback):
    """Stores the validation loss in the checkpoint, for the model's provenance."""

    def on_save_checkpoint(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,  # noqa: ARG002 - Lightning's signature
        checkpoint: dict[str, Any],
    ) -> None:
        checkpoint["cgplugin_val_nll"] = float(trainer.callback_metrics.get("val_nll", torch.tensor(float("nan"))))


def _fit(
    module: TrainingModule,
    training_set: WindowDataset,
    validation_set: WindowDataset,
    options: TrainingOptions,
    processes: Processes,
    folder: Path,
    unfinished: Path | None,
    progress: bool,
) -> Path:
    batches = min(options.validate_every, options.steps)
    sampler = WindowSampler(
        training_set.n_windows, batches, options.systems_per_batch, options.windows_per_system, options.seed
    )
    # something for every process, where there are enough systems
    size = min(options.systems_per_batch, max(1, len(validation_set.trajectories) // processes.number))
    validation_sampler = FixedSampler(fixed_batches(validation_set, VALIDATION_WINDOWS, size))
    # saved at the end of an epoch, after its validation: that is where a resumed training can go on exactly
    checkpoints = ModelCheckpoint(
        dirpath=folder,
        filename="best",
        monitor="val_nll",
        save_last=True,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    averaged = options.averaging * options.steps
    # one-step losses of two nearby sets of weights hardly differ while their long runs do: the average is what lasts
    averaging = [EMAWeightAveraging(decay=1 - 1 / averaged)] if averaged > 1 else []
    trainer = lightning.Trainer(
        accelerator="auto",
        **processes.options,
        # counted in epochs, since Lightning resumes runs that are limited by steps in the middle of an epoch
        max_epochs=math.ceil(options.steps / batches),
        gradient_clip_val=options.gradient_clip,
        callbacks=[
            *processes.callbacks,
            *averaging,
            _RecordLoss(),
            checkpoints,
            EarlyStopping("val_nll", patience=options.patience, check_finite=True, check_on_train_epoch_end=True),
            LearningRateMonitor("step"),
            *([TQDMProgressBar(refresh_rate=10)] if progress else []),
        ],
        logger=[
            # a file of its own for each session: a resumed one would begin the file anew
            CSVLogger(folder, name="log", version=f"session-{len(list(folder.glob('log/session-*')))}"),
            TensorBoardLogger(folder, name="tensorboard", version=""),
        ],
        log_every_n_steps=min(50, batches),
        num_sanity_val_steps=0,
        enable_progress_bar=progress,
        enable_model_summary=False,
        plugins=[_WholeCheckpointIO(), *processes.plugins],
        use_distributed_sampler=False,
    )
    trainer.fit(
        module,
        DataLoader(training_set, batch_size=None, sampler=sampler),
        DataLoader(validation_set, batch_size=None, sampler=validation_sampler),
        ckpt_path=unfinished,
        weights_only=True,
    )
    best = Path(checkpoints.best_model_path)
    if not best.is_file():
        raise UserError("the training loss is not finite: lower the learning rate, or look for bad frames in the data")
    return best


def _settle(
    options: TrainingOptions, trajectories: Sequence[CoarseTrajectory], validation: Sequence[CoarseTrajectory]
) -> tuple[TrainingOptions, int]:
    """Check that the data fit together; fill in the time step; find the stride."""
    first = trajectories[0]
    for other in [*trajectories, *validation]:
        if abs(other.interval - first.interval) > 1e-6 * first.interval:
            raise UserError(
                f"{other.source}: frames are {other.interval:g} ps apart, those of {first.source} {first.interval:g} ps: "
                "record all at the same interval"
            )
        if other.cg.system.units != first.cg.system.units:
            raise UserError(
                f"{other.source}: units {other.cg.system.units!r}, those of {first.source} {first.cg.system.units!r}"
            )
        if (other.box_vectors is None) != (first.box_vectors is None):
            raise UserError(f"{other.source} and {first.source}: one has a periodic box, the other has none")
    time_step = options.time_step
    if time_step is None:
        if first.cg.system.units != "lj":
            raise UserError("give the learned time step in ps (--time-step), a multiple of the recording interval")
        # the nearest that the recording allows
        time_step = max(1, round(DEFAULT_TIME_STEP_LJ / first.interval)) * first.interval
    stride = round(time_step / first.interval)
    if stride < 1 or abs(stride * first.interval - time_step) > 1e-6 * time_step:
        raise UserError(
            f"the time step of {time_step:g} is no multiple of the recording interval of {first.interval:g} ({first.source})"
        )
    return replace(options, time_step=time_step), stride


def _split(
    trajectories: Sequence[CoarseTrajectory], options: TrainingOptions, stride: int
) -> tuple[list[CoarseTrajectory], list[CoarseTrajectory]]:
    """Set systems aside for validation; of a single system, the last part of its trajectory."""
    if len(trajectories) == 1:
        only = trajectories[0]
        window = (options.n_history + 1) * stride + 1
        cut = only.n_frames - max(window, int(only.n_frames * options.validation_fraction))
        if cut < window:
            raise UserError(
                f"{only.source}: {only.n_frames} frames are too few for training and validation, which take {2 * window}"
            )
        return [_part(only, slice(0, cut))], [_part(only, slice(cut, None))]
    n = min(max(1, round(len(trajectories) * options.validation_fraction)), len(trajectories) - 1)
    order = np.random.default_rng(options.seed).permutation(len(trajectories))
    held_out = set(order[:n].tolist())
    # a type that only a held-out system has would be known to the model and never trained
    return (
        [t for i, t in enumerate(trajectories) if i not in held_out],
        [t for i, t in enumerate(trajectories) if i in held_out],
    )


def _part(trajectory: CoarseTrajectory, frames: slice) -> CoarseTrajectory:
    box = trajectory.box_vectors
    return replace(
        trajectory,
        positions=trajectory.positions[frames],
        internal_rg2=trajectory.internal_rg2[frames],
        box_vectors=None if box is None else box[frames],
    )


def _default_cutoff(scales: Scales, trajectories: Sequence[CoarseTrajectory]) -> float:
    if not any(len(trajectory.cg.bonds) for trajectory in trajectories):
        raise UserError("there are no CG bonds to take the cutoff from: give --cutoff, in nm")
    boxes = [t.box_vectors for t in trajectories if t.box_vectors is not None]
    smallest = min((box_heights(box).min() for frames in boxes for box in frames), default=math.inf)
    # in a small box all that the minimum image allows, with room for the rounding
    return round(min(3 * scales.length, 0.499 * smallest), 3)


def longest_bond(trajectories: Sequence[CoarseTrajectory]) -> float:
    """Longest CG bond in any frame, nm."""
    longest = 0.0
    for trajectory in trajectories:
        i, j = trajectory.cg.bonds.T
        if len(i):
            bonds = trajectory.positions[:, i] - trajectory.positions[:, j]
            longest = max(longest, float(np.sqrt((bonds**2).sum(axis=-1).max())))
    return longest


def _common_force_field(trajectories: Sequence[CoarseTrajectory]) -> dict[str, Any] | None:
    """Force field of the systems, if they all have the same."""
    first = trajectories[0].cg.system.force_field
    return first if all(t.cg.system.force_field == first for t in trajectories) else None


def _provenance(
    options: TrainingOptions,
    network: NetworkOptions,
    training: Sequence[CoarseTrajectory],
    validation: Sequence[CoarseTrajectory],
) -> dict[str, Any]:
    digest = hashlib.sha256()
    for trajectory in [*training, *validation]:
        digest.update(trajectory.cg.mapping.tobytes())
        digest.update(np.ascontiguousarray(trajectory.positions[:: max(1, trajectory.n_frames // 16)]).tobytes())
    return {
        "options": asdict(options),
        "network": asdict(network),
        "training_systems": [t.cg.system.name for t in training],
        "validation_systems": [t.cg.system.name for t in validation],
        "data_sha256": digest.hexdigest(),
        "versions": {name: version(name) for name in ("torch", "torch-geometric", "lightning", "numpy")},
    }


def _prepare_folder(folder: Path, provenance: dict[str, Any], restart: bool, processes: Processes) -> Path | None:
    """Checkpoint of an unfinished training of the same kind, or None for a fresh start."""
    record = folder / "training.json"
    if processes.nodes > 1 and restart:
        raise UserError(f"--restart on several nodes, which look at the same files: remove {folder} instead")
    if restart and folder.exists():
        shutil.rmtree(folder)
    unfinished = folder / "last.ckpt"
    if record.exists() and unfinished.exists():
        earlier = {k: v for k, v in read_json(record).items() if k != "versions"}
        current = json.loads(json.dumps({k: v for k, v in provenance.items() if k != "versions"}))
        if earlier == current:
            _check_checkpoint(unfinished)
            return unfinished
        changed = ", ".join(key for key in current if earlier.get(key) != current[key])
        raise UserError(
            f"{folder}: holds a training that differs in {changed}; continue it with the same options, or use --restart"
        )
    if processes.node == 0:
        write_json(record, provenance)
    return None


def _check_checkpoint(path: Path) -> None:
    """Raise a `UserError` unless the file holds tensors, numbers and text only, so that loading it runs no code."""
    try:
        check_unpacked_size(path)
        torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, UnpicklingError) as error:
        # torch's own text advises to load the file all the same
        raise UserError(
            f"{path}: not a checkpoint of cgplugin (damaged, or more than tensors and numbers): begin anew with --restart"
        ) from error
