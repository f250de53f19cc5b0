"""A trained stage as what drives it sees it: sound becomes codes, a code and a camera a picture.

Nothing here learns, and several Python threads may paint at once: a stage that is only looked at
is never written to.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from gstalker import render
from gstalker.stages.deform import DeformStage
from gstalker.stages.static import StaticStage
from gstalker.types import AudioWindow, Camera, FrameBatch


class StagePerformer:
    """GSTalker's ``Performer``.

    Args:
        stage: the talking head, or the silent one of stage one, whose codes have no numbers.
        device: where it computes.
    """

    def __init__(self, stage: DeformStage | StaticStage, device: str = "cpu") -> None:
        self.stage = stage.eval().to(device)
        self.device = device

    @torch.inference_mode()
    def __call__(self, batch: FrameBatch) -> Float[Tensor, "B H W 3"]:
        """Pictures in [0, 1]."""
        pictures: Tensor = self.stage(batch.to(self.device))
        return pictures

    @torch.inference_mode()
    def listen(self, audio: AudioWindow, eye: Float[Tensor, " F"]) -> Float[Tensor, "F A"]:
        """Codes of many frames at once."""
        if isinstance(self.stage, StaticStage):
            return torch.zeros(len(eye), 0)
        return self.stage.audio(audio.to(self.device), eye.to(self.device))

    @torch.inference_mode()
    def paint(
        self, camera: Camera, code: Float[Tensor, " A"], background: Float[Tensor, "H W 3"]
    ) -> UInt8[Tensor, "H W 3"]:
        """One frame, rounded to bytes."""
        camera, code = camera.to(self.device), code.to(self.device)
        stage = self.stage
        if isinstance(stage, StaticStage):
            splats = stage.splats(camera)
        else:
            splats = stage.splats(camera, code)
        return render.paint(stage.rasterizer, splats, camera, background.to(self.device))
