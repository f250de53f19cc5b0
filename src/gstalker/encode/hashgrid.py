"""The multi-resolution hash tri-plane in plain torch: the definition.

Three planes (xy, yz, xz), each a stack of 2-D grids of growing resolution whose entries are read by
bilinear interpolation and concatenated (Müller et al. 2022 for the hashing, ER-NeRF section 3.2 for
the planes). A level whose grid points fit the table is stored whole; a finer one is hashed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gstalker.errors import RunError

PLANES = ((0, 1), (1, 2), (0, 2))
"""Axes of the three planes."""
PRIME = 2654435761
"""Multiplier of the second coordinate in the hash (Müller et al. 2022, equation 4)."""

SPREAD = 1e-2
"""Tables start uniformly within this, rather than instant-ngp's 1e-4: with so little, our trial's
field woke up late."""


@dataclass(frozen=True)
class Level:
    """One grid of one plane."""

    cells: int
    """Along a side."""
    dense: bool
    """Every grid point has its own entry."""
    size: int
    """Entries in the table; a power of two where it is hashed."""
    offset: int
    """First entry in the common tensor."""


def make_levels(levels: int, log2_table: int, base: int, finest: int) -> list[Level]:
    """Levels of all planes, plane by plane, coarse to fine, resolutions growing geometrically.

    Raises:
        ValueError: a size is not positive, or the finest level is coarser than the base.
    """
    if levels < 1 or base < 1 or finest < base or not 1 <= log2_table <= 24:
        raise ValueError(
            f"expected levels >= 1, 1 <= base <= finest and 1 <= log2_table <= 24, but got "
            f"levels={levels}, base={base}, finest={finest}, log2_table={log2_table}"
        )
    growth = (finest / base) ** (1 / max(levels - 1, 1))
    made, offset = [], 0
    for _ in PLANES:
        for k in range(levels):
            cells = math.ceil(round(base * growth**k, 6))
            dense = (cells + 1) ** 2 <= 2**log2_table
            size = (cells + 1) ** 2 if dense else 2**log2_table
            made.append(Level(cells, dense, size, offset))
            offset += size
    return made


class HashTriPlane(nn.Module):
    """Hash tri-plane encoder.

    Args:
        levels: resolutions per plane.
        features_per_level: numbers per grid point: 1, 2, 4 or 8.
        log2_table: table size of a level, as a power of two.
        base: cells along the side of the coarsest level.
        finest: cells along the side of the finest level.
    """

    axis_u: Tensor
    axis_v: Tensor
    cells: Tensor
    dense: Tensor
    size: Tensor
    offset: Tensor

    def __init__(
        self,
        levels: int = 12,
        features_per_level: int = 1,
        log2_table: int = 14,
        base: int = 16,
        finest: int = 256,
    ) -> None:
        super().__init__()
        if features_per_level not in (1, 2, 4, 8):
            raise ValueError(
                f"expected 1, 2, 4 or 8 features per level, but got {features_per_level}"
            )
        self.levels = make_levels(levels, log2_table, base, finest)
        self.features_per_level = features_per_level
        planes = [PLANES[k // levels] for k in range(len(self.levels))]
        for name, values in (  # all levels at once: one by one is hundreds of launches on a GPU
            ("axis_u", [u for u, _ in planes]),
            ("axis_v", [v for _, v in planes]),
            ("cells", [level.cells for level in self.levels]),
            ("dense", [level.dense for level in self.levels]),
            ("size", [level.size for level in self.levels]),
            ("offset", [level.offset for level in self.levels]),
        ):
            self.register_buffer(name, torch.tensor(values), persistent=False)
        entries = self.levels[-1].offset + self.levels[-1].size
        self.tables = nn.Parameter((torch.rand(entries, features_per_level) * 2 - 1) * SPREAD)
        self.dim = len(self.levels) * features_per_level

    def forward(self, x: Float[Tensor, "N 3"]) -> Float[Tensor, "N D"]:
        """Features; number ``(plane * levels + level) * features_per_level + f``."""
        points = unit_cube(x)
        u, v = points[:, self.axis_u] * self.cells, points[:, self.axis_v] * self.cells
        iu, iv = (t.detach().floor().long().clamp_min(0).minimum(self.cells - 1) for t in (u, v))
        fu, fv = (u - iu)[..., None], (v - iv)[..., None]
        low = self._read(iu, iv) * (1 - fu) + self._read(iu + 1, iv) * fu
        high = self._read(iu, iv + 1) * (1 - fu) + self._read(iu + 1, iv + 1) * fu
        return (low * (1 - fv) + high * fv).flatten(1)

    def _read(self, iu: Int[Tensor, "N L"], iv: Int[Tensor, "N L"]) -> Float[Tensor, "N L F"]:
        """Entries of a grid point in every level."""
        stored = iu + iv * (self.cells + 1)
        hashed = (iu ^ (iv * PRIME)) & (self.size - 1)
        return self.tables[self.offset + torch.where(self.dense, stored, hashed)]

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *rest: Any, **named: Any
    ) -> None:
        refuse_tables_of("tinycudann", "planes.0.params", state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *rest, **named)


def refuse_tables_of(encoder: str, key: str, state_dict: Mapping[str, Any], prefix: str) -> None:
    """Refuse to load what another kind of encoder has learned.

    Args:
        encoder: the other kind's name.
        key: a name that stands in its states alone.
        state_dict: to be loaded.
        prefix: of the encoder's names in it.

    Raises:
        RunError: it is the other's.
    """
    if prefix + key in state_dict:
        raise RunError(
            f"these features were learned by the encoder '{encoder}', which lays its grid over the "
            "head in another way: here they would be noise.\n"
            "  Use the encoder that the run was trained with (encoder.name in its config.yaml), "
            "or train again."
        )


def unit_cube(x: Float[Tensor, "N A"]) -> Float[Tensor, "N A"]:
    """From [-1, 1] to [0, 1], clamped."""
    return (x * 0.5 + 0.5).clamp(0, 1)
