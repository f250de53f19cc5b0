"""A picture now and then: truth beside ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gstalker import files
from gstalker.types import FrameBatch


class Preview(L.Callback):
    """Writes ``preview.png``, truth above ours, for a few frames of each validation.

    Args:
        path: the picture.
        frames: how many, side by side.
    """

    def __init__(self, path: Path, frames: int = 4) -> None:
        self.path = path
        self.frames = frames
        self._columns: list[Tensor] = []

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: FrameBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the first few."""
        if len(self._columns) < self.frames:
            self._columns.append(torch.cat([batch.image[0], outputs[0]]).cpu())

    def on_validation_end(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Write what was kept."""
        columns, self._columns = self._columns, []
        if columns:
            pixels = (torch.cat(columns, dim=1).clamp(0, 1) * 255).round().byte().numpy()
            with files.replacing(self.path) as temporary:
                Image.fromarray(pixels).save(temporary, format="PNG", compress_level=1)
            for logger in trainer.loggers:
                _show(logger, pixels, trainer.global_step)


def _show(logger: Any, pixels: np.ndarray, step: int) -> None:
    """Give a logger the picture, if it takes pictures."""
    if hasattr(logger, "log_image"):  # wandb
        logger.log_image("preview", [Image.fromarray(pixels)], step=step)
    elif hasattr(logger.experiment, "add_image"):  # TensorBoard
        logger.experiment.add_image("preview", pixels, step, dataformats="HWC")
