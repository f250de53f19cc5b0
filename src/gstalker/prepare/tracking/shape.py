"""The subject's own face and the lens: solved in turns with the poses, over the whole clip.

One rest shape serves all frames. It starts as the canonical face and is pulled back to it
(Tikhonov), which also fixes its size and place. With the canonical face points miss by 1.6 pixels
on the trial clip, with the subject's own by 0.28.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gstalker.prepare.tracking import pose
from gstalker.prepare.tracking.pose import Lens, Poses

_SUBSET = 320
"""Frames that shape and lens are solved from, spread evenly."""
_ALTERNATIONS = 4
_PULL_SHARE = 0.15
"""A vertex one centimetre off the canonical face costs as much, in every frame, as a misfit of this
share of a centimetre in the picture."""

FOCAL_SHARE = 3.5
"""Expected focal length over the picture's shorter side, its height unless it is held upright: a
portrait filmed from two or three metres."""
_FOCAL_SPREAD = 0.35
"""Standard deviation of that expectation, in log units: webcams and telephones have half of it, and
pictures cut out of a broadcast twice as much."""
_FOCAL_TRIALS = (0.4, 0.63, 1.0, 1.6, 2.5)
_OBSERVATIONS = 8.0
"""How many independent observations a whole clip's landmarks are worth for the focal length. Few,
for their errors are systematic: on five clips of four people the bare landmarks put every head at
about 60 cm, an address filmed from across the room included."""


@dataclass(frozen=True)
class Focal:
    """The focal length and how well it is known."""

    focal_px: float
    spread: float
    """Standard deviation of its logarithm after seeing the data."""
    data_px: float | None
    """What the landmarks alone would say; ``None`` where they say nothing."""
    curve: list[tuple[float, float]]
    """Focal lengths tried, and how ill the landmarks fit them: minus their log likelihood."""


def fit_shape(
    points: np.ndarray, canonical: np.ndarray, lens: Lens
) -> tuple[np.ndarray, Poses, float]:
    """Shape and poses of a set of frames, in alternation.

    Args:
        points: ``[n, V, 2]`` pixels, all finite.
        canonical: ``[V, 3]``.
        lens: the camera.

    Returns:
        the shape ``[V, 3]``, the poses, and the cost in squared pixels: misfit of the rigid points
        plus the pull towards the canonical face, summed over the frames.
    """
    weights = pose.rigid_weights(canonical)
    shape = canonical.copy()
    poses = pose.solve(
        points, shape, weights, lens, pose.first_guess(points, shape, lens), rounds=10
    )
    for _ in range(_ALTERNATIONS):
        shape = reshape(
            points, shape, canonical, lens, poses.rotations, poses.translations, _PULL_SHARE
        )
        poses = pose.solve(points, shape, weights, lens, poses, rounds=3)
    return shape, poses, _cost(points, shape, canonical, weights, lens, poses)


def estimate_focal(
    points: np.ndarray, canonical: np.ndarray, side: float, cx_px: float, cy_px: float
) -> Focal:
    """The focal length, from the data as far as they tell and from expectation otherwise.

    A face that turns little looks alike through many lenses; then the cost is flat over the focal
    length and the expectation of 3.5 picture heights stands. Likelihood of the landmarks (noise
    integrated out, so Student's) times expectation gives the mean and spread.

    Args:
        points: ``[n, V, 2]`` pixels.
        canonical: ``[V, 3]``.
        side: the shorter one of the whole filmed picture, in pixels of the prepared one.
        cx_px: principal point.
        cy_px: principal point.
    """
    expected = np.log(FOCAL_SHARE * side)
    points = points[:: max(len(points) // (_SUBSET // 2), 1)]
    logs = expected + np.log(_FOCAL_TRIALS)
    costs = np.array(
        [fit_shape(points, canonical, Lens(float(np.exp(f)), cx_px, cy_px))[2] for f in logs]
    )
    surprise = _OBSERVATIONS / 2 * np.log(np.maximum(costs, 1e-9))
    grid = np.linspace(logs[0], logs[-1], 401)
    misfit = _smooth_curve(logs, surprise, grid)
    best = grid[misfit.argmin()]
    inside = logs[0] < best < logs[-1]
    total = misfit + (grid - expected) ** 2 / (2 * _FOCAL_SPREAD**2)
    belief = np.exp(-(total - total.min()))
    belief /= belief.sum()
    mean = float((belief * grid).sum())
    spread = float(np.sqrt((belief * (grid - mean) ** 2).sum()))
    curve = [(float(np.exp(f)), float(s)) for f, s in zip(logs, surprise, strict=True)]
    return Focal(float(np.exp(mean)), spread, float(np.exp(best)) if inside else None, curve)


def subset(count: int) -> np.ndarray:
    """Indices of the frames that the shape is solved from."""
    return np.unique(np.linspace(0, count - 1, min(count, _SUBSET)).round().astype(int))


def reshape(
    points: np.ndarray,
    shape: np.ndarray,
    towards: np.ndarray,
    lens: Lens,
    rotations: np.ndarray,
    translations: np.ndarray,
    share: float,
    moves: np.ndarray | float = 0.0,
    *,
    rounds: int = 2,
) -> np.ndarray:
    """Some Gauss-Newton steps on every vertex, poses held, ``float64 [V, 3]``.

    Args:
        points: ``[n, V, 2]`` pixels, all finite.
        shape: ``[V, 3]``, where to begin.
        towards: ``[V, 3]``, where each vertex is pulled to.
        lens: the camera.
        rotations: ``[n, 3, 3]``, head to camera.
        translations: ``[n, 3]``.
        share: how hard; see ``pull``.
        moves: ``[n, V, 3]`` by which expressions move the vertices.
        rounds: steps.
    """
    stiff = len(points) * pull(share, lens, translations)
    for _ in range(rounds):
        turned = (shape + moves) @ rotations.transpose(0, 2, 1)
        placed = turned + translations[:, None]
        residual = lens.project(placed) - points
        slopes = pose.projection_slopes(placed, lens.focal_px) @ rotations[:, None]
        normal = (slopes.swapaxes(-1, -2) @ slopes).sum(0) + stiff * np.eye(3)
        push = (slopes.swapaxes(-1, -2) @ residual[..., None]).sum(0)[..., 0]
        push += stiff * (shape - towards)
        shape = shape - np.linalg.solve(normal, push[..., None])[..., 0]
    return shape


def pull(cm: float, lens: Lens, translations: np.ndarray) -> float:
    """Squared pixels that so many centimetres make at the head's distance."""
    return (cm * lens.focal_px / float(np.median(translations[:, 2]))) ** 2


def _cost(
    points: np.ndarray,
    shape: np.ndarray,
    canonical: np.ndarray,
    weights: np.ndarray,
    lens: Lens,
    poses: Poses,
) -> float:
    used = weights > 0
    placed = shape[used] @ poses.rotations.transpose(0, 2, 1) + poses.translations[:, None]
    misfit = ((lens.project(placed) - points[:, used]) ** 2).sum()
    stiff = len(points) * pull(_PULL_SHARE, lens, poses.translations)
    return float(misfit + stiff * ((shape - canonical)[used] ** 2).sum())


def _smooth_curve(at: np.ndarray, values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """A cubic through the trials, least squares."""
    centre = at.mean()
    return np.polyval(np.polyfit(at - centre, values, 3), grid - centre)
