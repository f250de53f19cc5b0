"""Stage two: sound moves the face, the pose moves the torso.

Each Gaussian that follows the head asks the deformation field how to move under the frame's audio
code; the others ask the pose field. The cloud itself goes on learning, slowly.
"""

from __future__ import annotations

from typing import Any

import lightning as L
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from gstalker.losses.photometric import l1_dssim
from gstalker.render import Rasterizer
from gstalker.stages.fuse import fused
from gstalker.stages.handoff import Handoff
from gstalker.stages.heads import DeformHead
from gstalker.stages.late import LatePatch
from gstalker.stages.optim import decaying, named_adam
from gstalker.stages.settings import DeformConfig
from gstalker.types import FrameBatch


class DeformStage(DeformHead, L.LightningModule):
    """Learns to move a handed-off cloud by sound and pose.

    Args:
        handoff: what stage one left.
        feature_dim: sound features per row.
        poses: ``[F, 4, 4]`` training poses; they fix the scale of the pose field's input.
        rasterizer: draws splats.
        config: sizes, rates and weights.
    """

    def __init__(
        self,
        handoff: Handoff,
        feature_dim: int,
        poses: Tensor,
        rasterizer: Rasterizer,
        config: DeformConfig | None = None,
    ) -> None:
        self.config = config = config or DeformConfig()
        super().__init__(
            handoff.to_cloud(),
            handoff.rest_viewmat,
            feature_dim,
            poses,
            rasterizer,
            audio=config.audio,
            field=config.field,
            torso=config.torso,
        )
        self._loss = l1_dssim
        self._patch = LatePatch(config.perceptual, config.steps)
        self._patch.load()

    def fuse(self, backend: str = "inductor") -> DeformStage:
        """Join small operations into few kernels; see :mod:`gstalker.stages.fuse`."""
        super().fuse(backend)
        self._loss = fused(l1_dssim, backend)
        return self

    def training_step(self, batch: FrameBatch, batch_idx: int) -> dict[str, Any]:
        """L1 and D-SSIM of the whole frame, the mouth again, and what moving costs."""
        splats, changes = self._splats(batch.camera, self.codes(batch)[0])
        render = self.rasterizer(splats, batch.camera, batch.background)
        picture = render.image
        loss = self._loss(
            picture,
            batch.image,
            self.config.dssim_weight,
            boxes=batch.mouth_box,
            box_weight=self.config.mouth_weight,
        )
        terms = {"photometric": loss.detach()}
        moved = changes.deltas().means
        if self.config.still_weight and moved is not None:
            still = self.config.still_weight * moved.square().sum(1).mean()
            terms["still"] = still.detach()
            loss = loss + still
        if self._patch.begun(self.global_step):
            perceived = self._patch(picture, batch.image, batch, self.global_step)
            terms["lpips"] = perceived.detach()
            loss = loss + perceived
        return {"loss": loss, "render": render, "terms": terms}

    def on_train_batch_end(self, outputs: Any, batch: FrameBatch, batch_idx: int) -> None:
        """Keep the cloud's colours displayable."""
        self.cloud.limit_colors()

    def validation_step(self, batch: FrameBatch, batch_idx: int) -> Tensor:
        """The picture, for the callbacks that score and show it."""
        return self(batch)

    test_step = validation_step
    predict_step = validation_step

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """One Adam: a group per tensor of the cloud, one per network."""
        rates = self.config.rates
        tables = list(self.field.encoder.parameters())
        ours = {id(p) for p in tables}
        groups: dict[str, Any] = dict(self.cloud.named_parameters())
        named = dict(vars(rates.cloud))
        networks = {
            "encoder": (tables, rates.encoder),
            "field": ([p for p in self.field.parameters() if id(p) not in ours], rates.field),
            "audio": (list(self.audio.parameters()), rates.audio),
            "torso": ([] if self.torso is None else list(self.torso.parameters()), rates.torso),
        }
        for name, (parameters, rate) in networks.items():
            if parameters:
                groups[name], named[name] = parameters, rate
        return decaying(named_adam(groups, named), self.config.steps, self.config.final_rate_share)
