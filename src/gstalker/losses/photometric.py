"""L1 and D-SSIM between pictures: the definition in torch, and a fused kernel for the CPU.

The kernel's sources are ``native/src/photometric.cpp``; without it SSIM would be two thirds of a
training step. It is used for float32 pictures on the CPU when it is built.
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gstalker.native import library

WINDOW = 11
DEVIATION = 1.5
C1, C2 = 0.01**2, 0.03**2
"""Constants of Wang et al. 2004 for values in [0, 1]."""

_P, _I = ctypes.c_void_p, ctypes.c_int


def l1_dssim(
    pred: Float[Tensor, "B H W 3"],
    truth: Float[Tensor, "B H W 3"],
    dssim_weight: float = 0.2,
    *,
    boxes: Int[Tensor, "B 4"] | None = None,
    box_weight: float = 0.0,
) -> Float[Tensor, ""]:
    """``(1 - w) mean|pred - truth| + w (1 - mean SSIM)`` (Kerbl et al. 2023, equation 7).

    Args:
        pred: pictures; the gradient goes here alone.
        truth: of the same shape.
        dssim_weight: w.
        boxes: if given, ``box_weight * region_l1(pred, truth, boxes)`` is added.
        box_weight: of that.

    Raises:
        ValueError: the shapes differ.
    """
    _same(pred, truth)
    if library.takes(pred, truth):
        return _Fused.apply(pred, truth, dssim_weight, boxes if box_weight else None, box_weight)
    loss = reference_l1_dssim(pred, truth, dssim_weight)
    return loss if boxes is None else loss + box_weight * region_l1(pred, truth, boxes)


def reference_l1_dssim(
    pred: Float[Tensor, "B H W 3"], truth: Float[Tensor, "B H W 3"], dssim_weight: float = 0.2
) -> Float[Tensor, ""]:
    """:func:`l1_dssim` in plain torch."""
    l1 = (pred - truth).abs().mean()
    return (1 - dssim_weight) * l1 + dssim_weight * (1 - ssim_map(pred, truth).mean())


def ssim(pred: Float[Tensor, "B H W 3"], truth: Float[Tensor, "B H W 3"]) -> Float[Tensor, " B"]:
    """Mean SSIM of each picture, without a gradient."""
    _same(pred, truth)
    with torch.no_grad():
        if library.takes(pred, truth):
            return torch.stack(
                [_measure(p, t, 1.0, None)[1] for p, t in zip(pred, truth, strict=True)]
            )
        return ssim_map(pred, truth).mean((1, 2, 3))


def ssim_map(
    pred: Float[Tensor, "B H W 3"], truth: Float[Tensor, "B H W 3"]
) -> Float[Tensor, "B H W 3"]:
    """SSIM at every pixel and channel: Gaussian window, zeros outside of the picture."""
    # A variance is a small difference of large moments: under autocast's eight bits it is noise.
    with torch.autocast(pred.device.type, enabled=False):
        precise = torch.promote_types(pred.dtype, torch.float32)
        return _ssim_map(pred.to(precise), truth.to(precise))


def _ssim_map(pred: Tensor, truth: Tensor) -> Tensor:
    x, y = pred.movedim(-1, 1), truth.movedim(-1, 1)
    offsets = torch.arange(WINDOW, dtype=x.dtype, device=x.device) - WINDOW // 2
    taps = torch.exp(-(offsets**2) / (2 * DEVIATION**2))
    taps = (taps / taps.sum()).expand(3, 1, 1, -1)

    def windowed(z: Tensor) -> Tensor:
        rows = F.conv2d(z, taps, padding=(0, WINDOW // 2), groups=3)
        return F.conv2d(rows, taps.transpose(2, 3), padding=(WINDOW // 2, 0), groups=3)

    mx, my = windowed(x), windowed(y)
    xx, yy = windowed(x * x) - mx * mx, windowed(y * y) - my * my
    xy = windowed(x * y) - mx * my
    values = (2 * mx * my + C1) * (2 * xy + C2) / ((mx * mx + my * my + C1) * (xx + yy + C2))
    return values.movedim(1, -1)


def region_l1(
    pred: Float[Tensor, "B H W 3"], truth: Float[Tensor, "B H W 3"], boxes: Int[Tensor, "B 4"]
) -> Float[Tensor, ""]:
    """Mean absolute error inside one box per picture, averaged over pictures.

    Args:
        pred: pictures.
        truth: of the same shape.
        boxes: pixels x0, y0, x1, y1, the far ends excluded; what lies beyond the picture does not
            count, and a box that holds no pixel counts as no error.
    """
    inside = _inside(boxes, *pred.shape[1:3])[..., None]
    # On a GPU slices would have to wait for the boxes to be told to the CPU, step by step.
    errors = torch.where(inside, pred - truth, 0).abs().sum((1, 2, 3))
    return (errors / (3 * inside.sum((1, 2, 3))).clamp_min(1)).mean()


def _inside(boxes: Int[Tensor, "B 4"], height: int, width: int) -> Bool[Tensor, "B H W"]:
    """Pixels that lie in their picture's box."""
    x0, y0, x1, y1 = boxes[:, :, None].unbind(1)
    x, y = (torch.arange(n, device=boxes.device) for n in (width, height))
    return ((y >= y0) & (y < y1))[:, :, None] & ((x >= x0) & (x < x1))[:, None]


def _windows(boxes: Tensor) -> list[tuple[slice, slice]]:
    return [(slice(y0, y1), slice(x0, x1)) for x0, y0, x1, y1 in boxes.clamp_min(0).tolist()]


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        pred: Tensor,
        truth: Tensor,
        dssim_weight: float,
        boxes: Tensor | None,
        box_weight: float,
    ) -> Tensor:
        pairs = list(zip(pred, truth, strict=True))
        wanted = ctx.needs_input_grad[0]
        gradient = torch.empty_like(pred, memory_format=torch.contiguous_format) if wanted else None
        loss = torch.zeros(())
        for k, (p, t) in enumerate(pairs):
            own = None if gradient is None else gradient[k]
            l1, similarity = _measure(p, t, dssim_weight, own)
            loss += (1 - dssim_weight) * l1 + dssim_weight * (1 - similarity)
            if boxes is not None:
                loss += box_weight * _add_region(p, t, _windows(boxes)[k], box_weight, own)
        if gradient is not None:
            ctx.save_for_backward(gradient if len(pairs) == 1 else gradient.div_(len(pairs)))
        return loss / len(pairs)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g_loss: Tensor) -> tuple[Any, ...]:
        (gradient,) = ctx.saved_tensors
        scaled = gradient if g_loss.item() == 1 else gradient * g_loss
        return scaled, None, None, None, None


def _add_region(
    pred: Tensor,
    truth: Tensor,
    window: tuple[slice, slice],
    weight: float,
    gradient: Tensor | None,
) -> Tensor:
    """One picture's mean error in a window; its weighted gradient is added to ``gradient``."""
    difference = pred[window] - truth[window]
    count = max(difference.numel(), 1)
    if gradient is not None:
        gradient[window].add_(difference.sign(), alpha=weight / count)
    return difference.abs().sum() / count


def _measure(
    pred: Tensor, truth: Tensor, dssim_weight: float, gradient: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Mean absolute error and mean SSIM of one pair; the loss's gradient where there is room."""
    height, width, _ = pred.shape
    pred, truth = pred.contiguous(), truth.contiguous()
    loss = (ctypes.c_double * 2)()
    kernels = library.load()
    kernel = library.declare(kernels, "gst_photometric", _I, _I, _P, _P, ctypes.c_float, _P, _P, _I)
    p = library.pointer
    status = kernel(
        height,
        width,
        p(pred),
        p(truth),
        dssim_weight,
        p(gradient),
        loss,
        library.threads(),
    )
    library.check(status, "gst_photometric")
    return torch.tensor(loss[0], dtype=torch.float32), torch.tensor(loss[1], dtype=torch.float32)


def _same(pred: Tensor, truth: Tensor) -> None:
    if pred.shape != truth.shape:
        raise ValueError(
            "expected two pictures of one shape, "
            f"but got {list(pred.shape)} and {list(truth.shape)}"
        )
