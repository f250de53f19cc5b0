"""Stage one: a silent head, the same in every frame, seen from where each frame was taken.

It exists to give the deformation stage a good place to start (GSTalker, abstract and figure 1).
"""

from __future__ import annotations

from typing import Any

import lightning as L
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from gstalker.gaussians.cloud import GaussianCloud
from gstalker.losses.photometric import l1_dssim
from gstalker.render import Rasterizer
from gstalker.stages.fuse import fused
from gstalker.stages.heads import StaticHead
from gstalker.stages.optim import decaying, named_adam
from gstalker.stages.settings import StaticConfig
from gstalker.types import FrameBatch


class StaticStage(StaticHead, L.LightningModule):
    """Fits the cloud to all frames at once, with no sound.

    Args:
        cloud: the first Gaussians.
        rest_viewmat: ``[4, 4]`` the training poses' mean, where the torso rests.
        rasterizer: draws splats.
        config: rates and weights.
    """

    def __init__(
        self,
        cloud: GaussianCloud,
        rest_viewmat: Tensor,
        rasterizer: Rasterizer,
        config: StaticConfig | None = None,
    ) -> None:
        super().__init__(cloud, rest_viewmat, rasterizer)
        self.config = config or StaticConfig()
        self._loss = l1_dssim

    def fuse(self, backend: str = "inductor") -> StaticStage:
        """Join small operations into few kernels; see :mod:`gstalker.stages.fuse`."""
        self._loss = fused(l1_dssim, backend)  # the cloud grows: its own part would be made anew
        return self

    def training_step(self, batch: FrameBatch, batch_idx: int) -> dict[str, Any]:
        """L1 and D-SSIM between one frame and its picture."""
        render = self.render(batch.camera, batch.background)
        loss = self._loss(render.image, batch.image, self.config.dssim_weight)
        return {"loss": loss, "render": render, "terms": {"photometric": loss.detach()}}

    def on_train_batch_end(self, outputs: Any, batch: FrameBatch, batch_idx: int) -> None:
        """Keep the cloud's colours displayable."""
        self.cloud.limit_colors()

    def validation_step(self, batch: FrameBatch, batch_idx: int) -> Tensor:
        """The picture, for the callbacks that score and show it."""
        return self(batch)

    test_step = validation_step
    predict_step = validation_step

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """One Adam, one group per tensor of the cloud."""
        optimizer = named_adam(dict(self.cloud.named_parameters()), vars(self.config.rates))
        return decaying(optimizer, self.config.steps, self.config.final_rate_share)
