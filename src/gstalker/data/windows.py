"""Windows of sound around a frame: edges padded, and never across a jump cut.

The layout is AD-NeRF's, kept by every relative: for each of ``W`` neighbouring frames (t-4 .. t+3)
a window of ``T`` feature rows centred on it. Rows beyond a take repeat its first or last row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

NEIGHBOURS = (-4, -3, -2, -1, 0, 1, 2, 3)
"""Frames whose windows are smoothed into one code (AD-NeRF, audio attention)."""
ROWS = 16
"""Feature rows per window."""


class AudioTrack:
    """Sound features of a whole video, cut into takes.

    Args:
        features: ``float32 [F * rows_per_frame, D]``.
        rows_per_frame: feature rows per video frame.
        segments: takes as (first frame, end), covering all F frames.
    """

    def __init__(
        self, features: np.ndarray | Tensor, rows_per_frame: int, segments: list[tuple[int, int]]
    ) -> None:
        self.features = torch.as_tensor(features, dtype=torch.float32)
        self.rows_per_frame = rows_per_frame
        self.segments = segments
        frame_count = segments[-1][1]
        if len(self.features) != frame_count * rows_per_frame:
            raise ValueError(
                f"expected {frame_count * rows_per_frame} feature rows for {frame_count} frames, "
                f"but got {len(self.features)}"
            )
        self._first = np.empty(frame_count, np.int64)
        self._end = np.empty(frame_count, np.int64)
        for start, stop in segments:
            self._first[start:stop], self._end[start:stop] = start, stop

    @property
    def dim(self) -> int:
        """Features per row."""
        return self.features.shape[1]

    @property
    def frame_count(self) -> int:
        """Frames that the sound lasts."""
        return len(self._first)

    def windows(self, ids: np.ndarray, around: Sequence[int] = NEIGHBOURS) -> Tensor:
        """The windows around frames ``ids [B]``, as ``[B, 8, 16, D]``; ``around`` says of which
        frames beside each, ``(0,)`` of itself alone.
        """
        first, end = self._first[ids][:, None], self._end[ids][:, None]
        frames = np.clip(ids[:, None] + np.array(around), first, end - 1)
        r = self.rows_per_frame
        rows = (frames * r + r // 2)[..., None] + np.arange(-ROWS // 2, ROWS // 2)
        rows = np.clip(rows, first[..., None] * r, end[..., None] * r - 1)
        return self.features[torch.from_numpy(rows)]


def shuffled_frames(ids: np.ndarray, segments: list[tuple[int, int]]) -> np.ndarray:
    """Frames whose sound to play instead, for the control that must not be in sync.

    With several takes among ``ids``, the take half the list further on, at the same place in the
    take (features may know where in a take they are); with one take, half its length further on.

    Args:
        ids: frames to draw, in time order.
        segments: the takes of the capture.

    Returns:
        As many frame ids, none in its own place.

    Raises:
        ValueError: there are fewer than two frames.
    """
    if len(ids) < 2:
        raise ValueError("shuffled sound needs at least two frames")
    takes = [ids[(ids >= a) & (ids < b)] for a, b in segments]
    takes = [take for take in takes if len(take)]
    if len(takes) == 1:
        return np.roll(ids, -(len(ids) // 2))
    starts = np.array([a for a, b in segments if ((ids >= a) & (ids < b)).any()])
    result = []
    for k, take in enumerate(takes):
        other = (k + len(takes) // 2) % len(takes)
        place = (take - starts[k]) % (takes[other][-1] - starts[other] + 1)
        result.append(starts[other] + place)
    return np.concatenate(result)
