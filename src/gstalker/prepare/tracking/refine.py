"""Poses refined on the pictures: the rigid part of the face must look the same in every frame.

Landmarks of a face that turns or speaks are a little wrong in the same way each time, and poses
solved from them inherit it. Here samples on the tracked mesh carry the brightness that they
usually have, and each frame's pose is moved until the picture agrees (Gauss-Newton; Baker and
Matthews 2004), allowing for another light and for what does not fit (Cauchy). The mesh's depth is
put right first, for poses can be no better than it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gstalker.data.rows import Rows
from gstalker.prepare import pieces
from gstalker.prepare.tracking import relief
from gstalker.prepare.tracking.looks import Surface, misfit, sloped, surface
from gstalker.prepare.tracking.pose import Lens, rotation_matrices

log = logging.getLogger(__name__)

_ADJUSTED_FRAMES = 25
"""Frames that the depth is solved from, spread evenly. Few, for what is wrong with the model of the
face is wrong in all of them: with 100, what they say together outweighs the landmarks' depth, and
turns of two synthetic heads came out 15 % too small."""
_ROUNDS = 6
_STILL = 2e-5
"""Radians; a smaller step ends the search."""
_TURN_SPREAD = np.radians(3.0)
_SHIFT_SPREAD, _DEPTH_SPREAD = 0.01, 0.03
"""How far the landmarks' pose may be off: an angle, and shares of the distance."""
_PIECE = 200


@dataclass(frozen=True)
class Refined:
    """Better poses and mesh, and how far the pictures bear them out."""

    rotations: np.ndarray
    """``float64 [F, 3, 3]``."""
    translations: np.ndarray
    """``float64 [F, 3]``."""
    mesh: np.ndarray
    likeness: np.ndarray
    """``float64 [F]`` as :class:`~gstalker.prepare.tracking.looks.Misfit` has it; NaN for frames
    without a pose of their own."""
    moved: bool


def refine(
    frames: Path,
    rotations: np.ndarray,
    translations: np.ndarray,
    ids: np.ndarray,
    mesh: np.ndarray,
    weights: np.ndarray,
    lens: Lens,
    workers: int,
    kept: Path,
    *,
    move: bool = True,
) -> Refined:
    """Refined poses of the frames ``ids``, those of others as they are; and the mesh they fit.

    Args:
        frames: ``frames.npy``.
        rotations: ``[F, 3, 3]`` from the landmarks.
        translations: ``[F, 3]``.
        ids: frame numbers with a pose of their own.
        mesh: ``[V, 3]`` the face at rest, from the landmarks.
        weights: ``[V]``: how much each vertex counts for the pose; see ``rigid_weights``.
        lens: the camera.
        workers: processes.
        kept: folder in which frames done are kept, for a run that is killed.
        move: otherwise poses and mesh stay as they are, and are only looked at.
    """
    log.info("poses are %s the pictures", "refined on" if move else "compared with")
    rotations, translations = rotations.copy(), translations.copy()
    pictures = Rows(frames)
    on = surface(mesh, weights)
    chosen = np.linspace(0, len(ids) - 1, min(len(ids), _ADJUSTED_FRAMES)).astype(int)
    some = ids[np.unique(chosen)]
    deeper, looks = relief.adjust(
        pictures.__getitem__, some, rotations[some], translations[some], on, lens
    )
    on = on.moved(deeper.at(on.points))
    jobs = [
        _Piece(frames, part, rotations[part], translations[part], on, looks, lens, move)
        for part in np.array_split(ids, max(len(ids) // _PIECE, 1))
    ]
    likeness = np.full(len(rotations), np.nan)
    for job, found in zip(jobs, pieces.resumed(_align_piece, jobs, workers, kept), strict=True):
        rotations[job.ids], translations[job.ids] = found[:, :, :3], found[:, :, 3]
        likeness[job.ids] = found[:, 0, 4]
    return Refined(
        rotations, translations, mesh + deeper.at(mesh) if move else mesh, likeness, move
    )


def align(
    picture: np.ndarray,
    rotation: np.ndarray,
    translation: np.ndarray,
    on: Surface,
    looks: np.ndarray,
    lens: Lens,
    *,
    move: bool = True,
) -> tuple[np.ndarray, np.ndarray, float]:
    """The pose near the given one under which the samples look as usual, and how much they do.

    With ``move`` false, how much they do under the given pose.
    """
    shown = sloped(picture)
    spread = _spread(translation)
    moved = np.zeros(6)
    for _ in range(_ROUNDS):
        found = misfit(shown, rotation, translation, on, looks, lens)
        if found.light[0] <= 0 or not move:
            break
        jacobian = np.concatenate([found.by_pose, -found.by_light], axis=1)
        weighed = jacobian * found.weight[:, None]
        normal = weighed.T @ jacobian + 1e-9 * np.eye(jacobian.shape[1])
        pull = weighed.T @ found.residual
        normal[range(6), range(6)] += 1 / spread**2
        pull[:6] += moved / spread**2
        step = -np.linalg.solve(normal, pull)[:6]
        rotation = rotation_matrices(step[None, :3])[0] @ rotation
        translation = translation + step[3:]
        moved += step
        if np.abs(step[:3]).max() < _STILL:
            break
    return rotation, translation, found.likeness


@dataclass(frozen=True)
class _Piece:
    frames: Path
    ids: np.ndarray
    rotations: np.ndarray
    translations: np.ndarray
    on: Surface
    looks: np.ndarray
    lens: Lens
    move: bool


def _align_piece(piece: _Piece) -> np.ndarray:
    """Rotations beside translations beside likeness, ``float64 [n, 3, 5]``."""
    pictures = Rows(piece.frames)
    found = [
        align(pictures[i], r, t, piece.on, piece.looks, piece.lens, move=piece.move)
        for i, r, t in zip(piece.ids, piece.rotations, piece.translations, strict=True)
    ]
    return np.array([np.column_stack([r, t, np.full(3, like)]) for r, t, like in found])


def _spread(translation: np.ndarray) -> np.ndarray:
    distance = float(translation[2])
    shift = _SHIFT_SPREAD * distance
    return np.array([*[_TURN_SPREAD] * 3, shift, shift, _DEPTH_SPREAD * distance])
