"""The hash tri-plane through tiny-cuda-nn, on a GPU. Not run here: it needs CUDA.

tiny-cuda-nn hashes and pads its tables in its own way, so its state does not interchange with the
others'; loading one into the other is refused by name.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gstalker.encode.hashgrid import PLANES, unit_cube
from gstalker.errors import BackendMissing


class TinyHashTriPlane(nn.Module):
    """Three 2-D ``HashGrid`` encodings of tiny-cuda-nn; arguments as ``HashTriPlane``'s.

    Raises:
        BackendMissing: no tinycudann, or no CUDA device.
    """

    def __init__(
        self,
        levels: int = 12,
        features_per_level: int = 1,
        log2_table: int = 14,
        base: int = 16,
        finest: int = 256,
    ) -> None:
        super().__init__()
        try:
            import tinycudann
        except (ImportError, OSError) as error:
            raise BackendMissing(
                "encoder 'tinycudann' was asked for, but tinycudann is not installed.\n"
                "  Install it on a CUDA machine with: pip install "
                "git+https://github.com/NVlabs/tiny-cuda-nn/#subdirectory=bindings/torch\n"
                "  or use: method.deform.field.encoder.name=auto"
            ) from error
        growth = math.exp(math.log(finest / base) / max(levels - 1, 1))
        encoding = {
            "otype": "HashGrid",
            "n_levels": levels,
            "n_features_per_level": features_per_level,
            "log2_hashmap_size": log2_table,
            "base_resolution": base,
            "per_level_scale": growth,
        }
        self.planes = nn.ModuleList(
            tinycudann.Encoding(2, encoding, dtype=torch.float32) for _ in PLANES
        )
        self.dim = len(PLANES) * levels * features_per_level

    def forward(self, x: Float[Tensor, "N 3"]) -> Float[Tensor, "N D"]:
        """Features of positions in [-1, 1]."""
        points = unit_cube(x)
        parts = [
            plane(points[:, list(axes)]) for plane, axes in zip(self.planes, PLANES, strict=True)
        ]
        return torch.cat(parts, dim=1)
