"""Quaternions and matrices, against scipy."""

import pytest
import torch
from scipy.spatial.transform import Rotation

from gstalker.gaussians.rotations import matrix_to_quat, mean_viewmat, quat_multiply, quat_to_matrix


def quats(n=200):
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def as_scipy(q):
    return Rotation.from_quat(q[:, [1, 2, 3, 0]].numpy())  # scipy puts w last


def test_matrices_are_scipys_whatever_the_length():
    torch.testing.assert_close(
        quat_to_matrix(3 * quats()), torch.from_numpy(as_scipy(quats()).as_matrix())
    )


def test_there_and_back_is_the_same_rotation():
    matrices = quat_to_matrix(quats())
    torch.testing.assert_close(quat_to_matrix(matrix_to_quat(matrices)), matrices)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_half_turns_are_not_ill_placed(axis):
    matrix = -torch.eye(3, dtype=torch.float64)
    matrix[axis, axis] = 1
    wanted = torch.zeros(4, dtype=torch.float64)
    wanted[axis + 1] = 1
    torch.testing.assert_close(matrix_to_quat(matrix).abs(), wanted)


def test_a_product_turns_by_the_second_then_the_first():
    a, b = quats(), quats().flip(0)
    torch.testing.assert_close(
        quat_to_matrix(quat_multiply(a, b)), quat_to_matrix(a) @ quat_to_matrix(b)
    )


def test_gradients_pass_finite_differences():
    q = quats(3).requires_grad_()
    assert torch.autograd.gradcheck(quat_to_matrix, q)
    assert torch.autograd.gradcheck(lambda q: matrix_to_quat(quat_to_matrix(q)).abs(), q)


def test_the_mean_pose_of_turns_to_both_sides_is_straight():
    turns = torch.from_numpy(
        Rotation.from_euler("y", [[-20], [20], [-5], [5]], degrees=True).as_matrix()
    )
    poses = torch.eye(4, dtype=torch.float64).repeat(4, 1, 1)
    poses[:, :3, :3] = turns
    poses[:, 2, 3] = torch.tensor([90.0, 110, 100, 100])
    wanted = torch.eye(4, dtype=torch.float64)
    wanted[2, 3] = 100
    torch.testing.assert_close(mean_viewmat(poses), wanted)
