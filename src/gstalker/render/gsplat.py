"""The rasterizer through gsplat 1.5, on a GPU. Its call is tested here, its kernels were not run.

What gsplat draws otherwise than the reference, and does not let one choose: alpha is clamped to
0.999; a Gaussian that lies beside the picture by more than 15 % of its side has the shape that it
would have at that line; a pixel is finished where its transmittance would be 1e-4 exactly; and
exponentials are the fast ones, good to about 1e-6. Where a Gaussian is not seen, ``means2d`` holds
whatever the memory held; its ``grad`` is 0 there.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gstalker.errors import BackendMissing
from gstalker.gaussians.harmonics import sh_to_rgb
from gstalker.render import gpu
from gstalker.render.compose import laid_over
from gstalker.render.reference import DILATION, NEAR, view_directions
from gstalker.types import Camera, Render, Splats


class GsplatRasterizer:
    """CUDA through gsplat; the first picture on a new machine compiles its kernels, for minutes.

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
        gpu.need_device("gsplat")
        self._rasterization = rasterization

    def __call__(
        self, splats: Splats, camera: Camera, background: Float[Tensor, "H W 3"] | None = None
    ) -> Render:
        """See :class:`gstalker.render.Rasterizer`.

        Raises:
            ValueError: the splats are not float32 on a GPU.
        """
        gpu.check(splats)
        if not len(splats):  # gsplat divides by their number
            return laid_over(gpu.nothing(splats, camera), background)
        return laid_over(self._draw(splats, camera), background)

    def _draw(self, splats: Splats, camera: Camera) -> Render:
        colors = torch.stack(
            [
                sh_to_rgb(splats.sh, view_directions(splats.means, viewmat))
                for viewmat in camera.viewmats
            ]
        )
        splats, colors = gpu.drawable(splats, colors)
        image, alpha, info = self._rasterization(
            means=splats.means,
            quats=splats.quats,
            scales=splats.scales,
            opacities=splats.opacities,
            colors=colors,
            viewmats=camera.viewmats,
            Ks=camera.Ks,
            width=camera.width,
            height=camera.height,
            near_plane=NEAR,
            radius_clip=0.0,
            eps2d=DILATION,
            sh_degree=None,  # the colours are ready
            packed=False,  # else means2d and radii have a row per Gaussian seen, not per Gaussian
            absgrad=False,
            rasterize_mode="classic",
        )
        means2d = info["means2d"]
        if means2d.requires_grad:
            means2d.retain_grad()
        # Half-extents at the 1/255 cut-off along x and y
        return Render(image, alpha, means2d, info["radii"].amax(-1))
