"""The hash-grid kernels encode, and differentiate, what the reference defines."""

import dataclasses

import pytest
import torch
from scenes import pulled, relative, same_for_any_threads

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


def test_any_number_of_threads_gives_the_same_bits():
    _, native = pair({})
    assert same_for_any_threads(lambda: pulled(native, positions(5000)))


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


@pytest.mark.parametrize("isa", library.supported_isas())
@pytest.mark.parametrize("count", [1, 15, 16, 17, 511, 512, 513])
def test_any_number_of_positions_agrees(count, isa, monkeypatch):
    # sixteen at a time, in chunks of 512: the ends of both
    monkeypatch.setenv("GSTALKER_ISA", isa)
    reference, native = pair({"levels": 1, "base": 8, "finest": 8, "log2_table": 6})
    wide = positions(3 * count + 60, cells=8)[:count].double().requires_grad_()
    narrow = wide.detach().float().requires_grad_()
    assert len(wide) == count
    wanted, found = reference(wide), native(narrow)
    torch.testing.assert_close(found.double(), wanted, atol=1e-6, rtol=0)
    wanted.square().sum().backward()
    found.square().sum().backward()
    assert relative(native.tables.grad, reference.tables.grad) < 1e-4
    assert relative(narrow.grad, wide.grad) < 1e-4


def test_the_faces_of_the_cube_belong_to_it():
    reference, native = pair({"levels": 1, "base": 8, "finest": 8, "log2_table": 6})
    wide = torch.tensor([[-1.0, 1, 0.3], [1, -1, -1]], dtype=torch.float64).requires_grad_()
    narrow = wide.detach().float().requires_grad_()
    reference(wide).square().sum().backward()
    native(narrow).square().sum().backward()
    assert wide.grad.abs().min() > 0
    assert relative(narrow.grad, wide.grad) < 1e-4


def test_tables_too_small_for_the_levels_are_refused():
    _, native = pair({})
    native.tables.data = native.tables.data[:-1]
    with pytest.raises(ValueError, match="entries in the tables"):
        native(positions(4))


@pytest.mark.parametrize("change", [{"cells": 200}, {"offset": -1}, {"size": 3}, {"cells": 0}])
def test_a_level_that_does_not_fit_its_table_is_refused_by_the_kernel(change):
    _, native = pair({})
    native.levels[1] = dataclasses.replace(native.levels[1], **change)
    with pytest.raises(ValueError, match="gst_hashgrid_forward refused"):
        native(positions(4))
