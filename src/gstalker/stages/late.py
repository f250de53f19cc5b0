"""LPIPS on a patch around the mouth, in the last part of a stage."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from torch import Tensor

from gstalker.losses.perceptual import LEAST_SIDE, LPIPS
from gstalker.stages.settings import PerceptualConfig
from gstalker.types import FrameBatch


class LatePatch:
    """Adds nothing until its time has come, and nothing at all without a config.

    Args:
        config: weight, time and size; None: never.
        steps: of the stage.
    """

    def __init__(self, config: PerceptualConfig | None, steps: int) -> None:
        self.config = config
        self.start_step = 0.0 if config is None else config.start_share * steps

    def load(self) -> None:
        """Read LPIPS before the first step, if ever it is asked: a head that speaks needs none.

        Raises:
            BackendMissing: its weights are missing; says how to get them.
        """
        if self.config is not None:
            _ = self._lpips

    @cached_property
    def _lpips(self) -> LPIPS:
        return LPIPS()

    def begun(self, step: int) -> bool:
        """Whether a step has it."""
        return self.config is not None and step >= self.start_step

    def __call__(self, picture: Tensor, truth: Tensor, batch: FrameBatch, step: int) -> Tensor:
        """The weighted distance of one frame's patch, ``[1, H, W, 3]`` each."""
        if self.config is None or not self.begun(step):
            return picture.new_zeros(())
        patch = patch_around(batch.mouth_box[0].tolist(), self.config.side, picture.shape[1:3])
        lpips = self._lpips.to(picture.device)
        return self.config.weight * lpips(picture[patch], truth[patch]).mean()


def patch_around(
    box: Sequence[int], side: int, size: Sequence[int]
) -> tuple[slice, slice, slice, slice]:
    """Index of a square patch of pictures ``[B, H, W, 3]`` around a box, moved inside of them.

    Args:
        box: x0, y0, x1, y1.
        side: of the patch; smaller where the picture is, not below what LPIPS can see.
        size: H and W.
    """
    height, width = size
    side = max(min(side, height, width), LEAST_SIDE)
    x = min(max((box[0] + box[2] - side) // 2, 0), max(width - side, 0))
    y = min(max((box[1] + box[3] - side) // 2, 0), max(height - side, 0))
    return slice(None), slice(y, y + side), slice(x, x + side), slice(None)
