"""The hash-grid kernels encode, and differentiate, what the reference defines."""

import pytest
import torch
from scenes import relative

from gstalker.encode.hashgrid import HashTriPlane
from gstalker.encode.native import NativeHashTriPlane
from gstalker.native import library

pytestmark = pytest.mark.skipif(not library.available(), reason="the native kernels are not built")

SIZES = {
    "defaults": {},
    "two features": {
        "levels": 4,
        "features_per_level": 2,
        "log2_table": 8,
        "base": 4,
        "finest": 64,
    },
    "four features, one level": {
        "levels": 1,
        "features_per_level": 4,
        "log2_table": 6,
        "base": 8,
        "finest": 8,
    },
    "eight features": {
        "levels": 2,
        "features_per_level": 8,
        "log2_table": 10,
        "base": 4,
        "finest": 40,
    },
}


def pair(sizes, seed=0):
    """A float64 reference and a kernel encoder with the same tables."""
    torch.manual_seed(seed)
    reference = HashTriPlane(**sizes).double()
    native = NativeHashTriPlane(**sizes)
    native.load_state_dict({k: v.float() for k, v in reference.state_dict().items()})
    reference.load_state_dict({k: v.double() for k, v in native.state_dict().items()})
    return reference, native


def positions(n, cells=256, seed=0):
    """Points that float32 and float64 put into the same cells, some outside of the cube."""
    points = torch.rand(n, 3, generator=torch.Generator().manual_seed(seed)) * 2.2 - 1.1
    inside = (points * 0.5 + 0.5) * cells
    near_a_line = ((inside - inside.round()).abs() < 1e-2).any(1)
    return points[~near_a_line]


@pytest.mark.parametrize("isa", library.supported_isas())
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_features_and_gradients_agree(sizes, isa, monkeypatch):
    monkeypatch.setenv("GSTALKER_ISA", isa)
    reference, native = pair(
        {**sizes, "base": 16, "finest": 256} if sizes.get("levels", 9) > 1 else sizes
    )
    points = positions(1000)
    # levels between base and finest have other lines; keep the points clear of all of them
    for level in reference.levels:
        inside = (points * 0.5 + 0.5) * level.cells
        points = points[((inside - inside.round()).abs() > 1e-3).all(1)]
    assert len(points) > 300
    wide, narrow = points.double().requires_grad_(), points.clone().requires_grad_()
    wanted, found = reference(wide), native(narrow)
    torch.testing.assert_close(found.double(), wanted, atol=1e-6, rtol=0)
    pull = torch.randn(
        wanted.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    wanted.backward(pull)
    found.backward(pull.float())
    assert relative(native.tables.grad, reference.tables.grad) < 1e-4
    assert relative(narrow.grad, wide.grad) < 1e-4


def test_positions_that_want_no_gradient_get_none():
    _, native = pair({})
    native(positions(20)).sum().backward()
    assert native.tables.grad.abs().sum() > 0


def test_one_and_two_threads_give_the_same_bits():
    _, native = pair({})
    points = positions(5000)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            native.zero_grad()
            x = points.clone().requires_grad_()
            out = native(x)
            out.backward(out.detach() * 100)
            results.append([out.detach(), x.grad, native.tables.grad.clone()])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_positions_that_are_not_numbers_read_inside_the_tables():
    _, native = pair({})
    x = torch.tensor(
        [[torch.nan, 0, 0], [torch.inf, -torch.inf, 1e30], [1, -1, 1]]
    ).requires_grad_()
    out = native(x)
    out.sum().backward()
    assert out[1:].isfinite().all()
    assert native.tables.grad.isfinite().all()


def test_no_positions_give_no_features():
    _, native = pair({})
    assert native(torch.zeros(0, 3)).shape == (0, 36)
