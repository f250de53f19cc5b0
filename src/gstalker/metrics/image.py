"""How close two pictures are, by arithmetic alone: PSNR, SSIM, MS-SSIM and sharpness.

Pictures are channels last, sRGB in [0, 1]. Functions give one value per picture; the classes
average those over everything they have seen. ``PSNR`` is the mean of each picture's decibels, as
every talking-head paper has it; ``PooledPSNR`` is the decibels of the mean error, as torchmetrics
has it by default. What a network judges is in ``distance``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from gstalker.metrics.mean import MeanOf

CEILING_DB = 100.0
"""PSNR of two equal pictures, which would be infinite."""
SSIM_WINDOW = 11
"""Pixels; no smaller picture has an SSIM."""
_SSIM_SIGMA = 1.5
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents from the finest scale to the coarsest (Wang et al. 2003, section 3.2)."""
MS_SSIM_LEAST_SIDE = (SSIM_WINDOW - 1) * 2 ** (len(MS_SSIM_WEIGHTS) - 1) + 1
"""161 pixels: at the coarsest scale the window must still fit."""


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
    likeness, _ = _likeness(_planes(pred), _planes(truth))
    return likeness.reshape(*pred.shape[:-3], 3).mean(-1)


def ms_ssim(
    pred: Float[Tensor, "*B H W 3"], truth: Float[Tensor, "*B H W 3"]
) -> Float[Tensor, "*B"]:
    """Multi-scale structural similarity (Wang et al. 2003) over five scales.

    Each scale is :func:`ssim`'s window on a picture halved once more; the product of the scales is
    taken per channel and then averaged, as the ``pytorch-msssim`` package does. A negative
    structure term counts 0.

    Raises:
        ValueError: a side is shorter than 161 pixels.

    >>> ms_ssim(torch.ones(161, 161, 3), torch.ones(161, 161, 3))
    tensor(1.)
    """
    height, width = pred.shape[-3:-1]
    if min(height, width) < MS_SSIM_LEAST_SIDE:
        raise ValueError(
            f"expected pictures of at least {MS_SSIM_LEAST_SIDE} x {MS_SSIM_LEAST_SIDE} pixels, "
            f"but got {width} x {height}"
        )
    x, y = _planes(pred), _planes(truth)
    product = torch.ones(len(x), dtype=x.dtype, device=x.device)
    for scale, weight in enumerate(MS_SSIM_WEIGHTS):
        if scale:
            x, y = _halved(x), _halved(y)
        likeness, structure = _likeness(x, y)
        last = scale == len(MS_SSIM_WEIGHTS) - 1
        product = product * (likeness if last else structure).clamp_min(0) ** weight
    return product.reshape(*pred.shape[:-3], 3).mean(-1)


def _planes(picture: Tensor) -> Tensor:
    """Channels as pictures of their own, ``[B * 3, H, W]``."""
    return picture.movedim(-1, -3).reshape(-1, *picture.shape[-3:-1])


def _halved(planes: Tensor) -> Tensor:
    """Means of 2 x 2 pixels; an odd side is padded with a row of zeros on both ends."""
    odd = [side % 2 for side in planes.shape[-2:]]
    return F.avg_pool2d(planes[:, None], 2, padding=odd)[:, 0]


def _likeness(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean SSIM of each plane, and the mean of its contrast-and-structure part.

    Plane by plane, so that what is added up stays in the processor's cache.
    """
    found = [_likeness_of(*planes) for planes in zip(x, y, strict=True)]
    whole, structure = zip(*found, strict=True)
    return torch.stack(whole), torch.stack(structure)


def _likeness_of(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    mean_x, mean_y, xx, yy, xy = (_blur(p) for p in (x, y, x * x, y * y, x * y))
    c1, c2 = 0.01**2, 0.03**2
    structure = 2 * (xy - mean_x * mean_y) + c2
    structure = structure / (xx - mean_x**2 + yy - mean_y**2 + c2)
    light = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return (light * structure).mean(), structure.mean()


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


class PSNR(MeanOf):
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
        self.add(psnr(pred, truth))


class PooledPSNR(MeanOf):
    """PSNR in dB of the mean squared error over all pixels of all pictures, at most 100.

    One bad picture weighs more than in :class:`PSNR`; the two must never share a column.

    >>> metric = PooledPSNR()
    >>> metric.update(torch.full((1, 2, 2, 3), 0.6), torch.full((1, 2, 2, 3), 0.5))
    >>> metric.update(torch.full((1, 2, 2, 3), 0.51), torch.full((1, 2, 2, 3), 0.5))
    >>> round(float(metric.compute()), 2)
    22.97
    """

    higher_is_better = True
    is_differentiable = True

    def update(self, pred: Float[Tensor, "B H W 3"], truth: Float[Tensor, "B H W 3"]) -> None:
        """Add pictures."""
        self.add((pred - truth).square().mean((-3, -2, -1)))

    def compute(self) -> Tensor:
        """The decibels of the mean error so far."""
        return -10 * super().compute().clamp_min(10 ** (-CEILING_DB / 10)).log10()


class SSIM(MeanOf):
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
        self.add(ssim(pred, truth))


class MSSSIM(MeanOf):
    """Mean over pictures of :func:`ms_ssim`.

    >>> metric = MSSSIM()
    >>> metric.update(torch.ones(2, 161, 161, 3), torch.ones(2, 161, 161, 3))
    >>> float(metric.compute())
    1.0
    """

    higher_is_better = True
    is_differentiable = True

    def update(self, pred: Float[Tensor, "B H W 3"], truth: Float[Tensor, "B H W 3"]) -> None:
        """Add pictures."""
        self.add(ms_ssim(pred, truth))
