"""Small scenes for the agreement tests, in float64, and how to ask a backend for everything."""

import torch

from gstalker.types import Camera, Render, Splats

NAMES = ("means", "scales", "quats", "opacities", "sh")


def scene(n, width, height, seed=0, terms=1):
    """Random Gaussians in front of a slightly turned camera."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    splats = Splats(
        means=normal(n, 3) * torch.tensor([3.0, 2.5, 2.0]),
        scales=(normal(n, 3) * 0.4 - 1.7).exp(),
        quats=normal(n, 4),
        opacities=torch.rand(n, generator=generator, dtype=torch.float64) * 0.98 + 0.01,
        sh=normal(n, terms, 3) * torch.tensor([1.0] + [0.3] * (terms - 1))[:, None],
    )
    viewmat = torch.eye(4, dtype=torch.float64)
    angle = torch.tensor(0.1, dtype=torch.float64)
    viewmat[0, 0] = viewmat[2, 2] = angle.cos()
    viewmat[0, 2], viewmat[2, 0] = angle.sin(), -angle.sin()
    viewmat[:3, 3] = torch.tensor([0.3, -0.2, 20.0])
    K = torch.tensor(
        [[1.6 * width, 0, width / 2], [0, 1.5 * width, height / 2 + 1], [0, 0, 1]],
        dtype=torch.float64,
    )
    return splats, Camera(viewmat[None], K[None], width, height)


def leaves(splats):
    """The splats' tensors as leaves that want gradients."""
    return [getattr(splats, name).clone().requires_grad_() for name in NAMES]


def pulls(render: Render, seed=1):
    """A loss whose gradients on picture and alpha are random."""
    generator = torch.Generator().manual_seed(seed)
    g_image = torch.randn(render.image.shape, generator=generator, dtype=torch.float64)
    g_alpha = torch.randn(render.alpha.shape, generator=generator, dtype=torch.float64)
    return (render.image * g_image.to(render.image)).sum() + (
        render.alpha * g_alpha.to(render.alpha)
    ).sum()


def wall(camera, seed=2):
    """A background for the camera's pictures, in float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(camera.height, camera.width, 3, generator=generator, dtype=torch.float64)


def everything(rasterizer, splats, camera, background=None):
    """The render and all gradients, the centres' among them."""
    tensors = leaves(splats)
    render = rasterizer(Splats(*tensors), camera, background)
    pulls(render).backward()
    return render, [t.grad for t in tensors] + [render.means2d.grad]


def relative(found, wanted):
    """Relative L2 distance."""
    found, wanted = found.detach().double(), wanted.detach()
    return float((found - wanted).norm() / wanted.norm().clamp_min(1e-30))


def pulled(grid, points):
    """A grid's features, and the gradients of positions and tables."""
    grid.zero_grad()
    x = points.clone().requires_grad_()
    out = grid(x)
    out.backward(out.detach() * 100)
    return out.detach(), x.grad, grid.tables.grad.clone()


def same_for_any_threads(results, threads=(1, 2, 3)):
    """Whether a call gives tensors of the same bits for any number of threads."""
    before, found = torch.get_num_threads(), []
    try:
        for count in threads:
            torch.set_num_threads(count)
            found.append(results())
    finally:
        torch.set_num_threads(before)
    first, *others = found
    return all(torch.equal(a, b) for other in others for a, b in zip(first, other, strict=True))
