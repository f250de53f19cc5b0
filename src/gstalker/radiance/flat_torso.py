"""The torso of RAD-NeRF and ER-NeRF: a flat picture that the head's pose bends.

Each pixel and the pose give an offset; the shifted pixel is read from a 2-D hash grid, and a small
network makes colour and alpha of that. RAD-NeRF tells it the pose as six numbers; ER-NeRF (section
3.4, adaptive pose encoding) as the places in the picture of three points that it learns.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gstalker.deform.field import EncoderConfig
from gstalker.deform.torso import pose_numbers
from gstalker.encode.grid import HashGrid
from gstalker.errors import ConfigError
from gstalker.limits import Count, Positive, Whole
from gstalker.radiance.layers import Perceptron, waves, waves_of
from gstalker.types import Camera

POINTS = ((0.01, 0.01, 0.1), (-0.1, -0.1, 0.1), (0.1, -0.1, 0.1))
"""Where ER-NeRF's three points begin, box units."""


def _grid() -> EncoderConfig:
    return EncoderConfig("grid2d", 16, 2, 16, 16, 2048)


@dataclass
class FlatTorsoConfig:
    """The torso's networks; defaults are ER-NeRF's."""

    pose: str = "points"
    """points: ER-NeRF's learned points; numbers: RAD-NeRF's six."""
    pose_octaves: Whole = 3
    """Of the pose's numbers (RAD-NeRF: 4)."""
    pixel_octaves: Whole = 8
    """Of the pixel (RAD-NeRF: 10)."""
    shrink: Positive = 1.0
    """Of the pixel's coordinates in [-1, 1] (RAD-NeRF: 0.8)."""
    hidden: Count = 32
    """Width of the network that bends (RAD-NeRF: 64)."""
    grid: EncoderConfig = field(default_factory=_grid)
    """What shifted pixels are read from."""
    latent: Whole = 8
    """Numbers of its own that each training frame has; 0 for none."""


class FlatTorso(nn.Module):
    """Colour and alpha of pixels under a pose.

    Args:
        centre: ``[3]`` of the head's box, centimetres: where the points begin.
        radius: of the box, centimetres.
        rest_viewmat: ``[4, 4]`` the training poses' mean.
        config: sizes.
    """

    centre: Tensor
    radius: Tensor
    rest_viewmat: Tensor

    def __init__(
        self, centre: Tensor, radius: Tensor, rest_viewmat: Tensor, config: FlatTorsoConfig
    ) -> None:
        super().__init__()
        if config.pose not in ("points", "numbers"):
            raise ConfigError(f"method.torso.field.pose is '{config.pose}'; known: points, numbers")
        self.config = config
        self.register_buffer("centre", centre.clone())
        self.register_buffer("radius", radius.clone())
        self.register_buffer("rest_viewmat", rest_viewmat.clone())
        self.points: nn.Parameter | None = None
        if config.pose == "points":  # homogeneous, as ER-NeRF learns them
            self.points = nn.Parameter(torch.tensor([[*p, 1.0] for p in POINTS]))
        told = waves_of(6, config.pose_octaves) + waves_of(2, config.pixel_octaves)
        self.bend = Perceptron(told + config.latent, config.hidden, 2, layers=3)
        sizes = {name: value for name, value in vars(config.grid).items() if name != "name"}
        self.grid = HashGrid(2, **sizes)
        self.paint = Perceptron(self.grid.dim, 32, 4, layers=3)

    def pose(self, camera: Camera) -> Float[Tensor, " 6"]:
        """The head's pose as the networks are told it."""
        viewmat = camera.viewmats[0]
        if self.points is None:
            numbers = pose_numbers(viewmat, self.rest_viewmat)
            return torch.cat([numbers[:3], numbers[3:] / self.radius])
        points = self.points[:, :3] / self.points[:, 3:]
        seen = (points * self.radius + self.centre) @ viewmat[:3, :3].T + viewmat[:3, 3]
        projected = seen @ camera.Ks[0].T
        size = projected.new_tensor([camera.width, camera.height])
        return (projected[:, :2] / projected[:, 2:] / size * 2 - 1).flatten()

    def weights_away_from_one(self) -> Float[Tensor, ""]:
        """Penalty of ER-NeRF's points: mean of ``(1 - w)²`` of their fourth numbers."""
        if self.points is None:
            return self.centre.new_zeros(())
        return (1 - self.points[:, 3]).square().mean()

    def forward(
        self,
        pixels: Float[Tensor, "R 2"],
        pose: Float[Tensor, " 6"],
        latent: Float[Tensor, " L"],
    ) -> tuple[Float[Tensor, "R 3"], Float[Tensor, " R"]]:
        """Colours (not premultiplied) and alpha.

        Args:
            pixels: x and y in [-1, 1].
            pose: from :meth:`pose`.
            latent: the frame's own numbers.
        """
        places = pixels * self.config.shrink
        frame = torch.cat([waves(pose, self.config.pose_octaves), latent])
        told = torch.cat(
            [waves(places, self.config.pixel_octaves), frame.expand(len(pixels), -1)], dim=1
        )
        shifted = places + self.bend(told)
        out = torch.sigmoid(self.paint(self.grid(shifted)))
        return out[:, :3], out[:, 3]
