"""Pictures in 8 bits, straight from the kernels, are the rounded float pictures."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from scenes import scene, wall

from gstalker.native import library
from gstalker.render import paint
from gstalker.render.native import NativeRasterizer
from gstalker.render.reference import ReferenceRasterizer
from gstalker.types import Camera

pytestmark = pytest.mark.skipif(not library.available(), reason="the native kernels are not built")
ISAS = library.supported_isas()


def float32_scene(n, width, height, **more):
    splats, camera = scene(n, width, height, **more)
    return splats.to(torch.float32), camera.to(torch.float32), wall(camera).float()


def rounded(image):
    return (image.clamp(0, 1) * 255).round().to(torch.uint8)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("behind", [False, True], ids=["black", "background"])
@pytest.mark.parametrize(("width", "height"), [(96, 80), (33, 17), (1, 1), (130, 3)])
def test_a_painting_is_the_rounded_picture(isa, behind, width, height):
    splats, camera, background = float32_scene(200, width, height)
    background = background * 1.5 - 0.2 if behind else None  # some of it beyond black and white
    draw = NativeRasterizer(isa)
    painted = draw.paint(splats, camera, background)
    wanted = rounded(draw(splats, camera, background).image[0])
    assert painted.dtype == torch.uint8
    assert painted.shape == (height, width, 3)
    apart = (painted.int() - wanted.int()).abs()
    assert apart.max() <= 1  # where a value lies half-way, to rounding
    assert (apart > 0).sum() <= 5


def test_view_dependent_colours_are_painted():
    splats, camera, background = float32_scene(100, 64, 64, terms=16)
    draw = NativeRasterizer()
    wanted = rounded(draw(splats, camera, background).image[0])
    apart = (draw.paint(splats, camera, background).int() - wanted.int()).abs()
    assert apart.max() <= 1
    assert (apart > 0).sum() <= 5


def test_whoever_cannot_paint_is_asked_for_a_render():
    splats, camera = scene(60, 40, 30)
    background = wall(camera)
    by_reference = paint(ReferenceRasterizer(), splats, camera, background)
    by_kernels = paint(
        NativeRasterizer(), splats.to(torch.float32), camera.to(torch.float32), background.float()
    )
    assert by_reference.shape == (30, 40, 3)
    assert (by_reference.int() - by_kernels.int()).abs().max() <= 1


def test_several_threads_paint_at_once():
    draw = NativeRasterizer()
    scenes = [float32_scene(3000, 150, 90, seed=seed) for seed in range(6)]
    alone = [draw.paint(*s) for s in scenes]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda s: draw.paint(*s), scenes * 5))
    assert all(torch.equal(a, b) for a, b in zip(alone * 5, together, strict=True))


def test_painting_wants_no_gradient_and_one_camera():
    splats, camera, background = float32_scene(20, 16, 16)
    for tensor in (splats.means, splats.sh):
        tensor.requires_grad_()
    assert not NativeRasterizer().paint(splats, camera, background).requires_grad
    two = Camera(camera.viewmats.repeat(2, 1, 1), camera.Ks.repeat(2, 1, 1), 16, 16)
    for painter in (NativeRasterizer(), ReferenceRasterizer()):
        with pytest.raises(ValueError, match="expected a batch of one camera, but got 2"):
            paint(painter, splats, two, background)
