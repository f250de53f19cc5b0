"""LPIPS on a patch around the mouth, in the last part of a stage."""

from __future__ import annotations

from torch import Tensor

from gstalker.losses.perceptual import LPIPS
from gstalker.stages.deform import patch_around
from gstalker.stages.settings import PerceptualConfig
from gstalker.types import FrameBatch


class LatePatch:
    """Adds nothing until its time has come, and nothing at all without a config.

    Args:
        config: weight, time and size; None: never.
        steps: of the stage.

    Raises:
        BackendMissing: the weights of LPIPS are missing; says how to get them.
    """

    def __init__(self, config: PerceptualConfig | None, steps: int) -> None:
        self.config = config
        self.start_step = 0.0 if config is None else config.start_share * steps
        self._lpips = None if config is None else LPIPS()

    def __call__(self, picture: Tensor, truth: Tensor, batch: FrameBatch, step: int) -> Tensor:
        """The weighted distance of one frame's patch, ``[1, H, W, 3]`` each."""
        if self.config is None or self._lpips is None or step < self.start_step:
            return picture.new_zeros(())
        patch = patch_around(batch.mouth_box[0].tolist(), self.config.side, picture.shape[1:3])
        lpips = self._lpips.to(picture.device)
        return self.config.weight * lpips(picture[patch], truth[patch]).mean()
