"""A face mesh, the shapes that it is blended of, and how much of each was seen in every frame.

Two sources: the speaker's own landmarks, whose main ways of moving become the shapes; or the file
of an open morphable face, fitted to the speaker's face at rest and then to each frame's landmarks.
Depth is not seen, so displacements are those across the view.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import nnls
from scipy.spatial import Delaunay

from gstalker import face
from gstalker.data.capture import Capture
from gstalker.errors import CaptureError, ConfigError

OPENEST_SHARE = 0.05
"""Of the training frames, the widest open mouths: on their mean shape the lips lie apart."""
MODEL_KEYS = ("neutral", "exp_delta", "id_delta", "quads", "landmarks68")
"""A morphable face's arrays: ``[V, 3]``, ``[E, V, 3]``, ``[I, V, 3]``, ``[Q, 4]``, ``[68]``."""
IDENTITY_RIDGE, EXPRESSION_RIDGE = 0.3, 0.3
"""Centimetres of misfit that a unit of identity, and of expression, is worth."""
_ROUNDS = 5


@dataclass(frozen=True)
class Blendshapes:
    """A face and its shapes."""

    rest: Float[np.ndarray, "V 3"]
    """Head space, centimetres."""
    triangles: Int[np.ndarray, "T 3"]
    shapes: Float[np.ndarray, "K V 3"]
    """Displacement for one unit of each."""
    seen: Float[np.ndarray, "F K"]
    """Of each frame; where no face was found, the mean of the training frames."""


def displacements(capture: Capture) -> tuple[np.ndarray, np.ndarray]:
    """How far each landmark is from where it rests, across the view, in head space.

    Returns:
        The vertices that are landmarks ``[L]``, and ``float64 [F, L, 3]`` in centimetres; NaN
        where no face was found.
    """
    vertices = face.vertices_of(capture.meta["landmarks"], len(capture.mesh))
    pixels = capture.landmarks[:, : len(vertices)].astype(np.float64)
    poses, k = capture.poses.double().numpy(), capture.Ks.double().numpy()
    rest = capture.mesh[vertices].astype(np.float64)
    posed = np.einsum("fij,lj->fli", poses[:, :3, :3], rest) + poses[:, None, :3, 3]
    depth = posed[..., 2:]
    across = (pixels - k[:2, 2]) / [k[0, 0], k[1, 1]] * depth - posed[..., :2]
    moved = np.concatenate([across, np.zeros_like(depth)], axis=2)
    return vertices, np.einsum("fji,flj->fli", poses[:, :3, :3], moved)


def from_landmarks(capture: Capture, ids: np.ndarray, count: int) -> Blendshapes:
    """The speaker's own shapes: principal components of how the landmarks move.

    Args:
        capture: with landmarks.
        ids: training frames, the only ones that shapes are learned from.
        count: of shapes; a unit of each is its standard deviation.

    Raises:
        CaptureError: there are too few faces for so many shapes.
    """
    vertices, moved = displacements(capture)
    rows = moved.reshape(len(moved), -1)
    good = ids[np.isfinite(rows[ids]).all(1)]
    if len(good) <= count:
        raise CaptureError(
            f"{capture.folder} has {len(good)} training frames with a face, too few for "
            f"{count} blendshapes.\n  Use fewer: method.components={max(len(good) // 4, 1)}"
        )
    mean = rows[good].mean(0)
    variances, directions = np.linalg.eigh(np.cov(rows[good].T))
    kept = directions[:, ::-1][:, :count]
    deviations = np.sqrt(np.maximum(variances[::-1][:count], 1e-12))
    seen = np.nan_to_num((rows - mean) @ kept / deviations)
    rest = capture.mesh[vertices] + mean.reshape(-1, 3)
    mouth = np.nan_to_num(capture.mouth[good])
    openest = good[mouth >= np.quantile(mouth, 1 - OPENEST_SHARE)]
    open_shape = capture.mesh[vertices] + moved[openest].mean(0)
    triangles = Delaunay(open_shape[:, :2], qhull_options="QJ Qbb").simplices
    shapes = (kept * deviations).T.reshape(count, -1, 3)
    return Blendshapes(rest, triangles.astype(np.int64), shapes, seen)


def from_model(path: Path, capture: Capture, ids: np.ndarray) -> Blendshapes:
    """An open morphable face, made this speaker's.

    Args:
        path: ``.npz`` with ``MODEL_KEYS``.
        capture: with landmarks of which 68 are iBUG's.
        ids: training frames.

    Raises:
        ConfigError: the file cannot be read or is no such model.
    """
    model = _read(path)
    vertices, moved = displacements(capture)
    chosen = np.arange(len(vertices))
    if len(vertices) > 68:
        chosen = np.array(face.IBUG68_OF_MEDIAPIPE478)
    target, points = capture.mesh[vertices[chosen]].astype(np.float64), model["landmarks68"]
    scale, turn, shift, identity = _fit_rest(model, target, points)
    neutral = model["neutral"] + np.einsum("i,ivc->vc", identity, model["id_delta"])
    rest = scale * neutral @ turn.T + shift
    shapes = scale * model["exp_delta"] @ turn.T
    seen = _fit_expressions(shapes[:, points], moved[:, chosen])
    seen = np.where(np.isfinite(seen), seen, np.nanmean(seen[ids], axis=0))
    quads = model["quads"].astype(np.int64)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    return Blendshapes(rest, triangles, shapes, seen)


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            lacking = [key for key in MODEL_KEYS if key not in file]
            if not lacking:
                return {
                    key: file[key].astype(np.float64 if "delta" in key or key == "neutral" else int)
                    for key in MODEL_KEYS
                }
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(
            f"method.model: {path} cannot be read ({error}).\n"
            "  Name an .npz of a morphable face, or use the landmarks: method.model=''"
        ) from error
    raise ConfigError(
        f"method.model: {path} is no morphable face: it lacks {', '.join(lacking)}.\n"
        "  Name another file, or use the landmarks: method.model=''"
    )


def _fit_rest(
    model: dict[str, np.ndarray], target: np.ndarray, points: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Scale, rotation, shift and identity that bring the model's 68 points to ``target``."""
    ways = model["id_delta"][:, points]
    identity = np.zeros(len(ways))
    for _ in range(_ROUNDS):
        source = model["neutral"][points] + np.einsum("i,ivc->vc", identity, ways)
        scale, turn, shift = _similarity(source, target)
        wanted = (target - shift) @ turn / scale - model["neutral"][points]
        a = ways.reshape(len(ways), -1)
        ridge = (IDENTITY_RIDGE / scale) ** 2 * np.eye(len(ways))
        identity = np.linalg.solve(a @ a.T + ridge, a @ wanted.ravel())
    return scale, turn, shift, identity


def _similarity(source: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation and shift from points to points, least squares (Umeyama 1991)."""
    a, b = source - source.mean(0), target - target.mean(0)
    u, s, v = np.linalg.svd(b.T @ a)
    sign = np.array([1, 1, np.sign(np.linalg.det(u @ v))])
    turn = (u * sign) @ v
    scale = float((s * sign).sum() / (a**2).sum())
    return scale, turn, target.mean(0) - scale * turn @ source.mean(0)


def _fit_expressions(shapes: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Expressions of every frame, none negative; NaN where no face was found."""
    ways = shapes[..., :2].reshape(len(shapes), -1).T
    a = np.concatenate([ways, EXPRESSION_RIDGE * np.eye(len(shapes))])
    seen = np.full((len(moved), len(shapes)), np.nan)
    for f, frame in enumerate(moved[..., :2].reshape(len(moved), -1)):
        if np.isfinite(frame).all():
            seen[f] = nnls(a, np.concatenate([frame, np.zeros(len(shapes))]))[0]
    return seen
