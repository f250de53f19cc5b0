"""A face at rest for a data set that brings none: a template fitted to its landmarks and poses.

The poses are given, so each of the 68 points can be found in space from many frames; depth, which
they hardly tell, comes from the template. First the template's size and place are fitted, then
each point moves where the pictures want it, pulled back a little, and the rest of the template
follows the points near it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from gstalker.face import IBUG68_OF_MEDIAPIPE478, LAYOUTS
from gstalker.prepare.tracking.pose import Lens
from gstalker.prepare.tracking.shape import reshape

_MOST_FRAMES = 120
_PULL_SHARE = 0.15
"""As in ``prepare.tracking.shape``: what a centimetre off the template costs."""
_REACH_CM = 2.0
"""How far a landmark's displacement is felt."""
_STILL = (*range(17, 48), 48, 54)
"""Points that place the template: not the jaw, which differs between annotations, nor the lips."""


@dataclass(frozen=True)
class Template:
    """A face in our axes, and where its 68 points are."""

    name: str
    vertices: np.ndarray
    """``float64 [V, 3]`` centimetres."""
    points: np.ndarray
    """``float64 [68, 3]``."""


@dataclass(frozen=True)
class Rest:
    """A face at rest in the data set's own head space."""

    mesh: np.ndarray
    """``float64 [V, 3]`` centimetres."""
    points: np.ndarray
    """``float64 [68, 3]``."""
    error_px: float
    """Mean distance of the points from where they were seen, with the mouth closed."""


def canonical(vertices: np.ndarray) -> Template:
    """MediaPipe's canonical face ``[468, 3]`` as a template."""
    return Template("MediaPipe's canonical face", vertices, vertices[list(IBUG68_OF_MEDIAPIPE478)])


def arithmetic() -> Template:
    """The synthetic speaker's face: it needs no file."""
    from gstalker.data import synthetic_face

    mouth = synthetic_face.Mouth(np.zeros((1, 1)), np.ones((1, 1)))
    points = synthetic_face.landmarks_3d(mouth, np.ones((1, 1)))[0]
    return Template("the synthetic speaker's face", synthetic_face.mesh().astype(float), points)


def fit(template: Template, points: np.ndarray, viewmats: np.ndarray, lens: Lens) -> Rest:
    """The template in the data set's head space, shaped by its landmarks.

    Args:
        template: to start from.
        points: ``[m, 68, 2]`` pixels.
        viewmats: ``[m, 4, 4]`` head to camera, centimetres.
        lens: the camera.
    """
    chosen = _closed_mouths(points)
    seen, views = points[chosen], viewmats[chosen]
    placed = _placed(template, seen, views, lens)
    start = placed(template.points)
    turns, shifts = views[:, :3, :3], views[:, :3, 3]
    found = reshape(seen, start, start, lens, turns, shifts, _PULL_SHARE, rounds=3)
    vertices = placed(template.vertices)
    away = np.linalg.norm(vertices[:, None] - start, axis=-1)
    felt = np.exp(-0.5 * (away / _REACH_CM) ** 2)
    moves = felt @ (found - start) / np.maximum(felt.sum(1, keepdims=True), 0.1)
    error = np.linalg.norm(lens.project(_posed(found, views)) - seen, axis=-1)
    return Rest(vertices + moves, found, float(error.mean()))


def residuals(
    rest_points: np.ndarray, points: np.ndarray, views: np.ndarray, lens: Lens
) -> np.ndarray:
    """Distance of each point of each frame from its place, pixels ``[m, P]``."""
    return np.linalg.norm(lens.project(_posed(rest_points, views)) - points, axis=-1)


def _closed_mouths(points: np.ndarray) -> np.ndarray:
    """Some frames, spread over the clip, in the half with the mouth less open."""
    upper, lower = LAYOUTS["ibug68"].gap
    gap = np.linalg.norm(points[:, upper] - points[:, lower], axis=-1)
    ids = np.flatnonzero(gap <= np.median(gap))
    return ids[np.unique(np.linspace(0, len(ids) - 1, _MOST_FRAMES).round().astype(int))]


def _placed(
    template: Template, seen: np.ndarray, views: np.ndarray, lens: Lens
) -> Callable[[np.ndarray], np.ndarray]:
    """Size, turn and place of the template, by robust least squares; as a function of points."""
    still = list(_STILL)

    def apply(x: np.ndarray, points: np.ndarray) -> np.ndarray:
        turned = points @ Rotation.from_rotvec(x[1:4]).as_matrix().T
        return np.exp(x[0]) * turned + x[4:]

    def misses(x: np.ndarray) -> np.ndarray:
        posed = _posed(apply(x, template.points[still]), views)
        posed[..., 2] = np.maximum(posed[..., 2], 1.0)
        return (lens.project(posed) - seen[:, still]).ravel()

    ruler = np.linalg.norm(seen[:, 36] - seen[:, 45], axis=-1).mean()
    solved = least_squares(misses, np.zeros(7), loss="soft_l1", f_scale=0.03 * ruler)
    return lambda points: apply(solved.x, points)


def _posed(points: np.ndarray, views: np.ndarray) -> np.ndarray:
    return points @ views[:, :3, :3].transpose(0, 2, 1) + views[:, None, :3, 3]
