"""Hash grids and the hash tri-plane on all CPU cores; kernels in ``native/src/hashgrid.cpp``."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gstalker.encode.hashgrid import PLANES, HashTriPlane, Level, unit_cube
from gstalker.native import library

_P, _I = ctypes.c_void_p, ctypes.c_int

WIDTHS = (1, 2, 4, 8)
"""Features per entry that the kernels know."""


class _CLevel(ctypes.Structure):
    _fields_ = (
        ("cells", ctypes.c_int32),
        ("dense", ctypes.c_int32),
        ("mask", ctypes.c_uint32),
        ("size", ctypes.c_int32),
        ("offset", ctypes.c_int64),
    )


class NativeHashTriPlane(HashTriPlane):
    """Same definition, parameters and state as :class:`HashTriPlane`.

    The kernels take float32 on a CPU. Anything else, such as a GPU's tensors, goes the reference's
    way to the same numbers.

    Raises:
        BackendMissing: the kernels are not built.
    """

    def __init__(self, **sizes: int) -> None:
        super().__init__(**sizes)
        library.load()

    def forward(self, x: Float[Tensor, "N 3"]) -> Float[Tensor, "N D"]:
        """Features; see :meth:`HashTriPlane.forward`."""
        if not fits(x, self.tables):
            return super().forward(x)
        return encode(x, self.tables, self.levels, planes=len(PLANES))


def encode(
    x: Float[Tensor, "N A"], tables: Float[Tensor, "E F"], levels: list[Level], *, planes: int
) -> Float[Tensor, "N D"]:
    """Features of positions in [-1, 1], interpolated linearly in every level.

    Args:
        x: on the CPU, float32; two or three coordinates.
        tables: every level's entries.
        levels: of each plane, plane by plane.
        planes: 3 for the tri-plane, 1 for a grid of all coordinates.
    """
    return _Encode.apply(unit_cube(x), tables, levels, planes)


def fits(x: Tensor, tables: Tensor) -> bool:
    """Whether the kernels can take these, and know entries so wide."""
    return tables.shape[1] in WIDTHS and library.takes(x, tables)


class _Encode(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, points: Tensor, tables: Tensor, levels: list[Level], planes: int
    ) -> Tensor:
        points, tables = points.contiguous(), tables.contiguous()
        # Feature by feature, as the kernels write it and the perceptron's kernel reads it
        out = library.columns(len(points), len(levels) * tables.shape[1])
        kernel = library.declare(library.load(), "gst_hashgrid_forward", *_GRID, _P, _P, _P, _I)
        p = library.pointer
        status = kernel(
            *_grid(points, tables, levels, planes),
            p(points), p(tables), out.data_ptr(), library.threads(),
        )  # fmt: skip
        library.check(status, "gst_hashgrid_forward")
        ctx.save_for_backward(points, tables)
        ctx.levels, ctx.planes = levels, planes
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g_out: Tensor) -> tuple[Any, ...]:
        points, tables = ctx.saved_tensors
        g_tables = torch.empty_like(tables)
        g_points = torch.empty_like(points) if ctx.needs_input_grad[0] else None
        # Held by names until the kernel has run: an address keeps nothing alive
        g_out = library.as_columns(g_out)
        scratch = library.columns(*points.shape)
        kernel = library.declare(
            library.load(), "gst_hashgrid_backward", *_GRID, _P, _P, _P, _P, _P, _P, _I
        )
        p = library.pointer
        status = kernel(
            *_grid(points, tables, ctx.levels, ctx.planes), p(points), p(tables),
            g_out.data_ptr(), scratch.data_ptr(), p(g_tables), p(g_points), library.threads(),
        )  # fmt: skip
        library.check(status, "gst_hashgrid_backward")
        return g_points, g_tables, None, None


_GRID = (*[_I] * 5, _P)


def _grid(points: Tensor, tables: Tensor, levels: list[Level], planes: int) -> tuple[Any, ...]:
    """What both kernels are told first: sizes, and where each level's table lies."""
    entries, width = tables.shape
    wanted = levels[-1].offset + levels[-1].size
    if entries != wanted:
        raise ValueError(f"expected {wanted} entries in the tables, but got {entries}")
    rows = [
        _CLevel(v.cells, v.dense, 0xFFFFFFFF if v.dense else v.size - 1, v.size, v.offset)
        for v in levels
    ]
    sizes = len(points), planes, points.shape[1], len(levels) // planes, width
    return *sizes, (_CLevel * len(rows))(*rows)
