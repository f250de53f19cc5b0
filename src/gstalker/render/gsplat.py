"""The rasterizer through gsplat, on a GPU. Written to gsplat 1.5's interface; not run here.

gsplat cuts a Gaussian off at three deviations and clamps alpha to 0.999, so its pictures agree with
the reference's closely, not to rounding.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gstalker.errors import BackendMissing
from gstalker.gaussians.harmonics import sh_to_rgb
from gstalker.render.compose import laid_over
from gstalker.render.reference import DILATION, NEAR, view_directions
from gstalker.types import Camera, Render, Splats


class GsplatRasterizer:
    """CUDA through gsplat.

    Raises:
        BackendMissing: gsplat is not installed, or there is no CUDA device.
    """

    def __init__(self) -> None:
        try:
            from gsplat import rasterization
        except ImportError as error:
            raise BackendMissing(
                "rasterizer 'gsplat' was asked for, but gsplat is not installed.\n"
                "  Install it with: pip install 'gstalker[cuda]'   or use: rasterizer.name=native"
            ) from error
        if not torch.cuda.is_available():
            raise BackendMissing(
                "rasterizer 'gsplat' needs a CUDA device, and torch finds none.\n"
                "  Use: rasterizer.name=native"
            )
        self._rasterization = rasterization

    def __call__(
        self, splats: Splats, camera: Camera, background: Float[Tensor, "H W 3"] | None = None
    ) -> Render:
        """See :class:`gstalker.render.Rasterizer`."""
        colors = [
            sh_to_rgb(splats.sh, view_directions(splats.means, viewmat))
            for viewmat in camera.viewmats
        ]
        image, alpha, info = self._rasterization(
            means=splats.means,
            quats=splats.quats,
            scales=splats.scales,
            opacities=splats.opacities,
            colors=torch.stack(colors),
            viewmats=camera.viewmats,
            Ks=camera.Ks,
            width=camera.width,
            height=camera.height,
            near_plane=NEAR,
            eps2d=DILATION,
            packed=False,
        )
        means2d = info["means2d"]
        if means2d.requires_grad:
            means2d.retain_grad()
        radii = info["radii"]
        render = Render(image, alpha, means2d, radii.amax(-1) if radii.ndim == 3 else radii)
        return laid_over(render, background)
