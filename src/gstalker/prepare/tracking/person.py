"""One person's face from a morphable model: identity for good, expressions frame by frame.

Solved in turns over some frames of the clip: poses from the rigid part of the face as it now is,
expressions from all points, identity, and last what no identity of the model can say, each vertex
pulled back to the model. So the mesh is the person's face with no expression on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gstalker.prepare.tracking import pose, shape
from gstalker.prepare.tracking.morphable import FaceModel
from gstalker.prepare.tracking.pose import Lens, Poses

_TURNS = 6
_PULL_SHARE = 0.05
"""As in ``shape``: what a vertex one centimetre off the model costs in every frame. Less than
there: with 0.15 the refined poses of two synthetic heads were 0.2 degrees worse."""
_UNIT_CM = 1.0
"""One standard deviation of identity costs, in every frame, as much as misfits of the points
whose squares add up to this squared, in centimetres."""
_WHOLE_CM = 0.5
"""The same for the whole of an expression."""
_SPARSE = 0.1
"""The first bit of an expression costs as much again as this much of it: few at once."""
_SWEEPS = 30
_ROUNDS = 2
_PIECE = 512
_CHUNK = 64
"""Frames whose expressions are solved at once; bounds the memory."""
_ROBUST_SHARE = 0.03
"""Residual at which a point's weight for the expression has halved, of the face's width."""


@dataclass(frozen=True)
class Person:
    """Who it is."""

    mesh: np.ndarray
    """``float64 [V, 3]``: the face without expression, centimetres, head space."""
    identity: np.ndarray
    """``float64 [I]``: standard deviations of the model."""
    off_model_cm: float
    """Root mean square distance of the mesh from the model's nearest face."""


def fit(points: np.ndarray, model: FaceModel, lens: Lens) -> Person:
    """The person seen in a set of frames.

    Args:
        points: ``[n, V, 2]`` pixels, all finite.
        model: the morphable face.
        lens: the camera.
    """
    weights = model.rigid
    own, mesh = model.rest, model.rest
    identity = np.zeros(len(model.identity))
    poses = pose.solve(points, mesh, weights, lens, pose.first_guess(points, mesh, lens), rounds=10)
    for _ in range(_TURNS):
        expressions = express(points, mesh, model, lens, poses)
        faces = mesh + moved(expressions, model)
        poses = pose.solve(points, faces, weights, lens, poses, rounds=3)
        identity = _identity(points, faces - mesh, model, lens, poses)
        own = model.rest + np.tensordot(identity, model.identity, 1)
        mesh = shape.reshape(
            points, own, own, lens, poses.rotations, poses.translations, _PULL_SHARE, faces - mesh
        )
    off = float(np.sqrt(((mesh - own) ** 2).sum(1).mean()))
    return Person(mesh, identity, off)


def follow(
    points: np.ndarray, person: Person, model: FaceModel, lens: Lens
) -> tuple[Poses, np.ndarray, np.ndarray]:
    """Poses and expressions of all frames.

    Args:
        points: ``[n, V, 2]`` pixels, all finite.
        person: who is seen.
        model: the morphable face.
        lens: the camera.

    Returns:
        the poses; the expressions, ``float64 [n, E]`` in [0, 1]; and how far all points, lips and
        lids too, lie from where they were seen, pixels ``[n]``.
    """
    # Piece by piece: the faces of all frames at once would be a lot of memory.
    parts = [
        _follow(points[a : a + _PIECE].astype(np.float64), person.mesh, model, lens)
        for a in range(0, len(points), _PIECE)
    ]
    joined = [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]
    return Poses(*joined[:3]), joined[3], joined[4]


def _follow(
    points: np.ndarray, mesh: np.ndarray, model: FaceModel, lens: Lens
) -> tuple[np.ndarray, ...]:
    weights = model.rigid
    guess = pose.first_guess(points, mesh, lens)
    poses = pose.solve(points, mesh, weights, lens, guess, rounds=12)
    for _ in range(_ROUNDS):
        expressions = express(points, mesh, model, lens, poses)
        faces = mesh + moved(expressions, model)
        poses = pose.solve(points, faces, weights, lens, poses, rounds=3)
    all_px = pose.misses(points, faces, lens, poses)
    return poses.rotations, poses.translations, poses.error_px, expressions, all_px


def moved(expressions: np.ndarray, model: FaceModel) -> np.ndarray:
    """How far expressions ``[n, E]`` move every point, ``[n, V, 3]``."""
    return np.tensordot(expressions, model.expression, 1)


def express(
    points: np.ndarray, mesh: np.ndarray, model: FaceModel, lens: Lens, poses: Poses
) -> np.ndarray:
    """Expressions of frames whose poses are known, ``float64 [n, E]`` in [0, 1].

    Regularised least squares within bounds, by coordinate descent; points far off count less.
    """
    parts = [
        _express(
            points[a : a + _CHUNK].astype(np.float64),
            mesh,
            model.expression,
            lens,
            poses.rotations[a : a + _CHUNK],
            poses.translations[a : a + _CHUNK],
        )
        for a in range(0, len(points), _CHUNK)
    ]
    return np.concatenate(parts)


def _express(
    points: np.ndarray,
    mesh: np.ndarray,
    basis: np.ndarray,
    lens: Lens,
    rotations: np.ndarray,
    translations: np.ndarray,
) -> np.ndarray:
    n = len(points)
    found = np.zeros((n, len(basis)))
    scale_px = np.maximum(_ROBUST_SHARE * np.ptp(points[..., 0], axis=1), 1.0)[:, None]
    pull = shape.pull(_WHOLE_CM, lens, translations)
    for _ in range(2):
        faces = mesh + np.tensordot(found, basis, 1)
        placed = faces @ rotations.transpose(0, 2, 1) + translations[:, None]
        residual = points - lens.project(placed)
        trust = 1 / (1 + (np.linalg.norm(residual, axis=-1) / scale_px) ** 2)
        slopes = pose.projection_slopes(placed, lens.focal_px) @ rotations[:, None]
        # [V, n*2, 3] @ [V, 3, E]: every point's pixels by every expression.
        by = slopes.transpose(1, 0, 2, 3).reshape(len(mesh), -1, 3) @ basis.transpose(1, 2, 0)
        jacobian = by.reshape(len(mesh), n, 2, -1).transpose(1, 0, 2, 3).reshape(n, -1, len(basis))
        weighed = jacobian * np.repeat(trust, 2, axis=1)[..., None]
        normal = weighed.transpose(0, 2, 1) @ jacobian + pull * np.eye(len(basis))
        # The whole vector is asked for, not its change: hence the present one's own effect.
        seen = residual.reshape(n, -1, 1) + jacobian @ found[..., None]
        push = (weighed.transpose(0, 2, 1) @ seen)[..., 0] - _SPARSE * pull
        found = _within_bounds(normal, push, found)
    return found


def _within_bounds(normal: np.ndarray, push: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Least ``x N x / 2 - p x`` for ``x`` in [0, 1], by coordinate descent, ``[n, E]``."""
    found = start.copy()
    for _ in range(_SWEEPS):
        for k in range(found.shape[1]):
            rest = (normal[:, k] * found).sum(-1) - normal[:, k, k] * found[:, k]
            found[:, k] = np.clip((push[:, k] - rest) / normal[:, k, k], 0.0, 1.0)
    return found


def _identity(
    points: np.ndarray, moves: np.ndarray, model: FaceModel, lens: Lens, poses: Poses
) -> np.ndarray:
    """Least squares over all frames, expressions and poses held, ``[I]``."""
    count = len(model.identity)
    normal, push = np.zeros((count, count)), np.zeros(count)
    placed = (model.rest + moves) @ poses.rotations.transpose(0, 2, 1) + poses.translations[:, None]
    for k, (r, where) in enumerate(zip(poses.rotations, placed, strict=True)):
        slopes = pose.projection_slopes(where, lens.focal_px) @ r
        jacobian = (slopes @ model.identity.transpose(1, 2, 0)).reshape(-1, count)
        normal += jacobian.T @ jacobian
        push += jacobian.T @ (points[k] - lens.project(where)).ravel()
    normal += len(points) * shape.pull(_UNIT_CM, lens, poses.translations) * np.eye(count)
    return np.linalg.solve(normal, push)
