"""The shape of the synthetic speaker's head, and how a mouth opens in it.

Head space is the project's: centimetres, x right, y down, z away from the camera, face towards
-z. The head is an ellipsoid with bumps (nose, chin, brows, sockets, lips, ears, hair); a place on
it is named by ``(s, t)``, the stereographic map of its direction from the back of the head.

A mouth that opens is a map from the picture a camera sees back to the head at rest
(``rest_place``): exact, smooth on both sides of the lips and torn between them. Landmarks need the
other direction (``moved``), which is solved to well under a thousandth of a millimetre. Colours
and pixels are ``synthetic_paint``'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

CENTRE = np.array([0.0, -1.0, 3.0], np.float32)
AXES = np.array([7.2, 10.4, 9.2], np.float32)
MAP_REACH = 1.9
"""The (s, t) map covers [-1.9, 1.9] squared; 0 is straight ahead, 1 the rim, beyond it the back."""
MAP_SIZE = 512
BUMP_MAX = 0.26

MOUTH_Y = 4.6
LIP_HALF_WIDTH = 2.55
INNER_HALF_WIDTH = 2.3
WIDEST_CM = 2.1
"""Gap between the lips at opening 1."""
_UPPER_SHARE = 0.18
_JAW_SHARE = 0.70
_LIP_REACH = 2.2
EYE_X, EYE_Y = 3.1, -2.7
EYE_HALF_WIDTH = 1.35
EYE_GAP_CM = 1.0
"""Between the lids of a fully open eye, at its middle."""
LOWER_LID_CM = 0.30

MESH_LIPS = tuple(range(48, 68))
"""Vertices of the mesh that are lips: its first 68 vertices are the landmarks at rest."""


@dataclass(frozen=True)
class Mouth:
    """How the mouth stands in one frame, or in many (arrays that broadcast)."""

    gap_cm: np.ndarray | float
    """Between the lips, at the middle."""
    width: np.ndarray | float
    """1 at rest, below it rounded."""


# ---------------------------------------------------------------------- the head at rest


Pair = tuple[float, float]


def _gaussian(s: np.ndarray, t: np.ndarray, at: Pair, size: Pair) -> np.ndarray:
    return np.exp(-0.5 * (((s - at[0]) / size[0]) ** 2 + ((t - at[1]) / size[1]) ** 2))


def step(x: np.ndarray, width: float) -> np.ndarray:
    """A soft step from 0 to 1 around ``x = 0``."""
    return 0.5 + 0.5 * np.tanh(x / (2 * width))


def hairiness(s: np.ndarray, t: np.ndarray) -> np.ndarray:
    """1 where hair grows, 0 on the face, over ``(s, t)``."""
    hairline = -0.43 + 0.16 * np.exp(-(((np.abs(s) - 0.33) / 0.16) ** 2)) * 0.6
    above = step(hairline - t, 0.018)
    sideburns = step(np.abs(s) - 0.62 - 0.25 * np.maximum(t, -0.3), 0.02) * step(0.02 - t, 0.03)
    nape = step(np.hypot(s, t) - 1.25, 0.05)
    return 1 - (1 - above) * (1 - sideburns) * (1 - nape)


def bumps(s: np.ndarray, t: np.ndarray) -> np.ndarray:
    """How far the head stands out of its ellipsoid, as a share of the radius."""
    out = 0.19 * _gaussian(s, t, (0, 0.53), (0.24, 0.13))
    for k, height in enumerate((0.03, 0.05, 0.08, 0.11)):
        out = out + height * _gaussian(s, t, (0, -0.10 + 0.065 * k), (0.030 + 0.008 * k, 0.055))
    out = out + 0.03 * _gaussian(s, t, (0, 0.275), (0.12, 0.05))
    for side in (-1, 1):
        out = out - 0.05 * _gaussian(s, t, (side * 0.21, -0.085), (0.09, 0.045))
        out = out + 0.03 * _gaussian(s, t, (side * 0.20, -0.19), (0.13, 0.035))
        out = out + 0.035 * _gaussian(s, t, (side * 0.30, 0.08), (0.10, 0.09))
        out = out + 0.14 * _gaussian(s, t, (side * 1.02, -0.02), (0.06, 0.13))
    return out + 0.075 * hairiness(s, t)


@cache
def map_places() -> tuple[np.ndarray, np.ndarray]:
    """``s`` along the columns and ``t`` along the rows of the map, each ``float32 [512, 512]``."""
    line = np.linspace(-MAP_REACH, MAP_REACH, MAP_SIZE, dtype=np.float32)
    s, t = np.meshgrid(line, line)
    return s, t


@cache
def map_points() -> np.ndarray:
    """Where each place of the map lies on the head at rest, ``float32 [512, 512, 3]``."""
    s, t = map_places()
    back = s**2 + t**2
    direction = np.stack([2 * s, 2 * t, back - 1], axis=-1) / (1 + back)[..., None]
    return (direction * (1 + bumps(s, t))[..., None] * AXES + CENTRE).astype(np.float32)


def places(
    x: np.ndarray, y: np.ndarray, z: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stereographic ``s, t`` of points of the resting head, and their ellipsoid radius."""
    ex, ey, ez = (x - CENTRE[0]) / AXES[0], (y - CENTRE[1]) / AXES[1], (z - CENTRE[2]) / AXES[2]
    radius = np.sqrt(ex * ex + ey * ey + ez * ez)
    denominator = np.maximum(radius - ez, 1e-3)
    return ex / denominator, ey / denominator, radius


def front_depth(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Depth z of the front of the resting head under ``(x, y)``, by bisection in float64."""
    near = np.full(np.broadcast(x, y).shape, CENTRE[2] - AXES[2] * (1 + BUMP_MAX), np.float64)
    far = np.full_like(near, CENTRE[2])
    for _ in range(50):
        middle = 0.5 * (near + far)
        s, t, radius = places(np.asarray(x, np.float64), np.asarray(y, np.float64), middle)
        inside = radius < 1 + bumps(s, t)
        near, far = np.where(inside, near, middle), np.where(inside, middle, far)
    return 0.5 * (near + far)


# ---------------------------------------------------------------------- the mouth


def mouth_line(x: np.ndarray) -> np.ndarray:
    """Height y of the closed mouth at rest: a shallow smile."""
    return MOUTH_Y - 0.02 * x * x


def lip_gaps(x: np.ndarray, mouth: Mouth) -> tuple[np.ndarray, np.ndarray]:
    """How far the upper inner lip rises and the lower one falls at rest abscissa ``x``, in cm."""
    arch = np.maximum(1 - (x / INNER_HALF_WIDTH) ** 2, 0)
    gap = mouth.gap_cm * arch
    return _UPPER_SHARE * gap, (1 - _UPPER_SHARE) * gap


def _stretch(x: np.ndarray, y: np.ndarray, mouth: Mouth) -> np.ndarray:
    pull = np.exp(-(((y - MOUTH_Y) / 2.4) ** 2) - (x / 4.5) ** 2)
    return 1 + (1 / np.asarray(mouth.width) - 1) * pull


def _jaw(x: np.ndarray, mouth: Mouth) -> np.ndarray:
    across = x * x * (1 / 5.5**2)
    return _JAW_SHARE * mouth.gap_cm * np.exp(-across * across)


def rest_place(
    x: np.ndarray, y: np.ndarray, mouth: Mouth
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the skin at ``(x, y)`` lies when the mouth is at rest.

    Returns:
        x and y at rest, and how deep the point lies inside the open mouth, in cm: positive between
        the lips, negative on skin (distance to the nearer inner lip, measured along y).
    """
    rest_x = x * _stretch(x, y, mouth)
    line = mouth_line(rest_x)
    up, down = lip_gaps(rest_x, mouth)
    above, below = (line - up) - y, y - (line + down)
    reach_up = np.exp(-((above / _LIP_REACH) ** 2))
    reach_down = np.exp(-((below / _LIP_REACH) ** 2))
    fall = down * reach_down + _jaw(rest_x, mouth) * (1 - reach_down)
    rest_y = np.where(above > 0, y + up * reach_up, np.where(below > 0, y - fall, line))
    return rest_x, rest_y, -np.maximum(above, below)


def moved(rest_x: np.ndarray, rest_y: np.ndarray, mouth: Mouth, lower: np.ndarray) -> np.ndarray:
    """Where points of the resting face go when the mouth moves; z does not change.

    Args:
        rest_x: ``[P]`` cm.
        rest_y: ``[P]`` cm.
        mouth: with ``[F, 1]`` arrays, or numbers.
        lower: ``bool [P]``: the point belongs to the lower lip and the jaw (it matters on the
            mouth line, where both lips meet).

    Returns:
        ``float64 [F, P, 2]``.
    """
    line = mouth_line(rest_x)
    up, down = lip_gaps(rest_x, mouth)
    jaw = _jaw(rest_x, mouth)

    def upper_rest(y: np.ndarray) -> np.ndarray:
        return y + up * np.exp(-((((line - up) - y) / _LIP_REACH) ** 2))

    def lower_rest(y: np.ndarray) -> np.ndarray:
        reach = np.exp(-(((y - line - down) / _LIP_REACH) ** 2))
        return y - down * reach - jaw * (1 - reach)

    zero = np.zeros(np.broadcast(up, rest_y).shape)
    low, high = rest_y + zero - WIDEST_CM, rest_y + zero + WIDEST_CM
    for _ in range(45):
        y = 0.5 * (low + high)
        short = np.where(lower, lower_rest(y), upper_rest(y)) < rest_y
        low, high = np.where(short, y, low), np.where(short, high, y)
    left, right = rest_x * 0.5 - 0.5 + zero, rest_x * 1.5 + 0.5 + zero
    left, right = np.minimum(left, rest_x * 1.5 - 0.5), np.maximum(right, rest_x * 0.5 + 0.5)
    for _ in range(45):
        x = 0.5 * (left + right)
        short = x * _stretch(x, y, mouth) < rest_x
        left, right = np.where(short, x, left), np.where(short, right, x)
    return np.stack([x, y], axis=-1)


# ---------------------------------------------------------------------- landmarks and mesh


@cache
def landmark_places() -> tuple[np.ndarray, np.ndarray]:
    """The 68 iBUG points on the resting face, ``float64 [68, 2]``, and which belong to the jaw.

    The lids are those of a fully open eye.
    """
    points = np.zeros((68, 2))
    angle = np.linspace(-1.75, 1.75, 17)
    points[:17] = np.stack([6.3 * np.sin(angle), 1.6 + 7.2 * np.cos(angle)], axis=1)
    brow = np.linspace(-1, 1, 5)
    arch = -4.35 - 0.35 * (1 - brow**2)
    points[17:22] = np.stack([-EYE_X + 1.8 * brow, arch], axis=1)
    points[22:27] = np.stack([EYE_X + 1.8 * brow, arch], axis=1)
    points[27:31, 1] = np.linspace(-2.3, 1.0, 4)
    points[31:36] = np.stack([1.2 * brow, 1.75 - 0.25 * np.abs(brow)], axis=1)
    for start, side in ((36, -1), (42, 1)):
        points[start : start + 6] = _eye_points(side, 1.0)
    outer = LIP_HALF_WIDTH * np.array([-1, -0.66, -0.28, 0, 0.28, 0.66, 1])
    points[48:55] = np.stack([outer, lip_edges(outer)[0]], axis=1)
    points[55:60] = np.stack([outer[5:0:-1], lip_edges(outer[5:0:-1])[1]], axis=1)
    inner = INNER_HALF_WIDTH * np.array([-1, -0.45, 0, 0.45, 1, 0.45, 0, -0.45])
    points[60:68] = np.stack([inner, mouth_line(inner)], axis=1)
    jaw = np.zeros(68, bool)
    jaw[:17] = points[:17, 1] > MOUTH_Y
    jaw[55:60] = jaw[65:68] = True
    return points, jaw


def lip_edges(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Heights y of the outer edges of the upper and lower lip at rest."""
    arch = np.maximum(1 - (x / LIP_HALF_WIDTH) ** 2, 0)
    bow = 1 - 0.22 * np.exp(-((x / 0.45) ** 2))
    line = mouth_line(x)
    return line - 0.80 * arch * bow, line + 1.0 * arch


def lid_edges(x: np.ndarray, openness: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Heights y of the upper and lower lid at ``x`` cm from the eye's middle, open by 0..1."""
    arch = np.maximum(1 - (x / EYE_HALF_WIDTH) ** 2, 0)
    lower = EYE_Y + LOWER_LID_CM * arch
    return lower - EYE_GAP_CM * openness * arch, lower


def _eye_points(side: int, openness: np.ndarray | float) -> np.ndarray:
    """Six points of one eye in iBUG order (left in the picture first), ``[..., 6, 2]``."""
    x = EYE_HALF_WIDTH * np.array([-1, -0.35, 0.35, 1, 0.35, -0.35])
    upper, lower = lid_edges(x, openness)
    y = np.where(np.arange(6) < 3, upper, lower)
    return np.stack(np.broadcast_arrays(side * EYE_X + x, y), axis=-1)


def landmarks_3d(mouth: Mouth, openness: np.ndarray) -> np.ndarray:
    """The 68 points in head space for many frames.

    Args:
        mouth: arrays ``[F, 1]``.
        openness: eye opening 0..1, ``[F, 1]``.

    Returns:
        ``float64 [F, 68, 3]`` cm.
    """
    rest, jaw = landmark_places()
    place = np.broadcast_to(rest, (len(openness), 68, 2)).copy()
    for start, side in ((36, -1), (42, 1)):
        place[:, start : start + 6] = _eye_points(side, openness)
    depth = front_depth(place[..., 0], place[..., 1])
    out = np.concatenate([place, depth[..., None]], axis=-1)
    still = np.arange(68)
    talks = (still < 17) | (still >= 31) & (still < 36) | (still >= 48)
    out[:, talks, :2] = moved(rest[talks, 0], rest[talks, 1], mouth, jaw[talks])
    return out


def mesh() -> np.ndarray:
    """The face at rest, ``float32 [V, 3]``: the 68 landmarks, then a grid over the face."""
    rest, _ = landmark_places()
    x, y = np.meshgrid(np.linspace(-6.4, 6.4, 25), np.linspace(-8.6, 9.2, 33))
    oval = (x / 6.6) ** 2 + ((y - 0.2) / 9.6) ** 2 < 1
    place = np.concatenate([rest, np.stack([x[oval], y[oval]], axis=1)])
    whole = np.concatenate([place, front_depth(place[:, 0], place[:, 1])[:, None]], axis=1)
    return whole[whole[:, 2] < CENTRE[2] - 0.5].astype(np.float32)
