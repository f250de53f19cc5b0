"""Where along rays something is: samples in the occupied cells of a grid.

A ray is visited at a fixed row of places: the first within the first step after it enters the box,
each next one a step on, and a step is ``max(least, growth * distance)``. Places in occupied cells
are samples, the first ``most`` of them.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from gstalker.native import library
from gstalker.rays.box import Rays

_P, _I, _F = ctypes.c_void_p, ctypes.c_int, ctypes.c_float


@dataclass(frozen=True)
class Steps:
    """How finely rays are followed, in box units."""

    least: float
    """Shortest step."""
    growth: float
    """Of a step per distance from the camera (RAD-NeRF: 1/256)."""
    most: int
    """Samples of a ray at most (RAD-NeRF: 16)."""


@dataclass(frozen=True)
class Samples:
    """Places along rays, ray after ray."""

    first: Int[Tensor, " R1"]
    """Number of each ray's first sample, and at the end of all samples: R + 1."""
    ray: Int[Tensor, " M"]
    """The ray of each sample."""
    at: Float[Tensor, " M"]
    """Distance along the ray."""
    lengths: Float[Tensor, " M"]
    """What each stands for, up to the next place."""
    positions: Float[Tensor, "M 3"]
    """Box units."""


def march(
    rays: Rays,
    occupied: UInt8[Tensor, "G G G"],
    steps: Steps,
    jitter: Float[Tensor, " R"] | None = None,
) -> Samples:
    """The samples of rays.

    Args:
        rays: in box units.
        occupied: by z, y, x over [-1, 1]³; not 0 where something may be.
        steps: how finely.
        jitter: the share of its first step at which each ray begins, 1/2 if not given.
    """
    tensors = (rays.origins, rays.directions, rays.near, rays.far, jitter)
    if library.takes(*tensors):
        return _native_march(rays, occupied, steps, jitter)
    return reference_march(rays, occupied, steps, jitter)


def reference_march(
    rays: Rays,
    occupied: UInt8[Tensor, "G G G"],
    steps: Steps,
    jitter: Float[Tensor, " R"] | None = None,
) -> Samples:
    """:func:`march` in plain torch: the definition."""
    t = rays.near + (0.5 if jitter is None else jitter) * step_at(rays.near, steps)
    taken = torch.zeros(len(rays), dtype=torch.long, device=t.device)
    found: list[tuple[Tensor, Tensor]] = []
    while True:
        going = ((t < rays.far) & (taken < steps.most)).nonzero()[:, 0]
        if not len(going):
            break
        places = rays.origins[going] + t[going, None] * rays.directions[going]
        hit = going[occupied_at(occupied, places)]
        found.append((hit, t[hit]))
        taken[hit] += 1
        t = torch.where(t < rays.far, t + step_at(t, steps), t)
    ray = torch.cat([r for r, _ in found]) if found else taken[:0]
    at = torch.cat([d for _, d in found]) if found else t[:0]
    order = ray.argsort(stable=True)
    ray, at = ray[order], at[order]
    positions = rays.origins[ray] + at[:, None] * rays.directions[ray]
    first = torch.cat([taken.new_zeros(1), taken.cumsum(0)])
    return Samples(first, ray, at, step_at(at, steps), positions)


def step_at(t: Float[Tensor, "*any"], steps: Steps) -> Float[Tensor, "*any"]:
    """Length of the step at a distance."""
    return (steps.growth * t).clamp_min(steps.least)


def occupied_at(occupied: UInt8[Tensor, "G G G"], places: Float[Tensor, "M 3"]) -> Tensor:
    """Whether places lie in occupied cells; beyond the grid those of its border count."""
    cells = len(occupied)
    x, y, z = ((places * 0.5 + 0.5) * cells).floor().long().clamp(0, cells - 1).unbind(1)
    return occupied[z, y, x] != 0


def _native_march(rays: Rays, occupied: Tensor, steps: Steps, jitter: Tensor | None) -> Samples:
    p, kernels, count = library.pointer, library.load(), len(rays)
    held = [t.contiguous() for t in (rays.origins, rays.directions, rays.near, rays.far)]
    occupied = occupied.contiguous()
    jitter = None if jitter is None else jitter.contiguous()
    common = (
        count, *map(p, held), p(jitter), len(occupied), p(occupied),
        steps.least, steps.growth, steps.most,
    )  # fmt: skip
    types = (_I, *[_P] * 5, _I, _P, _F, _F, _I)
    first = torch.zeros(count + 1, dtype=torch.long)
    kernel = library.declare(kernels, "gst_march_count", *types, _P, _I)
    status = kernel(*common, first[1:].data_ptr(), library.threads())
    library.check(status, "gst_march_count")
    torch.cumsum(first, 0, out=first)
    total = int(first[-1])
    at, lengths, positions = torch.empty(total), torch.empty(total), torch.empty(total, 3)
    ray = torch.empty(total, dtype=torch.long)
    kernel = library.declare(kernels, "gst_march_write", *types, *[_P] * 5, _I)
    status = kernel(*common, p(first), p(at), p(lengths), p(positions), p(ray), library.threads())
    library.check(status, "gst_march_write")
    return Samples(first, ray, at, lengths, positions)
