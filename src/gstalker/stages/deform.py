"""Stage two: sound moves the face, the pose moves the torso.

Each Gaussian that follows the head asks the deformation field how to move under the frame's audio
code; the others ask the pose field. The cloud itself goes on learning, slowly.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from gstalker.deform.audio import AudioConfig, AudioNet
from gstalker.deform.field import DeformationField, FieldConfig
from gstalker.deform.place import Changes, Rows, place
from gstalker.deform.torso import PoseField, TorsoConfig, pose_numbers
from gstalker.encode.hashgrid import HashTriPlane
from gstalker.gaussians.cloud import GaussianCloud
from gstalker.limits import Amount, Count, Share, Whole
from gstalker.losses.perceptual import LEAST_SIDE, LPIPS
from gstalker.losses.photometric import l1_dssim
from gstalker.render import Rasterizer
from gstalker.stages.fuse import fused
from gstalker.stages.handoff import Handoff
from gstalker.stages.optim import decaying, named_adam
from gstalker.stages.static import CloudRates, cameras
from gstalker.types import AudioWindow, Camera, FrameBatch, Render, Splats

FOLLOWS = 0.5
"""Gaussians that follow the head at least so much are moved by sound."""
RESTS = 0.95
"""Gaussians that follow the head less than this are moved by the pose field."""


def _slow_rates() -> CloudRates:
    return CloudRates(means=2e-4, scales=1e-3, quats=5e-4, opacities=3e-3, sh=3.5e-3, follow=5e-4)


@dataclass
class DeformRates:
    """Adam's initial learning rates of stage two."""

    cloud: CloudRates = dataclasses.field(default_factory=_slow_rates)
    """Of the cloud, about a tenth of stage one's."""
    encoder: Amount = 5e-3
    """Of the hash tables (TalkingGaussian)."""
    field: Amount = 5e-4
    """Of the field's MLP (TalkingGaussian)."""
    audio: Amount = 1.5e-3
    """Of the audio net; TalkingGaussian has 2.5e-3 for its attention part."""
    torso: Amount = 1e-3
    """Of the pose field."""


@dataclass
class PerceptualConfig:
    """LPIPS on a patch around the mouth, late in training (TalkingGaussian's last 3,000 steps)."""

    weight: Amount = 0.05
    """Of the patch's distance, added to the loss."""
    start_share: Share = 0.8
    """Of the steps that pass before it begins."""
    side: Count = 64
    """Of the patch, in pixels."""


@dataclass
class DeformConfig:
    """Stage two. Values are our trial's unless a source is given; the paper's are not public."""

    steps: Count = 16000
    """Iterations, one frame each."""
    audio: AudioConfig = dataclasses.field(default_factory=AudioConfig)
    """What listens."""
    rehearsals: Whole = 400
    """Batches of lip landmarks that the audio net learns from before anything is painted; ours, not
    the paper's; see :mod:`gstalker.deform.rehearsal`."""
    field: FieldConfig = dataclasses.field(default_factory=FieldConfig)
    """What moves the face."""
    torso: TorsoConfig | None = dataclasses.field(default_factory=TorsoConfig)
    """What moves the torso; null leaves it to the blend with the head alone."""
    dssim_weight: Share = 0.2
    """Share of D-SSIM in the loss beside L1 (Kerbl et al. 2023)."""
    mouth_weight: Amount = 0.2
    """Of the mean error in the mouth box, added to the loss."""
    still_weight: Amount = 0.01
    """Of the mean squared movement of the face in square centimetres, added to the loss; ours."""
    perceptual: PerceptualConfig | None = None
    """A late patch term; needs the weights of LPIPS, and a tenth of a second a step on a CPU."""
    rates: DeformRates = dataclasses.field(default_factory=DeformRates)
    """Learning rates."""
    final_rate_share: Share = 0.05
    """Of every learning rate, at the last step."""


class DeformStage(L.LightningModule):
    """Learns to move a handed-off cloud by sound and pose.

    Args:
        handoff: what stage one left.
        feature_dim: sound features per row.
        poses: ``[F, 4, 4]`` training poses; they fix the scale of the pose field's input.
        rasterizer: draws splats.
        config: sizes, rates and weights.
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
        handoff: Handoff,
        feature_dim: int,
        poses: Tensor,
        rasterizer: Rasterizer,
        config: DeformConfig | None = None,
    ) -> None:
        super().__init__()
        self.config = config = config or DeformConfig()
        self.feature_dim = feature_dim
        self.rasterizer = rasterizer
        self.cloud = handoff.to_cloud()
        self.register_buffer("rest_viewmat", handoff.rest_viewmat.clone())
        follow = torch.sigmoid(self.cloud.follow.detach())
        face, torso = Rows.where(follow >= FOLLOWS), Rows.where(follow < RESTS)
        # What the handoff decides once is no part of the state: the handoff lies beside the model.
        for name, value in (
            ("face_index", face.index),
            ("face_slot", face.slot),
            ("torso_index", torso.index),
            ("torso_slot", torso.slot),
            # Where the torso lay at the handoff; it hardly moves in learning, and sines cost time.
            ("anchors", self.cloud.means.detach()[torso.index]),
        ):
            self.register_buffer(name, value, persistent=False)
        self.audio = AudioNet(feature_dim, config.audio)
        means = self.cloud.means.detach()
        self.field = DeformationField(means[face.index], self.audio.dim, config.field)
        self.torso = None
        if config.torso is not None and len(torso.index):
            numbers = pose_numbers(poses, self.rest_viewmat)
            self.torso = PoseField(self.anchors, numbers, config.torso)
        self._move, self._encode, self._loss = self._moved, self.field.encode, l1_dssim
        self._face_code: Tensor | None = None
        self._torso_code: Tensor | None = None
        # In a tuple, so that it is no part of the module: it is never trained and never stored.
        self._lpips: tuple[LPIPS, ...] = () if config.perceptual is None else (LPIPS(),)

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

    def fuse(self, backend: str = "inductor") -> DeformStage:
        """Join small operations into few kernels; see :mod:`gstalker.stages.fuse`."""
        self._move = fused(self._moved, backend)
        self._loss = fused(l1_dssim, backend)
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

    def train(self, mode: bool = True) -> DeformStage:
        """Begin or end learning; either way what was made of the old weights is forgotten."""
        self._face_code = None
        return super().train(mode)

    def _apply(self, *args: Any, **kwargs: Any) -> DeformStage:
        """To another device or type, and what was made before is forgotten."""
        self._face_code = self._torso_code = None
        return super()._apply(*args, **kwargs)

    def forward(self, batch: FrameBatch) -> Tensor:
        """Pictures ``[B, H, W, 3]`` over the still background, clamped to [0, 1]."""
        pairs = zip(cameras(batch), self.codes(batch), strict=True)
        pictures = [self.render(c, code, batch.background).image for c, code in pairs]
        return torch.cat(pictures).clamp(0, 1)

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
        late = self.config.perceptual
        if late is not None and self.global_step >= late.start_share * self.config.steps:
            patch = patch_around(batch.mouth_box[0].tolist(), late.side, picture.shape[1:3])
            lpips = self._lpips[0].to(picture.device)
            perceived = late.weight * lpips(picture[patch], batch.image[patch]).mean()
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
