"""Hash grids of the whole space, two or three coordinates at once.

What RAD-NeRF reads in place of a tri-plane: a stack of grids of growing resolution whose entries
are interpolated linearly and concatenated (Müller et al. 2022). A level whose grid points fit the
table is stored whole; a finer one is hashed. The definition is in plain torch; on a CPU the kernels
do the same (``native/src/hashgrid.cpp``).
"""

from __future__ import annotations

import itertools
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gstalker.encode import native
from gstalker.encode.hashgrid import SPREAD, Level

PRIMES = (1, 2654435761, 805459861)
"""Multipliers of the coordinates in the hash (Müller et al. 2022, equation 4)."""


class HashGrid(nn.Module):
    """Hash grid encoder of positions with ``axes`` coordinates.

    Args:
        axes: 2 or 3.
        levels: resolutions.
        features_per_level: numbers per grid point.
        log2_table: table size of a level, as a power of two.
        base: cells along the side of the coarsest level.
        finest: cells along the side of the finest level.
    """

    cells: Tensor
    dense: Tensor
    offset: Tensor

    def __init__(
        self,
        axes: int,
        *,
        levels: int = 16,
        features_per_level: int = 2,
        log2_table: int = 16,
        base: int = 16,
        finest: int = 2048,
    ) -> None:
        super().__init__()
        if axes not in (2, 3):
            raise ValueError(f"expected 2 or 3 axes, but got {axes}")
        if levels < 1 or base < 1 or finest < base or not 1 <= log2_table <= 24:
            raise ValueError(
                f"expected levels >= 1, 1 <= base <= finest and 1 <= log2_table <= 24, but got "
                f"levels={levels}, base={base}, finest={finest}, log2_table={log2_table}"
            )
        growth = (finest / base) ** (1 / max(levels - 1, 1))
        cells = [math.ceil(round(base * growth**k, 6)) for k in range(levels)]
        whole = [(c + 1) ** axes for c in cells]
        sizes = [min(w, 2**log2_table) for w in whole]
        self.axes, self.table = axes, 2**log2_table
        dense = [w <= 2**log2_table for w in whole]
        offsets = [0, *itertools.accumulate(sizes)]
        self.levels = [
            Level(*numbers) for numbers in zip(cells, dense, sizes, offsets[:-1], strict=True)
        ]
        for name, values in (("cells", cells), ("dense", dense), ("offset", offsets[:-1])):
            self.register_buffer(name, torch.tensor(values), persistent=False)
        tables = (torch.rand(offsets[-1], features_per_level) * 2 - 1) * SPREAD
        self.tables = nn.Parameter(tables)
        self.dim = levels * features_per_level

    def forward(self, x: Float[Tensor, "N A"]) -> Float[Tensor, "N D"]:
        """Features of positions in [-1, 1]; beyond, those of the nearest face.

        Raises:
            ValueError: positions have another number of coordinates.
        """
        if x.shape[-1] != self.axes:
            raise ValueError(f"expected {self.axes} coordinates, but got {x.shape[-1]}")
        if native.fits(x, self.tables):
            return native.encode(x, self.tables, self.levels, planes=1)
        return self.reference(x)

    def reference(self, x: Float[Tensor, "N A"]) -> Float[Tensor, "N D"]:
        """:meth:`forward` in plain torch, for any type and device."""
        points = (x * 0.5 + 0.5).clamp(0, 1)[:, None, :] * self.cells[:, None]
        corner = points.detach().floor().long().clamp_min(0).minimum(self.cells[:, None] - 1)
        share = points - corner
        total: Tensor | None = None
        for choice in itertools.product((0, 1), repeat=self.axes):
            picked = torch.tensor(choice, device=x.device)
            weight = torch.where(picked.bool(), share, 1 - share).prod(-1)
            term = weight[..., None] * self._read(corner + picked)
            total = term if total is None else total + term
        assert total is not None
        return total.flatten(1)

    def _read(self, corner: Tensor) -> Tensor:
        """Entries of grid points ``[N, L, A]``."""
        stored = torch.zeros_like(corner[..., 0])
        hashed = torch.zeros_like(stored)
        for axis in reversed(range(self.axes)):
            stored = stored * (self.cells + 1) + corner[..., axis]
            hashed = hashed ^ (corner[..., axis] * PRIMES[axis])
        place = self.offset + torch.where(self.dense, stored, hashed & (self.table - 1))
        # One index at a time: its gradient is a plain sum over rows, the fast way back.
        return self.tables.index_select(0, place.flatten()).view(*place.shape, -1)


class HashGrid3D(HashGrid):
    """:class:`HashGrid` of three coordinates, by the name ``grid3d``; sizes as there."""

    def __init__(self, **sizes: int) -> None:
        super().__init__(3, **sizes)
