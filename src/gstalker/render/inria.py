"""The rasterizer through diff-gaussian-rasterization, on a GPU; not run here.

It draws no alpha, so a second pass with white Gaussians over black gives it; its licence is for
research only.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gstalker.errors import BackendMissing
from gstalker.gaussians.harmonics import sh_to_rgb
from gstalker.render.compose import laid_over
from gstalker.render.reference import view_directions
from gstalker.types import Camera, Render, Splats


class InriaRasterizer:
    """CUDA through diff-gaussian-rasterization.

    Raises:
        BackendMissing: it is not installed, or there is no CUDA device.
    """

    def __init__(self) -> None:
        try:
            import diff_gaussian_rasterization as package
        except (ImportError, OSError) as error:
            raise BackendMissing(
                "rasterizer 'inria' was asked for, but diff-gaussian-rasterization is not "
                "installed.\n"
                "  Install it on a CUDA machine with: pip install "
                "git+https://github.com/graphdeco-inria/diff-gaussian-rasterization\n"
                "  or use: rasterizer.name=native"
            ) from error
        if not torch.cuda.is_available():
            raise BackendMissing(
                "rasterizer 'inria' needs a CUDA device, and torch finds none.\n"
                "  Use: rasterizer.name=native"
            )
        self._package = package

    def __call__(
        self, splats: Splats, camera: Camera, background: Float[Tensor, "H W 3"] | None = None
    ) -> Render:
        """See :class:`gstalker.render.Rasterizer`."""
        views = [self._one(splats, camera, k) for k in range(len(camera.viewmats))]
        if len(views) == 1:
            return laid_over(views[0], background)
        names = ("image", "alpha", "means2d", "radii")
        render = Render(*(torch.cat([getattr(view, name) for view in views]) for name in names))
        return laid_over(render, background)

    def _one(self, splats: Splats, camera: Camera, k: int) -> Render:
        viewmat, K = camera.viewmats[k], camera.Ks[k]
        draw = self._package.GaussianRasterizer(self._settings(viewmat, K, camera))
        means2d = torch.zeros_like(splats.means, requires_grad=True)
        common = {
            "means3D": splats.means,
            "means2D": means2d,
            "opacities": splats.opacities[:, None],
            "scales": splats.scales,
            "rotations": splats.quats / splats.quats.norm(dim=-1, keepdim=True),
        }
        colors = sh_to_rgb(splats.sh, view_directions(splats.means, viewmat))
        image, radii = draw(colors_precomp=colors, **common)[:2]
        alpha = draw(colors_precomp=torch.ones_like(colors), **common)[0][:1]
        return Render(
            image.movedim(0, -1)[None],
            alpha.movedim(0, -1)[None],
            means2d[None, :, :2],
            radii[None].int(),
        )

    def _settings(self, viewmat: torch.Tensor, K: torch.Tensor, camera: Camera) -> Any:
        width, height = camera.width, camera.height
        near, far = 0.01, 1000.0
        projection = torch.zeros(4, 4, device=viewmat.device)
        projection[0, 0], projection[0, 2] = 2 * K[0, 0] / width, 2 * K[0, 2] / width - 1
        projection[1, 1], projection[1, 2] = 2 * K[1, 1] / height, 2 * K[1, 2] / height - 1
        projection[2, 2], projection[2, 3] = far / (far - near), -far * near / (far - near)
        projection[3, 2] = 1
        return self._package.GaussianRasterizationSettings(
            image_height=height,
            image_width=width,
            tanfovx=float(width / (2 * K[0, 0])),
            tanfovy=float(height / (2 * K[1, 1])),
            bg=torch.zeros(3, device=viewmat.device),
            scale_modifier=1.0,
            viewmatrix=viewmat.T.contiguous(),
            projmatrix=(projection @ viewmat).T.contiguous(),
            sh_degree=0,
            campos=-viewmat[:3, :3].T @ viewmat[:3, 3],
            prefiltered=False,
            debug=False,
        )
