"""Stage one: a silent head, the same in every frame, seen from where each frame was taken.

It exists to give the deformation stage a good place to start (GSTalker, abstract and figure 1).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from gstalker.deform.place import place
from gstalker.gaussians.cloud import GaussianCloud
from gstalker.limits import Amount, Count, Share
from gstalker.losses.photometric import l1_dssim
from gstalker.render import Rasterizer
from gstalker.stages.fuse import fused
from gstalker.stages.optim import decaying, named_adam
from gstalker.types import Camera, FrameBatch, Render, Splats


@dataclass
class CloudRates:
    """Adam's initial learning rates of the cloud."""

    means: Amount = 6e-3
    """Centimetres per step."""
    scales: Amount = 8e-3
    """Log-scale per step."""
    quats: Amount = 3e-3
    """Quaternion units per step."""
    opacities: Amount = 2e-2
    """Logits per step."""
    sh: Amount = 1.8e-2
    """Harmonic coefficients per step: 5e-3 of colour over the constant harmonic's 0.282."""
    follow: Amount = 1e-2
    """Logits of following the head, per step."""


@dataclass
class StaticConfig:
    """Stage one. Values are our trial's unless a source is given; the paper's are not public."""

    steps: Count = 4000
    """Iterations, one frame each."""
    dssim_weight: Share = 0.2
    """Share of D-SSIM in the loss beside L1 (Kerbl et al. 2023)."""
    rates: CloudRates = field(default_factory=CloudRates)
    """Learning rates."""
    final_rate_share: Share = 0.03
    """Of every learning rate, at the last step."""


class StaticStage(L.LightningModule):
    """Fits the cloud to all frames at once, with no sound.

    Args:
        cloud: the first Gaussians.
        rest_viewmat: ``[4, 4]`` the training poses' mean, where the torso rests.
        rasterizer: draws splats.
        config: rates and weights.
    """

    rest_viewmat: Tensor
    cloud: GaussianCloud

    def __init__(
        self,
        cloud: GaussianCloud,
        rest_viewmat: Tensor,
        rasterizer: Rasterizer,
        config: StaticConfig | None = None,
    ) -> None:
        super().__init__()
        self.cloud = cloud
        self.rasterizer = rasterizer
        self.config = config or StaticConfig()
        self.register_buffer("rest_viewmat", rest_viewmat.clone())
        self._loss = l1_dssim

    def fuse(self, backend: str = "inductor") -> StaticStage:
        """Join small operations into few kernels; see :mod:`gstalker.stages.fuse`."""
        self._loss = fused(l1_dssim, backend)  # the cloud grows: its own part would be made anew
        return self

    def render(self, camera: Camera, background: Tensor) -> Render:
        """Draw the head for one frame's camera (B = 1) over ``background [H, W, 3]``."""
        return self.rasterizer(self.splats(camera), camera, background)

    def splats(self, camera: Camera) -> Splats:
        """The cloud as one frame's camera (B = 1) must see it."""
        return place(self.cloud, camera.viewmats[0], self.rest_viewmat)

    def forward(self, batch: FrameBatch) -> Tensor:
        """Pictures ``[B, H, W, 3]`` over the still background, clamped to [0, 1]."""
        pictures = [self.render(camera, batch.background).image for camera in cameras(batch)]
        return torch.cat(pictures).clamp(0, 1)

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


def cameras(batch: FrameBatch) -> list[Camera]:
    """The batch's cameras one by one."""
    c = batch.camera
    return [
        Camera(c.viewmats[k : k + 1], c.Ks[k : k + 1], c.width, c.height)
        for k in range(len(c.viewmats))
    ]
