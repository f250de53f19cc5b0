"""A stage that paints frame by frame, which is all that validation and scores ask of it."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gstalker.stages.heads import cameras
from gstalker.types import AudioWindow, Camera, FrameBatch


class Painter(nn.Module, ABC):
    """Hears frames, and paints them one by one; :func:`trainable` makes it learn."""

    global_step: int
    """Optimizer steps so far, which Lightning counts."""

    @abstractmethod
    def listen(self, audio: AudioWindow, eye: Float[Tensor, " B"]) -> Float[Tensor, "B A"]:
        """Codes of frames."""

    @abstractmethod
    def picture(
        self, camera: Camera, code: Float[Tensor, " A"], background: Float[Tensor, "H W 3"]
    ) -> Float[Tensor, "H W 3"]:
        """One frame (B = 1) over a picture."""

    def backgrounds(self, batch: FrameBatch) -> Float[Tensor, "B H W 3"]:
        """What each frame is painted over: here the still background."""
        return batch.background.expand(len(batch.frame_ids), -1, -1, -1)

    def forward(self, batch: FrameBatch) -> Tensor:
        """Pictures ``[B, H, W, 3]``, clamped to [0, 1]."""
        codes = self.listen(batch.audio, batch.eye)
        seen = zip(cameras(batch), codes, self.backgrounds(batch), strict=True)
        return torch.stack([self.picture(*one) for one in seen]).clamp(0, 1)

    def validation_step(self, batch: FrameBatch, batch_idx: int) -> Tensor:
        """The picture, for the callbacks that score and show it."""
        return self(batch)

    test_step = validation_step
    predict_step = validation_step
