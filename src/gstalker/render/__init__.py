"""Splats and a camera become pixels. The seam is ``Rasterizer``; ``reference`` defines it.

What every backend draws, and how it differs from the INRIA code: the projected covariance grows by
0.3 pixels², alpha is clamped to 0.99 and cut off below 1/255, a pixel is finished before its
transmittance would fall below 1e-4, Gaussians nearer than 0.01 are not drawn, and there is no
3-sigma bound on tiles, so the picture does not depend on the tiling.
"""

from __future__ import annotations

import logging
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

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


def make_rasterizer(name: str = "auto", device: str = "cpu") -> Rasterizer:
    """The backend called ``name``.

    Args:
        name: a key of ``RASTERIZERS``, ``module:Class``, or ``auto``: on a GPU gsplat, on a CPU the
            kernels, or without them the reference.
        device: where the splats will lie.

    Raises:
        ConfigError: nobody knows the name.
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
    return resolve(RASTERIZERS, name)()
