"""The dense product tri-plane: by hand, and by finite differences."""

import pytest
import torch

from gstalker.encode import make_encoder
from gstalker.encode.planes import ProductTriPlane


def test_a_grid_point_reads_the_product_of_its_three_entries():
    grid = ProductTriPlane(levels=1, features_per_level=1, base=2, finest=2).double()
    with torch.no_grad():
        grid.planes[0].copy_(torch.arange(1, 28, dtype=torch.float64).view(3, 1, 3, 3))
    point = torch.tensor([[0.0, 1.0, -1.0]], dtype=torch.float64)  # grid point x 1, y 2, z 0
    # An entry lies at row v, column u: xy (v 2, u 1), yz (v 0, u 2), xz (v 0, u 1)
    assert grid(point).item() == pytest.approx((1 + 2 * 3 + 1) * (10 + 2) * (19 + 1))


def test_between_grid_points_each_plane_is_read_bilinearly():
    grid = ProductTriPlane(levels=1, features_per_level=1, base=1, finest=1).double()
    with torch.no_grad():
        grid.planes[0].copy_(
            torch.tensor([[[1.0, 2], [3, 4]], [[1, 1], [1, 1]], [[1, 1], [1, 1]]])[:, None]
        )
    assert grid(torch.tensor([[0.0, 0.0, 0.0]]).double()).item() == pytest.approx(2.5)
    assert grid(torch.tensor([[-0.5, 1.0, 0.3]]).double()).item() == pytest.approx(3.25)


def test_levels_are_concatenated_and_beyond_the_cube_the_nearest_face_is_read():
    torch.manual_seed(0)
    grid = ProductTriPlane(levels=2, features_per_level=3, base=4, finest=8)
    assert (grid.cells, grid.dim) == ([4, 8], 6)
    outside, inside = torch.tensor([[3.0, 0.1, 0.1]]), torch.tensor([[1.0, 0.1, 0.1]])
    torch.testing.assert_close(grid(outside), grid(inside))


def test_gradients_pass_finite_differences():
    torch.manual_seed(1)
    grid = ProductTriPlane(levels=2, features_per_level=2, base=3, finest=5).double()
    points = (torch.rand(5, 3, dtype=torch.float64) * 1.6 - 0.8).requires_grad_()
    assert torch.autograd.gradcheck(grid, points)
    plane = grid.planes[1]
    assert torch.autograd.gradcheck(lambda _: grid(points.detach()), plane)


def test_it_is_an_encoder_by_name_and_refuses_sizes_that_cannot_be():
    assert make_encoder("planes", levels=2, features_per_level=32, base=64, finest=128).dim == 64
    with pytest.raises(ValueError, match="finest=2"):
        ProductTriPlane(base=4, finest=2)
