"""An open face model (ICT-FaceKit), read from a file and carried over to MediaPipe's points.

The file is a ``.npz`` with ``neutral [N, 3]``, ``id_delta [I, N, 3]``, ``exp_delta [E, N, 3]``,
``exp_names [E]`` and ``landmarks68 [68]``: centimetres, y up, z towards the camera. A face is the
neutral one plus identities, for good, plus expressions, for a moment. Where on it MediaPipe's 468
points lie is found by bending it onto MediaPipe's canonical face: first at the 68 landmarks that
both know (thin-plate splines), then wherever the two then lie close to each other.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.interpolate import RBFInterpolator
from scipy.spatial import cKDTree

from gstalker.errors import GSTalkerError
from gstalker.face import IBUG68_OF_MEDIAPIPE478, LAYOUTS
from gstalker.prepare.tracking.pose import rigid_weights

_FACE = LAYOUTS["mediapipe478"]
_SHARED = slice(17, 68)
"""Of the 68: along the jaw the two annotations differ by design."""
_NEAR_CM = 0.6
"""Points closer than this after the first bending guide the second."""
_LIPS_CM = 1.2
"""So close to the line between the lips, the nearest vertex may belong to the other lip."""
_NEIGHBOURS = 3
_JAW = "jawOpen"


@dataclass(frozen=True)
class FaceModel:
    """A morphable face in MediaPipe's 468 points, the canonical face's place and axes."""

    name: str
    """Of the file."""
    rest: np.ndarray
    """``float64 [V, 3]`` centimetres, y down, z away: the usual person."""
    identity: np.ndarray
    """``float64 [I, V, 3]``: what one unit (one standard deviation among people) moves."""
    expression: np.ndarray
    """``float64 [E, V, 3]``: what the whole of an expression, 1, moves."""
    expression_names: tuple[str, ...]
    rigid: np.ndarray
    """``float64 [V]``: how much each point counts for the pose."""


def read(path: Path, canonical: np.ndarray) -> FaceModel:
    """Read a face model.

    Args:
        path: the ``.npz``.
        canonical: ``[468, 3]`` MediaPipe's canonical face, centimetres, y down.

    Raises:
        GSTalkerError: there is no such file, or it is no face model; says what it lacks.
    """
    neutral, identity, expression, names, marks = _load(path)
    at, weights = _attached(neutral, expression, names, marks, canonical)
    scale, turn, shift = _similarity(
        neutral[marks][_SHARED], canonical[list(IBUG68_OF_MEDIAPIPE478)][_SHARED]
    )

    def carried(values: np.ndarray) -> np.ndarray:
        return np.asarray(scale * (values[..., at, :] * weights[..., None]).sum(-2) @ turn.T)

    return FaceModel(
        name=path.name,
        rest=carried(neutral) + shift,
        identity=carried(identity),
        expression=carried(expression),
        expression_names=names,
        rigid=rigid_weights(canonical),
    )


def _load(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str, ...], np.ndarray]:
    """Checked arrays, turned to y down and z away."""
    try:
        with np.load(path, allow_pickle=False) as file:
            neutral, identity, expression = (
                np.asarray(file[key], np.float64) * [1, -1, -1]
                for key in ("neutral", "id_delta", "exp_delta")
            )
            names = tuple(str(name) for name in file["exp_names"])
            marks = np.asarray(file["landmarks68"], np.int64)
    except FileNotFoundError as error:
        raise GSTalkerError(f"there is no face model at {path}.") from error
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise GSTalkerError(
            f"{path} is no face model that can be read ({error}); an .npz with neutral, id_delta, "
            "exp_delta, exp_names and landmarks68 is wanted."
        ) from error
    count = len(neutral)
    wrong = [
        what
        for what, fine in (
            (f"neutral is {neutral.shape}", neutral.shape == (count, 3) and count >= 68),
            (f"id_delta is {identity.shape}", identity.shape[1:] == (count, 3)),
            (f"exp_delta is {expression.shape}", expression.shape == (len(names), count, 3)),
            (f"{len(names)} exp_names lack {_JAW}", _JAW in names),
            (
                "landmarks68 are not 68 vertices",
                marks.shape == (68,) and bool(((marks >= 0) & (marks < count)).all()),
            ),
            (
                "some values are not numbers",
                all(np.isfinite(a).all() for a in (neutral, identity, expression)),
            ),
        )
        if not fine
    ]
    if wrong:
        raise GSTalkerError(f"{path} is no face model that can be used: {', '.join(wrong)}.")
    return neutral, identity, expression, names, marks


def _attached(
    neutral: np.ndarray,
    expression: np.ndarray,
    names: tuple[str, ...],
    marks: np.ndarray,
    canonical: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices ``[468, k]`` and weights ``[468, k]`` of each of MediaPipe's points."""
    known = canonical[list(IBUG68_OF_MEDIAPIPE478)][_SHARED]
    scale, turn, shift = _similarity(neutral[marks][_SHARED], known)
    placed = scale * neutral @ turn.T + shift
    bent = _bent(placed, placed[marks][_SHARED], known, stiff=0.1)
    below_model = _below_lips_model(neutral, expression[names.index(_JAW)], marks)
    below = _below_lips(canonical)
    for last in (False, True):
        at, away = _nearest(bent, canonical, below_model, below)
        near = away[:, 0] < _NEAR_CM
        if not last:
            sources = placed[at[near, 0]]
            bent = _bent(placed, sources, canonical[near], stiff=1.0)
    weights = 1 / (away + 0.05)
    return at, weights / weights.sum(1, keepdims=True)


def _nearest(
    vertices: np.ndarray, points: np.ndarray, below_model: np.ndarray, below: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest vertices ``[P, k]`` of the same lip, and how far they are."""
    at = np.empty((len(points), _NEIGHBOURS), np.int64)
    away = np.empty((len(points), _NEIGHBOURS))
    for side in (-1, 0, 1):
        chosen = np.flatnonzero(below == side)
        allowed = np.flatnonzero(below_model != -side) if side else np.arange(len(vertices))
        away[chosen], found = cKDTree(vertices[allowed]).query(points[chosen], k=_NEIGHBOURS)
        at[chosen] = allowed[found]
    return at, away


def _below_lips(canonical: np.ndarray) -> np.ndarray:
    """1 for points of the lower lip and just below, -1 for the upper, 0 far from the lips."""
    inner = canonical[list(_FACE.inner_lips)]
    half = len(inner) // 2
    sides = np.zeros(len(canonical), int)
    away, nearest = cKDTree(inner[:, :2]).query(canonical[:, :2])
    close = away < _LIPS_CM
    sides[close] = np.sign(canonical[close, 1] - inner[nearest[close], 1])
    for k, index in enumerate(_FACE.inner_lips):
        corner = k in (0, half)
        sides[index] = 0 if corner else 1 if k < half else -1  # in order around, lower ones first
    return sides


def _below_lips_model(neutral: np.ndarray, jaw: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """The same for the model's vertices: the lower lip is what the jaw takes along."""
    inner = neutral[marks[60:68]]
    away = cKDTree(inner).query(neutral)[0]
    taken = np.linalg.norm(jaw, axis=1) > 0.5 * np.linalg.norm(jaw[marks[66]])
    return np.where(away < 2 * _LIPS_CM, np.where(taken, 1, -1), 0)


def _bent(
    vertices: np.ndarray, sources: np.ndarray, targets: np.ndarray, stiff: float
) -> np.ndarray:
    """All vertices moved as the sources move to their targets, smoothly."""
    sources, kept = np.unique(sources, axis=0, return_index=True)
    moves = RBFInterpolator(
        sources, targets[kept] - sources, smoothing=stiff, kernel="thin_plate_spline"
    )
    return vertices + moves(vertices)


def _similarity(a: np.ndarray, b: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation and shift that bring ``a [n, 3]`` nearest to ``b`` (Umeyama 1991)."""
    mean_a, mean_b = a.mean(0), b.mean(0)
    u, s, vt = np.linalg.svd((b - mean_b).T @ (a - mean_a))
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    turn = (u * sign) @ vt
    scale = float((s * sign).sum() / ((a - mean_a) ** 2).sum())
    return scale, turn, mean_b - scale * turn @ mean_a
