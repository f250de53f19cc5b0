"""The rasterizer through diff-gaussian-rasterization, on a GPU. Its call is tested here, its
kernels were not run; its licence is for research only.

What it draws otherwise than the reference, and does not let one choose: in tiles of 16 pixels that
lie wholly beyond three deviations of a Gaussian, its last 2.8/255 of alpha are missing; nothing
nearer than 0.2 is drawn; and where alpha is clamped, a gradient flows as if it were not. ``radii``
are three deviations of the longest axis. It knows no principal point: the projection matrix holds
it, but shapes are bent as for one in the middle, so it must not lie far from there. It draws no
alpha either, so a second pass with white Gaussians over black gives it.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gstalker.errors import BackendMissing
from gstalker.gaussians.harmonics import sh_to_rgb
from gstalker.plugins import INSTALL_LINES
from gstalker.render import gpu
from gstalker.render.compose import laid_over
from gstalker.render.reference import NEAR, view_directions
from gstalker.types import Camera, Render, Splats

OFF_CENTRE_MOST = 0.15
"""Of the picture's side: with the principal point further off, the picture would reach over the
line, 1.3 half sides from it, beyond which the package bends shapes no further."""
_FAR = 1000.0


class InriaRasterizer:
    """CUDA through diff-gaussian-rasterization, with or without its later antialiasing.

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
                f"  Install it with: {INSTALL_LINES['diff_gaussian_rasterization']}\n"
                "  or use: rasterizer.name=native"
            ) from error
        gpu.need_device("inria")
        self._package = package

    def __call__(
        self, splats: Splats, camera: Camera, background: Float[Tensor, "H W 3"] | None = None
    ) -> Render:
        """See :class:`gstalker.render.Rasterizer`.

        Raises:
            ValueError: the splats are not float32 on a GPU, or the principal point is far from the
                middle of the picture.
        """
        gpu.check(splats)
        if not len(splats):
            return laid_over(gpu.nothing(splats, camera), background)
        views = zip(camera.viewmats, camera.Ks, strict=True)
        # One leaf for all cameras: what holds the centres also receives the pull on them
        means2d = torch.stack([_centres(splats, viewmat, K) for viewmat, K in views])
        means2d.requires_grad_(torch.is_grad_enabled())
        pictures = [self._one(splats, camera, k, means2d[k]) for k in range(len(means2d))]
        image, alpha, radii = (torch.stack(parts) for parts in zip(*pictures, strict=True))
        return laid_over(Render(image, alpha, means2d, radii), background)

    def _one(
        self, splats: Splats, camera: Camera, k: int, means2d: Float[Tensor, "N 2"]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Picture, alpha and radii from one camera."""
        viewmat, K = camera.viewmats[k], camera.Ks[k]
        colors = sh_to_rgb(splats.sh, view_directions(splats.means, viewmat))
        splats, clean = gpu.drawable(splats, colors[None])
        draw = self._package.GaussianRasterizer(self._settings(viewmat, K, camera))
        common = {
            "means3D": splats.means,
            "means2D": _half_sides(means2d, camera),
            "opacities": splats.opacities[:, None],
            "scales": splats.scales,
            "rotations": splats.quats,
        }
        image, radii = draw(colors_precomp=clean[0], **common)[:2]  # some versions add a depth
        alpha = draw(colors_precomp=torch.ones_like(colors), **common)[0][:1]
        return image.movedim(0, -1), alpha.movedim(0, -1), radii.int()

    def _settings(
        self, viewmat: Float[Tensor, "4 4"], K: Float[Tensor, "3 3"], camera: Camera
    ) -> Any:
        width, height = camera.width, camera.height
        (fx, _, cx), (_, fy, cy), _ = K.tolist()  # the package wants numbers: one wait for the GPU
        off = max(abs(cx / width - 0.5), abs(cy / height - 0.5))
        if off > OFF_CENTRE_MOST:
            raise ValueError(
                f"expected a principal point within {OFF_CENTRE_MOST:.0%} of the picture's side "
                f"from its middle, but got ({cx:g}, {cy:g}) in {width} x {height}; "
                "use rasterizer.name=gsplat"
            )
        # From camera axes to [-1, 1] with the depth as divisor (its third row is never read)
        projection = viewmat.new_tensor(
            [
                [2 * fx / width, 0, 2 * cx / width - 1, 0],
                [0, 2 * fy / height, 2 * cy / height - 1, 0],
                [0, 0, _FAR / (_FAR - NEAR), -_FAR * NEAR / (_FAR - NEAR)],
                [0, 0, 1, 0],
            ]
        )
        kind = self._package.GaussianRasterizationSettings
        later = {"antialiasing": False} if "antialiasing" in kind._fields else {}
        return kind(
            image_height=height,
            image_width=width,
            tanfovx=width / (2 * fx),
            tanfovy=height / (2 * fy),
            bg=viewmat.new_zeros(3),
            scale_modifier=1.0,
            viewmatrix=viewmat.T.contiguous(),  # the kernels read columns first
            projmatrix=(projection @ viewmat).T.contiguous(),
            sh_degree=0,
            campos=-viewmat[:3, :3].T @ viewmat[:3, 3],
            prefiltered=False,
            debug=False,
            **later,
        )


@torch.no_grad()
def _centres(
    splats: Splats, viewmat: Float[Tensor, "4 4"], K: Float[Tensor, "3 3"]
) -> Float[Tensor, "N 2"]:
    """Projected centres in pixels, which the package keeps to itself."""
    seen = (splats.means @ viewmat[:3, :3].T + viewmat[:3, 3]) @ K.T
    return seen[:, :2] / seen[:, 2:]


def _half_sides(means2d: Float[Tensor, "N 2"], camera: Camera) -> Float[Tensor, "N 3"]:
    """Centres in half sides from the middle, the unit in which the package returns their pull.

    It reads nothing of this tensor; the chain rule through here makes it a pull per pixel.
    """
    u, v = means2d.unbind(-1)
    return torch.stack(
        [u * (2 / camera.width) - 1, v * (2 / camera.height) - 1, torch.zeros_like(u)], dim=-1
    )
