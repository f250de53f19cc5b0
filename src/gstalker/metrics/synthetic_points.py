"""Lips of the synthetic speaker, found by their colours, in true and in rendered frames alike.

It looks into a window around where the true lips are. Lips are redder than skin, whatever the
light; between them it is darker than lips, or there are teeth, which have no colour. Both are
measured as shares of a pixel, which add up to the same under blur, so a soft mouth gives a soft
answer and not a wrong one. Only the eye corners, the ruler, are taken from the truth.
"""

from __future__ import annotations

import numpy as np

from gstalker import face
from gstalker.data.capture import Capture
from gstalker.errors import CaptureError

_SKIN_RED, _LIP_RED, _TEETH_RED = 0.25, 0.58, 0.08
"""``(red - green) / red`` of the three; brightness does not change it."""
_SOME_RED = 0.31
"""A pixel above this belongs at least partly to a lip."""
_LIP_BRIGHT, _CAVITY_BRIGHT = 140.0, 80.0
"""Red of the dimmest lip and of a fully dark pixel, in 8-bit levels."""
_REACH = (0.36, 0.27, 0.36, 0.46)
"""The window around the lips' centre, in outer-eye distances."""
_LEAST_SHARE = 0.3
"""A mouth with less than this share of the true lips' area is not found."""


class SyntheticPoints:
    """Finds the twenty lip points of the iBUG layout by colour."""

    name = "synthetic"
    layout = "synthetic68"
    lips_only = True
    """All else is the truth."""

    def __init__(self, capture: Capture) -> None:
        if capture.meta["landmarks"] != self.layout:
            raise CaptureError(
                f"landmarks 'synthetic' work on the synthetic speaker only, and {capture.folder} "
                "is someone else.\n  Use landmarks 'mediapipe'."
            )
        layout = face.LAYOUTS[self.layout]
        self._truth = capture.landmarks
        self._lips = [*layout.lips, *layout.inner_lips]
        self._corners = list(layout.eye_corners)
        self._ruler = np.linalg.norm(
            np.subtract(*self._truth[:, self._corners].swapaxes(0, 1)), axis=-1
        )

    def begin(self) -> None:
        """Nothing to forget: every frame stands alone."""

    def close(self) -> None:
        """Nothing to free."""

    def __call__(self, frame: np.ndarray, index: int) -> np.ndarray:
        """Lips and eye corners, ``float32 [68, 2]`` pixels; other points and missing lips NaN."""
        points = np.full((68, 2), np.nan, np.float32)
        truth, ruler = self._truth[index], float(self._ruler[index])
        centre = truth[self._lips].mean(0)
        x0, y0 = np.maximum(np.floor(centre - np.array(_REACH[:2]) * ruler), 0).astype(int)
        x1, y1 = np.ceil(centre + np.array(_REACH[2:]) * ruler).astype(int)
        lips, inside = _shares(frame[y0:y1, x0:x1].astype(np.float32))
        across = np.ptp(truth[self._lips, 0])
        if (lips + inside).sum() < _LEAST_SHARE * 0.15 * ruler * across:
            return points
        points[self._lips] = _contours(lips + inside, inside) + (x0, y0)
        points[self._corners] = truth[self._corners]
        return points


def _shares(window: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much of each pixel is lips and how much is between lips, ``[h, w]`` each."""
    bright = window[..., 0]
    red = (bright - window[..., 1]) / np.maximum(bright, 8)
    lip = red > _SOME_RED
    below_one = np.maximum.accumulate(lip, axis=0)
    above_one = np.maximum.accumulate(lip[::-1], axis=0)[::-1]
    enclosed = np.zeros_like(lip)
    enclosed[1:-1] = below_one[:-2] & above_one[2:]
    dark = (_LIP_BRIGHT - bright) / (_LIP_BRIGHT - _CAVITY_BRIGHT)
    pale = (0.48 - red) / (0.48 - _TEETH_RED)
    inside = np.clip(np.maximum(dark, pale), 0, 1) * enclosed
    lips = np.clip((red - _SKIN_RED) / (_LIP_RED - _SKIN_RED), 0, 1) * (below_one & above_one)
    return np.minimum(lips, 1 - inside), inside


def _contours(whole: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The twelve outer and eight inner lip points, ``[20, 2]``, from shares per pixel.

    In each column the outer edges enclose as much height as there is mouth, and the inner edges as
    much as there is inside, both around their middles.
    """
    rows = np.arange(len(whole))[:, None] + 0.5
    columns = np.arange(whole.shape[1]) + 0.5
    present = whole.max(0)
    width = present.sum()
    middle = (present * columns).sum() / width
    height = whole.sum(0)
    level = (whole * rows).sum(0) / np.maximum(height, 1e-3)
    gap = inside.sum(0)
    depth = np.where(gap > 0.1, (inside * rows).sum(0) / np.maximum(gap, 1e-3), level)

    def at(
        share: np.ndarray, side: np.ndarray, centre: np.ndarray, extent: np.ndarray
    ) -> np.ndarray:
        x = middle + 0.5 * width * share
        y = np.interp(x, columns, centre) + 0.5 * side * np.interp(x, columns, extent)
        return np.stack([x, y], axis=1)

    outer = np.array([-1, -0.66, -0.28, 0, 0.28, 0.66, 1, 0.66, 0.28, 0, -0.28, -0.66])
    inner = np.array([-1, -0.45, 0, 0.45, 1, 0.45, 0, -0.45])
    outer_side = np.array([0, -1, -1, -1, -1, -1, 0, 1, 1, 1, 1, 1])
    inner_side = np.array([0, -1, -1, -1, 0, 1, 1, 1])
    return np.concatenate(
        [at(outer, outer_side, level, height), at(0.9 * inner, inner_side, depth, gap)]
    ).astype(np.float32)
