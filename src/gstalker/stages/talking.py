"""What stages of talking heads made of Gaussians do alike, whatever moves them.

``Body`` is the cloud as one frame's camera must see it: the head where the pose has it, the torso
resting. ``TalkingStage`` hears, draws and is scored; how its Gaussians move is its subclass's.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gstalker.deform.audio import AudioNet
from gstalker.deform.place import Changes, Rows, place
from gstalker.deform.torso import PoseField, TorsoConfig, pose_numbers
from gstalker.gaussians.cloud import GaussianCloud
from gstalker.render import Rasterizer
from gstalker.stages.heads import FOLLOWS, RESTS
from gstalker.stages.late import LatePatch
from gstalker.stages.painter import Painter
from gstalker.types import AudioWindow, Camera, FrameBatch, Render, Splats

_NO_CLOUD = 2
"""Points that stand for a cloud that is yet to be loaded."""


class Body(nn.Module):
    """A cloud before the camera; rows may come and go.

    Args:
        cloud: of any size; one of none takes its size from the state that is loaded.
        rest_viewmat: ``[4, 4]`` where the torso rests.
        poses: ``[F, 4, 4]`` training poses; they fix the scale of the pose field's input.
        torso: how the pose moves the torso; None leaves it to the blend with the head.
    """

    rest_viewmat: Tensor

    def __init__(
        self,
        cloud: GaussianCloud,
        rest_viewmat: Float[Tensor, "4 4"],
        poses: Float[Tensor, "F 4 4"],
        torso: TorsoConfig | None = None,
    ) -> None:
        super().__init__()
        self.cloud = cloud
        self.register_buffer("rest_viewmat", rest_viewmat.clone())
        self.torso: PoseField | None = None
        if torso is not None:
            below = cloud.means.detach()[torch.sigmoid(cloud.follow.detach()) < RESTS]
            means = below if len(below) > 1 else torch.zeros(_NO_CLOUD, 3)
            self.torso = PoseField(means, pose_numbers(poses, rest_viewmat), torso)

    def head(self) -> Rows:
        """Gaussians that follow the head, which sound may move."""
        return Rows.where(torch.sigmoid(self.cloud.follow.detach()) >= FOLLOWS)

    def placed(self, camera: Camera, changes: tuple[Changes, Rows] | None = None) -> Splats:
        """The cloud as one frame's camera (B = 1) must see it, changes added in raw space."""
        viewmat = camera.viewmats[0]
        return place(
            self.cloud, viewmat, self.rest_viewmat, changes=changes, shift=self._shift(viewmat)
        )

    def _shift(self, viewmat: Tensor) -> tuple[Tensor, Rows] | None:
        if self.torso is None:
            return None
        below = Rows.where(torch.sigmoid(self.cloud.follow.detach()) < RESTS)
        if not len(below.index):
            return None
        code = self.torso.encode(self.cloud.means.detach()[below.index])
        return self.torso.answer(code, pose_numbers(viewmat, self.rest_viewmat)), below


class TalkingStage(Painter):
    """A head that hears: sound becomes a code, a code and a camera become splats.

    Subclasses give ``hear``, ``splats`` and a ``training_step``.

    Args:
        rasterizer: draws splats.
        code_dim: numbers in a frame's code.
    """

    silence: Tensor
    _patch = LatePatch(None, 0)

    def __init__(self, rasterizer: Rasterizer, code_dim: int) -> None:
        super().__init__()
        self.rasterizer = rasterizer
        self.code_dim = code_dim
        self.register_buffer("silence", torch.zeros(code_dim))
        self.deaf = False
        """Hears the mean of the training sound, whatever is played: the control without sound."""

    @property
    @abstractmethod
    def cloud(self) -> GaussianCloud:
        """What density control and health checks look at."""

    @abstractmethod
    def hear(self, audio: AudioWindow, eye: Float[Tensor, " B"]) -> Float[Tensor, "B A"]:
        """Codes of the sound that is played."""

    @abstractmethod
    def splats(self, camera: Camera, code: Tensor) -> Splats:
        """The head as one frame's camera (B = 1) must see it under a code ``[A]``."""

    def listen(self, audio: AudioWindow, eye: Float[Tensor, " B"]) -> Float[Tensor, "B A"]:
        """Codes of many frames."""
        return self.silence.expand(len(eye), -1) if self.deaf else self.hear(audio, eye)

    def behind(self, camera: Camera, code: Tensor, background: Tensor) -> Tensor:
        """What ``splats`` are drawn over ``[H, W, 3]``: here the still background itself."""
        return background

    def render(self, camera: Camera, code: Tensor, background: Tensor) -> Render:
        """One frame (B = 1)."""
        behind = self.behind(camera, code, background)
        return self.rasterizer(self.splats(camera, code), camera, behind)

    def codes(self, batch: FrameBatch) -> Float[Tensor, "B A"]:
        """Codes of a batch."""
        return self.listen(batch.audio, batch.eye)

    def picture(
        self, camera: Camera, code: Float[Tensor, " A"], background: Float[Tensor, "H W 3"]
    ) -> Float[Tensor, "H W 3"]:
        """One frame (B = 1) over a picture."""
        return self.render(camera, code, background).image[0]

    def on_fit_start(self) -> None:
        """Be told now if LPIPS is missing, not late in training."""
        self._patch.load()

    def on_train_batch_end(self, outputs: Any, batch: FrameBatch, batch_idx: int) -> None:
        """Keep the cloud's colours displayable."""
        self.cloud.limit_colors()

    @torch.no_grad()
    def remember_silence(self, batches: list[FrameBatch]) -> None:
        """Keep the mean code of some training frames, for the control without sound."""
        heard = [b.to(self.silence.device) for b in batches]
        self.silence.copy_(torch.cat([self.hear(b.audio, b.eye) for b in heard]).mean(0))


def ears(audio: AudioNet) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """An audio net's parameters: all but the smoothing over frames, and the smoothing's."""
    smoothing = [] if audio.attention is None else list(audio.attention.parameters())
    apart = {id(parameter) for parameter in smoothing}
    return [p for p in audio.parameters() if id(p) not in apart], smoothing


def with_colours(splats: Splats, changes: Float[Tensor, "M K 3"], rows: Rows) -> Splats:
    """Splats whose harmonics are changed in some rows, in the first harmonics that changes have."""
    padded = nn.functional.pad(changes, (0, 0, 0, splats.sh.shape[1] - changes.shape[1]))
    return replace(splats, sh=splats.sh.index_add(0, rows.index, padded))
