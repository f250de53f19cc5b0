"""How close two pictures are: PSNR, SSIM, LPIPS and sharpness, one value a picture.

Pictures are channels last, sRGB in [0, 1]. Functions give one value per picture; the classes
average those over everything they have seen. PSNR is the mean of each picture's decibels, as every
talking-head paper has it, not the decibels of the mean error.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchmetrics import Metric

CEILING_DB = 100.0
"""PSNR of two equal pictures, which would be infinite."""
SSIM_WINDOW = 11
"""Pixels; no smaller picture has an SSIM."""
_SSIM_SIGMA = 1.5


def psnr(pred: Float[Tensor, "*B H W 3"], truth: Float[Tensor, "*B H W 3"]) -> Float[Tensor, "*B"]:
    """Peak signal-to-noise ratio in dB, at most 100.

    >>> round(float(psnr(torch.full((2, 2, 3), 0.6), torch.full((2, 2, 3), 0.5))), 4)
    20.0
    """
    error = (pred - truth).square().mean((-3, -2, -1))
    return -10 * error.clamp_min(10 ** (-CEILING_DB / 10)).log10()


def ssim(pred: Float[Tensor, "*B H W 3"], truth: Float[Tensor, "*B H W 3"]) -> Float[Tensor, "*B"]:
    """Structural similarity (Wang et al. 2004): 11 x 11 Gaussian window, sigma 1.5.

    Only windows that lie wholly inside the picture count, and the three channels are averaged:
    scikit-image's ``structural_similarity`` with ``gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False, data_range=1``.

    Raises:
        ValueError: a picture is smaller than the window.

    >>> ssim(torch.ones(16, 16, 3), torch.ones(16, 16, 3))
    tensor(1.)
    """
    height, width = pred.shape[-3:-1]
    if min(height, width) < SSIM_WINDOW:
        raise ValueError(
            f"expected pictures of at least 11 x 11 pixels, but got {width} x {height}"
        )
    x = pred.movedim(-1, -3).reshape(-1, height, width)
    y = truth.movedim(-1, -3).reshape(-1, height, width)
    blurred = _blur(torch.cat([x, y, x * x, y * y, x * y]))
    mean_x, mean_y, xx, yy, xy = blurred.chunk(5)
    c1, c2 = 0.01**2, 0.03**2
    likeness = (2 * mean_x * mean_y + c1) * (2 * (xy - mean_x * mean_y) + c2)
    likeness = likeness / ((mean_x**2 + mean_y**2 + c1) * (xx - mean_x**2 + yy - mean_y**2 + c2))
    return likeness.reshape(*pred.shape[:-3], -1).mean(-1)


def _blur(pictures: Tensor) -> Tensor:
    """Gaussian means over windows that fit, ``[..., H, W]`` to ``[..., H-10, W-10]``.

    Shifted sums: on a CPU twenty times as fast as ``conv2d`` with one channel.
    """
    at = torch.arange(SSIM_WINDOW, dtype=torch.float64) - SSIM_WINDOW // 2
    bell = torch.exp(-0.5 * (at / _SSIM_SIGMA) ** 2)
    weights = (bell / bell.sum()).tolist()
    for axis in (-2, -1):
        fits = pictures.shape[axis] - SSIM_WINDOW + 1
        total = pictures.narrow(axis, 0, fits) * weights[0]
        for start, weight in enumerate(weights[1:], 1):
            total.add_(pictures.narrow(axis, start, fits), alpha=weight)
        pictures = total
    return pictures


def sharpness(pred: Float[Tensor, "*B H W 3"]) -> Float[Tensor, "*B"]:
    """Mean difference between neighbouring rows of the grey picture, in 8-bit levels.

    >>> stripes = torch.tensor([0.0, 1.0]).repeat(2).view(4, 1, 1).expand(4, 5, 3)
    >>> sharpness(stripes)
    tensor(255.)
    """
    grey = pred.mean(-1)
    return (grey[..., 1:, :] - grey[..., :-1, :]).abs().mean((-2, -1)) * 255


class _MeanOfPictures(Metric):
    """The mean of one value per picture; the subclass says which."""

    total: Tensor
    count: Tensor
    full_state_update = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def _add(self, values: Tensor) -> None:
        self.total += values.double().sum()
        self.count += values.numel()

    def compute(self) -> Tensor:
        """The mean over all pictures so far."""
        return (self.total / self.count).float()


class PSNR(_MeanOfPictures):
    """Mean over pictures of their PSNR in dB.

    >>> metric = PSNR()
    >>> metric.update(torch.full((1, 2, 2, 3), 0.6), torch.full((1, 2, 2, 3), 0.5))
    >>> metric.update(torch.full((1, 2, 2, 3), 0.51), torch.full((1, 2, 2, 3), 0.5))
    >>> round(float(metric.compute()), 2)
    30.0
    """

    higher_is_better = True
    is_differentiable = True

    def update(self, pred: Float[Tensor, "B H W 3"], truth: Float[Tensor, "B H W 3"]) -> None:
        """Add pictures."""
        self._add(psnr(pred, truth))


class SSIM(_MeanOfPictures):
    """Mean over pictures of :func:`ssim`.

    >>> metric = SSIM()
    >>> metric.update(torch.ones(2, 16, 16, 3), torch.ones(2, 16, 16, 3))
    >>> float(metric.compute())
    1.0
    """

    higher_is_better = True
    is_differentiable = True

    def update(self, pred: Float[Tensor, "B H W 3"], truth: Float[Tensor, "B H W 3"]) -> None:
        """Add pictures."""
        self._add(ssim(pred, truth))


class LPIPS(_MeanOfPictures):
    """Mean over pictures of a learned distance; smaller is better.

    Args:
        distance: from two batches of pictures to one value, such as
            ``gstalker.losses.perceptual.LPIPS()``; pictures are handed over one at a time.

    >>> metric = LPIPS(lambda pred, truth: (pred - truth).abs().mean())
    >>> metric.update(torch.ones(2, 8, 8, 3), torch.zeros(2, 8, 8, 3))
    >>> float(metric.compute())
    1.0
    """

    higher_is_better = False
    is_differentiable = True

    def __init__(self, distance: nn.Module | Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.distance = distance

    def update(self, pred: Float[Tensor, "B H W 3"], truth: Float[Tensor, "B H W 3"]) -> None:
        """Add pictures."""
        pairs = zip(pred.split(1), truth.split(1), strict=True)
        self._add(torch.stack([self.distance(a, b).reshape(()) for a, b in pairs]))
