"""Stand-ins for gsplat and diff-gaussian-rasterization that run on any device, in any precision.

Their signatures, units and memory layouts are those that the packages document; what they draw is
written down here anew, in plain torch, from the same facts. With them our calls are tested for
real where there is no GPU: a transposed matrix or a wrong unit draws another picture.
"""

import sys
from types import SimpleNamespace
from typing import NamedTuple

import torch
from torch import nn

from gstalker.render import gpu
from gstalker.render.gsplat import GsplatRasterizer
from gstalker.render.inria import InriaRasterizer

TILE = 16


def gaussians(x, y, z, axes, fx, fy, lim_x, lim_y, eps2d):
    """Covariances in pixels² (xx, xy, yy) of Gaussians at camera positions ``x y z``.

    ``axes [N, 3, 3]`` are their axes in camera space, as columns; directions steeper than the
    limits are bent as if they lay on them.
    """
    tx, ty = z * (x / z).clamp(*lim_x), z * (y / z).clamp(*lim_y)
    zero = torch.zeros_like(z)
    rows = [fx / z, zero, -fx * tx / z**2, zero, fy / z, -fy * ty / z**2]
    flat = torch.stack(rows, -1).view(-1, 2, 3) @ axes
    cov = flat @ flat.mT
    return cov[:, 0, 0] + eps2d, cov[:, 0, 1], cov[:, 1, 1] + eps2d


def unit_axes(quats, scales):
    """Columns of rotation times size; the quaternions, wxyz, must have length one already."""
    assert torch.allclose(quats.norm(dim=1), torch.ones_like(quats[:, 0]), atol=1e-5)
    w, x, y, z = quats.unbind(1)
    rotation = torch.stack(
        [
            1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
            2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
            2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
        ], dim=1,
    ).view(-1, 3, 3)  # fmt: skip
    return rotation * scales[:, None]


def blend(u, v, cov, depths, opacities, colors, size, first, limit, last_t, reaches):
    """Colour ``[H, W, 3]`` and transmittance ``[H, W]``, nearest Gaussian first.

    The first pixel's centre has the coordinate ``first``; ``limit`` is alpha's upper one; a pixel
    goes on while ``last_t`` holds of its transmittance; ``reaches [N, H, W]`` says for which pixels
    each Gaussian is looked at.
    """
    height, width = size
    order = torch.argsort(depths.detach())
    xs = torch.arange(width, device=u.device).to(u) + first
    ys = torch.arange(height, device=u.device).to(u) + first
    dx, dy = xs[None, None, :] - u[order, None, None], ys[None, :, None] - v[order, None, None]
    xx, xy, yy = (part[order, None, None] for part in cov)
    power = -0.5 * (yy * dx * dx - 2 * xy * dx * dy + xx * dy * dy) / (xx * yy - xy * xy)
    # As on a GPU, the minimum of the limit and of no number is the limit
    alpha = torch.fmin(opacities[order, None, None] * power.exp(), u.new_tensor(limit))
    alpha = torch.where((alpha >= 1 / 255) & reaches[order], alpha, 0)
    alpha = torch.where(last_t((1 - alpha.detach()).cumprod(0)), alpha, 0)
    after = (1 - alpha).cumprod(0)
    before = torch.cat([torch.ones_like(after[:1]), after])
    drawn = alpha.flatten(1).any(1)
    weights = (alpha * before[:-1])[drawn]
    image = torch.einsum("nhw,nc->hwc", weights, colors[order][drawn])
    return image, before[-1]


# ---------------------------------------------------------------------- gsplat


def rasterization(
    means, quats, scales, opacities, colors, viewmats, Ks, width, height,
    near_plane=0.01, far_plane=1e10, radius_clip=0.0, eps2d=0.3, sh_degree=None, packed=True,
    tile_size=16, backgrounds=None, render_mode="RGB", sparse_grad=False, absgrad=False,
    rasterize_mode="classic", channel_chunk=32, distributed=False, camera_model="pinhole",
    segmented=False, covars=None, with_ut=False, with_eval3d=False, radial_coeffs=None,
    tangential_coeffs=None, thin_prism_coeffs=None, ftheta_coeffs=None, rolling_shutter=4,
    viewmats_rs=None,
):  # fmt: skip
    """``gsplat.rasterization`` of version 1.5.3 for ready colours and one row per Gaussian."""
    n, c = len(means), len(viewmats)
    assert n, "gsplat divides by the number of Gaussians"
    chosen = (packed, sh_degree, rasterize_mode, backgrounds, absgrad, radius_clip)
    assert chosen == (False, None, "classic", None, False, 0.0), "nothing else is stood in for"
    shapes = {means: (n, 3), quats: (n, 4), scales: (n, 3), opacities: (n,)}
    shapes |= {colors: (c, n, 3), viewmats: (c, 4, 4), Ks: (c, 3, 3)}
    assert all(value.shape == shape for value, shape in shapes.items())
    views = [
        _gsplat_view(
            means, quats, scales, opacities, viewmat, K, (height, width), near_plane, eps2d
        )
        for viewmat, K in zip(viewmats, Ks, strict=True)
    ]
    # One tensor for all cameras, from which the pictures are drawn: who retains its gradient has
    # the pull in pixels
    means2d = torch.stack([view.means2d for view in views])
    pictures = [
        blend(
            *centres.unbind(1), view.cov, view.depths, opacities, rgb, (height, width),
            0.5, 0.999, lambda t: t > 1e-4, view.reaches,
        )
        for view, centres, rgb in zip(views, means2d, colors, strict=True)
    ]  # fmt: skip
    image = torch.stack([picture for picture, _ in pictures])
    alpha = 1 - torch.stack([dark for _, dark in pictures])[..., None]
    return image, alpha, {"means2d": means2d, "radii": torch.stack([v.radii for v in views])}


def _gsplat_view(means, quats, scales, opacities, viewmat, K, size, near_plane, eps2d):
    height, width = size
    (fx, _, cx), (_, fy, cy), _ = K
    x, y, z = (means @ viewmat[:3, :3].T + viewmat[:3, 3]).unbind(1)
    lim_x = (-cx / fx - 0.15 * width / fx, (width - cx) / fx + 0.15 * width / fx)
    lim_y = (-cy / fy - 0.15 * height / fy, (height - cy) / fy + 0.15 * height / fy)
    axes = viewmat[:3, :3] @ unit_axes(quats, scales)
    cov = gaussians(x, y, z, axes, fx, fy, lim_x, lim_y, eps2d)
    u, v = fx * x / z + cx, fy * y / z + cy
    extent = (2 * (255 * opacities.detach()).log()).sqrt().clamp_max(3.33)
    rx, ry = (extent * cov[0].detach().sqrt()).ceil(), (extent * cov[2].detach().sqrt()).ceil()
    seen = (z >= near_plane) & (opacities >= 1 / 255) & rx.isfinite()
    seen &= (u + rx > 0) & (u - rx < width) & (v + ry > 0) & (v - ry < height)
    reaches = in_tiles(u, v, rx, ry, size) & seen[:, None, None]
    radii = torch.where(seen[:, None], torch.stack([rx, ry], 1), 0).int()
    centres = torch.stack([u, v], 1)
    return SimpleNamespace(means2d=centres, cov=cov, depths=z, radii=radii, reaches=reaches)


@torch.no_grad()
def in_tiles(u, v, rx, ry, size, end=lambda edge: (edge / TILE).ceil()):
    """Pixels ``[N, H, W]`` of the tiles that boxes around the centres touch.

    ``end`` gives the first tile that lies past an edge.
    """
    height, width = size
    xs = torch.arange(width, device=u.device) // TILE
    ys = torch.arange(height, device=u.device) // TILE

    def inside(centres, reach, tiles):
        low, high = ((centres - reach) / TILE).floor(), end(centres + reach)
        return (tiles >= low[:, None]) & (tiles < high[:, None])

    return inside(v, ry, ys)[:, :, None] & inside(u, rx, xs)[:, None, :]


gsplat = SimpleNamespace(rasterization=rasterization, __name__="gsplat")


# ---------------------------------------------------------------------- diff-gaussian-rasterization


class GaussianRasterizationSettings(NamedTuple):
    """Of the first release."""

    image_height: int
    image_width: int
    tanfovx: float
    tanfovy: float
    bg: torch.Tensor
    scale_modifier: float
    viewmatrix: torch.Tensor
    projmatrix: torch.Tensor
    sh_degree: int
    campos: torch.Tensor
    prefiltered: bool
    debug: bool


AntialiasingSettings = NamedTuple(
    "AntialiasingSettings",
    [*GaussianRasterizationSettings.__annotations__.items(), ("antialiasing", bool)],
)
"""Of the release that can antialias, whose pictures come with inverse depths."""


class GaussianRasterizer(nn.Module):
    """Reads its matrices as the kernels do: from memory, one column after the other."""

    def __init__(self, raster_settings):
        super().__init__()
        self.raster_settings = raster_settings

    def forward(
        self, means3D, means2D, opacities, shs=None, colors_precomp=None, scales=None,
        rotations=None, cov3D_precomp=None,
    ):  # fmt: skip
        s, n = self.raster_settings, len(means3D)
        chosen = (shs, cov3D_precomp, s.prefiltered, s.debug)
        assert chosen == (None, None, False, False), "nothing else is stood in for"
        shapes = {means3D: (n, 3), means2D: (n, 3), scales: (n, 3), rotations: (n, 4)}
        shapes |= {opacities: (n, 1), colors_precomp: (n, 3), s.bg: (3,), s.campos: (3,)}
        shapes |= {s.viewmatrix: (4, 4), s.projmatrix: (4, 4)}
        assert all(value.shape == shape for value, shape in shapes.items())
        assert all(value.is_contiguous() for value in (s.viewmatrix, s.projmatrix))
        assert type(s.tanfovx) is type(s.tanfovy) is float
        size = height, width = s.image_height, s.image_width
        x, y, z, _ = read(s.viewmatrix, means3D)
        right, down, _, w = read(s.projmatrix, means3D)
        fx, fy = width / (2 * s.tanfovx), height / (2 * s.tanfovy)
        rotation = s.viewmatrix.flatten()[[0, 4, 8, 1, 5, 9, 2, 6, 10]].view(3, 3)
        axes = rotation @ unit_axes(rotations, scales * s.scale_modifier)
        limits = ((-1.3 * t, 1.3 * t) for t in (s.tanfovx, s.tanfovy))
        cov = gaussians(x, y, z, axes, fx, fy, *limits, 0.3)
        # Pixel centres are whole numbers here; the pull on a centre goes to ``means2D`` in half
        # sides of the picture
        pull = means2D - means2D.detach()
        u = ((right / w + 1) * width - 1) / 2 + pull[:, 0] * (width / 2)
        v = ((down / w + 1) * height - 1) / 2 + pull[:, 1] * (height / 2)
        with torch.no_grad():
            middle = (cov[0] + cov[2]) / 2
            spread = (middle**2 - cov[0] * cov[2] + cov[1] ** 2).clamp_min(0.1).sqrt()
            radius = (3 * (middle + spread).sqrt()).ceil()
            # Edges between two pixels' centres count as the lower one's
            end = lambda edge: ((edge + TILE - 1) / TILE).floor()  # noqa: E731
            reaches = in_tiles(u, v, radius, radius, size, end)
            seen = (z > 0.2) & reaches.flatten(1).any(1)
        image, dark = blend(
            u, v, cov, z, opacities[:, 0], colors_precomp, size, 0.0, 0.99,
            lambda t: t >= 1e-4, reaches & seen[:, None, None],
        )  # fmt: skip
        picture = (image + dark[..., None] * s.bg).movedim(-1, 0)
        radii = torch.where(seen, radius, 0).int()
        if hasattr(s, "antialiasing"):
            assert not s.antialiasing
            return picture, radii, torch.zeros_like(picture[:1])
        return picture, radii


def read(matrix, points):
    """Homogeneous points ``x y z w`` under a matrix that lies in memory column by column."""
    m = matrix.flatten()
    x, y, z = points.unbind(1)
    return [m[k] * x + m[4 + k] * y + m[8 + k] * z + m[12 + k] for k in range(4)]


diff_gaussian_rasterization = SimpleNamespace(
    GaussianRasterizationSettings=GaussianRasterizationSettings,
    GaussianRasterizer=GaussianRasterizer,
)
diff_gaussian_rasterization_later = SimpleNamespace(
    GaussianRasterizationSettings=AntialiasingSettings, GaussianRasterizer=GaussianRasterizer
)


# ---------------------------------------------------------------------- our backends over them

BACKENDS = {
    "gsplat": (GsplatRasterizer, "gsplat", gsplat),
    "inria": (InriaRasterizer, "diff_gaussian_rasterization", diff_gaussian_rasterization),
    "inria, later": (
        InriaRasterizer,
        "diff_gaussian_rasterization",
        diff_gaussian_rasterization_later,
    ),
}
"""Our class, the package's name, and what stands in for it."""


def make(name, monkeypatch):
    """A backend of ours over its stand-in, on any device and in any precision."""
    kind, package, stand_in = BACKENDS[name]
    monkeypatch.setitem(sys.modules, package, stand_in)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpu, "check", lambda splats: None)
    return kind()
