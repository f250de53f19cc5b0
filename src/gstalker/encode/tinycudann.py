"""The hash tri-plane through tiny-cuda-nn, on a GPU. Its call is tested here, its kernels were not
run.

The same planes, hash and order of features as the definition, but not the same function: a level of
tiny-cuda-nn scales positions by a number that need not be whole, moves them by half a cell, and
pads its table to eight entries. One call draws all levels, so none of that can be undone outside,
and tables learned by one encoder mean nothing to the other: each refuses the other's state.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gstalker.encode.hashgrid import PLANES, SPREAD, make_levels, refuse_tables_of, unit_cube
from gstalker.errors import BackendMissing


class TinyHashTriPlane(nn.Module):
    """Three 2-D ``HashGrid`` encodings of tiny-cuda-nn; arguments as ``HashTriPlane``'s.

    The coarsest and the finest level have the cells that are asked for, those between grow
    geometrically.

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
        make_levels(levels, log2_table, base, finest)  # refuses impossible sizes
        encoding = {
            "otype": "HashGrid",
            "n_levels": levels,
            "n_features_per_level": features_per_level,
            "log2_hashmap_size": log2_table,
            # Level k has ``base_resolution * per_level_scale**k - 1`` cells
            "base_resolution": base + 1,
            "per_level_scale": ((finest + 1) / (base + 1)) ** (1 / max(levels - 1, 1)),
            "interpolation": "Linear",
        }
        package = _package()
        self.planes = nn.ModuleList(
            package.Encoding(2, encoding, dtype=torch.float32) for _ in PLANES
        )
        for plane in self.planes:
            # Its own start is a hundred times smaller, the same for every plane, and deaf to our
            # seed.
            tables = plane.get_parameter("params")
            tables.data.copy_((torch.rand(tables.shape) * 2 - 1) * SPREAD)
        self.width = levels * features_per_level
        self.dim = len(PLANES) * self.width

    def forward(self, x: Float[Tensor, "N 3"]) -> Float[Tensor, "N D"]:
        """Features of positions in [-1, 1]; order as :meth:`HashTriPlane.forward`'s.

        Raises:
            ValueError: the positions are not on the device of the tables.
        """
        tables = self.planes[0].get_parameter("params")
        if x.device != tables.device:
            raise ValueError(f"expected positions on {tables.device}, but got {x.device}")
        coordinates = unit_cube(x).unbind(1)
        parts = [
            plane(torch.stack([coordinates[u], coordinates[v]], dim=1))[:, : self.width]
            for plane, (u, v) in zip(self.planes, PLANES, strict=True)
        ]
        return torch.cat(parts, dim=1)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *rest: Any, **named: Any
    ) -> None:
        refuse_tables_of("hashgrid or native", "tables", state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *rest, **named)


def _package() -> Any:
    """tinycudann, which looks for a GPU when it is imported.

    Raises:
        BackendMissing: it is not installed, or finds no GPU.
    """
    otherwise = "  or use: method.deform.field.encoder.name=auto"
    try:
        import tinycudann
    except ImportError as error:
        raise BackendMissing(
            "encoder 'tinycudann' was asked for, but tinycudann is not installed.\n"
            "  Install it on a CUDA machine with: pip install --no-build-isolation "
            "'git+https://github.com/NVlabs/tiny-cuda-nn/#subdirectory=bindings/torch'\n"
            f"{otherwise}"
        ) from error
    except OSError as error:
        raise BackendMissing(
            f"encoder 'tinycudann' was asked for, but tinycudann cannot be used here: {error}\n"
            f"  Use a machine with a CUDA device\n{otherwise}"
        ) from error
    return tinycudann
