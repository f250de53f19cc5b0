"""The kernels that follow rays find the samples of the reference, sum and differentiate alike."""

import pytest
import torch
from scenes import relative, same_for_any_threads

from gstalker.native import library
from gstalker.rays.box import Rays
from gstalker.rays.march import Steps, march, reference_march, step_at
from gstalker.rays.volume import composite, reference_composite

pytestmark = pytest.mark.skipif(not library.available(), reason="the native kernels are not built")

CELLS = 16
STEPS = Steps(least=0.05, growth=0.02, most=12)


def scene(count=400, seed=0, dtype=torch.float64):
    """Rays that cross a half-filled grid, in float64."""
    generator = torch.Generator().manual_seed(seed)
    origins = torch.tensor([0.2, -0.1, -4.0]) + torch.rand(count, 3, generator=generator) * 0.1
    goals = torch.rand(count, 3, generator=generator) * 2 - 1
    directions = torch.nn.functional.normalize(goals - origins, dim=1)
    near = torch.full((count,), 2.5)
    far = torch.full((count,), 5.5)
    far[::17] = 2.0  # these miss
    occupied = (torch.rand(CELLS, CELLS, CELLS, generator=generator) > 0.5).to(torch.uint8)
    jitter = torch.rand(count, generator=generator)
    rays = Rays(*(t.to(dtype) for t in (origins, directions, near, far)))
    return rays, occupied, jitter.to(dtype)


def clear(rays, jitter):
    """Rays whose every place is well inside its cell, so that float32 sees the same cells."""
    t = rays.near + jitter * step_at(rays.near, STEPS)
    fine = torch.ones(len(rays), dtype=torch.bool)
    for _ in range(80):
        places = ((rays.origins + t[:, None] * rays.directions) * 0.5 + 0.5) * CELLS
        going = t < rays.far + 0.01
        at_a_wall = ((places - places.round()).abs() < 1e-4).any(1)
        fine &= ~(going & (at_a_wall | ((t - rays.far).abs() < 1e-4)))
        t = t + step_at(t, STEPS)
    return fine


def narrow(rays):
    return Rays(*(getattr(rays, n).float() for n in ("origins", "directions", "near", "far")))


@pytest.mark.parametrize("isa", library.supported_isas())
def test_rays_have_the_samples_of_the_reference(isa, monkeypatch):
    monkeypatch.setenv("GSTALKER_ISA", isa)
    rays, occupied, jitter = scene()
    fine = clear(rays, jitter)
    assert fine.sum() > 300
    rays, jitter = rays.part(fine), jitter[fine]
    wanted = reference_march(rays, occupied, STEPS, jitter)
    found = march(narrow(rays), occupied, STEPS, jitter.float())
    counts = wanted.first.diff()
    assert counts.max() == STEPS.most
    assert counts.min() == 0
    assert torch.equal(found.first, wanted.first)
    assert torch.equal(found.ray, wanted.ray)
    for name in ("at", "lengths", "positions"):
        torch.testing.assert_close(
            getattr(found, name).double(), getattr(wanted, name), atol=1e-5, rtol=0
        )


def test_without_a_jitter_rays_begin_in_the_middle_of_their_first_step():
    rays, occupied, _ = scene(50)
    half = torch.full((50,), 0.5)
    with_it = march(narrow(rays), occupied, STEPS, half)
    assert torch.equal(march(narrow(rays), occupied, STEPS).at, with_it.at)


def test_damaged_rays_have_no_samples_and_harm_no_others():
    rays, occupied, jitter = scene(20)
    broken = narrow(rays)
    broken.near[3], broken.far[5], broken.far[7] = torch.nan, torch.inf, torch.nan
    found = march(broken, occupied, STEPS, jitter.float())
    whole = march(narrow(scene(20)[0]), occupied, STEPS, jitter.float())
    counts, wanted = found.first.diff(), whole.first.diff()
    assert counts[[3, 5, 7]].tolist() == [0, 0, 0]
    kept = [k for k in range(20) if k not in (3, 5, 7)]
    assert torch.equal(counts[kept], wanted[kept])


def test_steps_without_a_length_are_refused():
    rays, occupied, _ = scene(4)
    with pytest.raises(ValueError, match="gst_march_count refused"):
        march(narrow(rays), occupied, Steps(0.0, 0.0, 4))


def volume(width, seed=0):
    """Samples of rays of every number of samples, in float64."""
    generator = torch.Generator().manual_seed(seed)
    counts = torch.randint(0, 20, (60,), generator=generator)
    first = torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)])
    total = int(first[-1])
    density = torch.rand(total, generator=generator, dtype=torch.float64) * 6
    density[::7] = 300.0  # walls: nothing behind them is seen
    density[::5] = 0.0
    lengths = torch.rand(total, generator=generator, dtype=torch.float64) * 0.2
    values = torch.randn(total, width, generator=generator, dtype=torch.float64)
    return density, lengths, values, first


@pytest.mark.parametrize("isa", library.supported_isas())
@pytest.mark.parametrize("width", [1, 5])
def test_sums_and_gradients_agree(width, isa, monkeypatch):
    monkeypatch.setenv("GSTALKER_ISA", isa)
    density, lengths, values, first = volume(width)
    wide = [density.clone().requires_grad_(), values.clone().requires_grad_()]
    thin = [density.float().requires_grad_(), values.float().requires_grad_()]
    wanted = reference_composite(wide[0], lengths, wide[1], first)
    found = composite(thin[0], lengths.float(), thin[1], first)
    generator = torch.Generator().manual_seed(3)
    pull = [torch.randn(t.shape, generator=generator, dtype=torch.float64) for t in wanted]
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a.double(), b, atol=1e-5, rtol=1e-5)
    sum((a * p).sum() for a, p in zip(wanted, pull, strict=True)).backward()
    sum((a * p.float()).sum() for a, p in zip(found, pull, strict=True)).backward()
    for a, b in zip(thin, wide, strict=True):
        assert relative(a.grad, b.grad) < 1e-5


def test_the_reference_is_the_gradient_of_its_own_definition():
    density, lengths, values, first = volume(2, seed=5)
    few = int(first[6])
    args = (density[:few].clamp(max=5).requires_grad_(), values[:few].clone().requires_grad_())
    assert torch.autograd.gradcheck(
        lambda d, v: reference_composite(d, lengths[:few], v, first[:7]), args
    )


def test_any_number_of_threads_gives_the_same_bits():
    rays, occupied, jitter = scene(3000)
    density, lengths, values, first = (t.float() if t.is_floating_point() else t for t in volume(4))

    def results():
        samples = march(narrow(rays), occupied, STEPS, jitter.float())
        d, v = density.clone().requires_grad_(), values.clone().requires_grad_()
        sums, alpha = composite(d, lengths, v, first)
        (sums.square().sum() + alpha.sum()).backward()
        return samples.at, samples.positions, sums, alpha, d.grad, v.grad

    assert same_for_any_threads(results)


def test_rays_without_samples_are_empty():
    first = torch.zeros(4, dtype=torch.long)
    sums, alpha = composite(torch.zeros(0), torch.zeros(0), torch.zeros(0, 3), first)
    assert sums.shape == (3, 3)
    assert not sums.any()
    assert not alpha.any()
