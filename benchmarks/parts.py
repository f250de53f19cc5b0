"""The hot parts on a synthetic scene: what one training step and one drawn frame are made of."""

from __future__ import annotations

from collections.abc import Callable

import torch

from gstalker.encode import make_encoder
from gstalker.losses.photometric import l1_dssim
from gstalker.render import make_rasterizer
from gstalker.types import Camera, Splats

Parts = dict[str, Callable[[], object]]


def head_scene(count: int, side: int) -> tuple[Splats, Camera]:
    """An ellipsoid of flat Gaussians that covers two thirds of the picture."""
    generator = torch.Generator().manual_seed(0)
    normals = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1)
    axes = torch.tensor([10.0, 12.5, 10.5])
    spacing = 2 * (axes.prod() ** (1 / 3)) * (3.14 / count) ** 0.5
    splats = Splats(
        means=normals * axes,
        scales=spacing
        * torch.tensor([0.6, 0.6, 0.25])
        * torch.exp(0.3 * torch.randn(count, 3, generator=generator)),
        quats=torch.randn(count, 4, generator=generator),
        opacities=torch.rand(count, generator=generator) * 0.69 + 0.3,
        sh=torch.randn(count, 1, 3, generator=generator),
    )
    viewmats = torch.eye(4)[None].clone()
    viewmats[0, 2, 3] = 60.0
    Ks = torch.tensor([[[2.3 * side, 0, side / 2], [0, 2.3 * side, side / 2], [0, 0, 1]]])
    return splats, Camera(viewmats, Ks, side, side)


def rasterize(count: int, side: int, backend: str) -> Parts:
    """Forward, and forward with backward."""
    splats, camera = head_scene(count, side)
    draw = make_rasterizer(backend)
    names = ("means", "scales", "quats", "opacities", "sh")
    leaves = Splats(*(getattr(splats, n).clone().requires_grad_() for n in names))
    pull = torch.randn(1, side, side, 3), torch.randn(1, side, side, 1)

    def forward() -> None:
        with torch.no_grad():
            draw(splats, camera)

    def both() -> None:
        render = draw(leaves, camera)
        torch.autograd.backward([render.image, render.alpha], list(pull))

    title = f"rasterize {backend}, {count} Gaussians, {side} px"
    return {f"{title}, forward": forward, f"{title}, forward + backward": both}


def encode(count: int, side: int, backend: str) -> Parts:
    """The hash tri-plane, forward, and forward with the tables' backward."""
    encoder = make_encoder(backend)
    x = torch.rand(count, 3) * 2 - 1
    pull = torch.randn(count, encoder.dim)

    def forward() -> None:
        with torch.no_grad():
            encoder(x)

    title = f"encode {backend}, {count} points"
    return {
        f"{title}, forward": forward,
        f"{title}, forward + backward": lambda: encoder(x).backward(pull),
    }


def loss(count: int, side: int, backend: str) -> Parts:
    """L1 and D-SSIM with the gradient."""
    pred, truth = torch.rand(1, side, side, 3).requires_grad_(), torch.rand(1, side, side, 3)
    return {f"L1 + D-SSIM, {side} px, forward + backward": lambda: l1_dssim(pred, truth).backward()}


PARTS = {"rasterize": rasterize, "encode": encode, "loss": loss}
"""What can be asked for by name."""
