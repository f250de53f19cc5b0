"""One pass over all pictures of a capture: every one checked, some of them measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from gstalker.data.capture import BACKGROUND, HEAD, MOUTH, TORSO, Capture

SAMPLES = 240
"""Pictures that are measured, spread evenly over the usable ones."""
_EVERY = 4
"""The background is compared by the mean of four by four pixels, in which grain is a quarter."""
_MARGIN_SHARE = 0.03
"""Pixels this near to the person, as a share of the longer side, may show some of them."""
_EDGE_SHARE = 0.02
"""A head that covers this share of an edge of the picture is cut off there."""
_REBLUR = 9
_SIGMA = 1.4826
"""Median of absolute values to standard deviation, of a normal distribution."""


@dataclass(frozen=True)
class Looks:
    """What the measured pictures show; one entry each."""

    ids: np.ndarray
    """Frame numbers, ascending, ``[n]``."""
    areas: np.ndarray
    """Share of the picture per label (background, torso, head, mouth), ``[n, 4]``."""
    blur: np.ndarray
    """Of the lower face: 0 sharp, 1 without detail, ``[n]``; see :func:`blur`."""
    plate_levels: np.ndarray
    """Difference between what is behind the person and the plate that a quarter of its pixels pass,
    in 8-bit levels, ``[n]``; NaN where nothing is seen behind. A median would miss another framing
    of the same dark shelves (9 levels, a quarter 29; light drifts by up to 12 of GRID's takes)."""
    noise_levels: np.ndarray
    """Deviation of single pixels from what is told by ``plate_levels``, in 8-bit levels, ``[n]``:
    the film's grain; NaN where nothing is seen behind."""
    cut_off: np.ndarray
    """``bool [n]``: the head reaches out of the picture at its top or a side."""
    unseen_share: float
    """Of the plate, the part that none of these pictures shows."""


def look(
    capture: Capture,
    usable: np.ndarray,
    mouth_boxes: np.ndarray,
    progress: Callable[[int], None],
) -> Looks:
    """Read every picture and measure some.

    Args:
        capture: whose pictures.
        usable: ``bool [F]``.
        mouth_boxes: ``[F, 4]`` left, top, right, bottom.
        progress: told how many more pictures were read.

    Raises:
        CaptureError: a picture does not match its checksum.
    """
    ids = np.flatnonzero(usable)
    ids = ids[np.unique(np.linspace(0, len(ids) - 1, min(SAMPLES, len(ids))).round().astype(int))]
    wanted = set(ids.tolist())
    rows = []
    seen = np.zeros((-(-capture.height // _EVERY), -(-capture.width // _EVERY)), bool)
    for index in range(capture.frame_count):
        if index + 8 < capture.frame_count:
            capture.expect(index + 8)
        picture = capture.frame(index)
        progress(1)
        if index in wanted:
            row, free = _measure(picture, capture.mask(index), capture, mouth_boxes[index])
            seen |= free
            rows.append(row)
    areas, blurs, levels, noise, cut_off = zip(*rows, strict=True) if rows else [()] * 5
    return Looks(
        ids=ids,
        areas=np.array(areas, float).reshape(-1, 4),
        blur=np.array(blurs, float),
        plate_levels=np.array(levels, float),
        noise_levels=np.array(noise, float),
        cut_off=np.array(cut_off, bool),
        unseen_share=float(1 - seen.mean()),
    )


def _measure(
    picture: np.ndarray, mask: np.ndarray, capture: Capture, box: np.ndarray
) -> tuple[tuple[list[float], float, float, float, bool], np.ndarray]:
    areas = [float((mask == label).mean()) for label in (BACKGROUND, TORSO, HEAD, MOUTH)]
    coarse = mask[::_EVERY, ::_EVERY]
    reach = max(round(_MARGIN_SHARE * max(mask.shape) / _EVERY), 1)
    free = ndimage.minimum_filter(coarse == BACKGROUND, size=2 * reach + 1, mode="nearest")
    levels = noise = float("nan")
    if free.any():
        apart = picture.astype(np.float32) - capture.background
        local = ndimage.uniform_filter(apart, (_EVERY, _EVERY, 1), mode="nearest")
        grain, local = (a[::_EVERY, ::_EVERY][free] for a in (apart - local, local))
        levels = float(np.percentile(np.abs(local).max(1), 75))
        noise = float(_SIGMA * np.median(np.abs(grain.mean(1))))
    head = mask >= HEAD
    edges = [head[0], head[:, 0], head[:, -1]]
    cut_off = any(edge.mean() > _EDGE_SHARE for edge in edges)
    left, top, right, bottom = box
    return (areas, blur(picture[top:bottom, left:right]), levels, noise, cut_off), free


def blur(picture: np.ndarray) -> float:
    """How little detail a picture has: 0 sharp, 1 none.

    A sharp picture loses much of the variation between neighbouring pixels when it is blurred
    again, a blurred one little (Crété-Roffet et al. 2007, "The blur effect"; variation by Sobel's
    filter, as in scikit-image).

    Args:
        picture: ``uint8 [h, w, 3]``.
    """
    grey = picture.astype(np.float64).mean(-1)
    worst = 0.0
    if min(grey.shape) < 4:
        return 1.0
    inside = (slice(2, grey.shape[0] - 1), slice(2, grey.shape[1] - 1))
    for axis in (0, 1):
        again = ndimage.uniform_filter1d(grey, _REBLUR, axis=axis, mode="reflect")
        before, after = (np.abs(ndimage.sobel(g, axis=axis))[inside] for g in (grey, again))
        lost = np.maximum(before - after, 0).sum()
        total = before.sum()
        worst = max(worst, float(1 - lost / total) if total > 0 else 1.0)
    return worst
