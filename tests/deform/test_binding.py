"""Bound Gaussians go where their triangles go."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from gstalker.deform.binding import FAR, NEAR, Binding, bind
from gstalker.deform.blendshapes import Blendshapes
from gstalker.gaussians.rotations import quat_to_matrix

TURN = Rotation.from_euler("xyz", [20, -10, 30], degrees=True).as_matrix()
SHIFT = np.array([0.5, -0.2, 0.1])


def face():
    """A bent sheet of four triangles; shape 0 turns it whole, shape 1 shifts, shape 2 doubles."""
    rest = np.array([[0.0, 0, 0], [2, 0, 0.3], [2, 2, 0], [0, 2, 0.3], [4, 0, 0], [4, 2, 0.5]])
    triangles = np.array([[0, 1, 2], [0, 2, 3], [1, 4, 5], [1, 5, 2]])
    shapes = np.stack([rest @ TURN.T - rest, np.broadcast_to(SHIFT, rest.shape), rest])
    return Blendshapes(rest, triangles, shapes, np.zeros((1, 3)))


def bound(points, own=2):
    made = face()
    rest, shapes = torch.from_numpy(made.rest), torch.from_numpy(made.shapes)
    holds = bind(points, made)
    return Binding(rest, shapes, holds, own).double(), holds


def near_points(count=12):
    rng = np.random.default_rng(0)
    points = rng.uniform([0.2, 0.2, -0.1], [3.8, 1.8, 0.4], (count, 3))
    return torch.from_numpy(points)


def quats(count):
    return torch.nn.functional.normalize(
        torch.randn(count, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    )


def test_a_face_at_rest_changes_nothing():
    points = near_points()
    binding, _ = bound(points)
    changes, colours = binding(points, quats(12), torch.zeros(3).double(), torch.ones(2).double())
    assert changes.values.abs().max() < 1e-6
    assert colours.abs().max() == 0


def test_a_face_that_turns_and_shifts_takes_its_gaussians_along_rigidly():
    points, turned = near_points(), quats(12)
    binding, holds = bound(points)
    assert (holds.fade == 1).all()
    amounts = torch.tensor([1.0, 1.0, 0.0]).double()
    values = binding.follow_mesh(points, turned, amounts)
    wanted = points @ torch.from_numpy(TURN).T + torch.from_numpy(SHIFT)
    torch.testing.assert_close(points + values[:, :3], wanted, atol=1e-5, rtol=0)
    assert values[:, 3:6].abs().max() < 1e-5
    found = quat_to_matrix(turned + values[:, 6:])
    torch.testing.assert_close(
        found, torch.from_numpy(TURN) @ quat_to_matrix(turned), atol=1e-5, rtol=0
    )


def test_a_face_that_doubles_doubles_them():
    points = near_points()
    binding, _ = bound(points)
    values = binding.follow_mesh(points, quats(12), torch.tensor([0.0, 0.0, 1.0]).double())
    torch.testing.assert_close(points + values[:, :3], 2 * points, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        values[:, 3:6], torch.full((12, 3), np.log(2)).double(), atol=1e-5, rtol=0
    )


def test_the_hold_fades_with_the_distance_from_the_face():
    heights = torch.tensor([NEAR, (NEAR + FAR) / 2, FAR, 9.0]).double()
    points = torch.stack([torch.full((4,), 1.0).double(), torch.full((4,), 1.0).double(), heights])
    flat = face()
    flat = Blendshapes(flat.rest * [1, 1, 0], flat.triangles, flat.shapes, flat.seen)
    holds = bind(points.T, flat)
    assert holds.index.tolist() == [0, 1]
    assert holds.fade.tolist() == pytest.approx([1.0, 0.5])


def test_a_place_in_a_triangle_is_the_sum_of_its_corners():
    points = near_points(40)
    _, holds = bound(points)
    on_it = (holds.weights[..., None] * torch.from_numpy(face().rest)[holds.corners]).sum(1)
    assert (points - on_it).norm(dim=1).max() < 0.8
    assert holds.weights.sum(1).tolist() == pytest.approx([1.0] * 40)


def test_own_blendshapes_add_to_what_the_face_does():
    points = near_points()
    binding, _ = bound(points)
    with torch.no_grad():
        binding.own[3, 1, 0], binding.own[3, 1, 10], binding.own[3, 0, 13] = 0.5, 2.0, 0.25
    latent = torch.tensor([2.0, 1.0]).double()
    changes, colours = binding(points, quats(12), torch.zeros(3).double(), latent)
    deltas = changes.deltas()
    assert deltas.means[3, 0].item() == pytest.approx(0.5, abs=1e-6)
    assert deltas.opacities[3].item() == pytest.approx(2.0)
    assert colours[3, 0].tolist() == pytest.approx([0, 0, 0.5])
    assert deltas.means[4].abs().max() < 1e-6


def test_gradients_pass_finite_differences():
    points, turned = near_points(5), quats(5)
    binding, _ = bound(points)

    def changes(amounts, latent, means):
        made, colours = binding(means, turned, amounts, latent)
        return made.values, colours

    amounts = torch.tensor([0.3, 0.5, 0.2]).double().requires_grad_()
    latent = torch.tensor([0.5, -0.5]).double().requires_grad_()
    assert torch.autograd.gradcheck(changes, (amounts, latent, points.requires_grad_()))


def test_a_binding_takes_its_sizes_from_a_state():
    binding, _ = bound(near_points())
    again = Binding.like(binding.state_dict())
    again.load_state_dict(binding.state_dict())
    assert again.own.shape == binding.own.shape
    assert torch.equal(again.rows(20).slot, binding.rows(20).slot)
