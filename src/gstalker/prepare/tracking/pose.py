"""Head poses from landmarks: Gauss-Newton on the reprojection error, all frames at once.

Only points that do not move when a person speaks take part; each frame's own outliers are
weighed down (Cauchy). ``x -> R x + t`` takes the head's space to the camera's, OpenCV axes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gstalker.face import LAYOUTS

_FACE = LAYOUTS["mediapipe478"]
_LIDS = frozenset(
    (7, 163, 144, 145, 153, 154, 155, 173, 157, 158, 159, 160, 161, 246)
    + (249, 390, 373, 374, 380, 381, 382, 398, 384, 385, 386, 387, 388, 466)
)
_BROWS = frozenset(
    (70, 63, 105, 66, 107, 55, 65, 52, 53, 46, 336, 296, 334, 293, 300, 276, 283, 282, 295, 285)
)
_BELOW_NOSE_CM = 2.0
"""Points lower than this in the canonical face move with the jaw."""
_BROW_WEIGHT = 0.3
_CHUNK = 512
"""Frames solved at once; bounds the memory."""
_ROBUST_SHARE = 0.01
"""Residual at which a point's weight has halved, as a share of the face's width in the picture."""


@dataclass(frozen=True)
class Lens:
    """A pinhole camera, in pixels."""

    focal_px: float
    cx_px: float
    cy_px: float

    def project(self, points: np.ndarray) -> np.ndarray:
        """Camera space ``[..., 3]`` to pixels ``[..., 2]``."""
        centre = np.array([self.cx_px, self.cy_px])
        return self.focal_px * points[..., :2] / points[..., 2:] + centre


@dataclass(frozen=True)
class Poses:
    """One pose a frame."""

    rotations: np.ndarray
    """``float64 [n, 3, 3]``."""
    translations: np.ndarray
    """``float64 [n, 3]``, centimetres."""
    error_px: np.ndarray
    """``float64 [n]``: weighted mean distance of the rigid points from where they were seen."""


def rigid_weights(canonical: np.ndarray) -> np.ndarray:
    """How much each vertex of the canonical face counts for the pose, ``float64 [468]``."""
    moving = _LIDS | set(_FACE.lips) | set(_FACE.inner_lips)
    weights = np.zeros(len(canonical))
    for i, vertex in enumerate(canonical):
        if vertex[1] < _BELOW_NOSE_CM and i not in moving:
            weights[i] = _BROW_WEIGHT if i in _BROWS else 1.0
    return weights


def first_guess(points: np.ndarray, shape: np.ndarray, lens: Lens) -> Poses:
    """Upright heads that look into the camera, as large and where they are seen."""
    spread_px = np.sqrt(points.var(axis=1).sum(-1))
    depth = lens.focal_px * np.sqrt(shape[:, :2].var(axis=0).sum()) / np.maximum(spread_px, 1e-3)
    centre = (points.mean(1) - [lens.cx_px, lens.cy_px]) * depth[:, None] / lens.focal_px
    translations = np.concatenate([centre, depth[:, None]], axis=1) - shape.mean(0)
    rotations = np.broadcast_to(np.eye(3), (len(points), 3, 3)).copy()
    return Poses(rotations, translations, np.full(len(points), np.inf))


def solve(
    points: np.ndarray,
    shape: np.ndarray,
    weights: np.ndarray,
    lens: Lens,
    start: Poses,
    rounds: int,
) -> Poses:
    """Refine poses.

    Args:
        points: ``[n, V, 2]`` pixels, all finite.
        shape: ``[V, 3]`` the head at rest, centimetres, or ``[n, V, 3]``, one for each frame.
        weights: ``[V]``, zero for points that move by themselves.
        lens: the camera.
        start: where to begin.
        rounds: Gauss-Newton steps.
    """
    used = weights > 0
    parts = []
    for a in range(0, len(points), _CHUNK):
        part = slice(a, a + _CHUNK)
        seen = points[part][:, used].astype(np.float64)
        parts.append(
            _solve_chunk(
                seen,
                shape[used] if shape.ndim == 2 else shape[part][:, used],
                weights[used],
                lens,
                start.rotations[part],
                start.translations[part],
                rounds,
            )
        )
    joined = [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]
    return Poses(*joined)


def misses(points: np.ndarray, shape: np.ndarray, lens: Lens, poses: Poses) -> np.ndarray:
    """Mean distance of all points of each frame from where they were seen, pixels ``[n]``.

    Args:
        points: ``[n, V, 2]`` pixels.
        shape: ``[V, 3]``, or ``[n, V, 3]``, one for each frame.
        lens: the camera.
        poses: one a frame.
    """
    found = [
        np.linalg.norm(
            lens.project((shape if shape.ndim == 2 else shape[k]) @ r.T + t) - points[k], axis=-1
        ).mean()
        for k, (r, t) in enumerate(zip(poses.rotations, poses.translations, strict=True))
    ]
    return np.array(found)


def rotation_matrices(vectors: np.ndarray) -> np.ndarray:
    """Axis times angle ``[n, 3]`` to matrices ``[n, 3, 3]`` (Rodrigues)."""
    angle = np.maximum(np.linalg.norm(vectors, axis=-1), 1e-12)[:, None, None]
    cross = cross_matrices(vectors) / angle
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)


def cross_matrices(vectors: np.ndarray) -> np.ndarray:
    """``[..., 3]`` to the matrices ``[..., 3, 3]`` that take cross products with them."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    zero = np.zeros_like(x)
    rows = [[zero, -z, y], [z, zero, -x], [-y, x, zero]]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def projection_slopes(points: np.ndarray, focal_px: float) -> np.ndarray:
    """Derivative of pixels by camera-space position, ``[..., 2, 3]``."""
    depth = points[..., 2]
    slopes = np.zeros((*points.shape[:-1], 2, 3))
    slopes[..., 0, 0] = slopes[..., 1, 1] = focal_px / depth
    slopes[..., :, 2] = -focal_px * points[..., :2] / (depth**2)[..., None]
    return slopes


def _solve_chunk(
    seen: np.ndarray,
    shape: np.ndarray,
    weights: np.ndarray,
    lens: Lens,
    rotations: np.ndarray,
    translations: np.ndarray,
    rounds: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n = len(seen)
    width_px = np.ptp(seen[..., 0], axis=1)
    scale_px = np.maximum(_ROBUST_SHARE * width_px, 0.5)[:, None]
    for _ in range(rounds):
        turned = shape @ rotations.transpose(0, 2, 1)
        placed = turned + translations[:, None]
        residual = lens.project(placed) - seen
        by_place = projection_slopes(placed, lens.focal_px)
        by_turn = by_place @ -cross_matrices(turned)
        slopes = np.concatenate([by_turn, by_place], axis=-1).reshape(n, -1, 6)
        trust = weights / (1 + (np.linalg.norm(residual, axis=-1) / scale_px) ** 2)
        weighed = slopes * np.repeat(trust, 2, axis=1)[..., None]
        normal = weighed.transpose(0, 2, 1) @ slopes + 1e-6 * np.eye(6)
        pull = weighed.transpose(0, 2, 1) @ residual.reshape(n, -1, 1)
        move = -np.linalg.solve(normal, pull)[..., 0]
        rotations = rotation_matrices(move[:, :3]) @ rotations
        translations = translations + move[:, 3:]
        # A head behind the lens cannot come back by itself.
        translations[:, 2] = np.maximum(translations[:, 2], 5.0)
    placed = shape @ rotations.transpose(0, 2, 1) + translations[:, None]
    distance = np.linalg.norm(lens.project(placed) - seen, axis=-1)
    return rotations, translations, distance @ weights / weights.sum()
