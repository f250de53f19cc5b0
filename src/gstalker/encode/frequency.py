"""Sines and cosines of the position: the ablation without a tri-plane."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Frequency(nn.Module):
    """Position and ``octaves`` of its waves (Mildenhall et al. 2020, equation 4).

    Args:
        octaves: of each coordinate.
        _sizes: of the hash encoders; not used here, so that ``name`` alone is the ablation.
    """

    def __init__(self, octaves: int = 6, **_sizes: int) -> None:
        super().__init__()
        self.octaves = octaves
        self.dim = 3 * (1 + 2 * octaves)

    def forward(self, x: Float[Tensor, "N 3"]) -> Float[Tensor, "N D"]:
        """Features of positions, clamped to [-1, 1]."""
        x = x.clamp(-1, 1)
        waves = [
            wave(x * (torch.pi * 2**k))
            for k in range(self.octaves)
            for wave in (torch.sin, torch.cos)
        ]
        return torch.cat([x, *waves], dim=1)
