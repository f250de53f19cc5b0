"""A dense tri-plane whose planes are multiplied: what GaussianTalker (2404.16012) looks up.

Three planes (xy, yz, xz) at each of a few resolutions, every grid point stored whole, no hashing.
A position's features in the three planes of one resolution are multiplied, number by number
(HexPlane, Cao and Johnson 2023), and the resolutions' products are concatenated.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gstalker.encode.hashgrid import PLANES, unit_cube

LOW, HIGH = 0.1, 0.5
"""Planes start uniformly between these (HexPlane): a product of numbers near 0 does not learn."""


class ProductTriPlane(nn.Module):
    """Dense multi-resolution tri-plane encoder.

    Args:
        levels: resolutions.
        features_per_level: numbers per grid point.
        base: cells along the side of the coarsest level.
        finest: cells along the side of the finest level.
        _sizes: of hashing encoders; nothing is hashed here.
    """

    def __init__(
        self,
        levels: int = 2,
        features_per_level: int = 32,
        base: int = 64,
        finest: int = 128,
        **_sizes: int,
    ) -> None:
        super().__init__()
        if levels < 1 or base < 1 or finest < base or features_per_level < 1:
            raise ValueError(
                f"expected levels >= 1, 1 <= base <= finest and features_per_level >= 1, but got "
                f"levels={levels}, base={base}, finest={finest}, "
                f"features_per_level={features_per_level}"
            )
        growth = (finest / base) ** (1 / max(levels - 1, 1))
        self.cells = [round(base * growth**k) for k in range(levels)]
        self.planes = nn.ParameterList(
            LOW + (HIGH - LOW) * torch.rand(len(PLANES), features_per_level, c + 1, c + 1)
            for c in self.cells
        )
        self.dim = levels * features_per_level

    def forward(self, x: Float[Tensor, "N 3"]) -> Float[Tensor, "N D"]:
        """Features of positions in [-1, 1]; number ``level * features_per_level + f``."""
        points = unit_cube(x) * 2 - 1
        # grid_sample: the first coordinate goes along the last axis of a plane
        places = torch.stack([points[:, [u, v]] for u, v in PLANES])[:, None]
        products = []
        for plane in self.planes:
            read = F.grid_sample(plane, places, align_corners=True)[:, :, 0]  # [3, D, N]
            products.append(read.prod(0).T)
        return torch.cat(products, dim=1)
