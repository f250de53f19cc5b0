"""The head of ER-NeRF and RAD-NeRF: rays through a grid of occupied cells, learned from pixels.

The torso of a training frame is taken as filmed: the head is laid over it, and the loss is the
whole picture's (both papers' head setting).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gstalker.data.capture import HEAD
from gstalker.deform.audio import AudioConfig, AudioNet
from gstalker.limits import Amount, Count, Share
from gstalker.radiance.marched import MarchedField, MarchedFieldConfig
from gstalker.rays.box import HeadBox, Rays, all_pixels
from gstalker.rays.march import Steps, march
from gstalker.rays.occupancy import OccupancyConfig, OccupancyGrid
from gstalker.rays.volume import composite
from gstalker.stages.draws import draw_of_frame, inside, step_generator
from gstalker.stages.marched_rates import MarchedRates, marched_adam
from gstalker.stages.optim import decaying
from gstalker.stages.painter import Painter
from gstalker.types import AudioWindow, Camera, FrameBatch

if TYPE_CHECKING:
    from lightning.pytorch.utilities.types import OptimizerLRScheduler

CHUNK = 2**15
"""Rays of a finished picture that are followed together."""


@dataclass
class MarchConfig:
    """How rays are followed."""

    occupancy: OccupancyConfig = dataclasses.field(default_factory=OccupancyConfig)
    """Which cells hold something."""
    samples: Count = 16
    """Of a ray at most (RAD-NeRF)."""
    growth: Amount = 1 / 256
    """Of a step per distance from the camera (RAD-NeRF); at least a cell's side."""


@dataclass
class MarchedHeadConfig:
    """The head's training; defaults are ER-NeRF's."""

    steps: Count = 100_000
    """Iterations, one frame each (paper, section 4.1)."""
    rays: Count = 65_536
    """Of each step: 256² of one picture (paper)."""
    face_share: Share | None = None
    """Of the rays, drawn inside the face's box (AD-NeRF: 0.95); null: all drawn evenly, as ER-NeRF
    and RAD-NeRF do."""
    lips_share: Share = 0.0
    """Of the rays, drawn inside the mouth's box before the others (not in the papers, whose steps
    see every pixel of a picture)."""
    march: MarchConfig = dataclasses.field(default_factory=MarchConfig)
    """How rays are followed."""
    entropy_weight: Amount = 1e-4
    """Of the entropy of alpha: a pixel is head or it is not (released code)."""
    sound_weight: Amount = 1e-4
    """Of how much the sound matters outside of the face's box, and of how much sound and eye matter
    together inside, where the field weighs the eye; grows from 0 with the steps (released code)."""
    smooth_weight: Amount = 1e-5
    """Of changes of density within ``smooth_reach``, at each update of the grid (released code)."""
    smooth_reach: Amount = 1e-3
    """Box units."""
    eye_noise: Amount = 0.25
    """Deviations that the eye's opening is shaken by, evenly. ER-NeRF shakes AU45 by 0.05 of its
    range of 0 to 1, which is about a quarter of what it usually deviates."""
    rates: MarchedRates = dataclasses.field(default_factory=MarchedRates)
    """Learning rates."""
    final_rate_share: Share = 0.5
    """Of every learning rate, at the last step (released code; RAD-NeRF: 0.1)."""


@dataclass(frozen=True)
class Shade:
    """What was found along rays."""

    color: Float[Tensor, "R 3"]
    """Over black."""
    alpha: Float[Tensor, " R"]
    sound: Float[Tensor, " R"]
    """How much the sound mattered."""
    eye: Float[Tensor, " R"]
    """How much the eye mattered."""

    def over(self, behind: Float[Tensor, "R 3"]) -> Float[Tensor, "R 3"]:
        """Colours with what shines through."""
        return self.color + (1 - self.alpha)[:, None] * behind


class MarchedHead(Painter):
    """Learns a head that listens.

    Args:
        box: where the head is.
        feature_dim: sound features per row.
        frame_count: of the capture; each frame has light of its own.
        usual_frame: whose light frames have that were never seen.
        field: sizes of the networks.
        audio: what listens.
        config: of the training.
    """

    deaf: Tensor
    box: HeadBox

    def __init__(
        self,
        box: HeadBox,
        feature_dim: int,
        frame_count: int,
        usual_frame: int,
        *,
        field: MarchedFieldConfig | None = None,
        audio: AudioConfig | None = None,
        config: MarchedHeadConfig | None = None,
    ) -> None:
        super().__init__()
        self.config = config = config or MarchedHeadConfig()
        field = field or MarchedFieldConfig()
        self.feature_dim, self.usual_frame = feature_dim, usual_frame
        self.box = box
        self.audio = AudioNet(feature_dim, audio or AudioConfig(code=32, eye_code=0))
        self.field = MarchedField(self.audio.dim, field)
        self.grid = OccupancyGrid(config.march.occupancy)
        self.latents = nn.Parameter(torch.randn(frame_count, field.latent) * 0.1)
        self.register_buffer("deaf", torch.zeros(self.audio.dim + 1))
        march = config.march
        self.following = Steps(2 / march.occupancy.cells, march.growth, march.samples)

    # ------------------------------------------------------------------ looking

    def listen(self, audio: AudioWindow, eye: Float[Tensor, " B"]) -> Float[Tensor, "B A"]:
        """Codes of frames: the audio's, then the eye's opening."""
        return torch.cat([self.audio(audio, eye), eye[:, None]], dim=1)

    def shade(
        self, rays: Rays, code: Tensor, latent: Tensor, jitter: Tensor | None = None
    ) -> Shade:
        """Follow rays through the head under one frame's code and light."""
        samples = march(rays, self.grid.occupied, self.following, jitter)
        heard = self.field(samples.positions, code)
        colors = self.field.colors(heard, rays.directions, samples.ray, latent)
        values = torch.cat([colors, heard.sound[:, None], heard.eye[:, None]], dim=1)
        sums, alpha = composite(heard.density, samples.lengths, values, samples.first)
        return Shade(sums[:, :3], alpha, sums[:, 3], sums[:, 4])

    def layer(
        self, camera: Camera, code: Tensor
    ) -> tuple[Float[Tensor, "R 3"], Float[Tensor, " R"]]:
        """The head alone in a whole picture (B = 1): colour over black, and alpha."""
        rays = self.box.rays(camera, all_pixels(camera))
        latent = self.latents[self.usual_frame]
        parts = [
            self.shade(rays.part(slice(k, k + CHUNK)), code, latent)
            for k in range(0, len(rays), CHUNK)
        ]
        return torch.cat([p.color for p in parts]), torch.cat([p.alpha for p in parts])

    def picture(
        self, camera: Camera, code: Tensor, background: Float[Tensor, "H W 3"]
    ) -> Float[Tensor, "H W 3"]:
        """One frame's head over a picture."""
        color, alpha = self.layer(camera, code)
        return (color + (1 - alpha)[:, None] * background.reshape(-1, 3)).view_as(background)

    def backgrounds(self, batch: FrameBatch) -> Float[Tensor, "B H W 3"]:
        """Each frame's own torso."""
        return headless(batch)

    # ------------------------------------------------------------------ learning

    def training_step(self, batch: FrameBatch, batch_idx: int) -> dict[str, Any]:
        """Squared error of some pixels, and what keeps the head simple."""
        config, generator = self.config, step_generator(self.global_step)
        code = self._shaken_code(batch, generator)
        loss = code.new_zeros(())
        if self.global_step % config.march.occupancy.every_steps == 0:
            loss = loss + self._look_around(code, generator)
        drawn = draw_of_frame(
            batch, config.rays, generator,
            face_share=config.face_share, lips_share=config.lips_share,
        )  # fmt: skip
        pixels = drawn.to(code.device)
        picture, extra = self.learn_from(batch, pixels, code, generator)
        loss = loss + (picture - pixels_of(batch.image, pixels)).square().mean() + extra
        return {"loss": loss}

    def learn_from(
        self,
        batch: FrameBatch,
        pixels: Int[Tensor, " R"],
        code: Float[Tensor, " A"],
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, "R 3"], Float[Tensor, ""]]:
        """Colours of some of a frame's pixels, and the terms that are no colour's."""
        config, camera = self.config, batch.camera
        jitter = torch.rand(len(pixels), generator=generator).to(code.device)
        latent = self.latents[batch.frame_ids[0]]
        shade = self.shade(self.box.rays(camera, pixels), code, latent, jitter)
        face = inside(pixels, batch.face_box[0], camera.width)
        weighs_eye = self.field.eye_attention is not None
        both = shade.sound * shade.eye if weighs_eye else torch.zeros_like(shade.sound)
        stray = torch.where(face, both, shade.sound).mean()
        extra = config.entropy_weight * entropy(shade.alpha)
        extra = extra + config.sound_weight * self._progress() * stray
        return shade.over(pixels_of(headless(batch), pixels)), extra

    def _progress(self) -> float:
        """Share of the head's steps that have passed."""
        return min(self.global_step / max(self.config.steps, 1), 1.0)

    def _shaken_code(self, batch: FrameBatch, generator: torch.Generator) -> Tensor:
        shake = (torch.rand(1, generator=generator) * 2 - 1) * self.config.eye_noise
        return self.listen(batch.audio, batch.eye + shake.to(batch.eye))[0]

    def _look_around(self, code: Tensor, generator: torch.Generator) -> Tensor:
        """Update the grid; the price of densities that change within a hair's breadth."""
        config, heard = self.config, code.detach()
        self.grid.update(lambda x: self.field(x, heard).density, self.box.extent, generator)
        if not config.smooth_weight:
            return code.new_zeros(())
        places = (torch.rand(1024, 3, generator=generator) * 2 - 1).to(code) * self.box.extent
        near = (torch.rand(1024, 3, generator=generator) * 2 - 1).to(code) * config.smooth_reach
        change = self.field(places, heard).density - self.field(places + near, heard).density
        return config.smooth_weight * change.abs().mean()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """One Adam: hash tables, networks, and the audio attention with its decay."""
        optimizer = marched_adam(self, self.config.rates)
        return decaying(optimizer, self.config.steps, self.config.final_rate_share)


def entropy(alpha: Float[Tensor, " R"]) -> Float[Tensor, ""]:
    """Mean binary entropy in bits."""
    a = alpha.clamp(1e-5, 1 - 1e-5)
    return -(a * a.log2() + (1 - a) * (1 - a).log2()).mean()


def headless(batch: FrameBatch) -> Float[Tensor, "B H W 3"]:
    """The frames as filmed, the head taken out: there the still background is seen."""
    head = (batch.mask >= HEAD)[..., None]
    return torch.where(head, batch.background, batch.image)


def pixels_of(
    pictures: Float[Tensor, "B H W 3"], pixels: Int[Tensor, " R"]
) -> Float[Tensor, "R 3"]:
    """Colours of pixels of the first picture."""
    return pictures[0].reshape(-1, 3)[pixels]
