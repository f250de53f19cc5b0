"""What lies along rays summed into pixels (Mildenhall et al. 2020, equation 3).

A sample of density σ that stands for a length δ hides the share ``1 - exp(-σ δ)`` of what is
behind it. The colours' sums are over black; what shines through is ``1 - alpha``.
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gstalker.native import library

_P, _I = ctypes.c_void_p, ctypes.c_int
_WIDEST = 64
"""``kMostValues`` of the kernels."""


def weights_along(
    density: Float[Tensor, "R S"], lengths: Float[Tensor, "R S"]
) -> Float[Tensor, "R S"]:
    """Share of a pixel that each of a ray's samples gives, those in front first."""
    depth = density * lengths
    before = torch.cat([torch.zeros_like(depth[:, :1]), depth.cumsum(1)[:, :-1]], dim=1)
    return torch.exp(-before) * -torch.expm1(-depth)


def composite(
    density: Float[Tensor, " M"],
    lengths: Float[Tensor, " M"],
    values: Float[Tensor, "M F"],
    first: Int[Tensor, " R1"],
) -> tuple[Float[Tensor, "R F"], Float[Tensor, " R"]]:
    """Weighted sums of values along each ray, and alpha.

    Args:
        density: of samples that lie ray after ray.
        lengths: what each stands for; receives no gradient.
        values: colours and whatever else is to be summed.
        first: number of each ray's first sample, and at the end that of all samples.
    """
    tensors = (density, lengths, values)
    if values.shape[1] <= _WIDEST and library.takes(*tensors):
        return _Composite.apply(density, lengths, values, first)
    return reference_composite(density, lengths, values, first)


def reference_composite(
    density: Float[Tensor, " M"],
    lengths: Float[Tensor, " M"],
    values: Float[Tensor, "M F"],
    first: Int[Tensor, " R1"],
) -> tuple[Float[Tensor, "R F"], Float[Tensor, " R"]]:
    """:func:`composite` in plain torch: the definition."""
    counts = first.diff()
    ray = torch.repeat_interleave(torch.arange(len(counts), device=first.device), counts)
    place = torch.arange(len(density), device=first.device) - first[ray]
    room = (len(counts), int(counts.max()) if len(counts) else 0)
    rows = density.new_zeros(room).index_put((ray, place), density)
    long = lengths.new_zeros(room).index_put((ray, place), lengths)
    weights = weights_along(rows, long)[ray, place]
    sums = values.new_zeros(len(counts), values.shape[1])
    sums = sums.index_add(0, ray, weights[:, None] * values)
    return sums, weights.new_zeros(len(counts)).index_add(0, ray, weights)


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, density: Tensor, lengths: Tensor, values: Tensor, first: Tensor
    ) -> tuple[Tensor, Tensor]:
        held = tuple(t.contiguous() for t in (density, lengths, values, first))
        rays, width = len(first) - 1, values.shape[1]
        sums, alpha = torch.empty(rays, width), torch.empty(rays)
        p = library.pointer
        kernel = library.declare(library.load(), "gst_composite_forward", _I, _I, *[_P] * 6, _I)
        status = kernel(
            rays, width, p(held[3]), *map(p, held[:3]), p(sums), p(alpha), library.threads()
        )
        library.check(status, "gst_composite_forward")
        ctx.save_for_backward(*held)
        return sums, alpha

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g_sums: Tensor, g_alpha: Tensor) -> tuple[Any, ...]:
        density, lengths, values, first = ctx.saved_tensors
        g_sums, g_alpha = g_sums.contiguous(), g_alpha.contiguous()
        g_density, g_values = torch.empty_like(density), torch.empty_like(values)
        p = library.pointer
        kernel = library.declare(library.load(), "gst_composite_backward", _I, _I, *[_P] * 8, _I)
        status = kernel(
            len(first) - 1, values.shape[1], p(first), p(density), p(lengths), p(values),
            p(g_sums), p(g_alpha), p(g_density), p(g_values), library.threads(),
        )  # fmt: skip
        library.check(status, "gst_composite_backward")
        return g_density, None, g_values, None
