"""The head's last polish: whole patches, so that a perceptual distance can judge them.

ER-NeRF (section 4.1) and RAD-NeRF fine-tune so: every other step the lips' rectangle, between them
a patch anywhere. The grid of occupied cells stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Int
from torch import Tensor

from gstalker.limits import Amount, Count, Share, Whole
from gstalker.losses.perceptual import LEAST_SIDE, LPIPS
from gstalker.stages.draws import step_generator
from gstalker.stages.late import patch_around
from gstalker.stages.marched_head import MarchedHead, pixels_of
from gstalker.stages.marched_rates import marched_adam
from gstalker.stages.optim import decaying
from gstalker.types import FrameBatch

if TYPE_CHECKING:
    from lightning.pytorch.utilities.types import OptimizerLRScheduler


@dataclass
class MarchedLipsConfig:
    """The polish; defaults are ER-NeRF's."""

    steps: Count = 25_000
    """Iterations, one frame each (paper, section 4.1)."""
    side: Whole = 32
    """Of the patch anywhere, in pixels (released code); 0: pixels drawn as before (RAD-NeRF)."""
    patch_weight: Amount = 0.1
    """Of LPIPS (AlexNet) of the patch anywhere (released code); 0 needs no weights of LPIPS."""
    lips_weight: Amount = 0.01
    """Of LPIPS of the lips' rectangle (released code, RAD-NeRF)."""
    first_rate_share: Share = 0.5
    """Of every learning rate of the head, at the first step: where the head's training ended."""
    final_rate_share: Share = 0.05
    """Of every learning rate of the head, at the last step (released code)."""


class MarchedLips(MarchedHead):
    """Polishes a trained head.

    Args:
        polish: of this training; the head's own config says how it was trained before.
        head: everything that the head was built with.
    """

    def __init__(self, *head: Any, polish: MarchedLipsConfig, **named: Any) -> None:
        super().__init__(*head, **named)
        self.polish = polish
        # In a tuple, so that it is no part of the module: it is never trained and never stored.
        judged = polish.patch_weight or polish.lips_weight
        self._lpips: tuple[LPIPS, ...] = (LPIPS(),) if judged else ()

    def training_step(self, batch: FrameBatch, batch_idx: int) -> dict[str, Any]:
        """Squared error of a patch and its perceptual distance."""
        polish, generator = self.polish, step_generator(self.global_step)
        code = self._shaken_code(batch, generator)
        on_lips = self.global_step % 2 == 1
        if not on_lips and not polish.side:
            return self._scattered(batch, code, generator)
        box = batch.mouth_box[0] if on_lips else self._anywhere(batch, generator)
        pixels, height, width = _pixels_around(batch, box)
        pixels = pixels.to(code.device)
        picture, extra = self.learn_from(batch, pixels, code, generator)
        truth = pixels_of(batch.image, pixels)
        loss = (picture - truth).square().mean() + extra
        weight = polish.lips_weight if on_lips else polish.patch_weight
        if weight:
            lpips, shape = self._lpips[0].to(code.device), (1, height, width, 3)
            loss = loss + weight * lpips(picture.view(shape), truth.view(shape)).mean()
        return {"loss": loss}

    def _progress(self) -> float:
        """The head's steps have all passed, and what grew with them stays grown."""
        return 1.0

    def _scattered(
        self, batch: FrameBatch, code: Tensor, generator: torch.Generator
    ) -> dict[str, Any]:
        """Pixels drawn as in the head's own training."""
        total = batch.camera.width * batch.camera.height
        pixels = torch.randperm(total, generator=generator)[: self.config.rays].to(code.device)
        picture, extra = self.learn_from(batch, pixels, code, generator)
        return {"loss": (picture - pixels_of(batch.image, pixels)).square().mean() + extra}

    def _anywhere(self, batch: FrameBatch, generator: torch.Generator) -> Tensor:
        """A square box of ``side`` pixels with its corner anywhere inside the picture."""
        size = torch.tensor([batch.camera.width, batch.camera.height])
        room = (size - self.polish.side).clamp_min(0) + 1
        corner = (torch.rand(2, generator=generator) * room).long()
        return torch.cat([corner, corner + self.polish.side])

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """As the head's, at lower rates."""
        polish = self.polish
        optimizer = marched_adam(self, self.config.rates)
        for group in optimizer.param_groups:
            group["lr"] *= polish.first_rate_share
        share = polish.final_rate_share / polish.first_rate_share
        return decaying(optimizer, polish.steps, share)


def _pixels_around(batch: FrameBatch, box: Tensor) -> tuple[Int[Tensor, " R"], int, int]:
    """Pixels of a square around a box, inside the picture and large enough for LPIPS to see."""
    x0, y0, x1, y1 = box.tolist()
    camera = batch.camera
    side = max(x1 - x0, y1 - y0, LEAST_SIDE)
    _, rows, columns, _ = patch_around([x0, y0, x1, y1], side, (camera.height, camera.width))
    y = torch.arange(rows.start, min(rows.stop, camera.height))
    x = torch.arange(columns.start, min(columns.stop, camera.width))
    return (y[:, None] * camera.width + x).flatten(), len(y), len(x)
