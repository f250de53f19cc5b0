"""The kernels of this room as torch functions: ``native/src/place.cpp`` and ``mlp.cpp``."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gstalker.native import library

_P, _I = ctypes.c_void_p, ctypes.c_int
_PARTS = ("means", "scales", "quats", "opacities")
_WIDEST, _LANES = 128, 16
"""``kWidest`` and ``kLanes`` of the sources: sizes that the perceptron's kernel takes."""


def place_fits(means: Tensor, changed: Iterable[str]) -> bool:
    """Whether the kernel can place this cloud: float32, on the CPU, colours unchanged."""
    return library.takes(means) and "sh" not in changed


def perceptron_fits(x: Tensor, hidden: int, out: int) -> bool:
    """Whether the kernel can take these rows through layers of these widths."""
    return (
        library.takes(x)
        and hidden % _LANES == 0
        and max(x.shape[1], hidden, out) <= _WIDEST
        and not torch.is_autocast_enabled("cpu")
    )


def perceptron(
    x: Float[Tensor, "N I"],
    w1: Float[Tensor, "H I"],
    b1: Float[Tensor, " H"],
    w2: Float[Tensor, "H H"],
    b2: Float[Tensor, " H"],
    w3: Float[Tensor, "O H"],
    b3: Float[Tensor, " O"],
) -> Float[Tensor, "N O"]:
    """``w3 relu(w2 relu(w1 x + b1) + b2) + b3`` of every row."""
    return _Perceptron.apply(x, w1, b1, w2, b2, w3, b3)


def place(
    means: Float[Tensor, "N 3"],
    scales: Float[Tensor, "N 3"],
    quats: Float[Tensor, "N 4"],
    opacities: Float[Tensor, " N"],
    follow: Float[Tensor, " N"],
    changes: Float[Tensor, "M O"] | None,
    shift: Float[Tensor, "T 3"] | None,
    slot: Int[Tensor, " N"] | None,
    shift_slot: Int[Tensor, " N"] | None,
    columns: list[int],
    viewmat: Float[Tensor, "4 4"],
    rest_viewmat: Float[Tensor, "4 4"],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Raw tensors to means, scales, quats and opacities; see :func:`gstalker.deform.place.place`.

    Args:
        means: of the cloud, raw as all its tensors.
        scales: of the cloud.
        quats: of the cloud.
        opacities: of the cloud.
        follow: of the cloud.
        changes: added to the rows that have a ``slot``.
        shift: added to the torso's share of the rows that have a ``shift_slot``.
        slot: int32 row of ``changes`` for each Gaussian, or -1.
        shift_slot: int32 row of ``shift`` for each Gaussian, or -1.
        columns: of ``changes``, where means, scales, quats and opacities begin; -1 for none.
        viewmat: head to camera in this frame.
        rest_viewmat: head to camera at rest.
    """
    return _Place.apply(
        means, scales, quats, opacities, follow, changes, shift,
        slot, shift_slot, columns, viewmat, rest_viewmat,
    )  # fmt: skip


def listening_fits(x: Tensor) -> bool:
    """Whether the kernel can take these rows of sound."""
    return library.takes(x) and not torch.is_autocast_enabled("cpu")


def leaky_convs(
    x: Float[Tensor, "B L C"],
    layers: Sequence[tuple[Tensor, Tensor]],
    *,
    stride: int,
    slope: float,
) -> Float[Tensor, "B M O"]:
    """Convolutions over rows, channels last, each padded by one row of zeros, with LeakyReLU.

    Args:
        x: rows of sound.
        layers: weight ``[to, from, 3]`` and bias ``[to]`` of each.
        stride: of each.
        slope: of LeakyReLU.
    """
    return _LeakyConvs.apply(x, stride, slope, *(tensor for layer in layers for tensor in layer))


class _Cloud(ctypes.Structure):
    _fields_ = tuple((name, _P) for name in (*_PARTS, "follow"))


class _Moves(ctypes.Structure):
    _fields_ = (
        ("slot", _P),
        ("rows", _P),
        ("width", _I),
        ("column", _I * len(_PARTS)),
        ("shift_slot", _P),
        ("shift", _P),
    )


class _Outputs(ctypes.Structure):
    _fields_ = tuple((name, _P) for name in _PARTS)


class _Gradients(ctypes.Structure):
    _fields_ = tuple((name, _P) for name in (*_PARTS, "follow", "rows", "shift"))


class _Place(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, ...]:
        *tensors, columns, viewmat, rest_viewmat = inputs
        held = [_plain(t) for t in (*tensors, viewmat.float(), rest_viewmat.float())]
        out = [torch.empty(t.shape) for t in inputs[:4]]
        p = library.pointer
        kernel = library.declare(library.load(), "gst_place_forward", _I, *[_P] * 5, _I)
        status = kernel(
            len(inputs[0]), *_described(held, columns), p(held[9]), p(held[10]),
            ctypes.byref(_Outputs(*map(p, out))), library.threads(),
        )  # fmt: skip
        library.check(status, "gst_place_forward")
        ctx.save_for_backward(*held)
        ctx.columns = columns
        return tuple(out)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *pulls: Tensor) -> tuple[Any, ...]:
        held = ctx.saved_tensors
        pulls = tuple(t.contiguous() for t in pulls)
        out = [None if t is None else torch.empty_like(t) for t in held[:7]]
        p = library.pointer
        kernel = library.declare(library.load(), "gst_place_backward", _I, *[_P] * 6, _I)
        status = kernel(
            len(held[0]), *_described(held, ctx.columns), p(held[9]), p(held[10]),
            (_P * len(pulls))(*(t.data_ptr() for t in pulls)),
            ctypes.byref(_Gradients(*map(p, out))), library.threads(),
        )  # fmt: skip
        library.check(status, "gst_place_backward")
        return (*out, None, None, None, None, None)


def _plain(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach().contiguous()


def _described(held: Any, columns: list[int]) -> tuple[Any, Any]:
    p = library.pointer
    changes, shift, slot, shift_slot = held[5:9]
    width = 0 if changes is None else changes.shape[1]
    moves = _Moves(p(slot), p(changes), width, (_I * 4)(*columns), p(shift_slot), p(shift))
    return ctypes.byref(_Cloud(*map(p, held[:5]))), ctypes.byref(moves)


_ROWS = (_P, ctypes.c_int64, ctypes.c_int64)
"""Where rows lie, and how far apart a row's and a column's neighbours are."""


def _rows(x: Tensor | None) -> tuple[int | None, int, int]:
    return (None, 0, 0) if x is None else (x.data_ptr(), x.stride(0), x.stride(1))


class _Perceptron(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, *weights: Tensor) -> Tensor:
        weights = tuple(w.contiguous() for w in weights)
        w1, w3 = weights[0], weights[4]
        out = torch.empty(len(x), len(w3))
        kernel = library.declare(library.load(), "gst_mlp_forward", *[_I] * 4, *_ROWS, _P, _P, _I)
        status = kernel(
            len(x), x.shape[1], len(w1), len(w3), *_rows(x),
            _addresses(weights), library.pointer(out), library.threads(),
        )  # fmt: skip
        library.check(status, "gst_mlp_forward")
        ctx.save_for_backward(x, *weights)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, pull: Tensor) -> tuple[Any, ...]:
        x, *weights = ctx.saved_tensors
        pull = pull.contiguous()
        g_x = None
        if ctx.needs_input_grad[0]:  # column by column is how the hash grid would have it
            g_x = library.columns(*x.shape) if x.stride(0) == 1 else torch.empty(x.shape)
        g_weights = tuple(torch.empty_like(w) for w in weights)
        kernel = library.declare(
            library.load(), "gst_mlp_backward", *[_I] * 4, *_ROWS, _P, _P, *_ROWS, _P, _I
        )
        status = kernel(
            len(x), x.shape[1], len(weights[0]), len(weights[4]), *_rows(x),
            _addresses(tuple(weights)), library.pointer(pull), *_rows(g_x),
            _addresses(g_weights), library.threads(),
        )  # fmt: skip
        library.check(status, "gst_mlp_backward")
        return (g_x, *g_weights)


class _LeakyConvs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, stride: int, slope: float, *tensors: Tensor) -> Tensor:
        kernel = library.declare(
            library.load(), "gst_conv_forward", *[_I] * 5, *[_P] * 3, ctypes.c_float, _P
        )
        p = library.pointer
        held = [x.contiguous()]
        for weight, bias in zip(tensors[::2], tensors[1::2], strict=True):
            x, weight, bias = held[-1], weight.contiguous(), bias.contiguous()
            out = torch.empty(len(x), (x.shape[1] - 1) // stride + 1, len(weight))
            status = kernel(*x.shape, len(weight), stride, p(x), p(weight), p(bias), slope, p(out))
            library.check(status, "gst_conv_forward")
            held += [weight, out]
        ctx.save_for_backward(*held)
        ctx.stride, ctx.slope = stride, slope
        return held[-1]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, pull: Tensor) -> tuple[Any, ...]:
        kernel = library.declare(
            library.load(), "gst_conv_backward", *[_I] * 5, _P, _P, ctypes.c_float, *[_P] * 5
        )
        p = library.pointer
        held = ctx.saved_tensors
        g_x: Tensor | None = pull.contiguous()
        gradients: list[Tensor] = []
        for k in range(len(held) - 1, 0, -2):
            x, weight, out = held[k - 2 : k + 1]
            pulled, g_x = g_x, torch.empty_like(x) if k > 2 or ctx.needs_input_grad[0] else None
            g_weight, g_bias = torch.empty_like(weight), torch.empty(len(weight))
            status = kernel(
                *x.shape, len(weight), ctx.stride, p(x), p(weight), ctx.slope, p(out), p(pulled),
                p(g_x), p(g_weight), p(g_bias),
            )  # fmt: skip
            library.check(status, "gst_conv_backward")
            gradients = [g_weight, g_bias, *gradients]
        return (g_x, None, None, *gradients)


def _addresses(tensors: tuple[Tensor, ...]) -> Any:
    return (_P * len(tensors))(*(t.data_ptr() for t in tensors))
