"""AD-NeRF's network (Guo et al. 2021): waves of place and direction, and a code, in a deep MLP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gstalker.limits import Count, Whole
from gstalker.radiance.layers import joined, waves, waves_of

THIN = 0.5
"""Density everywhere at first. Begun at random, as published, some seeds have none anywhere, and
learn late."""


@dataclass
class WavedFieldConfig:
    """Sizes; defaults are AD-NeRF's released code's."""

    place_octaves: Whole = 10
    """Of positions."""
    direction_octaves: Whole = 4
    """Of directions."""
    layers: Count = 8
    """Before the density."""
    hidden: Count = 256
    """Width of those layers; the colour's are half as wide."""
    again: Whole = 4
    """After this layer, counted from 0, the input joins again."""
    color_layers: Count = 3
    """Between density and colour."""


class WavedField(nn.Module):
    """Density and colour of places under a code.

    Args:
        code: numbers in the code.
        config: sizes.
    """

    def __init__(self, code: int, config: WavedFieldConfig) -> None:
        super().__init__()
        self.config = config
        given, hidden = waves_of(3, config.place_octaves) + code, config.hidden
        widths = [given] + [
            hidden + given if k == config.again else hidden for k in range(config.layers - 1)
        ]
        self.trunk: Sequence[nn.Linear] = _layers(widths, hidden)
        self.density = nn.Linear(hidden, 1)
        nn.init.constant_(self.density.bias, THIN)
        seen = hidden + waves_of(3, config.direction_octaves)
        widths = [seen, *[hidden // 2] * (config.color_layers - 1)]
        self.branch: Sequence[nn.Linear] = _layers(widths, hidden // 2)
        self.color = nn.Linear(hidden // 2, 3)

    def forward(
        self,
        places: Float[Tensor, "R S 3"],
        directions: Float[Tensor, "R 3"],
        code: Float[Tensor, " A"],
    ) -> tuple[Float[Tensor, "R S"], Float[Tensor, "R S 3"]]:
        """Density per unit of length, and colours.

        Args:
            places: along rays.
            directions: of the rays, of length 1.
            code: what the frame says.
        """
        config = self.config
        given = (waves(places, config.place_octaves), code)
        x = joined(self.trunk[0], *given).relu_()
        for k, layer in enumerate(self.trunk[1:]):
            x = (joined(layer, *given, x) if k == config.again else layer(x)).relu_()
        # A hair's breadth of fog keeps a ray's weights from all being 0 (released code).
        density = _Density.apply(self.density(x))[..., 0] + 1e-6
        seen = waves(directions, config.direction_octaves)[:, None]
        x = joined(self.branch[0], x, seen).relu_()
        for layer in self.branch[1:]:
            x = layer(x).relu_()
        return density, torch.sigmoid(self.color(x))


class _Density(torch.autograd.Function):
    """ReLU, but where it is 0 a loss that wants more is heard.

    With ReLU's own gradient, as published, a field that has become empty everywhere stays so: the
    torso, wanted by a tenth of the rays, was lost within 100 steps of a short schedule.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """The density."""
        ctx.save_for_backward(x)
        return x.clamp_min(0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        """Nothing for who wants less than nothing."""
        (x,), (grad,) = ctx.saved_tensors, grads
        return torch.where((x > 0) | (grad < 0), grad, torch.zeros_like(grad))


def _layers(widths: Sequence[int], hidden: int) -> Any:
    """Linear layers of so many inputs each, as a list that holds modules."""
    return nn.ModuleList(nn.Linear(width, hidden) for width in widths)
