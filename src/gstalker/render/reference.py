"""The rasterizer in plain torch: slow, obvious, differentiable by autograd. It is the definition.

Runs in the precision of its input; in float64 it is the oracle that the fast backends are held to.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gstalker.gaussians.harmonics import sh_to_rgb
from gstalker.gaussians.rotations import quat_to_matrix
from gstalker.render.compose import laid_over
from gstalker.types import Camera, Render, Splats

DILATION = 0.3
"""Pixels² added to the projected covariance (Kerbl et al. 2023)."""
NEAR = 0.01
ALPHA_LEAST = 1 / 255
ALPHA_MOST = 0.99
TRANSMITTANCE_LEAST = 1e-4

_TILE = 32
"""Only bounds memory; the picture does not depend on it."""


class ReferenceRasterizer:
    """Draws tile by tile, all Gaussians of a tile at once."""

    def __call__(
        self, splats: Splats, camera: Camera, background: Float[Tensor, "H W 3"] | None = None
    ) -> Render:
        """See :class:`gstalker.render.Rasterizer`."""
        views = [project(splats, v, K) for v, K in zip(camera.viewmats, camera.Ks, strict=True)]
        means2d = torch.stack([view.means2d for view in views])
        if means2d.requires_grad:
            means2d.retain_grad()
        images, alphas, radii = [], [], []
        for view, viewmat, centres in zip(views, camera.viewmats, means2d, strict=True):
            colors = sh_to_rgb(splats.sh, view_directions(splats.means, viewmat))
            seen = _visible(splats, colors, view)
            image, alpha = _blend(centres, view, splats.opacities, colors, seen, camera)
            images.append(image)
            alphas.append(alpha)
            radii.append(torch.where(seen, view.reach.amax(1).ceil(), 0).nan_to_num(0, 0, 0).int())
        render = Render(
            torch.stack(images), torch.stack(alphas)[..., None], means2d, torch.stack(radii)
        )
        return laid_over(render, background)


@dataclass(frozen=True)
class Projection:
    """Gaussians in one picture."""

    means2d: Float[Tensor, "N 2"]
    """Centres in pixels."""
    conics: Float[Tensor, "N 3"]
    """Inverse covariance, entries xx, xy, yy, per pixel²."""
    depths: Float[Tensor, " N"]
    reach: Float[Tensor, "N 2"]
    """Half of the box in which alpha can exceed the cut-off, pixels."""


def view_directions(
    means: Float[Tensor, "N 3"], viewmat: Float[Tensor, "4 4"]
) -> Float[Tensor, "N 3"]:
    """Unit vectors from the camera to the Gaussians, in world axes."""
    eye = -viewmat[:3, :3].T @ viewmat[:3, 3]
    return torch.nn.functional.normalize(means - eye, dim=-1)


def project(splats: Splats, viewmat: Float[Tensor, "4 4"], K: Float[Tensor, "3 3"]) -> Projection:
    """Perspective projection of means, and of covariances to first order (Zwicker et al. 2001)."""
    dtype = splats.means.dtype
    viewmat, K = viewmat.to(dtype), K.to(dtype)
    x, y, z = (splats.means @ viewmat[:3, :3].T + viewmat[:3, 3]).unbind(-1)
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    zero = torch.zeros_like(z)
    jacobian = torch.stack([fx / z, zero, -fx * x / z**2, zero, fy / z, -fy * y / z**2], -1).view(
        -1, 2, 3
    )
    axes = jacobian @ viewmat[:3, :3] @ (quat_to_matrix(splats.quats) * splats.scales[:, None])
    cov = axes @ axes.transpose(1, 2)
    xx, xy, yy = cov[:, 0, 0] + DILATION, cov[:, 0, 1], cov[:, 1, 1] + DILATION
    det = xx * yy - xy * xy
    cutoff = 2 * torch.log(splats.opacities.detach() / ALPHA_LEAST).clamp_min(0)
    return Projection(
        means2d=torch.stack([fx * x / z + cx, fy * y / z + cy], -1),
        conics=torch.stack([yy / det, -xy / det, xx / det], -1),
        depths=z,
        reach=(cutoff[:, None] * torch.stack([xx, yy], -1).detach()).sqrt(),
    )


@torch.no_grad()
def _visible(splats: Splats, colors: Float[Tensor, "N 3"], view: Projection) -> Bool[Tensor, " N"]:
    """In front of the camera, not too faint, and made of numbers."""
    numbers = torch.cat([view.means2d, view.conics, colors, view.reach], dim=1)
    return (view.depths > NEAR) & (splats.opacities > ALPHA_LEAST) & numbers.isfinite().all(1)


def _blend(
    means2d: Float[Tensor, "N 2"],
    view: Projection,
    opacities: Float[Tensor, " N"],
    colors: Float[Tensor, "N 3"],
    seen: Bool[Tensor, " N"],
    camera: Camera,
) -> tuple[Float[Tensor, "H W 3"], Float[Tensor, "H W"]]:
    order = torch.argsort(view.depths.detach().masked_fill(~seen, torch.inf))[: int(seen.sum())]
    low, high = (means2d - view.reach).detach()[order], (means2d + view.reach).detach()[order]
    rows = []
    for top in range(0, camera.height, _TILE):
        bottom = min(top + _TILE, camera.height)
        row = []
        for left in range(0, camera.width, _TILE):
            right = min(left + _TILE, camera.width)
            meets = (
                (high[:, 0] >= left)
                & (low[:, 0] <= right)
                & (high[:, 1] >= top)
                & (low[:, 1] <= bottom)
            )
            ids = order[meets]
            ys = torch.arange(top, bottom).to(means2d) + 0.5
            xs = torch.arange(left, right).to(means2d) + 0.5
            pixels = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), -1).reshape(-1, 1, 2)
            row.append(
                _blend_pixels(
                    pixels, means2d[ids], view.conics[ids], opacities[ids], colors[ids]
                ).view(bottom - top, right - left, 4)
            )
        rows.append(torch.cat(row, dim=1))
    whole = torch.cat(rows, dim=0)
    return whole[..., :3], whole[..., 3]


def _blend_pixels(
    pixels: Float[Tensor, "P 1 2"],
    means2d: Float[Tensor, "M 2"],
    conics: Float[Tensor, "M 3"],
    opacities: Float[Tensor, " M"],
    colors: Float[Tensor, "M 3"],
) -> Float[Tensor, "P 4"]:
    """Colour and alpha of pixels under Gaussians sorted front to back."""
    dx, dy = (pixels - means2d).unbind(-1)
    power = -0.5 * (conics[:, 0] * dx * dx + conics[:, 2] * dy * dy) - conics[:, 1] * dx * dy
    alphas = opacities * torch.exp(power)
    alphas = torch.where(alphas >= ALPHA_LEAST, alphas.clamp_max(ALPHA_MOST), 0)
    alive = torch.cumprod(1 - alphas.detach(), dim=1) >= TRANSMITTANCE_LEAST
    alphas = torch.where(alive, alphas, 0)  # once dark, always dark: the product only falls
    after = torch.cumprod(1 - alphas, dim=1)
    before = torch.cat([after.new_ones(len(after), 1), after], dim=1)
    image = (alphas * before[:, :-1]) @ colors
    return torch.cat([image, 1 - before[:, -1:]], dim=1)
