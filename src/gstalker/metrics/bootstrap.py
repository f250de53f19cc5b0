"""How sure a figure is: resampling whole takes, because neighbouring frames say the same thing.

Every metric here is a function of sums over frames (a mean, a correlation, a lag). So the sums are
taken once for every take, and a resample only adds up takes: a thousand of them cost milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

MIN_TAKES = 5
"""With fewer takes than this, blocks of them are resampled instead."""

Statistic = Callable[[np.ndarray], np.ndarray]
"""From sums ``[..., S]`` to the figure ``[...]``."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its uncertainty."""

    mean: float
    """The figure over all frames."""
    stderr: float
    """Its standard deviation over resamples of takes or blocks."""
    n: int
    """Frames behind it."""

    def as_dict(self) -> dict[str, float | int]:
        """As it stands in ``scores.json``."""
        return {"mean": self.mean, "stderr": self.stderr, "n": self.n}


def blocks(
    ids: Int[np.ndarray, " n"], segments: list[tuple[int, int]], block_frames: int
) -> Int[np.ndarray, " n"]:
    """Which block each frame belongs to: its take, or a stretch of it if there are few takes.

    Args:
        ids: frame ids in time order.
        segments: the capture's takes.
        block_frames: length of a stretch; shorter if there would be fewer than four.

    Returns:
        Numbers from 0 up without gaps.

    >>> blocks(np.arange(10), [(0, 10)], 5)
    array([0, 0, 0, 1, 1, 1, 2, 2, 2, 3])
    """
    starts = np.array([start for start, _ in segments])
    take = np.searchsorted(starts, ids, side="right") - 1
    if len(np.unique(take)) >= MIN_TAKES:
        key = take
    else:
        length = max(min(block_frames, -(-len(ids) // 4)), 1)
        place = ids - np.array([ids[take == k].min() for k in take]) if len(ids) else ids
        key = take * (int(place.max(initial=0)) + 1) + place // length
    return np.unique(key, return_inverse=True)[1]


def estimate(
    rows: Float[np.ndarray, "n S"],
    block: Int[np.ndarray, " n"],
    statistic: Statistic,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """A statistic of summed rows, and its spread when blocks are drawn again with replacement.

    With a single block there is nothing to draw, so its frames are drawn one by one instead; that
    spread is too small, frames being alike, but not 0.

    Args:
        rows: what each frame adds to the sums.
        block: each frame's block.
        statistic: from sums to the figure.
        resamples: how many times to draw.
        seed: of the draw.

    >>> rows = np.array([[1.0, 1.0], [1.0, 3.0]])
    >>> known = estimate(rows, np.array([0, 1]), mean_of_rows)
    >>> known.mean, round(known.stderr, 1), known.n
    (2.0, 0.7, 2)
    """
    if len(rows) == 0:
        raise ValueError("expected at least one frame, but got none")
    if block.max() == 0:
        block = np.arange(len(rows))
    count = int(block.max()) + 1
    sums = np.zeros((count, rows.shape[1]))
    np.add.at(sums, block, rows.astype(np.float64))
    figure = float(statistic(sums.sum(0)))
    draws = np.random.default_rng(seed).multinomial(
        count, np.full(count, 1 / count), size=resamples
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = statistic(draws @ sums)
    spread = spread[np.isfinite(spread)]
    return Estimate(figure, float(spread.std()) if len(spread) else 0.0, len(rows))


def mean_of_rows(sums: Float[np.ndarray, "*draws 2"]) -> Float[np.ndarray, "*draws"]:
    """The mean, from sums of ``(1, x)``."""
    return np.asarray(sums[..., 1] / sums[..., 0])


def ratio_of_rows(sums: Float[np.ndarray, "*draws 2"]) -> Float[np.ndarray, "*draws"]:
    """The ratio of two totals, from sums of ``(a, b)``."""
    return np.asarray(sums[..., 0] / np.maximum(sums[..., 1], 1e-9))


def with_ones(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 2"]:
    """Rows ``(1, x)`` for :func:`mean_of_rows`."""
    return np.stack([np.ones_like(values), values], axis=1)


@dataclass(frozen=True)
class Figures:
    """Turns what frames add to the sums into entries of ``scores.json``."""

    block: np.ndarray
    """``int [n]``: each frame's block."""
    resamples: int
    seed: int

    def __call__(
        self, rows: np.ndarray, statistic: Statistic, where: np.ndarray | None = None
    ) -> dict[str, Any]:
        """The entry for rows ``[m, S]`` of the frames that ``where`` (``bool [n]``) chooses."""
        block = (
            self.block if where is None else np.unique(self.block[where], return_inverse=True)[1]
        )
        known = estimate(rows, block, statistic, resamples=self.resamples, seed=self.seed)
        return dict(known.as_dict())


def not_available(reason: str) -> dict[str, Any]:
    """The entry of a figure that cannot be had."""
    return {"value": "n/a", "reason": reason}
