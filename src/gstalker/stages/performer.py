"""A trained stage as what drives it sees it: sound becomes codes, a code and a camera a picture.

Nothing here learns, and several Python threads may paint at once: a stage that is only looked at
is never written to.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from gstalker import render
from gstalker.render import Rasterizer
from gstalker.stages.heads import DeformHead, StaticHead
from gstalker.types import AudioWindow, Camera, FrameBatch, Splats


class Speaker(Protocol):
    """A stage of Gaussians that hears, as :class:`gstalker.stages.talking.TalkingStage`."""

    rasterizer: Rasterizer

    def __call__(self, batch: FrameBatch) -> Tensor:
        """Pictures in [0, 1]."""
        ...

    def listen(self, audio: AudioWindow, eye: Tensor) -> Tensor:
        """Codes of many frames."""
        ...

    def splats(self, camera: Camera, code: Tensor) -> Splats:
        """What one frame's camera must see."""
        ...

    def behind(self, camera: Camera, code: Tensor, background: Tensor) -> Tensor:
        """What the splats are drawn over."""
        ...


class StagePerformer:
    """A ``Performer`` of Gaussians.

    Args:
        stage: a talking head, or the silent one of GSTalker's stage one, whose codes have no
            numbers.
        device: where it computes.
    """

    def __init__(self, stage: Any, device: str = "cpu") -> None:
        self.stage: DeformHead | StaticHead | Speaker = stage.eval().to(device)
        self.device = device

    @torch.inference_mode()
    def __call__(self, batch: FrameBatch) -> Float[Tensor, "B H W 3"]:
        """Pictures in [0, 1]."""
        pictures: Tensor = self.stage(batch.to(self.device))
        return pictures

    @torch.inference_mode()
    def listen(self, audio: AudioWindow, eye: Float[Tensor, " F"]) -> Float[Tensor, "F A"]:
        """Codes of many frames at once."""
        if isinstance(self.stage, StaticHead):
            return torch.zeros(len(eye), 0)
        return self.stage.listen(audio.to(self.device), eye.to(self.device))

    @torch.inference_mode()
    def paint(
        self, camera: Camera, code: Float[Tensor, " A"], background: Float[Tensor, "H W 3"]
    ) -> UInt8[Tensor, "H W 3"]:
        """One frame, rounded to bytes."""
        camera, code = camera.to(self.device), code.to(self.device)
        stage, behind = self.stage, background.to(self.device)
        if isinstance(stage, StaticHead):
            splats = stage.splats(camera)
        else:
            splats = stage.splats(camera, code)
            behind = stage.behind(camera, code, behind)
        return render.paint(stage.rasterizer, splats, camera, behind)
