"""How a rendering moves from frame to frame: flicker of its pictures, jitter of its points.

A picture may be close to the truth in every frame and still shimmer. Two measures, both against
the filmed video itself, so that real motion costs nothing: how far the change from one frame to the
next is from the filmed change, and how much the landmarks shake compared with the filmed ones.
Nothing is compared across a jump cut or a frame that was left out.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchmetrics import Metric

from gstalker.metrics.mean import MeanOf


def temporal_error(
    pred: Float[Tensor, "*B H W 3"],
    pred_before: Float[Tensor, "*B H W 3"],
    truth: Float[Tensor, "*B H W 3"],
    truth_before: Float[Tensor, "*B H W 3"],
) -> Float[Tensor, "*B"]:
    """Mean difference between the rendered and the filmed change since the frame before.

    In 8-bit levels for pictures in [0, 1]: the temporal difference error of the video restoration
    literature, with frames that are not warped.

    >>> still, moved = torch.zeros(2, 2, 3), torch.full((2, 2, 3), 0.2)
    >>> round(float(temporal_error(moved, still, still, still)), 4)
    51.0
    >>> float(temporal_error(moved, still, moved, still))
    0.0
    """
    change = (pred - pred_before) - (truth - truth_before)
    return change.abs().mean((-3, -2, -1)) * 255


def follows(ids: Int[np.ndarray, " n"], segments: list[tuple[int, int]]) -> Bool[np.ndarray, " n"]:
    """Whether the frame right before each frame, in the same take, was scored as well.

    >>> follows(np.array([3, 4, 5, 7, 8]), [(0, 5), (5, 10)])
    array([False,  True, False, False,  True])
    """
    take = np.searchsorted([start for start, _ in segments], ids, side="right")
    near = (np.diff(ids, prepend=-2) == 1) & (np.diff(take, prepend=-1) == 0)
    return np.asarray(near)


def jitter_rows(
    pred: Float[np.ndarray, "n P 2"],
    truth: Float[np.ndarray, "n P 2"],
    near: Bool[np.ndarray, " n"],
) -> Float[np.ndarray, "n 2"]:
    """Rows for ``bootstrap.ratio_of_rows``: how much the points shake, rendered and filmed.

    Shaking is the length of the second difference of a point over three frames in a row, in pixels,
    averaged over points; frames without such a triple, or without a face in it, add nothing.

    Args:
        pred: points of the rendered frames.
        truth: the same points of the true frames.
        near: what :func:`follows` says.

    >>> still = np.zeros((4, 1, 2))
    >>> pred, truth = still.copy(), still.copy()
    >>> pred[2], truth[2] = (0, 3), (0, 2)
    >>> jitter_rows(pred, truth, np.array([False, True, True, True]))
    array([[0., 0.],
           [0., 0.],
           [3., 2.],
           [6., 4.]])
    """
    triple = near[1:-1] & near[2:]
    rows = np.zeros((len(pred), 2))
    bends = [
        np.linalg.norm(side[2:] - 2 * side[1:-1] + side[:-2], axis=-1).mean(-1)
        for side in (pred, truth)
    ]
    seen = triple & np.isfinite(bends).all(0)
    rows[2:][seen] = np.stack(bends, axis=1)[seen]
    return rows


class TemporalError(MeanOf):
    """Mean of :func:`temporal_error` over a video that comes in order, a batch at a time.

    >>> metric = TemporalError()
    >>> flicker = torch.tensor([0.0, 0.2, 0.0]).view(3, 1, 1, 1).expand(3, 4, 4, 3)
    >>> metric.update(flicker[:2], torch.zeros(2, 4, 4, 3))
    >>> metric.update(flicker[2:], torch.zeros(1, 4, 4, 3))
    >>> round(float(metric.compute()), 4), int(metric.count)
    (51.0, 2)
    """

    higher_is_better = False
    is_differentiable = True

    def __init__(self) -> None:
        super().__init__()
        self._before: tuple[Tensor, Tensor] | None = None

    def update(self, pred: Float[Tensor, "B H W 3"], truth: Float[Tensor, "B H W 3"]) -> None:
        """Add the next frames."""
        if self._before is not None:
            pred, truth = (
                torch.cat([before, now])
                for before, now in zip(self._before, (pred, truth), strict=True)
            )
        self._before = (pred[-1:].clone(), truth[-1:].clone())
        if len(pred) > 1:
            self.add(temporal_error(pred[1:], pred[:-1], truth[1:], truth[:-1]))

    def cut(self) -> None:
        """A jump cut: the next frame does not follow the last."""
        self._before = None

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        self._before = None


class JitterRatio(Metric):
    """How much rendered points shake over how much the filmed ones do; 1 is best.

    Below 1 the motion is smoother than the filmed one, as where head poses were smoothed at test.

    >>> metric = JitterRatio()
    >>> points = torch.tensor([0.0, 0.0, 2.0]).view(3, 1, 1).expand(3, 5, 2)
    >>> metric.update(1.5 * points, points)
    >>> float(metric.compute())
    1.5
    """

    shaking: Tensor
    higher_is_better = None
    is_differentiable = False
    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        self.add_state("shaking", torch.zeros(2, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, pred: Float[Tensor, "F P 2"], truth: Float[Tensor, "F P 2"]) -> None:
        """Add a stretch of frames in a row; triples do not reach from one call to the next."""
        near = np.arange(len(pred)) > 0
        rows = jitter_rows(pred.double().numpy(), truth.double().numpy(), near)
        self.shaking += torch.from_numpy(rows.sum(0))

    def compute(self) -> Tensor:
        """The ratio of the totals so far."""
        return (self.shaking[0] / self.shaking[1]).float()
