"""Short gaps in the landmarks are bridged; longer ones stay open, and their frames are dropped.

A detector misses a face for a frame or two when it is blurred by a quick turn; the points of its
neighbours say where it was.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gstalker.prepare.takes import runs


def bridged(
    points: np.ndarray, segments: Sequence[tuple[int, int]], unusable: np.ndarray, longest: int
) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Points with gaps of at most ``longest`` frames filled in a straight line, and those gaps.

    A gap is bridged only between two seen frames of one take, and never across a damaged picture.

    Args:
        points: ``[F, L, 2]`` pixels; NaN without a face.
        segments: takes.
        unusable: ``bool [F]``: damaged pictures.
        longest: in frames; 0 bridges nothing.
    """
    points = points.copy()
    seen = np.isfinite(points).all((1, 2))
    found = []
    for start, stop in segments:
        for a, b in runs(~seen[start:stop]):
            a, b = a + start, b + start
            inside = start < a and b < stop
            if not inside or b - a > longest or unusable[a - 1 : b + 1].any():
                continue
            share = (np.arange(a, b) - (a - 1)) / (b - (a - 1))
            points[a:b] = points[a - 1] + share[:, None, None] * (points[b] - points[a - 1])
            found.append((a, b))
    return points, found
