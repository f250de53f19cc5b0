"""Decide which Gaussians to clone, split or prune.

Pure functions of accumulated statistics; nothing here touches parameters or optimizers (that is
``surgery``) or knows about training steps (that is ``callbacks.density``). The rules are those of
Kerbl et al. 2023, section 5.2, with gsplat's names.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gstalker.gaussians.rotations import quat_to_matrix
from gstalker.limits import Amount, Count, Positive, Share, Whole

SPLIT_SHRINK = 1.6
"""Halves of a split are smaller by this factor (Kerbl et al. 2023)."""


@dataclass
class DensityConfig:
    """When and whom to grow and prune; 3DGS's values, sizes in centimetres of a head."""

    start_step: Whole = 500
    """First step at which rows may change."""
    stop_step: Whole = 4000
    """No change from this step on."""
    every_steps: Count = 100
    """Pause between changes."""
    reset_every_steps: Whole = 3000
    """Pause between opacity resets; 0: never."""
    reset_opacity: Share = 0.05
    """Nothing is more opaque than this after a reset."""
    grow_grad2d: Amount = 2e-4
    """Clone or split above this pull, in units of half the image side."""
    grow_scale3d: Amount = 0.15
    """Split above this size, clone below, in centimetres."""
    prune_opacity: Share = 0.01
    """Prune below this opacity."""
    prune_opacity_last: Share | None = None
    """Reached evenly from the above at ``stop_step`` (TalkingGaussian); null: it stays."""
    prune_scale3d: Positive = 8.0
    """Prune above this size, in centimetres."""
    max_gaussians: Count = 30_000
    """Never grow beyond."""


@dataclass
class GrowthStats:
    """What happened to each Gaussian since the last decision."""

    grad2d: Float[Tensor, " N"]
    """Sum of the norms of the pull on the centre, in units of half the image side."""
    count: Float[Tensor, " N"]
    """Pictures in which it was seen."""

    @classmethod
    def zeros(cls, n: int, device: torch.device | None = None) -> GrowthStats:
        """Nothing seen yet of ``n`` Gaussians."""
        return cls(torch.zeros(n, device=device), torch.zeros(n, device=device))

    def add(
        self,
        pull: Float[Tensor, "B N 2"],
        radii: Int[Tensor, "B N"],
        width: int,
        height: int,
    ) -> None:
        """Count one render.

        Args:
            pull: gradient of the loss by the centres, per pixel.
            radii: 0 where not seen.
            width: of the picture, in pixels.
            height: of the picture, in pixels.
        """
        half = pull.new_tensor([width / 2, height / 2])
        seen = radii > 0
        # A checkpoint may have brought the sums back on another device.
        self.grad2d = self.grad2d.to(pull.device) + ((pull * half).norm(dim=-1) * seen).sum(0)
        self.count = self.count.to(pull.device) + seen.sum(0)

    def mean(self) -> Float[Tensor, " N"]:
        """Mean norm over the pictures in which each was seen; 0 where it never was."""
        return self.grad2d / self.count.clamp_min(1)


def clone_mask(
    grad2d: Float[Tensor, " N"],
    scales: Float[Tensor, "N 3"],
    *,
    grow_grad2d: float,
    grow_scale3d: float,
) -> Bool[Tensor, " N"]:
    """Gaussians that are small and pulled hard: under-reconstructed, so copy them.

    Args:
        grad2d: mean norm of the screen-space gradient since the last call, in units of half the
            image side.
        scales: activated, in world units.
        grow_grad2d: clone above this pull (τ_pos in Kerbl et al. 2023, section 5.2).
        grow_scale3d: clone only below this size, in world units; above it is a split.

    Raises:
        ValueError: the two tensors disagree on N.
    """
    return _pulled(grad2d, scales, grow_grad2d) & (scales.amax(1) <= grow_scale3d)


def split_mask(
    grad2d: Float[Tensor, " N"],
    scales: Float[Tensor, "N 3"],
    *,
    grow_grad2d: float,
    grow_scale3d: float,
) -> Bool[Tensor, " N"]:
    """Gaussians that are large and pulled hard: they cover too much, so halve them.

    Arguments and errors as :func:`clone_mask`'s; the two masks never overlap.
    """
    return _pulled(grad2d, scales, grow_grad2d) & (scales.amax(1) > grow_scale3d)


def prune_mask(
    opacities: Float[Tensor, " N"],
    scales: Float[Tensor, "N 3"],
    *,
    prune_opacity: float,
    prune_scale3d: float,
) -> Bool[Tensor, " N"]:
    """Gaussians that are all but invisible, or larger than anything real.

    Args:
        opacities: activated.
        scales: activated, in world units.
        prune_opacity: prune below this.
        prune_scale3d: prune above this size, in world units.
    """
    return (opacities < prune_opacity) | (scales.amax(1) > prune_scale3d)


def broken_mask(*values: Float[Tensor, "N ..."]) -> Bool[Tensor, " N"]:
    """Gaussians that are no longer numbers: something of theirs is NaN or infinite.

    Args:
        values: activated, one row per Gaussian.
    """
    whole = [value.isfinite()[..., None].flatten(1).all(1) for value in values]
    return ~torch.stack(whole).all(0)


def split_rows(
    rows: dict[str, Tensor], generator: torch.Generator | None = None
) -> dict[str, Tensor]:
    """Two smaller Gaussians for each row, drawn from the large one's own distribution.

    Args:
        rows: raw, one tensor per name of the cloud.
        generator: of the draw, on the CPU, so that every device draws the same.

    Returns:
        Twice as many rows, raw.
    """
    halves = {name: value.repeat(2, *[1] * (value.ndim - 1)) for name, value in rows.items()}
    scales = halves["scales"].exp()
    draw = torch.randn(scales.shape, generator=generator, dtype=scales.dtype).to(scales.device)
    offset = quat_to_matrix(halves["quats"]) @ (draw * scales)[..., None]
    halves["means"] = halves["means"] + offset[..., 0]
    halves["scales"] = (scales / SPLIT_SHRINK).log()
    return halves


def _pulled(grad2d: Tensor, scales: Tensor, grow_grad2d: float) -> Tensor:
    if len(grad2d) != len(scales):
        raise ValueError(
            f"expected one gradient per Gaussian, but got {len(grad2d)} for {len(scales)}"
        )
    return grad2d > grow_grad2d
