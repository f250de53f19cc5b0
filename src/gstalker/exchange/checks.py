"""Do the files of a data set belong together? What their contents say about each other.

Names and counts are ``tree``'s. Here: a pose against the landmarks, a composed picture against the
filmed one and against the background. A file that was exchanged for another frame's is found
because it fits that other frame better.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from gstalker.errors import CaptureError
from gstalker.exchange import landmarks, mesh
from gstalker.face import LAYOUTS
from gstalker.prepare.tracking.pose import Lens

_FACE = LAYOUTS["ibug68"]
EYES_CM = (5.0, 15.0)
"""Distance of the outer eye corners, with room: units mixed up miss this by a factor of ten."""
_OUTSIDE_SHARE = 0.5
"""The head's origin may be this many outer-eye distances outside the landmarks' hull."""
_OUTLIER_TIMES = 6.0
_OUTLIER_SHARE = 0.04
"""A frame misses its pose if it is off by so many usual deviations and so much of a ruler."""
_THUMB = 64
_LEVELS = 6.0
"""Mean grey levels by which two jpgs of one picture may differ, at 64 x 64; noise gives 0.3."""
_NOISE_LEVELS = 0.25
"""Below this, two neighbours cannot be told apart."""
_PLATE_LEVELS = 12.0
"""Mean levels by which the background of a composed picture may differ from ``bc.jpg``."""
_EDGE_STEP, _EDGE = 2, 5
"""The silhouette's surroundings are looked at in every second pixel, so many of them wide."""
_MOST_ODD = 40
"""Frames that are compared with one another."""
_EDGE_LEVELS = 1.5
"""Mean levels more than usual that may be seen there, whatever the usual deviation is."""


def scale(points: np.ndarray, viewmats: np.ndarray, lens: Lens) -> None:
    """Is a face as large as a face?

    Args:
        points: ``[m, 68, 2]``.
        viewmats: ``[m, 4, 4]`` centimetres.
        lens: the camera.

    Raises:
        CaptureError: it is not; the unit is wrong.
    """
    a, b = _FACE.eye_corners
    ruler = np.linalg.norm(points[:, a] - points[:, b], axis=-1)
    wide = float(np.median(ruler * viewmats[:, 2, 3] / lens.focal_px))
    if not EYES_CM[0] < wide < EYES_CM[1]:
        raise CaptureError(
            f"by transforms_train.json and the .lms files, the outer eye corners are {wide:.3g} cm "
            f"apart; a face has {EYES_CM[0]:g} to {EYES_CM[1]:g}.\n"
            "  The translations are in another unit than metres, or focal_len is wrong."
        )


def origin_in_face(
    points: np.ndarray, viewmats: np.ndarray, lens: Lens, frames: np.ndarray
) -> None:
    """Does the head's origin fall onto the face in every frame?

    Raises:
        CaptureError: it does not; names the first frame's file.
    """
    a, b = _FACE.eye_corners
    at = lens.project(viewmats[:, :3, 3])
    for k, frame in enumerate(frames):
        room = _OUTSIDE_SHARE * float(np.linalg.norm(points[k, a] - points[k, b]))
        outside = viewmats[k, 2, 3] <= 0 or _outside(points[k], at[k]) > room
        if outside:
            x, y = at[k]
            raise CaptureError(
                f"the pose of frame {frame} puts the head at x {x:.0f}, y {y:.0f}, outside the "
                f"face that ori_imgs/{frame}.lms shows: one of the two is misnumbered."
            )


def poses_fit(
    rest_points: np.ndarray,
    points: np.ndarray,
    viewmats: np.ndarray,
    lens: Lens,
    frames: np.ndarray,
) -> np.ndarray:
    """Which frames' landmarks do not fit their pose, ``bool [m]``.

    One misfit is a face that was found badly. Two that each fit the other's pose are two files, or
    two poses, that were exchanged.

    Raises:
        CaptureError: two were exchanged; names them.
    """
    rigid = list(landmarks.RIGID)
    rest, seen = rest_points[rigid], points[:, rigid]
    miss = mesh.residuals(rest, seen, viewmats, lens).mean(1)
    a, b = _FACE.eye_corners
    ruler = float(np.median(np.linalg.norm(points[:, a] - points[:, b], axis=-1)))
    limit = _usual_limit(miss, _OUTLIER_SHARE * ruler)
    odd = np.flatnonzero(miss > limit)
    for k in odd:
        mine = np.broadcast_to(seen[k], (len(odd), *seen[k].shape))
        there = mesh.residuals(rest, mine, viewmats[odd], lens).mean(1)
        here = np.broadcast_to(viewmats[k], (len(odd), 4, 4))
        back = mesh.residuals(rest, seen[odd], here, lens).mean(1)
        worst = np.maximum(there, back)
        if worst.min() <= min(limit, 0.5 * miss[k]):
            other = frames[odd[worst.argmin()]]
            raise CaptureError(
                f"ori_imgs/{frames[k]}.lms fits the pose of frame {other} and not its own (off by "
                f"{worst.min():.1f} and {miss[k]:.1f} px), and the other way round: landmarks or "
                "poses are misnumbered."
            )
    return miss > limit


def same_pictures(
    folder: Path, composed: str, numbers: np.ndarray, persons: dict[int, np.ndarray]
) -> None:
    """Does every composed picture show the person of the filmed one?

    Args:
        folder: the data set.
        composed: ``gt_imgs`` or ``com_imgs``.
        numbers: frames to compare, ascending.
        persons: of each frame, ``bool [64, 64]``: where surely the person is.

    Raises:
        CaptureError: one does not; names it, and the frame whose picture it is if a neighbour.
    """
    from gstalker.exchange import pictures

    window: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def pair(i: int) -> tuple[np.ndarray, np.ndarray]:
        if i not in window:
            window[i] = tuple(  # type: ignore[assignment]
                pictures.grey_thumb(folder / place / f"{i}.jpg", _THUMB)
                for place in ("ori_imgs", composed)
            )
        return window[i]

    listed = [int(i) for i in numbers]
    for k, i in enumerate(listed):
        where = persons[i]
        if not where.any():
            continue
        filmed, shown = pair(i)
        off = float(np.abs(filmed - shown)[where].mean())
        near = {
            j: float(np.abs(filmed - pair(j)[1])[where].mean())
            for j in listed[k - 1 if k else 0 : k + 2]
            if j != i
        }
        closest = min(near, key=lambda j: near[j], default=i)
        shifted = bool(near) and off > _NOISE_LEVELS and near[closest] < 0.5 * off
        if off > _LEVELS or shifted:
            whose = f" It is that of ori_imgs/{closest}.jpg." if shifted else ""
            raise CaptureError(
                f"{composed}/{i}.jpg does not show the person of ori_imgs/{i}.jpg: they differ by "
                f"{off:.1f} grey levels there.{whose}\n  One of the two is misnumbered."
            )
        if k:
            window.pop(listed[k - 1], None)


def person_thumb(person: np.ndarray) -> np.ndarray:
    """Where in a 64 x 64 copy surely the person is, ``bool``."""
    from PIL import Image

    small = Image.fromarray((person * 255).astype(np.uint8)).resize(
        (_THUMB, _THUMB), Image.Resampling.BOX
    )
    return np.asarray(small) == 255


def background_replaced(shown: np.ndarray, plate: np.ndarray, free: np.ndarray, file: str) -> None:
    """Is the background of a composed picture that of ``bc.jpg``?

    Args:
        shown: ``uint8 [H, W, 3]``.
        plate: ``bc.jpg``.
        free: ``bool [H, W]``: background by ``parsing``.
        file: the picture's name.

    Raises:
        CaptureError: it is not.
    """
    if free.sum() < 100:
        return
    off = float(np.abs(shown[free].astype(np.float32) - plate[free]).mean())
    if off > _PLATE_LEVELS:
        raise CaptureError(
            f"{file} differs from bc.jpg by {off:.0f} levels where parsing/ says background: the "
            "background was not replaced, or picture, parsing map or bc.jpg are of another frame."
        )


def beside(shown: np.ndarray, plate: np.ndarray, free: np.ndarray) -> float:
    """How much of a person stands out of a silhouette: mean levels close beside it.

    Args:
        shown: ``uint8 [H, W, 3]``, composed.
        plate: ``bc.jpg``.
        free: ``bool [H, W]``: background by ``parsing``.
    """
    from PIL import Image, ImageFilter

    thin = (slice(None, None, _EDGE_STEP), slice(None, None, _EDGE_STEP))
    person = Image.fromarray((~free[thin]).astype(np.uint8) * 255)
    edge = np.asarray(person.filter(ImageFilter.MaxFilter(_EDGE))).astype(bool) & free[thin]
    if not edge.any():
        return 0.0
    return float(np.abs(shown[thin][edge].astype(np.float32) - plate[thin][edge]).mean())


def silhouettes_fit(own: dict[int, float], other: Callable[[int, int], float], place: str) -> None:
    """Were two parsing maps exchanged?

    Args:
        own: of each frame, :func:`beside` with its own map.
        other: the same of a first frame's picture and a second one's map.
        place: folder of the pictures.

    Raises:
        CaptureError: two maps each fit the other's picture and not their own; names them.
    """
    levels = np.array(list(own.values()))
    if not len(levels):
        return
    limit = _usual_limit(levels, _EDGE_LEVELS)
    odd = sorted((i for i in own if own[i] > limit), key=lambda i: -own[i])[:_MOST_ODD]
    for i, j in itertools.combinations(odd, 2):
        if max(other(i, j), other(j, i)) <= min(limit, 0.5 * min(own[i], own[j])):
            first, second = sorted((i, j))
            raise CaptureError(
                f"parsing/{first}.png fits {place}/{second}.jpg and not its own picture, and the "
                "other way round: the two maps were exchanged."
            )


def _usual_limit(values: np.ndarray, least: float) -> float:
    """Above this a value is an outlier: many usual deviations, and ``least``, over the median."""
    middle = float(np.median(values))
    usual = 1.4826 * float(np.median(np.abs(values - middle)))
    return middle + max(_OUTLIER_TIMES * usual, least)


def _outside(points: np.ndarray, at: np.ndarray) -> float:
    """How far a point lies outside the hull of others, pixels; negative inside."""
    try:
        hull = ConvexHull(points)
    except QhullError:
        return 0.0
    return float((hull.equations[:, :2] @ at + hull.equations[:, 2]).max())
