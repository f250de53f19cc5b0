"""The still picture behind the speaker, and takes that were filmed before another one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gstalker.prepare.parsing import BACKGROUND, TORSO

Frame = Callable[[int], np.ndarray]

_PLATE_FRAMES = 160
"""Frames that the plate is the median of."""
_MARGIN_SHARE = 0.03
"""Pixels this near to the person (share of the longer side) are not trusted to show background."""
_SEEN_LEAST = 3
_BAND_ROWS = 32
"""Rows of the picture done at once; bounds the memory."""

_LOOKS = 5
"""Frames per take whose colours are compared."""
_WALL_LEVELS, _CLOTHES_LEVELS = 15.0, 30.0
"""Colour difference, in 8-bit levels, from which a take may be of another session; light drifts by
six levels between the takes of the trial clip, its one foreign take differs by far more."""
_USUAL_TIMES = 6.0
"""... and this many times the usual deviation between takes."""
_STRAYS_MOST = 0.25
"""If more frames than this share differ, the video has several sessions, and none is the stray."""


def plate(frame: Frame, mask: Frame, usable: np.ndarray) -> tuple[np.ndarray, float]:
    """Median of what is seen behind the person; what never is, is continued smoothly.

    Args:
        frame: picture by number, ``uint8 [H, W, 3]``.
        mask: labels by number, ``uint8 [H, W]``.
        usable: frame numbers, ascending.

    Returns:
        ``uint8 [H, W, 3]`` and the share of pixels that were never seen.
    """
    import cv2

    chosen = usable[np.unique(np.linspace(0, len(usable) - 1, _PLATE_FRAMES).round().astype(int))]
    height, width = frame(int(chosen[0])).shape[:2]
    pictures = np.stack([frame(int(i)) for i in chosen])
    reach = max(round(_MARGIN_SHARE * max(height, width)), 2)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    free = np.stack(
        [cv2.dilate((mask(int(i)) != BACKGROUND).astype(np.uint8), kernel) == 0 for i in chosen]
    )
    median = np.zeros((height, width, 3), np.float32)
    for y in range(0, height, _BAND_ROWS):
        band = slice(y, y + _BAND_ROWS)
        median[band] = _masked_median(pictures[:, band], free[:, band])
    seen = free.sum(0) >= min(_SEEN_LEAST, len(chosen))
    filled = fill_smoothly(median, seen)
    return np.clip(filled + 0.5, 0, 255).astype(np.uint8), float(1 - seen.mean())


def fill_smoothly(picture: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Continue a picture into its unknown part: near its edge like it, far inside ever smoother.

    Averages of the known are taken at ever coarser scales and each hole is filled from the finest
    scale that knows something (the pull-push of Gortler et al. 1996, section 3.3).

    Args:
        picture: ``float32 [H, W, 3]``.
        known: ``bool [H, W]``.
    """
    import cv2

    height, width = known.shape
    if known.all():
        return picture
    if not known.any():
        return np.full_like(picture, 127.5)
    weight = known.astype(np.float32)[..., None]
    if min(height, width) < 2:
        mean = (picture * weight).sum((0, 1)) / weight.sum()
        return np.where(known[..., None], picture, mean)
    half = ((width + 1) // 2, (height + 1) // 2)
    coarse_sum = cv2.resize(picture * weight, half, interpolation=cv2.INTER_AREA)
    coarse_weight = cv2.resize(weight, half, interpolation=cv2.INTER_AREA)
    mean = coarse_sum / np.maximum(coarse_weight, 1e-6)[..., None]
    coarse = fill_smoothly(mean, coarse_weight > 1e-6)
    back = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.where(known[..., None], picture, back).astype(np.float32)


def stray_takes(
    frame: Frame, mask: Frame, usable: np.ndarray, takes: Sequence[tuple[int, int]]
) -> list[tuple[int, int, str]]:
    """Takes before another wall or in other clothes than most, if they are few.

    Args:
        frame: picture by number.
        mask: labels by number.
        usable: frame numbers, ascending.
        takes: start and stop of each.

    Returns:
        start, stop and reason of each stray.
    """
    looks = [_look(usable[(usable >= a) & (usable < b)]) for a, b in takes]
    if sum(len(look) > 0 for look in looks) < 4:
        return []
    strays: dict[int, str] = {}
    lengths = np.array([b - a for a, b in takes], float)
    kinds = (("background", BACKGROUND, _WALL_LEVELS), ("clothes", TORSO, _CLOTHES_LEVELS))
    for what, label, levels in kinds:
        colours = np.array([_colour(frame, mask, look, label) for look in looks])
        away = _away(colours, lengths)
        usual = 1.4826 * np.nanmedian(away)
        for k in np.flatnonzero(away > max(levels, _USUAL_TIMES * usual)):
            strays.setdefault(
                int(k), f"take of another session: {what} differs by {away[k]:.0f} levels"
            )
    if lengths[list(strays)].sum() > _STRAYS_MOST * lengths.sum():
        return []
    return [(*takes[k], reason) for k, reason in sorted(strays.items())]


def _look(ids: np.ndarray) -> np.ndarray:
    return (
        ids[np.unique(np.linspace(0, max(len(ids) - 1, 0), _LOOKS).round().astype(int))]
        if len(ids)
        else ids
    )


def _colour(frame: Frame, mask: Frame, look: np.ndarray, label: int) -> np.ndarray:
    """Median colour of one label over some frames, ``[3]``; NaN where there is too little of it."""
    pixels = [frame(int(i))[mask(int(i)) == label] for i in look]
    together = np.concatenate(pixels) if pixels else np.zeros((0, 3))
    return np.median(together, axis=0) if len(together) >= 100 else np.full(3, np.nan)


def _away(colours: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Largest difference over the channels from the usual colour, ``[takes]``; 0 where unknown."""
    told = np.isfinite(colours).all(1)
    if told.sum() < 4:
        return np.zeros(len(colours))
    order = [np.argsort(colours[told, c]) for c in range(3)]
    usual = []
    for c in range(3):
        passed = np.cumsum(lengths[told][order[c]])
        usual.append(colours[told, c][order[c]][np.searchsorted(passed, passed[-1] / 2)])
    return np.where(told, np.nan_to_num(np.abs(colours - np.array(usual)).max(1)), 0.0)


def _masked_median(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Median over the first axis of the valid ones, ``float32``; 0 where none is."""
    ordered = np.where(valid[..., None], values, np.uint8(255))
    ordered.sort(axis=0)
    count = valid.sum(0)
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, len(values) - 1)
    low_values = np.take_along_axis(ordered, low[None, ..., None], axis=0)[0]
    high_values = np.take_along_axis(ordered, high[None, ..., None], axis=0)[0]
    return (low_values.astype(np.float32) + high_values) / 2 * (count > 0)[..., None]
