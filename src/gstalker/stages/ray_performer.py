"""A trained head made of rays as what drives it sees it: sound becomes codes, a code a picture."""

from __future__ import annotations

from typing import Protocol

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from gstalker.stages.heads import cameras
from gstalker.types import AudioWindow, Camera, FrameBatch


class Painter(Protocol):
    """A stage that can be looked at."""

    deaf: Tensor
    """Code of a head that hears nothing: the training part's mean."""

    def listen(self, audio: AudioWindow, eye: Float[Tensor, " B"]) -> Float[Tensor, "B A"]:
        """Codes of frames."""
        ...

    def picture(
        self, camera: Camera, code: Tensor, background: Float[Tensor, "H W 3"]
    ) -> Float[Tensor, "H W 3"]:
        """One frame."""
        ...


class RayPerformer:
    """A ``Performer`` of the NeRF methods.

    Args:
        stage: trained; both a module and a :class:`Painter`.
        device: where it computes.
        silent: every frame has the mean code of the training part: the head without sound.
    """

    def __init__(self, stage: nn.Module, device: str = "cpu", *, silent: bool = False) -> None:
        self.stage: Painter = stage.eval().to(device)  # type: ignore[assignment]
        self.device = device
        self.silent = silent

    @torch.inference_mode()
    def __call__(self, batch: FrameBatch) -> Float[Tensor, "B H W 3"]:
        """Pictures in [0, 1]."""
        batch = batch.to(self.device)
        codes = self.listen(batch.audio, batch.eye)
        seen = zip(cameras(batch), codes, strict=True)
        return torch.stack([self._picture(c, code, batch.background) for c, code in seen])

    @torch.inference_mode()
    def listen(self, audio: AudioWindow, eye: Float[Tensor, " F"]) -> Float[Tensor, "F A"]:
        """Codes of many frames at once."""
        if self.silent:
            return torch.zeros(len(eye), 0)
        return self.stage.listen(audio.to(self.device), eye.to(self.device))

    @torch.inference_mode()
    def paint(
        self, camera: Camera, code: Float[Tensor, " A"], background: Float[Tensor, "H W 3"]
    ) -> UInt8[Tensor, "H W 3"]:
        """One frame, rounded to bytes."""
        picture = self._picture(
            camera.to(self.device), code.to(self.device), background.to(self.device)
        )
        return (picture * 255).round().to(torch.uint8)

    def _picture(self, camera: Camera, code: Tensor, background: Tensor) -> Tensor:
        code = self.stage.deaf if self.silent else code
        return self.stage.picture(camera, code, background).clamp(0, 1)
