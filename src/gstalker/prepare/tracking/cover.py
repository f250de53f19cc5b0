"""Frames in which something covers the mouth: a hand, a microphone, a cup.

The landmarker draws a mouth there all the same, so the pictures are asked: the lower face, seen in
the face's own frame, looks from one frame to the next much as it usually does.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gstalker.face import LAYOUTS

REASON = "the lower face does not look as usual: covered, turned aside, or in another light"
_FACE = LAYOUTS["mediapipe478"]
_CHIN = 152
SIDE = 24
"""Pixels of the small picture of the lower face."""
_LEAST_LEVELS = 30.0
"""Mean difference from the usual lower face, in 8-bit levels, from which it may be covered ..."""
_USUAL_TIMES = 5.0
"""... and this many times what the clip's frames usually differ by. On four people who move and
speak freely frames differ by at most 2.6 times the usual and 23 levels."""
_UNLIKE = 0.4
"""Correlation with the usual lower face below which a hand, of the face's own colour, is told by
what it lacks: lips, nostrils, shade. Skin over the mouth has 0.0 to 0.3, mouths that speak 0.54 or
more on three people; a fourth, whose face is blurred, has less of both and is told by ..."""
_UNLIKE_LEVELS, _UNLIKE_TIMES = 15.0, 2.0
"""... these, of the differences above: skin over the mouth has 27 levels, 2.9 times the usual."""
_LESS_LIKE = 0.54
"""Correlation below which a frame as different as that is covered if one beside it is: a hand stays
for a while, with 0.15 to 0.45 from frame to frame."""

_AWAY_FRAMES = 5
"""Frames no further apart than this, a fifth of a second, are of one and the same hand: of 80
frames with a microphone held still, 3 looked like a mouth."""


def lower_face(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The part below the eyes in the face's own frame, ``float32 [24, 24, 3]``, light evened out.

    Args:
        picture: ``uint8 [H, W, 3]``.
        points: ``[478, 2]`` pixels.
    """
    import cv2

    right, left = (points[k].astype(np.float64) for k in _FACE.eye_corners)
    chin = points[_CHIN].astype(np.float64)
    eyes = (right + left) / 2
    down = chin - eyes
    corners = np.array([right + 0.35 * down, left + 0.35 * down, right + 0.9 * down], np.float32)
    wanted = np.array([[0, 0], [SIDE - 1, 0], [0, SIDE - 1]], np.float32)
    small = cv2.warpAffine(
        picture,
        cv2.getAffineTransform(corners, wanted),
        (SIDE, SIDE),
        flags=cv2.INTER_AREA,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return small.astype(np.float32)


def covered(frame: Callable[[int], np.ndarray], points: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Which of the frames ``ids`` show something before the mouth, ``bool [len(ids)]``.

    Args:
        frame: picture by number, ``uint8 [H, W, 3]``.
        points: ``[F, 478, 2]`` pixels, finite for those frames.
        ids: frame numbers.
    """
    if len(ids) == 0:
        return np.zeros(0, bool)
    seen = np.stack([lower_face(frame(int(i)), points[i]) for i in ids])
    usual = np.median(seen, axis=0)
    away = np.abs(seen - usual).mean((1, 2, 3))
    often = np.median(away)
    alike = _likeness(seen, usual)
    is_strange = away > max(_LEAST_LEVELS, _USUAL_TIMES * often)
    differs = away > max(_UNLIKE_LEVELS, _UNLIKE_TIMES * often)
    is_sure = is_strange | (differs & (alike < _UNLIKE))
    return _bridged(_spread(is_sure, is_sure | (differs & (alike < _LESS_LIKE)), ids), ids)


def _spread(is_sure: np.ndarray, may_be: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """The sure frames, and all that may be in unbroken rows with them, ``bool [n]``."""
    breaks = np.flatnonzero((np.diff(ids) != 1) | (np.diff(may_be.astype(int)) != 0)) + 1
    flags = np.zeros(len(ids), bool)
    for row in np.split(np.arange(len(ids)), breaks):
        flags[row] = may_be[row[0]] and is_sure[row].any()
    return flags


def _bridged(flags: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """The flags, and all frames between two that are at most ``_AWAY_FRAMES`` apart."""
    flags = flags.copy()
    places = np.flatnonzero(flags)
    for a, b in zip(places[:-1], places[1:], strict=True):
        flags[a:b] |= ids[b] - ids[a] <= _AWAY_FRAMES
    return flags


def _likeness(seen: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Correlation of each small picture's light and shade with the usual one's, ``[n]``."""
    seen, usual = (x.mean(-1) - x.mean((-3, -2, -1))[..., None, None] for x in (seen, usual))
    both = np.sqrt((seen**2).mean((-2, -1)) * (usual**2).mean())
    return (seen * usual).mean((-2, -1)) / np.maximum(both, 1e-6)
