"""Which cells of the box hold something: the grid that marching skips empty space by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gstalker.limits import Amount, Count, Share

CHUNK = 2**16
"""Places that a field is asked for at once."""


@dataclass
class OccupancyConfig:
    """The grid, and how it follows what is learned; published values are RAD-NeRF's."""

    cells: Count = 128
    """Along a side."""
    every_steps: Count = 16
    """Between two updates."""
    threshold: Amount = 10.0
    """Density per box unit above which a cell is occupied."""
    mean_share: Amount = 0.5
    """A cell is also occupied above this share of the mean. RAD-NeRF has 1; but at first all cells
    are alike, and what is above their mean is noise."""
    decay: Share = 0.95
    """Of a cell's remembered density at each visit, unless more is found (instant-ngp)."""
    share: Share = 1.0
    """Of the cells that an update visits, drawn at random."""


class OccupancyGrid(nn.Module):
    """Remembers the highest density lately found in each cell; at first everything is occupied.

    Args:
        config: sizes.
    """

    density: Tensor
    occupied: Tensor

    def __init__(self, config: OccupancyConfig) -> None:
        super().__init__()
        self.config = config
        side = (config.cells,) * 3
        self.register_buffer("density", torch.zeros(side))
        self.register_buffer("occupied", torch.ones(side, dtype=torch.uint8))

    @torch.no_grad()
    def update(
        self,
        density_at: Callable[[Float[Tensor, "M 3"]], Float[Tensor, " M"]],
        extent: Float[Tensor, " 3"],
        generator: torch.Generator,
    ) -> None:
        """Ask a field for a random place of each visited cell.

        Args:
            density_at: density per box unit at positions in box units.
            extent: half sides of the box; cells outside hold nothing.
            generator: of the places.
        """
        config, device = self.config, self.density.device
        total = config.cells**3
        count = max(round(config.share * total), 1)
        visited = torch.randperm(total, generator=generator)[:count].to(device)
        along = torch.stack([visited // config.cells**k % config.cells for k in range(3)], dim=1)
        held = self._held(extent)
        inside = torch.stack([held[axis][along[:, axis]] for axis in range(3)], dim=1).all(1)
        shift = torch.rand(count, 3, generator=generator).to(device)
        places = ((along + shift) / config.cells * 2 - 1)[inside]
        if not len(places):
            return
        found = torch.cat([density_at(part).float() for part in places.split(CHUNK)])
        remembered, asked = self.density.view(-1), visited[inside]
        remembered[asked] = torch.maximum(remembered[asked] * config.decay, found)
        mean = remembered.sum() / held.sum(1).prod()
        least = (mean * config.mean_share).clamp(max=config.threshold)
        self.occupied.copy_((self.density > least).to(torch.uint8))

    def _held(self, extent: Tensor) -> Tensor:
        """Along each axis, which cells have a part in the box, ``[3, G]``."""
        cells = self.config.cells
        centres = (torch.arange(cells, device=extent.device) + 0.5) / cells * 2 - 1
        return centres.abs() < extent[:, None] + 1 / cells
