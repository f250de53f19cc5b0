"""Spherical harmonics to colour and back, in the constants and order of Kerbl et al. 2023."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

C0 = 0.28209479177387814
_C1 = 0.4886025119029199
_C2 = (
    1.0925484305920792,
    -1.0925484305920792,
    0.31539156525252005,
    -1.0925484305920792,
    0.5462742152960396,
)
_C3 = (
    -0.5900435899266435, 2.890611442640554, -0.4570457994644658, 0.3731763325901154,
    -0.4570457994644658, 1.445305721320277, -0.5900435899266435,
)  # fmt: skip

MAX_DEGREE = 3


def count(degree: int) -> int:
    """Coefficients per colour channel up to ``degree``."""
    if not 0 <= degree <= MAX_DEGREE:
        raise ValueError(f"expected a degree of 0 to {MAX_DEGREE}, but got {degree}")
    return (degree + 1) ** 2


def rgb_to_sh(rgb: Float[Tensor, "*any 3"]) -> Float[Tensor, "*any 3"]:
    """The constant coefficient that shows ``rgb`` from everywhere."""
    return (rgb - 0.5) / C0


def sh_to_rgb(
    sh: Float[Tensor, "N K 3"], dirs: Float[Tensor, "N 3"] | None = None
) -> Float[Tensor, "N 3"]:
    """Colours seen along ``dirs``: the series plus one half, never below zero.

    Args:
        sh: 1, 4, 9 or 16 coefficients per Gaussian.
        dirs: unit vectors from the camera to the Gaussians; not needed for one coefficient.

    Raises:
        ValueError: another number of coefficients, or directions are missing.
    """
    terms = sh.shape[1]
    if terms not in (1, 4, 9, 16):
        raise ValueError(f"expected 1, 4, 9 or 16 coefficients, but got {terms}")
    if terms == 1:
        return (C0 * sh[:, 0] + 0.5).clamp_min(0)
    if dirs is None:
        raise ValueError(f"{terms} coefficients need viewing directions, but got none")
    return ((basis(dirs, terms)[..., None] * sh).sum(1) + 0.5).clamp_min(0)


def basis(dirs: Float[Tensor, "N 3"], terms: int) -> Float[Tensor, "N K"]:
    """The first 4, 9 or 16 harmonics at unit vectors, the constant one first."""
    x, y, z = dirs.unbind(-1)
    values = [torch.full_like(x, C0), -_C1 * y, _C1 * z, -_C1 * x]
    if terms > 4:
        xx, yy, zz = x * x, y * y, z * z
        values += [
            _C2[0] * x * y, _C2[1] * y * z, _C2[2] * (2 * zz - xx - yy), _C2[3] * x * z,
            _C2[4] * (xx - yy),
        ]  # fmt: skip
    if terms > 9:
        values += [
            _C3[0] * y * (3 * xx - yy), _C3[1] * x * y * z, _C3[2] * y * (4 * zz - xx - yy),
            _C3[3] * z * (2 * zz - 3 * xx - 3 * yy), _C3[4] * x * (4 * zz - xx - yy),
            _C3[5] * z * (xx - yy), _C3[6] * x * (xx - 3 * yy),
        ]  # fmt: skip
    return torch.stack(values, dim=-1)
