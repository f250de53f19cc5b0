"""Splats and a camera become pixels. The seam is ``Rasterizer``; ``reference`` defines it.

What every backend draws, and how it differs from the INRIA code: the projected covariance grows by
0.3 pixels², alpha is clamped to 0.99 and cut off below 1/255, a pixel is finished before its
transmittance would fall below 1e-4, Gaussians nearer than 0.01 are not drawn, and there is no
3-sigma bound on tiles, so the picture does not depend on the tiling.
"""

from __future__ import annotations

import logging
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from gstalker.errors import ConfigError
from gstalker.native import library
from gstalker.plugins import resolve
from gstalker.types import Camera, Render, Splats

log = logging.getLogger(__name__)

RASTERIZERS = {
    "reference": "gstalker.render.reference:ReferenceRasterizer",
    "native": "gstalker.render.native:NativeRasterizer",
    "gsplat": "gstalker.render.gsplat:GsplatRasterizer",
    "inria": "gstalker.render.inria:InriaRasterizer",
}
"""Backends by name; ``auto`` takes the best that is here."""


@runtime_checkable
class Rasterizer(Protocol):
    """Draws splats."""

    def __call__(
        self, splats: Splats, camera: Camera, background: Float[Tensor, "H W 3"] | None = None
    ) -> Render:
        """The picture over a still background, with its alpha; one per camera of the batch.

        Args:
            splats: what to draw.
            camera: from where.
            background: what shines through, behind every camera of the batch; black if not given.
                It receives no gradient; what it does to the gradients of the splats is in them.
        """
        ...


@torch.no_grad()
def paint(
    rasterizer: Rasterizer,
    splats: Splats,
    camera: Camera,
    background: Float[Tensor, "H W 3"] | None = None,
) -> UInt8[Tensor, "H W 3"]:
    """The picture alone, rounded to 8 bits, by the rasterizer's own ``paint`` where it has one.

    Args:
        rasterizer: who draws.
        splats: what to draw.
        camera: from where; a batch of one.
        background: what shines through; black if not given.

    Raises:
        ValueError: the batch is not of one.
    """
    own = getattr(rasterizer, "paint", None)
    if own is not None:
        picture: Tensor = own(splats, camera, background)
        return picture
    if len(camera.viewmats) != 1:
        raise ValueError(f"expected a batch of one camera, but got {len(camera.viewmats)}")
    image = rasterizer(splats, camera, background).image[0]
    return (image.clamp(0, 1) * 255).round().to(torch.uint8)


def make_rasterizer(name: str = "auto", device: str = "cpu") -> Rasterizer:
    """The backend called ``name``.

    Args:
        name: a key of ``RASTERIZERS``, ``module:Class``, or ``auto``: on a GPU gsplat, on a CPU the
            kernels, or without them the reference.
        device: where the splats will lie.

    Raises:
        ConfigError: nobody knows the name, or it cannot draw on that device.
        BackendMissing: it is not installed; says the install line.
    """
    if name == "auto":
        if device != "cpu":
            name = "gsplat"
        elif library.available():
            name = "native"
        else:
            name = "reference"
            log.warning(
                "drawing with the torch reference, some hundred times slower than the kernels: %s",
                library.describe(),
            )
        log.info("rasterizer auto: %s", name)
    if name == "native" and device != "cpu":
        raise ConfigError(
            f"rasterizer 'native' draws on the CPU, but device is {device}.\n"
            "  Use: rasterizer.name=auto   or: device=cpu"
        )
    return resolve(RASTERIZERS, name)()
