"""The torso rests before the camera while the head, which is the world, turns."""

import pytest
import torch

from gstalker.deform.torso import PoseField, TorsoConfig, carry, pose_numbers
from gstalker.gaussians.rotations import quat_to_matrix
from gstalker.types import Splats


def viewmat(turn, shift):
    """Head to camera: a rotation vector in radians and a translation."""
    matrix = torch.eye(4, dtype=torch.float64)
    x, y, z = turn
    skew = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    matrix[:3, :3] = torch.linalg.matrix_exp(skew)
    matrix[:3, 3] = torch.tensor(shift, dtype=torch.float64)
    return matrix


REST = viewmat((0.02, -0.05, 0.01), (0.5, -1.0, 130.0))
TURNED = viewmat((0.1, 0.3, -0.05), (2.0, 1.0, 125.0))


def splats(n=20):
    generator = torch.Generator().manual_seed(0)
    random = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    quats = torch.randn(n, 4, generator=generator, dtype=torch.float64)
    return Splats(
        means=random * 8,
        scales=torch.full_like(random, 0.2),
        quats=quats / quats.norm(dim=1, keepdim=True),
        opacities=torch.full((n,), 0.9, dtype=torch.float64),
        sh=torch.zeros(n, 1, 3, dtype=torch.float64),
    )


def in_camera(means, matrix):
    return means @ matrix[:3, :3].T + matrix[:3, 3]


def test_what_follows_the_head_is_left_where_it_is():
    before = splats()
    after = carry(before, torch.ones(20, dtype=torch.float64), TURNED, REST)
    torch.testing.assert_close(after.means, before.means)
    torch.testing.assert_close(after.quats, before.quats)


def test_what_rests_is_seen_by_every_frame_where_the_resting_camera_sees_it():
    before = splats()
    after = carry(before, torch.zeros(20, dtype=torch.float64), TURNED, REST)
    torch.testing.assert_close(in_camera(after.means, TURNED), in_camera(before.means, REST))
    seen = TURNED[:3, :3] @ quat_to_matrix(after.quats)
    rested = REST[:3, :3] @ quat_to_matrix(before.quats)
    torch.testing.assert_close(seen, rested)


def test_the_neck_lies_between():
    before = splats()
    whole = carry(before, torch.zeros(20, dtype=torch.float64), TURNED, REST).means
    half = carry(before, torch.full((20,), 0.5, dtype=torch.float64), TURNED, REST).means
    torch.testing.assert_close(half, (whole + before.means) / 2)


def test_at_rest_nothing_moves():
    before = splats()
    follow = torch.rand(20, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(carry(before, follow, REST, REST).means, before.means)


def test_a_shift_moves_only_the_share_that_rests():
    before = splats()
    shift = torch.ones(20, 3, dtype=torch.float64)
    follow = torch.tensor([0.0, 1.0] * 10, dtype=torch.float64)
    moved = carry(before, follow, REST, REST, shift).means - before.means
    torch.testing.assert_close(moved, shift * (1 - follow)[:, None])


def test_the_resting_pose_is_zero_and_a_turn_is_its_rotation_vector():
    numbers = pose_numbers(
        torch.stack([REST, viewmat((0.01, 0.02, -0.03), (0, 0, 130)) @ REST]), REST
    )
    torch.testing.assert_close(numbers[0], torch.zeros(6, dtype=torch.float64))
    wanted = torch.tensor([0.01, 0.02, -0.03], dtype=torch.float64)
    # twice the vector part of the quaternion: the rotation vector to third order
    torch.testing.assert_close(numbers[1, :3], wanted, atol=1e-5, rtol=0)


def field(poses, **sizes):
    torch.manual_seed(0)
    return PoseField(splats(50).means.float(), poses, TorsoConfig(**sizes))


def test_twice_the_pose_is_twice_the_movement():
    poses = torch.randn(30, 6, generator=torch.Generator().manual_seed(2))
    torso = field(poses)
    means = splats(50).means.float()
    once, twice = torso(means, poses[0] * 0.5), torso(means, poses[0])
    torch.testing.assert_close(twice, 2 * once)
    assert torso(means, torch.zeros(6)).abs().max() == 0


def test_the_field_is_its_network_written_out_gradients_included():
    torch.manual_seed(0)
    poses = torch.randn(30, 6)
    means = splats(50).means.float()
    torso = field(poses)
    torch.nn.init.normal_(torso.last.weight, std=0.1)
    strength = (poses[0] / poses.std(0)).clamp(-4, 4) * torso.gain
    x = torso.encode(means)
    for layer in (torso.first, torso.second):
        x = (x @ layer.weight.T + layer.bias).clamp_min(0)
    numbers = x @ torso.last.weight.T + torso.last.bias  # each pose number's part in each axis
    plain = torch.stack([numbers[:, 6 * k : 6 * k + 6] @ strength for k in range(3)], dim=1)
    moved = torso(means, poses[0])
    torch.testing.assert_close(moved, plain)
    weights, learned = torch.randn(50, 3), list(torso.parameters())
    ours, theirs = (torch.autograd.grad((m * weights).sum(), learned) for m in (moved, plain))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_the_field_learns_a_lean_from_poses():
    generator = torch.Generator().manual_seed(3)
    poses = torch.randn(30, 6, generator=generator)
    means = splats(50).means.float()
    torso = field(poses)
    height = means[:, 1:2] / 10
    lean = torch.tensor([[1.0, 0, 0]])
    optimizer = torch.optim.Adam(torso.parameters(), lr=1e-2)
    for step in range(300):
        pose = poses[step % 20]
        loss = (torso(means, pose) - height * pose[4] * lean).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    unseen = poses[25]
    wanted = height * unseen[4] * lean
    error = (torso(means, unseen) - wanted).square().mean() / wanted.square().mean()
    assert error < 0.05


@pytest.mark.parametrize("count", [0, 1])
def test_octaves_may_be_few(count):
    poses = torch.randn(30, 6)
    assert field(poses, frequencies=count)(splats(50).means.float(), poses[0]).shape == (50, 3)
