"""Hash grids of two and three coordinates: the kernels do what the definition in torch does."""

import dataclasses

import pytest
import torch
from scenes import pulled, relative, same_for_any_threads

from gstalker.encode.grid import HashGrid
from gstalker.native import library

pytestmark = [
    pytest.mark.skipif(not library.available(), reason="the native kernels are not built"),
    pytest.mark.parametrize("axes", [2, 3]),
]

SIZES = {
    "stored whole and hashed": {"levels": 4, "log2_table": 8, "base": 3, "finest": 40},
    "one feature": {"levels": 2, "features_per_level": 1, "log2_table": 6, "base": 2, "finest": 9},
    "eight features, one level": {
        "levels": 1, "features_per_level": 8, "log2_table": 12, "base": 8, "finest": 8
    },
}  # fmt: skip
ONE = SIZES["eight features, one level"]


def pair(axes, sizes):
    """A float64 definition and a float32 grid with the same tables, which goes to the kernels."""
    torch.manual_seed(0)
    ours = HashGrid(axes, **sizes)
    wide = HashGrid(axes, **sizes).double()
    wide.load_state_dict({k: v.double() for k, v in ours.state_dict().items()})
    return wide, ours


def positions(count, grid, seed=0):
    """Points, some outside, that both kinds of number put into the same cells."""
    points = torch.rand(4 * count + 100, grid.axes, generator=torch.Generator().manual_seed(seed))
    points = points * 2.2 - 1.1
    for cells in grid.cells.tolist():
        inside = (points * 0.5 + 0.5) * cells
        points = points[((inside - inside.round()).abs() > 1e-3).all(1)]
    assert len(points) >= count
    return points[:count]


def agree(wide, ours, points):
    far, near = points.double().requires_grad_(), points.clone().requires_grad_()
    wanted, found = wide(far), ours(near)
    torch.testing.assert_close(found.double(), wanted, atol=1e-6, rtol=0)
    draw = torch.Generator().manual_seed(1)
    pull = torch.randn(wanted.shape, generator=draw, dtype=torch.float64)
    wanted.backward(pull)
    found.backward(pull.float())
    assert relative(ours.tables.grad, wide.tables.grad) < 1e-4
    assert relative(near.grad, far.grad) < 1e-4


@pytest.mark.parametrize("isa", library.supported_isas())
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_features_and_gradients_agree(axes, sizes, isa, monkeypatch):
    monkeypatch.setenv("GSTALKER_ISA", isa)
    wide, ours = pair(axes, sizes)
    agree(wide, ours, positions(1000, ours))


@pytest.mark.parametrize("isa", library.supported_isas())
@pytest.mark.parametrize("count", [1, 15, 16, 17, 511, 512, 513])
def test_any_number_of_positions_agrees(axes, count, isa, monkeypatch):
    monkeypatch.setenv("GSTALKER_ISA", isa)
    wide, ours = pair(axes, ONE)
    agree(wide, ours, positions(count, ours))


def test_no_positions_give_no_features(axes):
    assert HashGrid(axes, **ONE)(torch.zeros(0, axes)).shape == (0, 8)


def test_any_number_of_threads_gives_the_same_bits(axes):
    _, grid = pair(axes, SIZES["stored whole and hashed"])
    assert same_for_any_threads(lambda: pulled(grid, positions(5000, grid)))


def test_positions_that_are_not_numbers_read_inside_the_tables(axes):
    _, ours = pair(axes, ONE)
    x = torch.tensor([[torch.nan, 0, 0], [torch.inf, -torch.inf, 1e30], [1, -1, 1]])[:, :axes]
    out = ours(x.requires_grad_())
    out.sum().backward()
    assert out[1:].isfinite().all()
    assert ours.tables.grad.isfinite().all()


@pytest.mark.parametrize("change", [{"cells": 200}, {"offset": -1}, {"size": 3}, {"cells": 0}])
def test_a_level_stored_whole_that_does_not_fit_its_table_is_refused_by_the_kernel(axes, change):
    _, ours = pair(axes, SIZES["stored whole and hashed"])
    ours.levels[0] = dataclasses.replace(ours.levels[0], **change)
    with pytest.raises(ValueError, match="gst_hashgrid_forward refused"):
        ours(torch.zeros(4, axes))


def test_positions_with_another_number_of_coordinates_are_refused(axes):
    _, ours = pair(axes, ONE)
    with pytest.raises(ValueError, match=f"expected {axes} coordinates, but got 1"):
        ours(torch.zeros(4, 1))
