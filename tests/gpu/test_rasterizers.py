"""The GPU rasterizers draw, and differentiate, what the reference defines, as far as they can."""

import math

import pytest
import stand_ins
import torch
from devices import GPU, RASTERIZERS
from scenes import NAMES, everything, relative, scene, wall

from gstalker.render import make_rasterizer
from gstalker.render.reference import ReferenceRasterizer
from gstalker.types import Camera, Splats

ROUNDING = 1e-4
"""Fast exponentials and divisions, good to about 1e-6, under some hundred layers in float32."""
GRADIENT_ROUNDING = 1e-3
"""The same; also, a pixel's layers are undone from behind by division, and sums have no order."""
TAIL = 1.5 * math.exp(-4.5)
"""What the INRIA code may leave out beyond three deviations, times a colour seldom above 1.5."""


def on_gpu(splats, camera, *more):
    return [thing.to(GPU).to(torch.float32) for thing in (splats, camera, *more)]


def compared(found, wanted, gradients, wanted_gradients, most, share, gradient_most):
    """Pictures may differ by ``most`` in a ``share`` of their numbers, elsewhere by rounding."""
    for ours, theirs in ((found.image, wanted.image), (found.alpha, wanted.alpha)):
        errors = (ours.detach().cpu().double() - theirs).abs()
        assert errors.max() < most
        assert (errors > ROUNDING).double().mean() <= share
    seen = found.radii.cpu() > 0
    assert seen.float().mean() > 0.9
    centres = found.means2d.detach().cpu().double()
    torch.testing.assert_close(centres[seen], wanted.means2d[seen], atol=1e-3, rtol=0)
    for name, ours, theirs in zip([*NAMES, "means2d"], gradients, wanted_gradients, strict=True):
        assert relative(ours.cpu(), theirs) < gradient_most, name


@pytest.mark.parametrize("name", RASTERIZERS)
@pytest.mark.parametrize(
    ("n", "width", "height", "terms"), [(200, 96, 80, 1), (60, 33, 17, 1), (100, 64, 64, 16)]
)
def test_picture_alpha_and_all_gradients_agree(name, n, width, height, terms):
    splats, camera = scene(n, width, height, terms=terms)
    wanted, pulls = everything(ReferenceRasterizer(), splats, camera, wall(camera))
    found, ours = everything(make_rasterizer(name), *on_gpu(splats, camera, wall(camera)))
    if name == "gsplat":
        compared(found, wanted, ours, pulls, ROUNDING, 0, GRADIENT_ROUNDING)
    else:
        # Measured with the stand-in: 0.007 at most, in one number of a hundred at most
        compared(found, wanted, ours, pulls, TAIL, 0.02, 0.02)


@pytest.mark.parametrize("name", RASTERIZERS)
def test_the_package_draws_what_its_stand_in_draws(name, monkeypatch):
    # Where it differs from the reference too: beside the picture, and beyond three deviations
    splats, camera = scene(40, 130, 20)
    with monkeypatch.context() as patch:
        wanted, pulls = everything(stand_ins.make(name, patch), splats, camera)
    found, ours = everything(make_rasterizer(name), *on_gpu(splats, camera))
    assert torch.equal(found.radii.cpu() > 0, wanted.radii > 0)
    for a, b in ((found.image, wanted.image), (found.alpha, wanted.alpha)):
        torch.testing.assert_close(a.detach().cpu().double(), b, atol=ROUNDING, rtol=0)
    for what, a, b in zip([*NAMES, "means2d"], ours, pulls, strict=True):
        assert relative(a.cpu(), b) < GRADIENT_ROUNDING, what


@pytest.mark.parametrize("name", RASTERIZERS)
def test_a_crowded_scene_differs_only_where_a_threshold_flips(name):
    splats, camera = scene(5000, 200, 200)
    with torch.no_grad():
        wanted = ReferenceRasterizer()(splats, camera).image
        found = make_rasterizer(name)(*on_gpu(splats, camera)).image.cpu()
    errors = (found.double() - wanted).abs()
    # As in tests/agreement: a pixel within rounding of 1/255 or of 1e-4 may go either way
    assert errors.max() < (2 / 255 if name == "gsplat" else 2 / 255 + TAIL)
    assert (errors > ROUNDING).double().mean() < (2e-3 if name == "gsplat" else 0.03)


@pytest.mark.parametrize("name", RASTERIZERS)
def test_radii_are_positive_where_the_reference_draws(name):
    splats, camera = scene(200, 96, 80)
    wanted = ReferenceRasterizer()(splats, camera)
    found = make_rasterizer(name)(*on_gpu(splats, camera)).radii.cpu()
    reach = wanted.radii[..., None]
    first, last = wanted.means2d - reach, wanted.means2d + reach
    size = torch.tensor([96, 80])
    inside = ((last > 0) & (first < size)).all(-1)
    # The radius is a square around a box, so a few that only touch the picture may be left out
    assert (found[inside] > 0).double().mean() > 0.97
    if name == "gsplat":
        drawn = found > 0
        assert (found[drawn] - wanted.radii[drawn]).abs().max() <= 1  # it may lie on a whole number


@pytest.mark.parametrize("name", RASTERIZERS)
def test_a_batch_of_cameras_is_drawn_one_by_one(name):
    splats, camera = on_gpu(*scene(50, 40, 40))
    moved = camera.viewmats.clone()
    moved[0, 0, 3] += 1
    both = Camera(torch.cat([camera.viewmats, moved]), camera.Ks.repeat(2, 1, 1), 40, 40)
    draw = make_rasterizer(name)
    pair, gradients = everything(draw, splats, both)
    assert gradients[-1].shape == (2, 50, 2)
    for k, viewmats in enumerate((camera.viewmats, moved)):
        alone = draw(splats, Camera(viewmats, camera.Ks, 40, 40))
        torch.testing.assert_close(pair.image[k], alone.image[0])


@pytest.mark.parametrize("name", RASTERIZERS)
def test_no_gaussians_leave_the_background(name):
    splats, camera, behind = on_gpu(*scene(0, 20, 10), wall(scene(0, 20, 10)[1]))
    render, gradients = everything(make_rasterizer(name), splats, camera, behind)
    assert torch.equal(render.image[0], behind)
    assert all(g.numel() == 0 for g in gradients)


DAMAGE = {
    "behind the camera": ("means", torch.tensor([0.0, 0.0, -100.0])),
    "nowhere": ("means", torch.tensor([torch.nan, 0.0, 0.0])),
    "at infinity": ("means", torch.tensor([torch.inf, 0.0, 0.0])),
    "of no size": ("scales", torch.tensor([torch.nan, 1.0, 1.0])),
    "of no rotation": ("quats", torch.zeros(4)),
    "invisible": ("opacities", torch.tensor(0.0)),
    "of no opacity": ("opacities", torch.tensor(torch.nan)),
    "of no colour": ("sh", torch.full((1, 3), torch.nan)),
}


@pytest.mark.parametrize("name", RASTERIZERS)
@pytest.mark.parametrize("what", DAMAGE)
def test_a_broken_gaussian_breaks_nothing_else(name, what):
    splats, camera = on_gpu(*scene(64, 70, 50))
    field, value = DAMAGE[what]
    damaged = {n: getattr(splats, n).clone() for n in NAMES}
    damaged[field][17] = value.to(GPU)
    others = torch.arange(64, device=GPU) != 17
    render, gradients = everything(make_rasterizer(name), Splats(**damaged), camera)
    whole = Splats(**{n: v[others] for n, v in damaged.items()})
    torch.testing.assert_close(render.image, make_rasterizer(name)(whole, camera).image)
    for n, gradient in zip(NAMES, gradients, strict=False):
        assert gradient[others].isfinite().all(), n


@pytest.mark.parametrize("name", RASTERIZERS)
def test_splats_on_the_cpu_are_refused_with_a_reason(name):
    splats, camera = scene(3, 8, 8)
    with pytest.raises(ValueError, match="expected float32 splats on a cuda device"):
        make_rasterizer(name)(splats.to(torch.float32), camera.to(torch.float32))
