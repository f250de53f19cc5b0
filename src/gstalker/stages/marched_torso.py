"""The torso of ER-NeRF and RAD-NeRF, learned behind a head that no longer changes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gstalker.limits import Amount, Count, Share
from gstalker.radiance.flat_torso import FlatTorso, FlatTorsoConfig
from gstalker.rays.box import all_pixels
from gstalker.stages.draws import draw_pixels, step_generator
from gstalker.stages.marched_head import MarchedHead, entropy, pixels_of
from gstalker.stages.marched_rates import MarchedRates, marched_adam
from gstalker.stages.optim import decaying
from gstalker.stages.painter import Painter
from gstalker.types import AudioWindow, Camera, FrameBatch

if TYPE_CHECKING:
    from lightning.pytorch.utilities.types import OptimizerLRScheduler


@dataclass
class MarchedTorsoConfig:
    """The torso and its training; defaults are ER-NeRF's."""

    steps: Count = 100_000
    """Iterations, one frame each (paper, section 4.1; its script trains 200,000)."""
    rays: Count = 65_536
    """Pixels of each step."""
    field: FlatTorsoConfig = dataclasses.field(default_factory=FlatTorsoConfig)
    """Its networks."""
    entropy_weight: Amount = 1e-4
    """Of the entropy of the torso's alpha, as of the head's."""
    anchor_weight: Amount = 1.0
    """Of the penalty on the learned points' fourth numbers; the papers give no weight."""
    rates: MarchedRates = dataclasses.field(default_factory=MarchedRates)
    """Learning rates."""
    final_rate_share: Share = 0.5
    """Of every learning rate, at the last step."""


class MarchedTorso(Painter):
    """Learns a torso behind a trained head.

    Args:
        head: trained; it is not changed.
        rest_viewmat: ``[4, 4]`` the training poses' mean.
        frame_count: of the capture; each frame has numbers of its own.
        config: sizes, rates and weights.
    """

    def __init__(
        self,
        head: MarchedHead,
        rest_viewmat: Tensor,
        frame_count: int,
        config: MarchedTorsoConfig | None = None,
    ) -> None:
        super().__init__()
        self.config = config = config or MarchedTorsoConfig()
        self.head = head.requires_grad_(False)
        self.torso = FlatTorso(head.box.centre, head.box.radius, rest_viewmat, config.field)
        self.latents = nn.Parameter(torch.randn(frame_count, config.field.latent) * 0.1)

    @property
    def deaf(self) -> Tensor:
        """The code of a head that hears nothing."""
        return self.head.deaf

    def listen(self, audio: AudioWindow, eye: Float[Tensor, " B"]) -> Float[Tensor, "B A"]:
        """Codes of frames."""
        return self.head.listen(audio, eye)

    def behind(
        self,
        camera: Camera,
        pixels: Int[Tensor, " R"],
        background: Float[Tensor, "R 3"],
        latent: Float[Tensor, " L"],
    ) -> tuple[Float[Tensor, "R 3"], Float[Tensor, " R"]]:
        """The torso over a background, and its alpha."""
        x, y = pixels % camera.width, pixels // camera.width
        size = background.new_tensor([camera.width, camera.height])
        places = (torch.stack([x, y], dim=1) + 0.5) / size * 2 - 1
        color, alpha = self.torso(places, self.torso.pose(camera), latent)
        return torch.lerp(background, color, alpha[:, None]), alpha

    def picture(
        self, camera: Camera, code: Tensor, background: Float[Tensor, "H W 3"]
    ) -> Float[Tensor, "H W 3"]:
        """One frame's head over its torso over a picture."""
        latent = self.latents[self.head.usual_frame]
        color, alpha = self.head.layer(camera, code)
        behind, _ = self.behind(camera, all_pixels(camera), background.reshape(-1, 3), latent)
        return (color + (1 - alpha)[:, None] * behind).view_as(background)

    def training_step(self, batch: FrameBatch, batch_idx: int) -> dict[str, Any]:
        """Squared error of some pixels of head, torso and background together."""
        config, camera = self.config, batch.camera
        generator = step_generator(self.global_step)
        total = camera.width * camera.height
        pixels = draw_pixels(config.rays, total, generator).to(batch.image.device)
        with torch.no_grad():
            code = self.listen(batch.audio, batch.eye)[0]
            rays = self.head.box.rays(camera, pixels)
            shade = self.head.shade(rays, code, self.head.latents[self.head.usual_frame])
        plate = batch.background.reshape(-1, 3)[pixels]
        behind, alpha = self.behind(camera, pixels, plate, self.latents[batch.frame_ids[0]])
        error = (shade.over(behind) - pixels_of(batch.image, pixels)).square().mean()
        loss = error + config.entropy_weight * entropy(alpha)
        loss = loss + config.anchor_weight * self.torso.weights_away_from_one()
        return {"loss": loss}

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """One Adam over the torso alone."""
        optimizer = marched_adam(self, self.config.rates)
        return decaying(optimizer, self.config.steps, self.config.final_rate_share)
