"""What the rasterizers on a GPU share: where splats must lie, and what must not be drawn.

The packages behind them read raw memory and trust every number, so both are checked before.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gstalker.errors import BackendMissing
from gstalker.types import Camera, Render, Splats

DEVICE = "cuda"
"""Kind of device that holds the splats; only tests with stand-in packages change it."""


def need_device(name: str) -> None:
    """Refuse to make a rasterizer where torch finds no GPU.

    Raises:
        BackendMissing: there is none.
    """
    if not torch.cuda.is_available():
        raise BackendMissing(
            f"rasterizer '{name}' needs a CUDA device, and torch finds none.\n"
            "  Use: rasterizer.name=native"
        )


def check(splats: Splats) -> None:
    """Refuse splats that the kernels would misread.

    Raises:
        ValueError: they are not float32 on a GPU.
    """
    found = splats.means
    if found.dtype != torch.float32 or found.device.type != DEVICE:
        raise ValueError(
            f"expected float32 splats on a {DEVICE} device, but got {found.dtype} on {found.device}"
        )


def drawable(
    splats: Splats, colors: Float[Tensor, "B N 3"]
) -> tuple[Splats, Float[Tensor, "B N 3"]]:
    """Splats with unit quaternions, and colours; nothing is left of what is not made of numbers.

    Such a Gaussian would be drawn opaque over everything: on a GPU the minimum of a limit and of no
    number is the limit. A size is caught when it is infinite, not when its square is.
    """
    directions = splats.quats / splats.quats.norm(dim=-1, keepdim=True)
    numbers = torch.cat([splats.means, splats.scales, directions, *colors.detach()], dim=1)
    whole = numbers.isfinite().all(1) & splats.opacities.isfinite()
    quats = torch.where(whole[:, None], splats.quats, 1)
    cleaned = Splats(
        means=torch.where(whole[:, None], splats.means, 0),
        scales=torch.where(whole[:, None], splats.scales, 1),
        quats=quats / quats.norm(dim=-1, keepdim=True),
        opacities=torch.where(whole, splats.opacities, 0),
        sh=splats.sh,
    )
    return cleaned, torch.where(whole[:, None], colors, 0)


def nothing(splats: Splats, camera: Camera) -> Render:
    """A picture of no Gaussians: black, and part of the graph as any other."""
    count, height, width = len(camera.viewmats), camera.height, camera.width
    means2d = splats.means.new_zeros(count, 0, 2).requires_grad_(torch.is_grad_enabled())
    zero = means2d.sum() + torch.stack([value.sum() for value in vars(splats).values()]).sum()
    return Render(
        image=zero.expand(count, height, width, 3),
        alpha=zero.expand(count, height, width, 1),
        means2d=means2d,
        radii=torch.zeros(count, 0, dtype=torch.int32, device=splats.means.device),
    )
