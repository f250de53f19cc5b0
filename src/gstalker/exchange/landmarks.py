"""``.lms``: the 68 iBUG points of a picture, and AD-NeRF's face rectangle."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gstalker.errors import CaptureError
from gstalker.face import IBUG68_OF_MEDIAPIPE478

POINTS = 68
NOSE_ROOT, CHIN = 27, 8
RIGID = (27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 39, 42, 45)
"""Nose and eye corners: points that keep their place while a person speaks."""


def read(path: Path) -> np.ndarray:
    """Points of one picture, ``float64 [68, 2]`` pixels.

    Raises:
        CaptureError: it is not 68 lines of two numbers; names the file.
    """
    try:
        points = np.array([line.split() for line in path.read_text().splitlines() if line], float)
    except (OSError, ValueError) as error:
        raise CaptureError(
            f"{path.parent.name}/{path.name} is no list of landmarks ({error})."
        ) from error
    if points.shape != (POINTS, 2) or not np.isfinite(points).all():
        raise CaptureError(
            f"{path.parent.name}/{path.name} holds {'x'.join(map(str, points.shape))} numbers "
            'where 68 lines of "x y", all finite, were expected.'
        )
    return points


def text(points: np.ndarray) -> str:
    """What :func:`read` reads: six decimals, as ``np.savetxt(..., '%f')`` writes."""
    return "".join(f"{x:f} {y:f}\n" for x, y in points)


def ibug68(landmarks: np.ndarray, layout: str) -> np.ndarray:
    """The 68 points of one of our layouts, ``[F, L, 2]`` to ``[F, 68, 2]``.

    Raises:
        CaptureError: the layout has no 68 points.
    """
    if layout == "mediapipe478":
        return landmarks[:, list(IBUG68_OF_MEDIAPIPE478)]
    if layout in ("ibug68", "synthetic68"):
        return landmarks
    raise CaptureError(f"landmarks of layout '{layout}' have no 68 iBUG points.")


def face_rect(points: np.ndarray, width: int, height: int) -> list[int]:
    """AD-NeRF's ``face_rect``: x, y, width and height of a box about the nose root."""
    left, right = points[:, 0].min(), points[:, 0].max()
    cx, cy = int((left + right) / 2), int(points[NOSE_ROOT, 1])
    half_w, half_h = int((right - cx) * 1.5), int((points[CHIN, 1] - cy) * 1.15)
    x, y = max(cx - half_w, 0), max(cy - half_h, 0)
    return [x, y, min(width - 1 - x, 2 * half_w), min(height - 1 - y, 2 * half_h)]
