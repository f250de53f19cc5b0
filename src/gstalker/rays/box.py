"""The box around a head in which rays are followed, and a camera's rays in the box's own units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gstalker.types import Camera

MARGIN = 0.1
"""Of the head's width, added on every side."""
DEPTH = 1.0
"""Of the box behind the front of the face, in widths of the head: heads are a little deeper than
wide, but what lies behind their middle is never seen."""


@dataclass(frozen=True)
class Rays:
    """Half-lines in box units: the box's longest half side is 1."""

    origins: Float[Tensor, "R 3"]
    directions: Float[Tensor, "R 3"]
    """Of length 1."""
    near: Float[Tensor, " R"]
    """Distance at which the ray enters the box."""
    far: Float[Tensor, " R"]
    """Distance at which it leaves; not beyond ``near`` where the box is missed."""

    def __len__(self) -> int:
        return len(self.origins)

    def part(self, chosen: slice | Tensor) -> Rays:
        """Some of the rays."""
        return Rays(
            self.origins[chosen], self.directions[chosen], self.near[chosen], self.far[chosen]
        )


class HeadBox(nn.Module):
    """Where a head is: ``x`` in head space (cm) lies at ``(x - centre) / radius`` in box units.

    Args:
        low: ``[3]`` least corner in head space, centimetres.
        high: ``[3]`` greatest corner.
    """

    centre: Tensor
    radius: Tensor
    extent: Tensor

    def __init__(self, low: Float[Tensor, " 3"], high: Float[Tensor, " 3"]) -> None:
        super().__init__()
        radius = (high - low).max() / 2
        self.register_buffer("centre", (low + high) / 2)
        self.register_buffer("radius", radius)
        self.register_buffer("extent", (high - low) / 2 / radius)

    def rays(self, camera: Camera, pixels: Int[Tensor, " R"]) -> Rays:
        """Rays of one frame's camera (B = 1) through the centres of pixels ``y * width + x``."""
        back = torch.linalg.inv_ex(camera.viewmats[0])[0]
        x, y = pixels % camera.width + 0.5, pixels // camera.width + 0.5
        K = camera.Ks[0]
        seen = torch.stack(
            [(x - K[0, 2]) / K[0, 0], (y - K[1, 2]) / K[1, 1], torch.ones_like(x)], dim=1
        )
        directions = nn.functional.normalize(seen @ back[:3, :3].T, dim=1)
        origin = (back[:3, 3] - self.centre) / self.radius
        near, far = _slab(origin, directions, self.extent)
        return Rays(origin.expand_as(directions), directions, near, far)


def _slab(origin: Tensor, directions: Tensor, half: Tensor) -> tuple[Tensor, Tensor]:
    """Distances at which rays enter and leave the box of half sides ``half`` around 0."""
    steep = torch.where(directions.abs() < 1e-9, 1e-9, directions)
    one, other = (-half - origin) / steep, (half - origin) / steep
    near = torch.minimum(one, other).amax(1).clamp_min(0.0)
    return near, torch.maximum(one, other).amin(1)


def all_pixels(camera: Camera) -> Int[Tensor, " R"]:
    """Every pixel of a camera's pictures, row by row."""
    return torch.arange(camera.width * camera.height, device=camera.viewmats.device)


def fit_box(
    masks: list[np.ndarray],
    viewmats: Float[Tensor, "F 4 4"],
    Ks: Float[Tensor, "3 3"],
    mesh: np.ndarray,
) -> tuple[Tensor, Tensor]:
    """Corners of a box that holds the head, in head space.

    Sideways it is what the head's pixels cover at the depth of the face; in depth it begins in
    front of the face. A two-hundredth of the pixels at each end may be wrong.

    Args:
        masks: of some frames, true where the head is.
        viewmats: their head to camera.
        Ks: intrinsics in pixels.
        mesh: ``[V, 3]`` the face at rest, head space.

    Raises:
        ValueError: no frame shows a head.
    """
    points, forward = [], []
    for mask, viewmat in zip(masks, viewmats.double().numpy(), strict=True):
        rows, columns = np.nonzero(mask)
        chosen = slice(None, None, max(len(rows) // 2000, 1))
        K = Ks.double().numpy()
        seen = np.stack(
            [
                (columns[chosen] + 0.5 - K[0, 2]) / K[0, 0],
                (rows[chosen] + 0.5 - K[1, 2]) / K[1, 1],
                np.ones(len(rows[chosen])),
            ],
            axis=1,
        )
        turn, shift = viewmat[:3, :3], viewmat[:3, 3]
        directions, origin = seen @ turn, -turn.T @ shift
        reach = (mesh.mean(0)[2] - origin[2]) / directions[:, 2]
        points.append(origin + reach[:, None] * directions)
        forward.append(turn[2, 2])
    found = np.concatenate(points)
    if not len(found):
        raise ValueError("expected masks with a head in them, but none has a pixel of one")
    low, high = np.quantile(found[:, :2], 0.005, axis=0), np.quantile(found[:, :2], 0.995, axis=0)
    width = float(high[0] - low[0])
    low, high = low - MARGIN * width, high + MARGIN * width
    away = 1.0 if np.mean(forward) >= 0 else -1.0  # the way that the camera looks
    depths = away * mesh[:, 2]
    ends = away * np.array([depths.min() - MARGIN * width, depths.min() + DEPTH * width])
    corners = np.stack([[*low, ends.min()], [*high, ends.max()]])
    return torch.tensor(corners[0]).float(), torch.tensor(corners[1]).float()
