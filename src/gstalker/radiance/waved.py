"""AD-NeRF's network (Guo et al. 2021): waves of place and direction, and a code, in a deep MLP."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gstalker.radiance.layers import waves, waves_of


@dataclass
class WavedFieldConfig:
    """Sizes; defaults are AD-NeRF's released code's."""

    place_octaves: int = 10
    """Of positions."""
    direction_octaves: int = 4
    """Of directions."""
    layers: int = 8
    """Before the density."""
    hidden: int = 256
    """Width of those layers; the colour's are half as wide."""
    again: int = 4
    """After this layer, counted from 0, the input joins again."""
    color_layers: int = 3
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
        told = waves(places, config.place_octaves)
        x: Tensor | None = None
        for k, layer in enumerate(self.trunk):
            joined = k == 0 or k == config.again + 1
            x = torch.relu(_join(layer, told, code, x) if joined else layer(x))
        assert x is not None
        # A hair's breadth of fog keeps a ray's weights from all being 0 (released code).
        density = torch.relu(self.density(x))[..., 0] + 1e-6
        seen = waves(directions, config.direction_octaves)
        first = self.branch[0]
        assert isinstance(first, nn.Linear)
        seen_as, found_as = first.weight[:, x.shape[-1] :], first.weight[:, : x.shape[-1]]
        x = F.linear(x, found_as) + F.linear(seen, seen_as, first.bias)[:, None]
        for layer in self.branch[1:]:
            x = layer(torch.relu(x))
        return density, torch.sigmoid(self.color(torch.relu(x)))


def _join(layer: nn.Module, told: Tensor, code: Tensor, x: Tensor | None) -> Tensor:
    """A layer of ``told``, ``code`` and ``x`` behind each other, the code's part computed once."""
    assert isinstance(layer, nn.Linear)
    split = [told.shape[-1], len(code), 0 if x is None else x.shape[-1]]
    placed, said, found = layer.weight.split(split, dim=1)
    out = F.linear(told, placed, layer.bias + said @ code)
    return out if x is None else out + F.linear(x, found)
