"""A coarse and a fine network looked at along rays, the background at their ends (AD-NeRF)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gstalker.limits import Count, Whole
from gstalker.radiance.waved import WavedField, WavedFieldConfig
from gstalker.rays.box import Rays
from gstalker.rays.sampling import importance, stratified
from gstalker.rays.volume import weights_along


@dataclass
class SamplingConfig:
    """Places along each ray; defaults are AD-NeRF's."""

    coarse: Count = 64
    """Evenly drawn."""
    fine: Whole = 128
    """More of them, where the coarse network saw much."""
    rays_at_once: Count = 4096
    """Of a finished picture; only memory and speed depend on it."""


@dataclass(frozen=True)
class Seen:
    """What one network saw along rays."""

    color: Float[Tensor, "R 3"]
    """Without the background."""
    through: Float[Tensor, " R"]
    """Share of the background that is seen."""

    def over(self, behind: Float[Tensor, "R 3"]) -> Float[Tensor, "R 3"]:
        """Colours with the background."""
        return self.color + self.through[:, None] * behind


class CoarseToFine(nn.Module):
    """Two networks of one shape, the second looking where the first found something.

    Args:
        code: numbers in a frame's code.
        field: sizes of the networks.
        sampling: places along rays.
    """

    def __init__(self, code: int, field: WavedFieldConfig, sampling: SamplingConfig) -> None:
        super().__init__()
        self.sampling = sampling
        self.coarse = WavedField(code, field)
        self.fine = WavedField(code, field)

    def forward(
        self, rays: Rays, code: Float[Tensor, " A"], generator: torch.Generator | None = None
    ) -> tuple[Seen, Seen]:
        """What the coarse and the fine network see.

        Args:
            rays: from near to far.
            code: the frame's.
            generator: draws the places; without one they are the middles of their stretches.
        """
        sampling = self.sampling
        places = stratified(rays.near, rays.far, sampling.coarse, generator)
        first, weights = _look(self.coarse, rays, places, code)
        more = importance(places, weights, sampling.fine, generator)
        places = torch.cat([places, more], dim=1).sort(dim=1).values
        return first, _look(self.fine, rays, places, code)[0]

    def finished(self, rays: Rays, code: Float[Tensor, " A"]) -> Seen:
        """What the fine network sees along many rays, for a picture."""
        step = self.sampling.rays_at_once
        parts = [self(rays.part(slice(k, k + step)), code)[1] for k in range(0, len(rays), step)]
        return Seen(torch.cat([p.color for p in parts]), torch.cat([p.through for p in parts]))


def _look(
    field: WavedField, rays: Rays, places: Float[Tensor, "R S"], code: Tensor
) -> tuple[Seen, Tensor]:
    """Sum what a network says; the last place is the background and hides what is left."""
    points = rays.origins[:, None] + places[..., None] * rays.directions[:, None]
    density, colors = field(points, rays.directions, code)
    weights = weights_along(density[:, :-1], places.diff(dim=1))
    through = 1 - weights.sum(1)
    seen = Seen((weights[..., None] * colors[:, :-1]).sum(1), through)
    return seen, torch.cat([weights, through[:, None]], dim=1)
