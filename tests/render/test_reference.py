"""The definition itself, against hand-worked cases and finite differences."""

import math

import pytest
import torch

from gstalker.errors import ConfigError
from gstalker.gaussians import harmonics
from gstalker.render import make_rasterizer
from gstalker.render.compose import over
from gstalker.render.reference import ReferenceRasterizer
from gstalker.types import Camera, Render, Splats


def camera(width=9, height=9, focal=10.0):
    viewmats = torch.eye(4, dtype=torch.float64)[None]
    Ks = torch.tensor(
        [[[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]], dtype=torch.float64
    )
    return Camera(viewmats, Ks, width, height)


def splat(x=0.0, y=0.0, z=5.0, scale=0.5, opacity=0.8, rgb=(1.0, 0.5, 0.25)):
    sh = harmonics.rgb_to_sh(torch.tensor([[rgb]], dtype=torch.float64))
    return Splats(
        means=torch.tensor([[x, y, z]], dtype=torch.float64),
        scales=torch.full((1, 3), scale, dtype=torch.float64),
        quats=torch.tensor([[1.0, 0, 0, 0]], dtype=torch.float64),
        opacities=torch.tensor([opacity], dtype=torch.float64),
        sh=sh,
    )


def together(*splats):
    return Splats(
        *(
            torch.cat([getattr(s, n) for s in splats])
            for n in ("means", "scales", "quats", "opacities", "sh")
        )
    )


def test_one_round_gaussian_by_hand():
    render = ReferenceRasterizer()(splat(), camera())
    # deviation 0.5 at depth 5 under focal 10 is 1 pixel; the covariance is 1 + 0.3; pixel (4, 4)
    # has its centre at (4.5, 4.5), the projected mean; two pixels to the right lies 2 away
    at_centre, beside = 0.8, 0.8 * math.exp(-0.5 * 4 / 1.3)
    assert render.alpha[0, 4, 4, 0].item() == pytest.approx(at_centre)
    assert render.alpha[0, 4, 6, 0].item() == pytest.approx(beside)
    assert render.image[0, 4, 4].tolist() == pytest.approx([0.8, 0.4, 0.2])
    reach = math.sqrt(2 * math.log(0.8 * 255) * 1.3)
    assert render.radii.item() == math.ceil(reach)
    assert render.means2d[0, 0].tolist() == [4.5, 4.5]


def test_the_background_shines_through_and_leaves_alpha_alone():
    background = torch.full((9, 9, 3), 0.5, dtype=torch.float64)
    render = ReferenceRasterizer()(splat(), camera(), background)
    assert render.image[0, 4, 4].tolist() == pytest.approx([0.9, 0.5, 0.3])
    assert render.image[0, 0, 0].tolist() == pytest.approx([0.5, 0.5, 0.5])
    assert render.alpha[0, 4, 4, 0].item() == pytest.approx(0.8)


def test_the_nearer_gaussian_hides_the_farther_one():
    near, far = splat(z=4, opacity=0.6, rgb=(1, 0, 0)), splat(z=8, opacity=0.5, rgb=(0, 1, 0))
    for order in ((near, far), (far, near)):
        pixel = ReferenceRasterizer()(together(*order), camera()).image[0, 4, 4]
        assert pixel.tolist() == pytest.approx([0.6, 0.4 * 0.5, 0])


def test_alpha_is_clamped_and_its_gradient_stops_there():
    s = splat(opacity=0.999)
    opacities = s.opacities.requires_grad_()
    render = ReferenceRasterizer()(s, camera(1, 1))
    assert render.alpha.item() == pytest.approx(0.99)
    render.alpha.sum().backward()
    assert opacities.grad.item() == 0


def test_what_is_fainter_than_one_step_of_eight_bits_is_not_drawn():
    assert ReferenceRasterizer()(splat(opacity=1 / 256), camera()).alpha.max() == 0
    assert ReferenceRasterizer()(splat(opacity=1 / 254), camera()).alpha.max() > 0


def test_a_pixel_is_finished_before_it_grows_too_dark():
    stack = together(*(splat(z=4 + 0.1 * k, opacity=0.99, rgb=(1, 1, 1)) for k in range(4)))
    # 0.01 remains after one, 1e-4 after two, which is still allowed; a third is not drawn
    assert ReferenceRasterizer()(stack, camera(1, 1)).alpha.item() == pytest.approx(1 - 1e-4)


def test_the_picture_does_not_depend_on_where_tiles_fall():
    generator = torch.Generator().manual_seed(0)
    spread = torch.rand(40, 2, generator=generator, dtype=torch.float64) * 16 - 8
    many = together(*(splat(x=float(x), y=float(y), z=20, scale=1.5) for x, y in spread))
    whole = ReferenceRasterizer()(many, camera(70, 70, 60.0)).image
    shifted = Camera(
        torch.eye(4, dtype=torch.float64)[None], camera(70, 70, 60.0).Ks.clone(), 59, 64
    )
    shifted.Ks[0, 0, 2] -= 11
    shifted.Ks[0, 1, 2] -= 6
    torch.testing.assert_close(ReferenceRasterizer()(many, shifted).image, whole[:, 6:, 11:])


def test_gradients_are_those_of_finite_differences():
    generator = torch.Generator().manual_seed(3)
    n = 5
    means = (
        torch.rand(n, 3, generator=generator, dtype=torch.float64) - 0.5 + torch.tensor([0, 0, 5.0])
    )
    inputs = [
        means,
        torch.rand(n, 3, generator=generator, dtype=torch.float64) * 0.3 + 0.3,
        torch.randn(n, 4, generator=generator, dtype=torch.float64),
        torch.rand(n, generator=generator, dtype=torch.float64) * 0.5 + 0.2,
        torch.rand(n, 1, 3, generator=generator, dtype=torch.float64),
    ]

    def draw(*tensors):
        # 3 x 3 pixels well inside of every Gaussian: no cut-off in between
        render = ReferenceRasterizer()(Splats(*tensors), camera(3, 3))
        return render.image, render.alpha

    assert torch.autograd.gradcheck(draw, [t.requires_grad_() for t in inputs])


def test_means2d_keeps_the_pull_on_the_centres():
    s = splat()
    s.means.requires_grad_()
    render = ReferenceRasterizer()(s, camera())
    render.image[:, :, 5:].sum().backward()  # the right half: pulled to the right
    # moving the centre by a pixel is moving the mean by depth / focal, up to the change of shape
    assert render.means2d.grad[0, 0, 0].item() == pytest.approx(
        s.means.grad[0, 0].item() * 5 / 10, rel=0.05
    )


def test_a_render_over_a_background_lets_it_shine_through():
    render = Render(
        torch.full((1, 1, 1, 3), 0.3),
        torch.full((1, 1, 1, 1), 0.6),
        torch.zeros(1, 0, 2),
        torch.zeros(1, 0, dtype=torch.int32),
    )
    assert over(render, torch.full((1, 1, 3), 0.5)).flatten().tolist() == pytest.approx(
        [0.5, 0.5, 0.5]
    )


def test_kernels_for_the_cpu_refuse_another_device():
    with pytest.raises(ConfigError, match="'native' draws on the CPU, but device is cuda"):
        make_rasterizer("native", "cuda")
