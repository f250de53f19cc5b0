"""Hash grids of two and three coordinates against interpolation worked by hand."""

import itertools

import pytest
import torch

from gstalker.encode.grid import PRIMES, HashGrid, HashGrid3D


def by_hand(grid, x, level):
    """One position's features at one level, corner by corner, in plain numbers."""
    cells, offset = int(grid.cells[level]), int(grid.offset[level])
    place = [min(max((v + 1) / 2, 0.0), 1.0) * cells for v in x]
    low = [min(int(p), cells - 1) for p in place]
    total = torch.zeros(grid.tables.shape[1], dtype=grid.tables.dtype)
    for choice in itertools.product((0, 1), repeat=len(x)):
        weight, corner = 1.0, []
        for p, i, up in zip(place, low, choice, strict=True):
            weight *= (p - i) if up else 1 - (p - i)
            corner.append(i + up)
        if (cells + 1) ** len(x) <= grid.table:
            index = sum(c * (cells + 1) ** k for k, c in enumerate(corner))
        else:
            index = 0
            for c, prime in zip(corner, PRIMES, strict=False):
                index ^= c * prime
            index %= grid.table
        total += weight * grid.tables[offset + index].detach()
    return total


@pytest.mark.parametrize("axes", [2, 3])
def test_features_are_those_worked_by_hand(axes):
    torch.manual_seed(0)
    grid = HashGrid(axes, levels=4, log2_table=8, base=3, finest=40).double()
    points = torch.rand(30, axes, dtype=torch.float64) * 2.2 - 1.1
    found = grid(points)
    assert grid.dense.any()
    assert not grid.dense.all()
    for x, row in zip(points, found, strict=True):
        wanted = torch.cat([by_hand(grid, x.tolist(), level) for level in range(4)])
        torch.testing.assert_close(row, wanted, atol=1e-12, rtol=0)


@pytest.mark.parametrize("axes", [2, 3])
def test_gradients_are_those_of_the_definition(axes):
    torch.manual_seed(1)
    grid = HashGrid(axes, levels=2, log2_table=6, base=2, finest=9).double()
    points = (torch.rand(6, axes, dtype=torch.float64) * 1.8 - 0.9).requires_grad_()
    assert torch.autograd.gradcheck(grid, (points,))
    grid(points).square().sum().backward()
    step = 1e-6
    for index in torch.randint(len(grid.tables), (5,)).tolist():
        kept = grid.tables.data[index, 0].item()
        values = []
        for shift in (step, -step):
            grid.tables.data[index, 0] = kept + shift
            values.append(grid(points).square().sum().item())
        grid.tables.data[index, 0] = kept
        slope = (values[0] - values[1]) / (2 * step)
        assert grid.tables.grad[index, 0].item() == pytest.approx(slope, abs=1e-8)


def test_sizes_that_make_no_grid_are_refused():
    with pytest.raises(ValueError, match="2 or 3 axes"):
        HashGrid(4)
    with pytest.raises(ValueError, match="levels=0"):
        HashGrid3D(levels=0)
