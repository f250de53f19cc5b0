"""How the GPU backends call their packages: each draws the reference's picture through a stand-in.

In float64, so that what remains of a difference is what a package draws otherwise; the backends'
modules say what that is.
"""

import inspect
import math
import sys

import pytest
import stand_ins
import torch
from scenes import NAMES, everything, relative, scene, wall
from stand_ins import BACKENDS, make

from gstalker.errors import BackendMissing
from gstalker.render import gpu
from gstalker.render.reference import ReferenceRasterizer
from gstalker.types import Camera, Splats


@pytest.fixture(params=BACKENDS)
def rasterizer(request, monkeypatch):
    return make(request.param, monkeypatch)


@pytest.mark.parametrize(
    ("n", "width", "height", "seed", "terms"), [(100, 60, 44, 1, 1), (60, 33, 17, 0, 16)]
)
def test_the_call_draws_what_the_reference_defines(rasterizer, n, width, height, seed, terms):
    splats, camera = scene(n, width, height, seed=seed, terms=terms)
    wanted, wanted_gradients = everything(ReferenceRasterizer(), splats, camera, wall(camera))
    found, gradients = everything(rasterizer, splats, camera, wall(camera))
    # Nothing in these scenes is what the packages draw otherwise, so float64 agrees to rounding
    torch.testing.assert_close(found.image, wanted.image, atol=1e-12, rtol=0)
    torch.testing.assert_close(found.alpha, wanted.alpha, atol=1e-12, rtol=0)
    seen = found.radii > 0
    assert seen.float().mean() > 0.9
    torch.testing.assert_close(found.means2d[seen], wanted.means2d[seen], atol=1e-9, rtol=0)
    for name, ours, theirs in zip([*NAMES, "means2d"], gradients, wanted_gradients, strict=True):
        assert relative(ours, theirs) < 1e-12, name


def test_radii_of_gsplat_are_those_of_the_reference(monkeypatch):
    splats, camera = scene(100, 48, 64)
    found = make("gsplat", monkeypatch)(splats, camera).radii
    wanted = ReferenceRasterizer()(splats, camera).radii
    assert torch.equal(found[found > 0], wanted[found > 0])


def test_beyond_three_deviations_the_inria_code_leaves_tiles_out(monkeypatch):
    splats, camera = scene(200, 96, 80)
    wanted, wanted_gradients = everything(ReferenceRasterizer(), splats, camera)
    found, gradients = everything(make("inria", monkeypatch), splats, camera)
    errors = (found.image - wanted.image).abs()
    # exp(-4.5) of alpha, times a colour that is seldom above 1.5
    assert 1e-4 < errors.max() < 1.5 * math.exp(-4.5)
    assert (errors > 1e-4).double().mean() < 0.01
    for name, ours, theirs in zip([*NAMES, "means2d"], gradients, wanted_gradients, strict=True):
        assert relative(ours, theirs) < 0.01, name


def test_beside_the_picture_shapes_are_bent_less(rasterizer):
    # Twenty rows of 130: many Gaussians lie beyond the line from which directions count as the
    # line's, and some of those reach into the picture. One step of eight bits is the most it makes.
    splats, camera = scene(40, 130, 20)
    wanted = ReferenceRasterizer()(splats, camera)
    found = rasterizer(splats, camera)
    errors = (found.image - wanted.image).abs()
    assert 1e-4 < errors.max() < 1 / 255


def test_a_batch_of_cameras_keeps_the_pull_on_every_centre(rasterizer):
    splats, camera = scene(50, 40, 40)
    moved = camera.viewmats.clone()
    moved[0, 0, 3] += 1
    both = Camera(torch.cat([camera.viewmats, moved]), camera.Ks.repeat(2, 1, 1), 40, 40)
    wanted, wanted_gradients = everything(ReferenceRasterizer(), splats, both)
    found, gradients = everything(rasterizer, splats, both)
    torch.testing.assert_close(found.image, wanted.image, atol=1e-12, rtol=0)
    assert relative(gradients[-1], wanted_gradients[-1]) < 1e-12


def test_what_is_not_learned_needs_no_graph(rasterizer):
    splats, camera = scene(20, 16, 16)
    with torch.inference_mode():
        found = rasterizer(splats, camera)
    assert not found.image.requires_grad
    torch.testing.assert_close(found.image, ReferenceRasterizer()(splats, camera).image)


def test_no_gaussians_leave_the_background(rasterizer):
    splats, camera = scene(0, 20, 10)
    render, gradients = everything(rasterizer, splats, camera, wall(camera))
    assert torch.equal(render.image[0], wall(camera))
    assert render.alpha.abs().max() == 0
    assert all(g is not None and g.numel() == 0 for g in gradients)


DAMAGE = {
    "nowhere": ("means", torch.tensor([torch.nan, 0.0, 0.0])),
    "at infinity": ("means", torch.tensor([torch.inf, 0.0, 0.0])),
    "of no size": ("scales", torch.tensor([torch.nan, 1.0, 1.0])),
    "of no rotation": ("quats", torch.zeros(4)),
    "of no opacity": ("opacities", torch.tensor(torch.nan)),
    "of no colour": ("sh", torch.full((1, 3), torch.nan)),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_broken_gaussian_breaks_nothing_else(rasterizer, what):
    splats, camera = scene(64, 70, 50)
    name, value = DAMAGE[what]
    damaged = {n: getattr(splats, n).clone() for n in NAMES}
    damaged[name][17] = value
    others = torch.arange(64) != 17
    render, gradients = everything(rasterizer, Splats(**damaged), camera)
    without = rasterizer(Splats(**{n: v[others] for n, v in damaged.items()}), camera)
    torch.testing.assert_close(render.image, without.image)
    for n, gradient in zip(NAMES, gradients, strict=False):
        assert gradient[others].isfinite().all(), n


@pytest.mark.parametrize(
    ("name", "most", "nearest"), [("gsplat", 0.999, 0.01), ("inria", 0.99, 0.2)]
)
def test_what_the_packages_draw_otherwise(name, most, nearest, monkeypatch):
    rasterizer = make(name, monkeypatch)
    camera = Camera(
        torch.eye(4)[None], torch.tensor([[[10.0, 0, 0.5], [0, 10.0, 0.5], [0, 0, 1]]]), 1, 1
    )

    def alpha(depth):
        one = Splats(
            torch.tensor([[0, 0, depth]]), torch.full((1, 3), 0.5), torch.tensor([[1.0, 0, 0, 0]]),
            torch.tensor([0.9999]), torch.zeros(1, 1, 3),
        )  # fmt: skip
        return rasterizer(one, camera).alpha.item()

    assert alpha(5.0) == pytest.approx(most)
    assert alpha(0.9 * nearest) == 0
    assert alpha(1.1 * nearest) == pytest.approx(most)


def test_the_inria_code_refuses_a_principal_point_far_from_the_middle(monkeypatch):
    rasterizer = make("inria", monkeypatch)
    splats, camera = scene(20, 40, 40)
    camera.Ks[0, 0, 2] = 25.9
    wanted = ReferenceRasterizer()(splats, camera).image
    torch.testing.assert_close(rasterizer(splats, camera).image, wanted, atol=2e-2, rtol=0)
    camera.Ks[0, 0, 2] = 26.1
    with pytest.raises(ValueError, match=r"within 15% of the picture's side .* 40 x 40"):
        rasterizer(splats, camera)


@pytest.mark.parametrize("name", ["gsplat", "inria"])
def test_splats_that_the_kernels_would_misread_are_refused(name, monkeypatch):
    check = gpu.check
    rasterizer = make(name, monkeypatch)
    monkeypatch.setattr(gpu, "check", check)
    splats, camera = scene(3, 8, 8)
    with pytest.raises(ValueError, match=r"float32 splats on a cuda device, but got .*float64 on"):
        rasterizer(splats, camera)


@pytest.mark.parametrize("name", ["gsplat", "inria"])
def test_without_a_gpu_the_sentence_says_what_to_use(name, monkeypatch):
    kind, package, stand_in = BACKENDS[name]
    monkeypatch.setitem(sys.modules, package, stand_in)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BackendMissing, match="needs a CUDA device.*\n.*rasterizer.name=native"):
        kind()


def test_the_stand_in_has_the_signature_of_gsplat():
    reason = "gsplat is not installed: pip install 'gstalker[cuda]'"
    real = inspect.signature(pytest.importorskip("gsplat", reason=reason).rasterization)
    ours = inspect.signature(stand_ins.rasterization)
    assert list(real.parameters) == list(ours.parameters)
    ready = [name for name in real.parameters if name != "rolling_shutter"]  # its own enumeration
    for name in ready:
        assert real.parameters[name].default == ours.parameters[name].default, name
