"""A run that is killed goes on where it was: the last checkpoint, always whole."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.utilities.exceptions import SIGTERMException

from gstalker import files


class Checkpoint(L.Callback):
    """Keeps ``last.ckpt``: written beside its place, then renamed over the one before.

    Behind the method's callbacks in the list: at an interruption it saves what they put in order.

    Args:
        folder: where ``last.ckpt`` lies.
        every_seconds: pause between checkpoints; one more is written when the run is interrupted
            and when it ends.
    """

    def __init__(self, folder: Path, every_seconds: float = 30.0) -> None:
        self.path = folder / "last.ckpt"
        self.every_seconds = every_seconds
        self._due = time.monotonic() + every_seconds

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        """Save if it is time."""
        if time.monotonic() >= self._due:
            self._save(trainer)

    def on_train_end(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Save the last step."""
        self._save(trainer)

    def on_exception(
        self, trainer: L.Trainer, stage: L.LightningModule, exception: BaseException
    ) -> None:
        """Save where the user or a cluster interrupted; a broken step is not worth keeping."""
        if isinstance(exception, KeyboardInterrupt | SIGTERMException) and trainer.global_step:
            self._save(trainer)

    def _save(self, trainer: L.Trainer) -> None:
        with files.replacing(self.path) as temporary:
            trainer.save_checkpoint(temporary, weights_only=False)  # optimizer and loops too
        self._due = time.monotonic() + self.every_seconds
