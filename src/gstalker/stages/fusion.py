"""TalkingGaussian's last stage: the face over the mouth over the still picture, colours mended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from gstalker.gaussians.cloud import GaussianCloud
from gstalker.limits import Amount, Count
from gstalker.render.compose import over
from gstalker.stages.branch import BranchStage, unlike
from gstalker.stages.late import LatePatch
from gstalker.stages.optim import decaying, named_adam
from gstalker.stages.settings import PerceptualConfig
from gstalker.stages.talking import TalkingStage
from gstalker.types import AudioWindow, Camera, FrameBatch, Splats

if TYPE_CHECKING:
    from lightning.pytorch.utilities.types import OptimizerLRScheduler


@dataclass
class FusionConfig:
    """Fusion; values are TalkingGaussian's released ones."""

    steps: Count = 10000
    """Iterations, one frame each."""
    dssim_weight: Amount = 0.2
    """Of D-SSIM in the loss, beside L1 whole."""
    colours: Amount = 2.5e-3
    """Learning rate of both branches' colours."""
    opacities: Amount = 1e-3
    """Learning rate of the face's opacities."""
    perceptual: PerceptualConfig | None = None
    """LPIPS around the mouth in the last half; needs its weights."""


class FusionStage(TalkingStage):
    """Both branches, their motion fixed.

    Args:
        face: trained.
        mouth: trained.
        config: rates.
    """

    def __init__(self, face: BranchStage, mouth: BranchStage, config: FusionConfig) -> None:
        super().__init__(face.rasterizer, face.code_dim + mouth.code_dim)
        self.config = config
        self.face, self.mouth = face, mouth
        self.requires_grad_(False)
        self._patch = LatePatch(config.perceptual, config.steps)

    @property
    def cloud(self) -> GaussianCloud:
        """The face's Gaussians."""
        return self.face.cloud

    def hear(self, audio: AudioWindow, eye: Float[Tensor, " B"]) -> Float[Tensor, "B A"]:
        """The face's code, then the mouth's."""
        return torch.cat([self.face.hear(audio, eye), self.mouth.hear(audio, eye)], dim=1)

    def splats(self, camera: Camera, code: Tensor) -> Splats:
        """The face."""
        return self.face.splats(camera, code[: self.face.code_dim])

    def behind(self, camera: Camera, code: Tensor, background: Tensor) -> Tensor:
        """The mouth over the background."""
        mouth = self.mouth
        return mouth.render(camera, code[self.face.code_dim :], background).image[0]

    def training_step(self, batch: FrameBatch, batch_idx: int) -> dict[str, Any]:
        """L1 and D-SSIM of the whole frame."""
        code = self.hear(batch.audio, batch.eye)[0]
        render = self.rasterizer(self.splats(batch.camera, code), batch.camera)
        picture = over(render, self.behind(batch.camera, code, batch.background))
        loss = unlike(picture, batch.image, self.config.dssim_weight)
        loss = loss + self._patch(picture, batch.image, batch, self.global_step)
        return {"loss": loss, "render": render}

    def on_train_batch_end(self, outputs: Any, batch: FrameBatch, batch_idx: int) -> None:
        """Keep colours displayable."""
        self.face.cloud.limit_colors()
        self.mouth.cloud.limit_colors()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """One Adam for both branches' colours and the face's opacities."""
        face, mouth, rates = self.face.cloud, self.mouth.cloud, self.config
        groups = {"face": face.sh, "mouth": mouth.sh, "opacities": face.opacities}
        for parameter in groups.values():
            parameter.requires_grad_(True)
        adam = named_adam(
            groups, {"face": rates.colours, "mouth": rates.colours, "opacities": rates.opacities}
        )
        return decaying(adam, rates.steps, 1.0)
