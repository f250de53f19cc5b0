"""Rays of a camera, the box around a head, and the grid that remembers where something is."""

import numpy as np
import pytest
import torch

from gstalker.rays.box import HeadBox, all_pixels, fit_box
from gstalker.rays.march import occupied_at
from gstalker.rays.occupancy import OccupancyConfig, OccupancyGrid
from gstalker.types import Camera


def camera(width=64, height=48):
    viewmat = torch.eye(4)
    turn = torch.tensor(0.2)
    viewmat[0, 0] = viewmat[2, 2] = turn.cos()
    viewmat[0, 2], viewmat[2, 0] = turn.sin(), -turn.sin()
    viewmat[:3, 3] = torch.tensor([1.0, -2.0, 60.0])
    K = torch.tensor([[100.0, 0, 32], [0, 100.0, 24], [0, 0, 1]])
    return Camera(viewmat[None], K[None], width, height)


def test_points_on_rays_project_back_to_their_pixels():
    view = camera()
    box = HeadBox(torch.tensor([-8.0, -12, -4]), torch.tensor([10.0, 12, 14]))
    pixels = all_pixels(view)
    rays = box.rays(view, pixels)
    points = (rays.origins + 5.5 * rays.directions) * box.radius + box.centre
    seen = points @ view.viewmats[0, :3, :3].T + view.viewmats[0, :3, 3]
    projected = seen @ view.Ks[0].T
    x, y = (projected[:, :2] / projected[:, 2:]).unbind(1)
    torch.testing.assert_close(x, pixels % 64 + 0.5, atol=1e-3, rtol=0)
    torch.testing.assert_close(y, pixels // 64 + 0.5, atol=1e-3, rtol=0)
    torch.testing.assert_close(rays.directions.norm(dim=1), torch.ones(len(pixels)))


def test_rays_enter_and_leave_at_the_faces_of_the_box():
    view = camera()
    box = HeadBox(torch.tensor([-3.0, -4, -2]), torch.tensor([3.0, 4, 2]))
    rays = box.rays(view, all_pixels(view))
    hit = rays.far > rays.near
    assert 0.01 < hit.float().mean() < 0.9
    for distance in (rays.near, rays.far):
        at = (rays.origins + distance[:, None] * rays.directions)[hit] / box.extent
        torch.testing.assert_close(at.abs().amax(1), torch.ones(int(hit.sum())), atol=1e-3, rtol=0)


def test_the_box_holds_the_head_that_the_masks_show():
    # A disc of 10 cm radius around (1, 2), in the plane of the face, seen straight from the front.
    view = torch.eye(4)
    view[2, 3] = 80.0
    K = torch.tensor([[400.0, 0, 100], [0, 400.0, 100], [0, 0, 1]])
    y, x = np.mgrid[:200, :200] + 0.5
    mask = ((x - 100) / 5 - 1) ** 2 + ((y - 100) / 5 - 2) ** 2 < 100
    mesh = np.array([[0.0, 0, -3], [0, 0, 3]], np.float32)
    low, high = fit_box([mask], view[None], K, mesh)
    torch.testing.assert_close(low[:2], torch.tensor([-11.0, -10.0]), atol=0.6, rtol=0)
    torch.testing.assert_close(high[:2], torch.tensor([13.0, 14.0]), atol=0.6, rtol=0)
    assert low[2] < -3 < high[2]
    assert high[2] - low[2] == pytest.approx(22, abs=1)


def test_masks_without_a_head_are_refused():
    with pytest.raises(ValueError, match="none has a pixel"):
        fit_box([np.zeros((4, 4), bool)], torch.eye(4)[None], torch.eye(3), np.zeros((2, 3)))


def test_the_grid_keeps_the_cells_of_a_ball_and_drops_the_rest():
    grid = OccupancyGrid(OccupancyConfig(cells=16))
    extent = torch.tensor([1.0, 0.75, 1.0])

    def ball(x):
        assert (x.abs() <= extent + 2 / 16).all()
        return 100.0 * (x.norm(dim=1) < 0.5)

    for step in range(8):
        grid.update(ball, extent, torch.Generator().manual_seed(step))
    points = torch.rand(2000, 3, generator=torch.Generator().manual_seed(9)) * 2 - 1
    away = points.norm(dim=1)
    held = occupied_at(grid.occupied, points)
    assert held[away < 0.45].all()
    assert not held[away > 0.5 + 2 * 3**0.5 * 2 / 16].any()


def test_a_grid_whose_cells_are_all_alike_stays_occupied():
    grid = OccupancyGrid(OccupancyConfig(cells=8))
    grid.update(lambda x: torch.ones(len(x)), torch.ones(3), torch.Generator())
    assert grid.occupied.all()


def test_a_cell_is_forgotten_when_nothing_is_found_there_any_more():
    grid = OccupancyGrid(OccupancyConfig(cells=4, decay=0.5))
    generator = torch.Generator().manual_seed(0)
    grid.update(lambda x: 50.0 * (x[:, 0] > 0), torch.ones(3), generator)
    for _ in range(12):
        grid.update(lambda x: 50.0 * (x[:, 0] < 0), torch.ones(3), generator)
    assert grid.occupied[:, :, :2].all()
    assert not grid.occupied[:, :, 2:].any()
