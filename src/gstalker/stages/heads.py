"""What speaks once it is trained: the still head, and the head that sound and pose move.

The stages that train them are subclasses; what is here needs no Lightning.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gstalker.deform.audio import AudioConfig, AudioNet
from gstalker.deform.field import DeformationField, FieldConfig
from gstalker.deform.place import Changes, Rows, place
from gstalker.deform.torso import PoseField, TorsoConfig, pose_numbers
from gstalker.encode.hashgrid import HashTriPlane
from gstalker.gaussians.cloud import GaussianCloud
from gstalker.render import Rasterizer
from gstalker.stages.fuse import fused
from gstalker.types import AudioWindow, Camera, FrameBatch, Render, Splats

FOLLOWS = 0.5
"""Gaussians that follow the head at least so much are moved by sound."""
RESTS = 0.95
"""Gaussians that follow the head less than this are moved by the pose field."""


def cameras(batch: FrameBatch) -> list[Camera]:
    """The batch's cameras one by one."""
    c = batch.camera
    return [
        Camera(c.viewmats[k : k + 1], c.Ks[k : k + 1], c.width, c.height)
        for k in range(len(c.viewmats))
    ]


class StaticHead(nn.Module):
    """A silent head, the same in every frame, seen from where each frame was taken.

    Args:
        cloud: the Gaussians.
        rest_viewmat: ``[4, 4]`` the training poses' mean, where the torso rests.
        rasterizer: draws splats.
    """

    rest_viewmat: Tensor
    cloud: GaussianCloud

    def __init__(self, cloud: GaussianCloud, rest_viewmat: Tensor, rasterizer: Rasterizer) -> None:
        super().__init__()
        self.cloud = cloud
        self.rasterizer = rasterizer
        self.register_buffer("rest_viewmat", rest_viewmat.clone())

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


class DeformHead(nn.Module):
    """A head whose face is moved by sound and whose torso by the pose.

    Args:
        cloud: the Gaussians at rest.
        rest_viewmat: ``[4, 4]`` the training poses' mean, where the torso rests.
        feature_dim: sound features per row.
        poses: ``[F, 4, 4]`` training poses; they fix the scale of the pose field's input.
        rasterizer: draws splats.
        audio: what listens.
        field: what moves the face.
        torso: what moves the torso; None leaves it to the blend with the head alone.
    """

    rest_viewmat: Tensor
    face_index: Tensor
    face_slot: Tensor
    torso_index: Tensor
    torso_slot: Tensor
    anchors: Tensor
    audio: AudioNet
    field: DeformationField
    torso: PoseField | None
    cloud: GaussianCloud

    def __init__(
        self,
        cloud: GaussianCloud,
        rest_viewmat: Tensor,
        feature_dim: int,
        poses: Tensor,
        rasterizer: Rasterizer,
        *,
        audio: AudioConfig,
        field: FieldConfig,
        torso: TorsoConfig | None,
    ) -> None:
        super().__init__()
        self.feature_dim = feature_dim
        self.rasterizer = rasterizer
        self.cloud = cloud
        self.register_buffer("rest_viewmat", rest_viewmat.clone())
        follow = torch.sigmoid(self.cloud.follow.detach())
        face, rest = Rows.where(follow >= FOLLOWS), Rows.where(follow < RESTS)
        # What the handoff decides once is no part of the state: the handoff lies beside the model.
        for name, value in (
            ("face_index", face.index),
            ("face_slot", face.slot),
            ("torso_index", rest.index),
            ("torso_slot", rest.slot),
            # Where the torso lay at the handoff; it hardly moves in learning, and sines cost time.
            ("anchors", self.cloud.means.detach()[rest.index]),
        ):
            self.register_buffer(name, value, persistent=False)
        self.audio = AudioNet(feature_dim, audio)
        means = self.cloud.means.detach()
        self.field = DeformationField(means[face.index], self.audio.dim, field)
        self.torso = None
        if torso is not None and len(rest.index):
            numbers = pose_numbers(poses, self.rest_viewmat)
            self.torso = PoseField(self.anchors, numbers, torso)
        self._move, self._encode = self._moved, self.field.encode
        self._face_code: Tensor | None = None
        self._torso_code: Tensor | None = None

    def codes(self, batch: FrameBatch) -> Tensor:
        """Audio codes ``[B, A]`` of a batch."""
        return self.listen(batch.audio, batch.eye)

    def listen(self, audio: AudioWindow, eye: Tensor) -> Tensor:
        """Codes of many frames."""
        return self.audio(audio, eye)

    def behind(self, camera: Camera, code: Tensor, background: Tensor) -> Tensor:
        """What the splats are drawn over: the still background."""
        return background

    def splats(self, camera: Camera, code: Tensor) -> Splats:
        """The cloud as one frame's camera (B = 1) must see it under an audio code ``[A]``."""
        return self._splats(camera, code)[0]

    def _splats(self, camera: Camera, code: Tensor) -> tuple[Splats, Changes]:
        torso = None if self.torso is None else self._torso_features(self.torso)
        return self._move(camera.viewmats[0], code, self._face_features(), torso)

    def _moved(
        self, viewmat: Tensor, code: Tensor, face: Tensor, torso: Tensor | None
    ) -> tuple[Splats, Changes]:
        """The cloud under a pose and a code, its position features at hand; what the field said."""
        changes = self.field.answer(face, code)
        shift = None
        if self.torso is not None and torso is not None:
            moved = self.torso.answer(torso, pose_numbers(viewmat, self.rest_viewmat))
            shift = moved, Rows(self.torso_index, self.torso_slot)
        moving = changes, Rows(self.face_index, self.face_slot)
        splats = place(self.cloud, viewmat, self.rest_viewmat, changes=moving, shift=shift)
        return splats, changes

    def fuse(self, backend: str = "inductor") -> DeformHead:
        """Join small operations into few kernels; see :mod:`gstalker.stages.fuse`."""
        self._move = fused(self._moved, backend)
        if isinstance(self.field.encoder, HashTriPlane):  # others bring kernels of their own
            self._encode = fused(self.field.encode, backend)
        return self

    def render(self, camera: Camera, code: Tensor, background: Tensor) -> Render:
        """Draw the head for one frame's camera (B = 1) and audio code ``[A]``, over a picture."""
        return self.rasterizer(self.splats(camera, code), camera, background)

    def _face_features(self) -> Tensor:
        """Position features of the face; made once while nothing is learned."""
        if torch.is_grad_enabled():
            self._face_code = None
            return self._encode_face()
        if self._face_code is None:
            self._face_code = self._encode_face()
        return self._face_code

    def _encode_face(self) -> Tensor:
        # Where a Gaussian rests decides how it moves, but must not drift in order to move better.
        # The place that it learns, not that of the handoff: the latter cost 0.4 dB on the mouth.
        return self._encode(self.cloud.means.detach().index_select(0, self.face_index))

    def _torso_features(self, torso: PoseField) -> Tensor:
        """Position code of the torso, which holds nothing that learns."""
        if self._torso_code is None:
            with torch.inference_mode(mode=False), torch.no_grad():  # training will want it too
                self._torso_code = torso.encode(self.anchors)
        return self._torso_code

    def train(self, mode: bool = True) -> DeformHead:
        """Begin or end learning; either way what was made of the old weights is forgotten."""
        self._face_code = None
        return super().train(mode)

    def _apply(self, *args: Any, **kwargs: Any) -> DeformHead:
        """To another device or type, and what was made before is forgotten."""
        self._face_code = self._torso_code = None
        return super()._apply(*args, **kwargs)

    def forward(self, batch: FrameBatch) -> Tensor:
        """Pictures ``[B, H, W, 3]`` over the still background, clamped to [0, 1]."""
        pairs = zip(cameras(batch), self.codes(batch), strict=True)
        pictures = [self.render(c, code, batch.background).image for c, code in pairs]
        return torch.cat(pictures).clamp(0, 1)
