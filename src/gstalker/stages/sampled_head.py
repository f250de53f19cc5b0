"""AD-NeRF's head and torso (Guo et al. 2021, ICCV): each a coarse and a fine network along rays.

The head is learned over the still background, from the head's own pixels. The torso is looked at
from one fixed camera, is told the head's pose, and lies in front of the finished head.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gstalker.data.capture import HEAD
from gstalker.deform.audio import AudioConfig, AudioNet
from gstalker.deform.torso import pose_numbers
from gstalker.limits import Amount, Count, Share, Whole
from gstalker.radiance.layers import waves, waves_of
from gstalker.radiance.waved import WavedFieldConfig
from gstalker.rays.box import HeadBox, Rays, all_pixels
from gstalker.stages.draws import draw_of_frame, step_generator
from gstalker.stages.marched_head import pixels_of
from gstalker.stages.optim import decaying, named_adam
from gstalker.stages.painter import Painter
from gstalker.stages.sampled import CoarseToFine, SamplingConfig
from gstalker.types import AudioWindow, Camera, FrameBatch

if TYPE_CHECKING:
    from lightning.pytorch.utilities.types import OptimizerLRScheduler

POSE_OCTAVES = 3
"""Of the pose's numbers that the torso is told (released code)."""
IN_FRONT, BEHIND = 1.0, 2.0
"""Box units before and behind the head's middle where rays begin and end: AD-NeRF's -0.2 and +0.4
around the mean depth, whose unit is its face model's."""


@dataclass
class SampledConfig:
    """Training of the head or the torso; defaults are the head's in AD-NeRF's released code."""

    steps: Count = 400_000
    """Iterations, one frame each."""
    rays: Count = 2048
    """Of each step."""
    rate: Amount = 5e-4
    """Adam's learning rate."""
    attention_rate: Amount = 2.5e-3
    """Of the audio attention: five times as high."""
    decay: Share = 0.1
    """Of every rate, per ``decay_steps``."""
    decay_steps: Count = 250_000
    """Steps in which rates fall to that share."""
    face_share: Share = 0.95
    """Of the rays, drawn inside the face's box; the torso's are drawn evenly, and this is not
    read."""
    lips_share: Share = 0.0
    """Of the head's rays, drawn inside the mouth's box before the others (not in the paper; the
    torso's do not read it)."""
    smooth_from_step: Whole = 200_000
    """Before this the code is the frame's own window's, not smoothed over its neighbours."""
    field: WavedFieldConfig = dataclasses.field(default_factory=WavedFieldConfig)
    """Sizes of both networks."""
    sampling: SamplingConfig = dataclasses.field(default_factory=SamplingConfig)
    """Places along rays."""


class SampledHead(Painter):
    """Learns a head that listens.

    Args:
        box: where the head is.
        feature_dim: sound features per row.
        audio: what listens.
        config: sizes and rates.
    """

    deaf: Tensor

    def __init__(
        self,
        box: HeadBox,
        feature_dim: int,
        audio: AudioConfig | None = None,
        config: SampledConfig | None = None,
    ) -> None:
        super().__init__()
        self.config = config = config or SampledConfig()
        self.box = box
        self.audio = AudioNet(feature_dim, audio or AudioConfig(code=64, eye_code=0))
        self.networks = CoarseToFine(self.audio.dim, config.field, config.sampling)
        self.register_buffer("deaf", torch.zeros(self.audio.dim))
        # Where a run breaks off before smoothing begins, the head goes on hearing as it learned.
        self.register_buffer("smooth", torch.tensor(False))

    smooth: Tensor

    def listen(self, audio: AudioWindow, eye: Float[Tensor, " B"]) -> Float[Tensor, "B A"]:
        """Codes of frames; AD-NeRF does not look at the eyes."""
        return self.audio(audio, eye, smooth=bool(self.smooth))

    def rays(self, camera: Camera, pixels: Int[Tensor, " R"]) -> Rays:
        """A camera's rays (B = 1), all between the same two distances."""
        rays = self.box.rays(camera, pixels)
        middle = rays.origins[0].norm() if len(rays) else rays.near.new_zeros(())
        near = (middle - IN_FRONT).clamp_min(0.05)
        return dataclasses.replace(
            rays,
            near=near.expand(len(rays)),
            far=(near + IN_FRONT + BEHIND).expand(len(rays)),
        )

    def picture(
        self, camera: Camera, code: Tensor, background: Float[Tensor, "H W 3"]
    ) -> Float[Tensor, "H W 3"]:
        """One frame's head over a picture."""
        seen = self.networks.finished(self.rays(camera, all_pixels(camera)), code)
        return seen.over(background.reshape(-1, 3)).view_as(background)

    def training_step(self, batch: FrameBatch, batch_idx: int) -> dict[str, Any]:
        """Squared errors of both networks on the head over the still background."""
        config, generator = self.config, step_generator(self.global_step)
        self.smooth.fill_(self.global_step >= config.smooth_from_step)
        drawn = draw_of_frame(
            batch, config.rays, generator,
            face_share=config.face_share, lips_share=config.lips_share,
        )  # fmt: skip
        pixels = drawn.to(batch.image.device)
        code = self.listen(batch.audio, batch.eye)[0]
        coarse, fine = self.networks(self.rays(batch.camera, pixels), code, generator)
        plate = batch.background.reshape(-1, 3)[pixels]
        truth = pixels_of(bodiless(batch), pixels)
        loss = squared(coarse.over(plate), truth) + squared(fine.over(plate), truth)
        return {"loss": loss}

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """One Adam; the published three, of one rate each, are its groups."""
        attention = self.audio.attention
        slow = list(self.networks.parameters()) + [
            p for n, p in self.audio.named_parameters() if not n.startswith("attention.")
        ]
        groups: dict[str, Any] = {"networks": slow}
        rates = {"networks": self.config.rate}
        if attention is not None:
            groups["attention"] = list(attention.parameters())
            rates["attention"] = self.config.attention_rate
        return falling(named_adam(groups, rates, eps=1e-8), self.config)


class SampledTorso(Painter):
    """Learns a torso in front of a trained head.

    Args:
        head: trained; it is not changed.
        fixed_viewmat: ``[4, 4]`` the first frame's, from where the torso is always seen.
        config: sizes and rates.
    """

    fixed_viewmat: Tensor

    def __init__(
        self, head: SampledHead, fixed_viewmat: Tensor, config: SampledConfig | None = None
    ) -> None:
        super().__init__()
        self.config = config = config or SampledConfig(rays=1024)
        self.head = head.requires_grad_(False)
        self.register_buffer("fixed_viewmat", fixed_viewmat.clone())
        told = head.audio.dim + waves_of(6, POSE_OCTAVES)
        self.networks = CoarseToFine(told, config.field, config.sampling)

    @property
    def deaf(self) -> Tensor:
        """The code of a head that hears nothing."""
        return self.head.deaf

    def listen(self, audio: AudioWindow, eye: Float[Tensor, " B"]) -> Float[Tensor, "B A"]:
        """Codes of frames."""
        return self.head.listen(audio, eye)

    def seen(self, camera: Camera, code: Tensor, pixels: Int[Tensor, " R"]) -> tuple[Rays, Tensor]:
        """Rays of the fixed camera, and the code with the pose's numbers behind it."""
        fixed = dataclasses.replace(camera, viewmats=self.fixed_viewmat[None])
        numbers = pose_numbers(camera.viewmats[0], self.fixed_viewmat)
        pose = torch.cat([numbers[:3], numbers[3:] / self.head.box.radius])
        return self.head.rays(fixed, pixels), torch.cat([code, waves(pose, POSE_OCTAVES)])

    def picture(
        self, camera: Camera, code: Tensor, background: Float[Tensor, "H W 3"]
    ) -> Float[Tensor, "H W 3"]:
        """One frame's torso over its head over a picture."""
        head = self.head.picture(camera, code, background)
        torso = self.networks.finished(*self.seen(camera, code, all_pixels(camera)))
        return torso.over(head.reshape(-1, 3)).view_as(background)

    def training_step(self, batch: FrameBatch, batch_idx: int) -> dict[str, Any]:
        """Squared errors of both networks on the whole frame."""
        config, generator = self.config, step_generator(self.global_step)
        total = batch.camera.width * batch.camera.height
        pixels = torch.randperm(total, generator=generator)[: config.rays]
        pixels = pixels.to(batch.image.device)
        plate = batch.background.reshape(-1, 3)[pixels]
        with torch.no_grad():
            code = self.listen(batch.audio, batch.eye)[0]
            rays = self.head.rays(batch.camera, pixels)
            behind = self.head.networks.finished(rays, code).over(plate)
        coarse, fine = self.networks(*self.seen(batch.camera, code, pixels), generator)
        truth = pixels_of(batch.image, pixels)
        return {"loss": squared(coarse.over(behind), truth) + squared(fine.over(behind), truth)}

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """One Adam over the torso alone."""
        groups = {"networks": list(self.networks.parameters())}
        optimizer = named_adam(groups, {"networks": self.config.rate}, eps=1e-8)
        return falling(optimizer, self.config)


def falling(optimizer: torch.optim.Adam, config: SampledConfig) -> OptimizerLRScheduler:
    """Rates that fall to ``decay`` every ``decay_steps``, also beyond them."""
    share = config.decay ** (config.steps / config.decay_steps)
    return decaying(optimizer, config.steps, share)


def bodiless(batch: FrameBatch) -> Float[Tensor, "B H W 3"]:
    """The frames' heads over the still background."""
    head = (batch.mask >= HEAD)[..., None]
    return torch.where(head, batch.image, batch.background)


def squared(found: Float[Tensor, "R 3"], truth: Float[Tensor, "R 3"]) -> Float[Tensor, ""]:
    """Mean squared error."""
    return (found - truth).square().mean()
