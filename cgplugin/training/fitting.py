"""The training loop of Lightning: batches, callbacks, checkpoints and logs."""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning
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

from cgplugin.errors import UserError
from cgplugin.files import replacing

from .dataset import FixedSampler, WindowDataset, WindowSampler, fixed_batches
from .loading import loader
from .matching import StepDataset
from .options import TrainingOptions
from .processes import Processes

VALIDATION_WINDOWS = 100
"""Windows of each validation system."""


@dataclass(frozen=True)
class Stage:
    """A part of a training with steps, checkpoints and logs of its own.

    Attributes
    ----------
    steps : int
        At most; rounded up to whole validation intervals.
    folder : Path
        For checkpoints and logs.
    monitor : str or None
        Validation loss whose best checkpoint is wanted, and without improvement of which the stage ends early; None: the last.
    goes_on : bool
        Whether a checkpoint in the folder is one of this training.
    """

    steps: int
    folder: Path
    monitor: str | None
    goes_on: bool

    @property
    def unfinished(self) -> Path | None:
        """Checkpoint to go on from, where there is one."""
        last = self.folder / "last.ckpt"
        return last if self.goes_on and last.exists() else None


def fit(
    module: lightning.LightningModule,
    training_set: WindowDataset | StepDataset,
    validation_set: WindowDataset,
    options: TrainingOptions,
    stage: Stage,
    processes: Processes,
    progress: bool,
) -> Path:
    """Train the networks of a module; return the checkpoint that the stage is for.

    Parameters
    ----------
    module : LightningModule
    training_set : WindowDataset or StepDataset
    validation_set : WindowDataset
    options : TrainingOptions
    stage : Stage
    processes : Processes
    progress : bool
        Show a progress bar.

    Raises
    ------
    UserError
        If no validation loss was finite.
    """
    folder, batches = stage.folder, min(options.validate_every, stage.steps)
    sampler = WindowSampler(
        training_set.n_windows,
        batches,
        options.systems_per_batch,
        options.windows_per_system,
        options.seed,
        distinct=isinstance(training_set, StepDataset),
    )
    # something for every process, where there are enough systems
    size = min(options.systems_per_batch, max(1, len(validation_set.trajectories) // processes.number))
    validation = loader(validation_set, FixedSampler(fixed_batches(validation_set, VALIDATION_WINDOWS, size)))
    # saved at the end of an epoch, after its validation: that is where a resumed training can go on exactly
    keep = partial(ModelCheckpoint, dirpath=folder, save_on_train_epoch_end=True, enable_version_counter=False)
    # one callback for both would save the last one only where it is the best
    last = keep(filename="last")
    wanted = keep(filename="best", monitor=stage.monitor) if stage.monitor else last
    averaged = options.averaging * stage.steps
    # one-step losses of two nearby sets of weights hardly differ while their long runs do: the average is what lasts
    averaging = [EMAWeightAveraging(decay=1 - 1 / averaged)] if averaged > 1 else []
    stopping = []
    if stage.monitor:
        patience = options.patience
        stopping += [EarlyStopping(stage.monitor, patience=patience, check_finite=True, check_on_train_epoch_end=True)]
    trainer = lightning.Trainer(
        accelerator="auto",
        **processes.options,
        # counted in epochs, since Lightning resumes runs that are limited by steps in the middle of an epoch
        max_epochs=math.ceil(stage.steps / batches),
        gradient_clip_val=options.gradient_clip,
        callbacks=[
            *processes.callbacks,
            *averaging,
            _RecordLoss(),
            *dict.fromkeys([wanted, last]),
            *stopping,
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
        loader(training_set, sampler, processes.num_workers),
        validation,
        ckpt_path=stage.unfinished,
        weights_only=True,
    )
    checkpoint = Path(wanted.best_model_path)
    if not checkpoint.is_file():
        raise UserError("the training loss is not finite: lower the learning rate, or look for bad frames in the data")
    return checkpoint


class _WholeCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint whole or not at all, so that a kill in mid-write costs nothing."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        with replacing(path) as temporary:
            super().save_checkpoint(checkpoint, temporary, storage_options)


class _RecordLoss(lightning.Callback):
    """Stores the validation loss in the checkpoint, for the model's provenance."""

    def on_save_checkpoint(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,  # noqa: ARG002 - Lightning's signature
        checkpoint: dict[str, Any],
    ) -> None:
        checkpoint["cgplugin_val_nll"] = float(trainer.callback_metrics.get("val_nll", torch.tensor(float("nan"))))
