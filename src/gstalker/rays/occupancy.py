"""Which cells of the box hold something: the grid that marching skips empty space by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn


@dataclass
class OccupancyConfig:
    """The grid, and how it follows what is learned; published values are RAD-NeRF's."""

    cells: int = 128
    """Along a side."""
    every_steps: int = 16
    """Between two updates."""
    threshold: float = 10.0
    """Density per box unit above which a cell is occupied, or the mean where that is less."""
    decay: float = 0.95
    """Of a cell's remembered density at each visit, unless more is found (instant-ngp)."""
    share: float = 1.0
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
        half: Float[Tensor, " 3"],
        generator: torch.Generator,
        chunk: int = 2**16,
    ) -> None:
        """Ask a field for a random place of each visited cell.

        Args:
            density_at: density per box unit at positions in box units.
            half: half sides of the box; cells outside are never visited and stay empty.
            generator: of the places.
            chunk: positions asked for at once.
        """
        config, device = self.config, self.density.device
        total = config.cells**3
        count = max(round(config.share * total), 1)
        visited = torch.randperm(total, generator=generator)[:count].to(device)
        if count == total:
            visited = visited.sort().values
        corner = torch.stack(
            [
                visited % config.cells,
                visited // config.cells % config.cells,
                visited // config.cells**2,
            ],
            dim=1,
        )
        inside = torch.rand(count, 3, generator=generator).to(device)
        places = (corner + inside) / config.cells * 2 - 1
        within = ((corner + 0.5) / config.cells * 2 - 1).abs() <= half + 1 / config.cells
        asked = within.all(1).nonzero()[:, 0]
        found = [density_at(places[part]).float() for part in asked.split(chunk)]
        remembered = self.density.view(-1)
        news = torch.zeros(count, device=device)
        if found:
            news[asked] = torch.cat(found)
        remembered[visited] = torch.maximum(remembered[visited] * config.decay, news)
        mean = remembered.mean() / half.prod()  # over the box alone
        least = mean.clamp(max=config.threshold)
        self.occupied.copy_((self.density > least).to(torch.uint8))
