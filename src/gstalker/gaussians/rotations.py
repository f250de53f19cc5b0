"""Rotations: quaternions wxyz and matrices, batched and differentiable."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def quat_to_matrix(quats: Float[Tensor, "*any 4"]) -> Float[Tensor, "*any 3 3"]:
    """Rotation matrices of quaternions of any length but zero."""
    w, x, y, z = (quats / quats.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def matrix_to_quat(matrices: Float[Tensor, "*any 3 3"]) -> Float[Tensor, "*any 4"]:
    """Unit quaternions of rotation matrices; the sign is free.

    Each of the four components can be divided by; the largest one is, so no rotation is ill-placed.
    """
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = matrices.flatten(-2).unbind(-1)
    # Row k is 4 q_k q for the unit quaternion q.
    table = torch.stack(
        [
            torch.stack([1 + m00 + m11 + m22, m21 - m12, m02 - m20, m10 - m01], -1),
            torch.stack([m21 - m12, 1 + m00 - m11 - m22, m10 + m01, m02 + m20], -1),
            torch.stack([m02 - m20, m10 + m01, 1 - m00 + m11 - m22, m12 + m21], -1),
            torch.stack([m10 - m01, m02 + m20, m12 + m21, 1 - m00 - m11 + m22], -1),
        ],
        dim=-2,
    )
    largest = torch.diagonal(table, dim1=-2, dim2=-1).argmax(-1)
    row = torch.gather(table, -2, largest[..., None, None].expand(*largest.shape, 1, 4))[..., 0, :]
    return row / row.norm(dim=-1, keepdim=True)


def quat_multiply(
    a: Float[Tensor, "*any 4"], b: Float[Tensor, "*any 4"]
) -> Float[Tensor, "*any 4"]:
    """Hamilton product: first ``b``, then ``a``."""
    aw, ax, ay, az = a.unbind(-1)
    bw, bx, by, bz = b.unbind(-1)
    return torch.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        dim=-1,
    )


def mean_viewmat(viewmats: Float[Tensor, "F 4 4"]) -> Float[Tensor, "4 4"]:
    """The mean pose: chordal mean of the rotations, mean of the translations."""
    mean = viewmats.double().mean(0)
    u, _, vt = torch.linalg.svd(mean[:3, :3])
    mean[:3, :3] = u @ torch.diag(torch.tensor([1, 1, torch.det(u @ vt)], dtype=u.dtype)) @ vt
    return mean.to(viewmats.dtype)
