"""Is a difference between two rows more than chance, and over what was that asked.

``frames``: the two were scored on the same frames, so each frame gives a difference; neighbouring
frames say the same thing, so whole takes (or stretches, where there are few takes) are resampled.
That speaks of these trained heads, not of the method. ``seeds``: the method's own luck, by Welch's
test within each capture. Several captures are averaged. Where it cannot be had, it says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from gstalker.metrics.bootstrap import estimate, mean_of_rows, with_ones
from gstalker.metrics.vocabulary import Column
from gstalker.report import cells, frames
from gstalker.report.sources import Row

Over = Literal["frames", "seeds"]
OVERS: tuple[Over, ...] = ("frames", "seeds")
FEWEST_BLOCKS = 5
"""Below this the bootstrap's error is too uncertain to test with."""
RESAMPLES = 2000


@dataclass(frozen=True)
class Difference:
    """One row minus the row it is held against, in one column."""

    mean: float
    stderr: float
    p: float
    """Two-sided; after :func:`holm`, corrected for the number of rows."""
    n: int
    """Blocks or seeds that the error comes from."""


def difference(row: Row, base: Row, column: Column, over: Over) -> Difference | str:
    """The difference of two rows, or why it cannot be told."""
    mine, theirs = cells.measured(row, column), cells.measured(base, column)
    if mine.mean is None or theirs.mean is None:
        return "one of the two has no figure"
    if mine.protocol != theirs.protocol:
        return "captures or protocols differ"
    return _over_seeds(row, base, column) if over == "seeds" else _over_frames(row, base, column)


def holm(found: Sequence[Difference | str]) -> list[Difference | str]:
    """The same with p-values corrected for how many there are (Holm 1979).

    >>> two = [Difference(1, 1, 0.01, 9), Difference(1, 1, 0.04, 9), "n/a"]
    >>> [d.p for d in holm(two)[:2]]
    [0.02, 0.04]
    """
    order = sorted(
        (k for k, d in enumerate(found) if isinstance(d, Difference)),
        key=lambda k: found[k].p,  # type: ignore[union-attr]
    )
    corrected, least = list(found), 0.0
    for place, k in enumerate(order):
        old = found[k]
        assert isinstance(old, Difference)
        least = max(least, min(1.0, old.p * (len(order) - place)))
        corrected[k] = Difference(old.mean, old.stderr, least, old.n)
    return corrected


def _over_seeds(row: Row, base: Row, column: Column) -> Difference | str:
    mine, theirs = cells.values(row, column), cells.values(base, column)
    gaps, variances, freedoms, seeds = [], [], [], 0
    for capture in mine:
        a, b = list(mine[capture].values()), list(theirs[capture].values())
        if len(a) < 2 or len(b) < 2:
            return "fewer than two seeds on a capture"
        gaps.append(float(np.mean(a) - np.mean(b)))
        for side in (a, b):
            variances.append(float(np.var(side, ddof=1)) / len(side))
            freedoms.append(len(side) - 1)
        seeds += min(len(a), len(b))
    return _combined(gaps, variances, freedoms, seeds)


def _over_frames(row: Row, base: Row, column: Column) -> Difference | str:
    gaps, variances, freedoms, blocks = [], [], [], 0
    for capture in cells.values(row, column):
        mine, theirs = (_frames_of(r, capture, column) for r in (row, base))
        if isinstance(mine, str) or isinstance(theirs, str):
            return mine if isinstance(mine, str) else str(theirs)
        if not np.array_equal(mine.ids, theirs.ids):
            return "they were scored on different frames"
        paired = mine.values - theirs.values
        both = np.isfinite(paired)
        block = np.unique(mine.block[both], return_inverse=True)[1]
        count = int(block.max(initial=-1)) + 1
        if count < FEWEST_BLOCKS:
            return f"only {count} takes or stretches of frames, where {FEWEST_BLOCKS} are needed"
        known = estimate(with_ones(paired[both]), block, mean_of_rows, resamples=RESAMPLES)
        gaps.append(known.mean)
        variances.append(known.stderr**2)
        freedoms.append(count - 1)
        blocks += count
    return _combined(gaps, variances, freedoms, blocks)


def _frames_of(row: Row, capture: str, column: Column) -> frames.PerFrame | str:
    """Values per frame, averaged over the row's seeds on this capture."""
    there = [t for t in row.trials if (t.content_id or t.capture) == capture and t.figures]
    found = [frames.read(trial, column.name) for trial in there]
    for one in found:
        if isinstance(one, str):
            return one
    whole = [one for one in found if isinstance(one, frames.PerFrame)]
    first = whole[0]
    if any(not np.array_equal(one.ids, first.ids) for one in whole):
        return "its seeds were scored on different frames"
    mean = np.mean([one.values for one in whole], axis=0)
    return frames.PerFrame(first.ids, first.block, mean)


def _combined(
    gaps: Sequence[float], variances: Sequence[float], freedoms: Sequence[int], n: int
) -> Difference | str:
    """The mean difference over captures; degrees of freedom after Welch and Satterthwaite."""
    captures = len(gaps)
    variance = sum(variances) / captures**2
    if variance <= 0:
        return "there is no spread to hold the difference against"
    parts = [v / captures**2 for v in variances]
    freedom = variance**2 / sum(p**2 / f for p, f in zip(parts, freedoms, strict=True))
    mean, stderr = float(np.mean(gaps)), float(np.sqrt(variance))
    tail: Callable[..., float] = stats.t.sf
    return Difference(mean, stderr, float(2 * tail(abs(mean) / stderr, freedom)), n)
