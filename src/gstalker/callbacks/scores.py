"""How good are the pictures, while training goes on."""

from __future__ import annotations

from typing import Any

import lightning as L
from torch import Tensor

from gstalker.metrics.image import psnr
from gstalker.types import FrameBatch


class ScoreFrames(L.Callback):
    """Logs PSNR of validation and test pictures, over the frame and over the mouth.

    Works with any module whose ``validation_step`` returns pictures ``[B, H, W, 3]``.
    """

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: FrameBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Score one validation batch."""
        self._score("val", pl_module, outputs, batch)

    def on_test_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: FrameBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Score one test batch."""
        self._score("test", pl_module, outputs, batch)

    def _score(
        self, part: str, stage: L.LightningModule, pictures: Tensor, batch: FrameBatch
    ) -> None:
        for picture, truth, box in zip(
            pictures, batch.image, batch.mouth_box.tolist(), strict=True
        ):
            x0, y0, x1, y1 = box
            values = {
                f"{part}_psnr_full": psnr(picture, truth),
                f"{part}_psnr_mouth": psnr(picture[y0:y1, x0:x1], truth[y0:y1, x0:x1]),
            }
            stage.log_dict(values, batch_size=1, on_epoch=True, prog_bar=part == "val")
