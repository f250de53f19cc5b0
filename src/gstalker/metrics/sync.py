"""Does the mouth follow the sound: correlation of mouth openings, and at which lag.

Everything is a function of sums over frames, so that ``bootstrap`` can resample takes. A plain
correlation flatters wherever all takes open and close alike; the residual one first subtracts what
a model would know without hearing anything: the mean training opening at each frame of a take.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchmetrics import Metric


def correlation_rows(
    pred: Float[np.ndarray, " n"], truth: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "n 6"]:
    """What each frame adds to the sums behind :func:`correlation` and :func:`amplitude`."""
    return np.stack([np.ones_like(pred), pred, truth, pred**2, truth**2, pred * truth], axis=1)


def correlation(sums: Float[np.ndarray, "*draws 6"]) -> Float[np.ndarray, "*draws"]:
    """Pearson's r; NaN where one side does not move.

    >>> a, b = np.array([0.0, 1, 2, 3]), np.array([1.0, 3, 2, 5])
    >>> round(float(correlation(correlation_rows(a, b).sum(0))), 4)
    0.8315
    """
    n, p, t, pp, tt, pt = np.moveaxis(sums, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        both = np.maximum(pp - p * p / n, 0) * np.maximum(tt - t * t / n, 0)
        return np.where(both > 1e-20 * n * n, (pt - p * t / n) / np.sqrt(both), np.nan)


def amplitude(sums: Float[np.ndarray, "*draws 6"]) -> Float[np.ndarray, "*draws"]:
    """Deviation of the rendered opening over the deviation of the true one.

    >>> a = np.array([0.0, 1, 2, 3])
    >>> float(amplitude(correlation_rows(a, 2 * a).sum(0)))
    0.5
    """
    n, p, t, pp, tt, _ = np.moveaxis(sums, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.sqrt(np.maximum(pp - p * p / n, 0) / (tt - t * t / n)))


def lag_rows(
    pred: Float[np.ndarray, " n"],
    truth: Float[np.ndarray, " n"],
    ids: Int[np.ndarray, " n"],
    segments: list[tuple[int, int]],
    max_lag: int,
) -> Float[np.ndarray, "n S"]:
    """What each frame adds to the sums behind :func:`lag_curve`, ``S = 6 * (2 * max_lag + 1)``.

    Frame ``i`` of the truth is paired with frame ``i + lag`` of the rendering if that one was
    scored too and lies in the same take; NaN on either side makes no pair.
    """
    place = {int(index): k for k, index in enumerate(ids)}
    take = np.searchsorted([start for start, _ in segments], ids, side="right")
    rows = np.zeros((len(ids), 2 * max_lag + 1, 6))
    for column, lag in enumerate(range(-max_lag, max_lag + 1)):
        partner = np.array([place.get(int(index) + lag, -1) for index in ids])
        paired = (partner >= 0) & (take[partner] == take)
        paired &= np.isfinite(pred[partner]) & np.isfinite(truth)
        rows[paired, column] = correlation_rows(pred[partner[paired]], truth[paired])
    return rows.reshape(len(ids), -1)


def lag_curve(sums: Float[np.ndarray, "*draws S"]) -> Float[np.ndarray, "*draws lags"]:
    """Correlation at each lag from ``-max_lag`` to ``max_lag``; positive lags are late mouths."""
    return correlation(sums.reshape(*sums.shape[:-1], -1, 6))


def best_lag(sums: Float[np.ndarray, "*draws S"]) -> Float[np.ndarray, "*draws"]:
    """Lag of the highest r in frames, between frames by the parabola through its neighbours.

    Positive: the rendered mouth is late.

    >>> truth = np.sin(np.arange(100) / 4.0)
    >>> late = np.sin((np.arange(100) - 2) / 4.0)
    >>> rows = lag_rows(late, truth, np.arange(100), [(0, 100)], 5)
    >>> round(float(best_lag(rows.sum(0))), 1)
    2.0
    """
    curve = np.nan_to_num(lag_curve(sums), nan=-1.0)
    peak = curve.argmax(-1)
    inner = np.clip(peak, 1, curve.shape[-1] - 2)
    around = np.take_along_axis(curve, inner[..., None] + np.array([-1, 0, 1]), axis=-1)
    before, top, after = np.moveaxis(around, -1, 0)
    bend = before - 2 * top + after
    with np.errstate(invalid="ignore", divide="ignore"):
        shift = np.where(bend < -1e-12, 0.5 * (before - after) / bend, 0.0)
    shift = np.where(peak == inner, np.clip(shift, -0.5, 0.5), 0.0)
    return np.asarray(peak + shift - curve.shape[-1] // 2)


def profile(
    opening: Float[np.ndarray, " F"],
    train_ids: Int[np.ndarray, " n"],
    segments: list[tuple[int, int]],
    min_takes: int,
) -> Float[np.ndarray, " F"] | None:
    """Mean training opening at each frame's place in its take.

    Args:
        opening: of all frames; NaN is left out.
        train_ids: frames that count.
        segments: the capture's takes.
        min_takes: a place in the take that fewer training takes reach gets the mean over all.

    Returns:
        One value a frame, or ``None`` if takes cannot be compared: fewer training takes than
        ``min_takes``.
    """
    starts = np.array([start for start, _ in segments])
    take = np.searchsorted(starts, np.arange(len(opening)), side="right") - 1
    at = np.arange(len(opening)) - starts[take]
    ids = train_ids[np.isfinite(opening[train_ids])]
    if len(np.unique(take[ids])) < min_takes:
        return None
    count = np.bincount(at[ids], minlength=at.max() + 1)
    total = np.bincount(at[ids], weights=opening[ids], minlength=at.max() + 1)
    mean = np.where(count >= min_takes, total / np.maximum(count, 1), opening[ids].mean())
    return mean[at]


class _Correlated(Metric):
    """:func:`correlation` of the pairs that ``update``, the subclass's, gives to :meth:`add`."""

    sums: Tensor
    higher_is_better = True
    is_differentiable = False
    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        self.add_state("sums", torch.zeros(6, dtype=torch.float64), dist_reduce_fx="sum")

    def add(self, pred: Tensor, truth: Tensor) -> None:
        """Add frames; those with NaN on either side are left out."""
        seen = pred.isfinite() & truth.isfinite()
        ours, theirs = (side[seen].double().cpu().numpy() for side in (pred, truth))
        self.sums += torch.from_numpy(correlation_rows(ours, theirs).sum(0))

    def compute(self) -> Tensor:
        """The correlation so far; NaN where one side does not move."""
        return torch.tensor(float(correlation(self.sums.cpu().numpy())))


class MouthCorrelation(_Correlated):
    """:func:`correlation` of rendered and true mouth openings over everything seen.

    >>> metric = MouthCorrelation()
    >>> metric.update(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 3.0]))
    >>> metric.update(torch.tensor([2.0, 3.0]), torch.tensor([2.0, 5.0]))
    >>> round(float(metric.compute()), 4)
    0.8315
    """

    def update(self, pred: Float[Tensor, " F"], truth: Float[Tensor, " F"]) -> None:
        """Add the openings of some frames; NaN where there is no face."""
        self.add(pred, truth)


class ResidualCorrelation(_Correlated):
    """:func:`correlation` of what is left of both openings without the :func:`profile`.

    >>> metric, profile = ResidualCorrelation(), torch.tensor([0.0, 9.0, 0.0, 9.0])
    >>> heard = torch.tensor([1.0, 0.0, 2.0, 5.0])
    >>> metric.update(profile - heard, profile + heard, profile)
    >>> round(float(metric.compute()), 4)
    -1.0
    """

    def update(
        self,
        pred: Float[Tensor, " F"],
        truth: Float[Tensor, " F"],
        profile: Float[Tensor, " F"],
    ) -> None:
        """Add the openings of some frames, and what is expected of them without any sound."""
        self.add(pred - profile, truth - profile)


class MouthLag(Metric):
    """:func:`best_lag` of the rendered mouth in frames; 0 is best, so neither way is better.

    Args:
        max_lag: frames tried to either side.

    >>> at = torch.arange(100) / 4.0
    >>> metric = MouthLag()
    >>> metric.update((at - 0.5).sin(), at.sin())
    >>> round(float(metric.compute()), 1)
    2.0
    """

    sums: Tensor
    higher_is_better = None
    is_differentiable = False
    full_state_update = False

    def __init__(self, max_lag: int = 5) -> None:
        super().__init__()
        self.max_lag = max_lag
        sums = torch.zeros(6 * (2 * max_lag + 1), dtype=torch.float64)
        self.add_state("sums", sums, dist_reduce_fx="sum")

    def update(self, pred: Float[Tensor, " F"], truth: Float[Tensor, " F"]) -> None:
        """Add a take, frame after frame; nothing is paired across two calls."""
        ours, theirs = (side.double().cpu().numpy() for side in (pred, truth))
        rows = lag_rows(ours, theirs, np.arange(len(pred)), [(0, len(pred))], self.max_lag)
        self.sums += torch.from_numpy(rows.sum(0))

    def compute(self) -> Tensor:
        """The lag so far."""
        return torch.tensor(float(best_lag(self.sums.cpu().numpy())))
