"""What each pixel shows, from outlines: background, torso, head or the inside of the mouth.

MediaPipe's selfie segmenter tells the person from the background; the landmarks tell the head
from what is below the jaw, and the inside of the lips from the face.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gstalker.errors import BackendMissing
from gstalker.face import LAYOUTS
from gstalker.prepare.tracking.landmarks import INSTALL
from gstalker.process import quiet

BACKGROUND, TORSO, HEAD, MOUTH, HAIR, TEETH, NECK = range(7)
"""As ``data.capture`` has them; repeated, for it would bring torch into every worker."""

_FACE = LAYOUTS["mediapipe478"]
_JAW = (58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288)
"""From below one ear lobe along the jaw to below the other."""
OVAL = (
    10,
    338,
    297,
    332,
    284,
    251,
    389,
    356,
    454,
    323,
    361,
    288,
    397,
    365,
    379,
    378,
    400,
    377,
    152,
) + (148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)
_FOREHEAD = 10
_SURE = 0.4
_CRUMB_SHARE = 0.05
"""Parts of the person smaller than this share of it are taken for background."""
_OPEN_SHARE = 0.015
"""Lips closer than this share of the outer-eye distance show no inside."""
_SHIFT = 4
"""Fractional bits that polygons are drawn with."""


def person_shares(pictures: Iterator[np.ndarray], model: Path) -> Iterator[np.ndarray]:
    """How surely each pixel shows a person, ``float32 [H, W]`` in [0, 1] per picture."""
    mediapipe, segmenter = _segmenter(model)
    try:
        for picture in pictures:
            image = mediapipe.Image(
                image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(picture)
            )
            with quiet():
                result = segmenter.segment(image)
            share = result.confidence_masks[0].numpy_view()
            yield np.array(share, np.float32).reshape(picture.shape[:2])
    finally:
        segmenter.close()


def labels(person: np.ndarray, face: np.ndarray, *, alone: bool = True) -> np.ndarray:
    """Labels of one picture.

    Args:
        person: ``[H, W]`` in [0, 1].
        face: ``[478, 2]`` pixels; NaN without a face, and then everything is background.
        alone: else only what hangs together with this face is the person.

    Returns:
        ``uint8 [H, W]``.
    """
    import cv2

    found = np.zeros(person.shape, np.uint8)
    if not np.isfinite(face).all():
        return found
    inside = (person > _SURE).astype(np.uint8)
    fill(inside, face[list(OVAL)])
    inside = _without_crumbs(inside) if alone else _around(inside, face)
    above = np.zeros_like(found)
    fill(above, _above_jaw(face, person.shape))
    found[inside > 0] = TORSO
    found[(inside > 0) & (above > 0)] = HEAD
    ruler = np.linalg.norm(face[_FACE.eye_corners[0]] - face[_FACE.eye_corners[1]])
    gap = np.linalg.norm(face[_FACE.gap[0]] - face[_FACE.gap[1]])
    if gap > max(_OPEN_SHARE * float(ruler), 0.7):
        mouth = np.zeros_like(found)
        cv2.fillPoly(mouth, [_fixed(face[list(_FACE.inner_lips)])], 1, shift=_SHIFT)
        found[mouth > 0] = MOUTH
    return found


def _above_jaw(face: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Corners of all that is above the jaw line, continued sideways just below the ear lobes."""
    jaw = face[list(_JAW)]
    far = 2.0 * max(shape)
    across = (jaw[-1] - jaw[0]) / max(np.linalg.norm(jaw[-1] - jaw[0]), 1e-6)
    up = np.array([across[1], -across[0]])
    if up @ (face[_FOREHEAD] - jaw[len(jaw) // 2]) < 0:
        up = -up
    right, left = jaw[-1] + far * across, jaw[0] - far * across
    return np.concatenate([jaw, [right, right + far * up, left + far * up, left]])


def _without_crumbs(inside: np.ndarray) -> np.ndarray:
    import cv2

    count, parts, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=4)
    areas = stats[:, cv2.CC_STAT_AREA].astype(float)
    areas[0] = 0
    keep = areas >= _CRUMB_SHARE * areas.sum()
    keep[0] = False
    return keep[parts].astype(np.uint8) if count > 2 else inside


def _around(inside: np.ndarray, face: np.ndarray) -> np.ndarray:
    """What hangs together with the face: another person's pixels are background."""
    import cv2

    _, parts = cv2.connectedComponents(inside, connectivity=4)
    own = np.zeros_like(inside)
    fill(own, face[list(OVAL)])
    kept = np.unique(parts[(own > 0) & (inside > 0)])
    return np.isin(parts, kept[kept > 0]).astype(np.uint8)


def fill(canvas: np.ndarray, corners: np.ndarray) -> None:
    """Set the pixels inside of a polygon to 1; corners ``[n, 2]`` in pixels."""
    import cv2

    cv2.fillPoly(canvas, [_fixed(corners)], 1, shift=_SHIFT)


def _fixed(corners: np.ndarray) -> np.ndarray:
    """Continuous coordinates to OpenCV's fixed point, whose whole numbers are pixel centres."""
    return np.round((corners - 0.5) * (1 << _SHIFT)).astype(np.int32)


def _segmenter(model: Path) -> tuple[Any, Any]:
    try:
        import mediapipe
        from mediapipe.tasks.python import BaseOptions, vision
    except (ImportError, OSError) as error:
        raise BackendMissing(
            f"person masks need MediaPipe, which cannot be used here ({error}).\n"
            f"  Install it with: {INSTALL}"
        ) from error
    options = vision.ImageSegmenterOptions(
        base_options=BaseOptions(model_asset_path=str(model)),
        running_mode=vision.RunningMode.IMAGE,
        output_confidence_masks=True,
        output_category_mask=False,
    )
    with quiet():
        return mediapipe, vision.ImageSegmenter.create_from_options(options)
