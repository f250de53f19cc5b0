"""AD-NeRF's network (Guo et al. 2021): waves of place and direction, and a code, in a deep MLP."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gstalker.limits import Count, Whole
from gstalker.radiance.layers import waves, waves_of


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
        self.trunk = nn.ModuleList(nn.Linear(width, hidden) for width in widths)
        self.density = nn.Linear(hidden, 1)
        seen = hidden + waves_of(3, config.direction_octaves)
        widths = [seen, *[hidden // 2] * (config.color_layers - 1)]
        self.branch = nn.ModuleList(nn.Linear(width, hidden // 2) for width in widths)
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
        given = torch.cat(
            [waves(places, config.place_octaves), code.expand(*places.shape[:2], -1)], dim=-1
        )
        x = given
        for k, layer in enumerate(self.trunk):
            x = torch.relu(layer(x))
            if k == config.again and k < len(self.trunk) - 1:
                x = torch.cat([given, x], dim=-1)
        # A hair's breadth of fog keeps a ray's weights from all being 0 (released code).
        density = torch.relu(self.density(x))[..., 0] + 1e-6
        seen = waves(directions, config.direction_octaves)[:, None]
        x = torch.cat([x, seen.expand(-1, places.shape[1], -1)], dim=-1)
        for layer in self.branch:
            x = torch.relu(layer(x))
        return density, torch.sigmoid(self.color(x))
