"""Do the files of a data set belong together? What their contents say about each other.

Names and counts are ``tree``'s, pictures against each other ``likeness``'s. Here: a pose against
the landmarks, a composed picture and its parsing map against the background, teeth against lips. A
file that was exchanged for another frame's is found because it fits that other frame better.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from scipy.ndimage import distance_transform_edt
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
_PLATE_LEVELS = 12.0
"""Mean levels by which the background of a composed picture may differ from ``bc.jpg``."""
_EDGE_STEP, _EDGE = 2, 5
"""The silhouette's surroundings are looked at in every second pixel, so many of them wide."""
_MOST_ODD = 40
"""Frames that are compared with one another."""
_EDGE_LEVELS = 1.5
"""Mean levels more than usual that may be seen there, whatever the usual deviation is."""
_FEWEST_PX, _BETTER, _EXCHANGED_LEVELS = 8, 0.5, 4.0
"""Neighbouring maps are told apart by so many pixels that only one of them calls a person, and were
exchanged if these are so much nearer to the plate the other way round. Measured on five exported
folders of three people at 96 to 192 pixels, as they are and packed again as jpg of quality
95 and 85 with halved colours: the other way round is 1.3 times as far off or more."""
_TEETH_SHARE, _TEETH_PX = 0.07, 1.5
"""Half of a frame's teeth may lie so far from its inner lips: this share of the outer-eye distance
(6 mm), or so many pixels. Measured as in ``likeness``: at most a pixel in their own frame; in
another one's more than this for half of all pairs, and a quarter of those of one take."""
_LEAST_TEETH = 0.005
"""Fewer, as a share of the square of that distance, say nothing: a parser's stray pixels."""
_WITHOUT_TEETH = "Put the right file there, or take teeth_mask away: without it the import goes on."
_STRAY_PX = 0.5
"""A frame's teeth may lie so much farther outside its lips than usual, in the mean. Measured as in
``likeness``: 0.23 px at most in their own frame; more than this, in one of the two, for 87, 51 and
97 % of the pairs of three people."""


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
    limit = usual_limit(miss, _OUTLIER_SHARE * ruler)
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
    pair = _exchanged(own, other, _EDGE_LEVELS)
    if pair:
        first, second = pair
        raise CaptureError(
            f"parsing/{first}.png fits {place}/{second}.jpg and not its own picture, and the "
            "other way round: the two maps were exchanged."
        )


def maps_in_order(numbers: tuple[int, int], off: np.ndarray, free: np.ndarray, place: str) -> None:
    """Were the parsing maps of two neighbours exchanged?

    Where just one of the two maps says background, the picture of its frame shows the plate.

    Args:
        numbers: of the two frames.
        off: how far each composed picture is from ``bc.jpg``, grey levels, ``[2, H, W]``.
        free: background by each map, ``bool [2, H, W]``.
        place: folder of the pictures.

    Raises:
        CaptureError: they were; names them.
    """
    only = free & ~free[::-1]
    count = int(only.sum())
    if count < _FEWEST_PX:
        return
    own, crosswise = (float(levels[only].sum()) / count for levels in (off, off[::-1]))
    if crosswise <= _BETTER * own and own - crosswise > _EXCHANGED_LEVELS:
        first, second = numbers
        raise CaptureError(
            f"parsing/{first}.png fits {place}/{second}.jpg better than its own picture, and the "
            "other way round: the two maps were exchanged."
        )


def torsos_covered(
    numbers: np.ndarray, body: Callable[[int], np.ndarray], opaque: Callable[[int], np.ndarray]
) -> None:
    """Is the torso of every map within its torso picture, or rather in its neighbour's?

    The picture is cut out by the map, and more is painted under the head: nothing of the torso may
    be transparent. Of exchanged neighbours this tells 94 % at 288 x 288 and 30 % at 96 x 96 (as in
    ``likeness``); in the others both torsos cover both.

    Args:
        numbers: frames, ascending.
        body: neck and clothes of a frame by ``parsing``, ``bool [H, W]``.
        opaque: where a frame's torso picture is, ``bool [H, W]``.

    Raises:
        CaptureError: the torsos or the maps of two neighbours were exchanged; names them.
    """
    before: tuple[np.ndarray, np.ndarray] | None = None
    for k, i in enumerate(numbers.tolist()):
        mine, shown = body(i), opaque(i)
        if before is not None and bool((mine & ~shown).any() and (before[0] & ~before[1]).any()):
            crosswise = (mine & ~before[1]) | (before[0] & ~shown)
            if not crosswise.any():
                j = int(numbers[k - 1])
                raise CaptureError(
                    f"torso_imgs/{j}.png covers the torso of parsing/{i}.png and not that of "
                    f"parsing/{j}.png, and the other way round: torsos or maps were exchanged."
                )
        before = mine, shown


def outside_lips(teeth: np.ndarray, lips: np.ndarray, ruler_px: float) -> np.ndarray:
    """How far each pixel of the teeth lies from the inside of the lips, ``[n]`` pixels.

    Args:
        teeth: ``bool [H, W]``; too few say nothing: a single 0.
        lips: ``bool [H, W]``: between the inner lips, their line included.
        ruler_px: distance of the outer eye corners.
    """
    if teeth.sum() <= max(_LEAST_TEETH * ruler_px**2, 1) or not (teeth & ~lips).any():
        return np.zeros(1)
    at = np.argwhere(teeth | lips)
    box = tuple(slice(start, end + 1) for start, end in zip(at.min(0), at.max(0), strict=True))
    return distance_transform_edt(~lips[box])[teeth[box]]


def teeth_in_mouth(away: np.ndarray, ruler_px: float, frame: int) -> None:
    """Are the teeth where the mouth is?

    Args:
        away: :func:`outside_lips` of the frame's own files.
        ruler_px: distance of the outer eye corners.
        frame: the number.

    Raises:
        CaptureError: they are not; names the file.
    """
    half = float(np.median(away))
    if half > max(_TEETH_SHARE * ruler_px, _TEETH_PX):
        raise CaptureError(
            f"half of the teeth of teeth_mask/{frame}.npy lie {half:.1f} px and more from the "
            f"inner lips of ori_imgs/{frame}.lms: one of them is misnumbered, or the mask wrong.\n"
            f"  {_WITHOUT_TEETH}"
        )


def teeth_fit(own: dict[int, float], other: Callable[[int, int], float]) -> None:
    """Were the teeth of two frames exchanged?

    Args:
        own: of each frame, the mean of :func:`outside_lips` with its own lips.
        other: that distance of a first frame's teeth from a second one's lips.

    Raises:
        CaptureError: two masks each fit the other's lips and not their own; names them.
    """
    pair = _exchanged(own, other, _STRAY_PX)
    if pair:
        first, second = pair
        raise CaptureError(
            f"the teeth of teeth_mask/{first}.npy lie between the lips of ori_imgs/{second}.lms "
            "and not between their own, and the other way round: the two masks were exchanged.\n"
            f"  {_WITHOUT_TEETH}"
        )


def _exchanged(
    own: dict[int, float], other: Callable[[int, int], float], least: float
) -> tuple[int, int] | None:
    """Two frames, ascending, that each fit the other better than themselves, or None.

    Args:
        own: how badly each frame fits itself.
        other: how badly a first frame fits a second one.
        least: the same as of :func:`usual_limit`.
    """
    if not own:
        return None
    limit = usual_limit(np.array(list(own.values())), least)
    odd = sorted((i for i in own if own[i] > limit), key=lambda i: -own[i])[:_MOST_ODD]
    for i, j in itertools.combinations(odd, 2):
        if max(other(i, j), other(j, i)) <= min(limit, 0.5 * min(own[i], own[j])):
            return min(i, j), max(i, j)
    return None


def usual_limit(values: np.ndarray, least: float) -> float:
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
