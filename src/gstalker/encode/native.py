"""The hash tri-plane on all CPU cores; kernels in ``native/src/hashgrid.cpp``."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gstalker.encode.hashgrid import HashTriPlane, Level, unit_cube
from gstalker.native import library

_P, _I = ctypes.c_void_p, ctypes.c_int


class _CLevel(ctypes.Structure):
    _fields_ = (
        ("cells", ctypes.c_int32),
        ("dense", ctypes.c_int32),
        ("mask", ctypes.c_uint32),
        ("unused", ctypes.c_int32),
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
        if x.dtype != torch.float32 or x.device.type != "cpu":
            return super().forward(x)
        return _Encode.apply(unit_cube(x), self.tables, self.levels)


class _Encode(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, points: Tensor, tables: Tensor, levels: list[Level]) -> Tensor:
        points, tables = points.contiguous(), tables.contiguous()
        count, width = len(points), tables.shape[1]
        out = torch.empty(count, len(levels) * width)
        kernel = library.declare(library.load(), "gst_hashgrid_forward", _I, _I, _I, *[_P] * 4, _I)
        p = library.pointer
        status = kernel(
            count,
            len(levels) // 3,
            width,
            _c_levels(levels),
            p(points),
            p(tables),
            p(out),
            library.threads(),
        )
        library.check(status, "gst_hashgrid_forward")
        ctx.save_for_backward(points, tables)
        ctx.levels = levels
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g_out: Tensor) -> tuple[Any, ...]:
        points, tables = ctx.saved_tensors
        count, width = len(points), tables.shape[1]
        g_tables = torch.zeros_like(tables)
        g_points = torch.empty_like(points) if ctx.needs_input_grad[0] else None
        columns = torch.empty(len(ctx.levels) * width, count)
        g_out = g_out.contiguous()  # held by a name: an address keeps nothing alive
        kernel = library.declare(library.load(), "gst_hashgrid_backward", _I, _I, _I, *[_P] * 7, _I)
        p = library.pointer
        status = kernel(
            count, len(ctx.levels) // 3, width, _c_levels(ctx.levels), p(points), p(tables),
            p(g_out), p(columns), p(g_tables), p(g_points), library.threads(),
        )  # fmt: skip
        library.check(status, "gst_hashgrid_backward")
        return g_points, g_tables, None


def _c_levels(levels: list[Level]) -> Any:
    rows = [
        _CLevel(v.cells, int(v.dense), 0xFFFFFFFF if v.dense else v.size - 1, 0, v.offset)
        for v in levels
    ]
    return (_CLevel * len(rows))(*rows)
