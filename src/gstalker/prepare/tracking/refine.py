"""Poses refined on the pictures: the rigid part of the face must look the same in every frame.

Landmarks of a face that turns or speaks are a little wrong in the same way each time, and poses
solved from them inherit it. Here samples on the tracked mesh carry the brightness that they
usually have, and each frame's pose is moved until the picture agrees (Gauss-Newton; Baker and
Matthews 2004), allowing for another exposure and for what does not fit (Cauchy).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import Delaunay

from gstalker.prepare.parallel import ordered
from gstalker.prepare.tracking.pose import (
    Lens,
    cross_matrices,
    projection_slopes,
    rotation_matrices,
)

Frame = Callable[[int], np.ndarray]

_SAMPLES = 2000
_LONGEST_EDGE_CM = 3.0
"""A longer edge spans a hole in the mesh."""
_FACING = 0.25
"""Cosine between a sample's normal and the view under which it is not used."""
_BLUR_PX = 1.2
"""The slope of an unblurred picture holds for less than a pixel."""
_TEXTURE_FRAMES, _TEXTURE_ROUNDS = 100, 2
_ROUNDS = 6
_STILL = 2e-5
"""Radians; a smaller step ends the search."""
_INDEPENDENT = 0.02
"""Of the samples; neighbours see the same pixels and the same mistakes of the mesh."""
_TURN_SPREAD = np.radians(3.0)
_SHIFT_SPREAD, _DEPTH_SPREAD = 0.01, 0.03
"""How far the landmarks' pose may be off: an angle, and shares of the distance."""
_PIECE = 200


@dataclass(frozen=True)
class Surface:
    """Samples on the rigid part of the face."""

    points: np.ndarray
    """``float64 [P, 3]``, head space."""
    normals: np.ndarray
    """``float64 [P, 3]``, outwards."""


def surface(mesh: np.ndarray, weights: np.ndarray, count: int = _SAMPLES) -> Surface:
    """Samples spread evenly over the triangles whose corners are rigid.

    Args:
        mesh: ``[V, 3]`` the face at rest, OpenCV axes.
        weights: ``[V]``: how much each vertex counts for the pose; see ``rigid_weights``.
        count: samples.
    """
    mesh = mesh.astype(np.float64)
    triangles = Delaunay(mesh[:, :2]).simplices
    triangles = triangles[(weights[triangles] > 0.5).all(1)]
    a, b, c = (mesh[triangles[:, k]] for k in range(3))
    normals = np.cross(b - a, c - a)
    normals *= -np.sign(normals[:, 2:] + 1e-12)  # towards the camera of a frontal face
    areas = np.linalg.norm(normals, axis=1)
    edges = np.linalg.norm([a - b, b - c, c - a], axis=-1).max(0)
    fine = (edges < _LONGEST_EDGE_CM) & (areas > 1e-9)
    a, b, c, normals, areas = (v[fine] for v in (a, b, c, normals, areas))
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(areas), count, p=areas / areas.sum())
    u, v = rng.random((2, count, 1))
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    points = a[chosen] + u * (b - a)[chosen] + v * (c - a)[chosen]
    return Surface(points, normals[chosen] / areas[chosen, None])


def refine(
    frames: Path,
    rotations: np.ndarray,
    translations: np.ndarray,
    ids: np.ndarray,
    on: Surface,
    lens: Lens,
    workers: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Refined poses of the frames ``ids``; those of others are returned as they are.

    Args:
        frames: ``frames.npy``.
        rotations: ``[F, 3, 3]`` from the landmarks.
        translations: ``[F, 3]``.
        ids: frame numbers with a pose of their own.
        on: samples on the face.
        lens: the camera.
        workers: processes.
    """
    rotations, translations = rotations.copy(), translations.copy()
    pictures = np.load(frames, mmap_mode="r")
    some = ids[np.unique(np.linspace(0, len(ids) - 1, min(len(ids), _TEXTURE_FRAMES)).astype(int))]
    r, t = rotations[some], translations[some]
    looks = texture(pictures.__getitem__, some, r, t, on, lens)
    for _ in range(_TEXTURE_ROUNDS):
        r, t = _align_all(pictures, some, rotations[some], translations[some], on, looks, lens)
        looks = texture(pictures.__getitem__, some, r, t, on, lens)
    jobs = [
        _Piece(frames, part, rotations[part], translations[part], on, looks, lens)
        for part in np.array_split(ids, max(len(ids) // _PIECE, 1))
    ]
    for job, (r, t) in zip(jobs, ordered(_align_piece, jobs, workers), strict=True):
        rotations[job.ids], translations[job.ids] = r, t
    return rotations, translations


def texture(
    frame: Frame,
    ids: np.ndarray,
    rotations: np.ndarray,
    translations: np.ndarray,
    on: Surface,
    lens: Lens,
) -> np.ndarray:
    """Usual brightness of each sample, ``float64 [P]``, mean 0 and deviation 1; NaN if unseen."""
    seen = np.full((len(ids), len(on.points)), np.nan)
    for k, (i, r, t) in enumerate(zip(ids, rotations, translations, strict=True)):
        values = _sampled(_blurred(frame(int(i))), lens.project(on.points @ r.T + t))
        values[_facing(r, t, on) < _FACING] = np.nan
        seen[k] = (values - np.nanmean(values)) / max(float(np.nanstd(values)), 1e-6)
    often = np.isfinite(seen).sum(0) >= max(len(ids) // 4, 1)
    usual = np.full(len(on.points), np.nan)
    usual[often] = np.nanmedian(seen[:, often], axis=0)
    return usual


def align(
    picture: np.ndarray,
    rotation: np.ndarray,
    translation: np.ndarray,
    on: Surface,
    looks: np.ndarray,
    lens: Lens,
) -> tuple[np.ndarray, np.ndarray]:
    """The pose near the given one under which the samples look as usual."""
    import cv2

    grey = _blurred(picture)
    slopes = [cv2.Sobel(grey, cv2.CV_32F, *axis, ksize=3, scale=1 / 8) for axis in ((1, 0), (0, 1))]
    spread = _spread(translation)
    moved = np.zeros(6)
    for _ in range(_ROUNDS):
        turned = on.points @ rotation.T
        placed = turned + translation
        used = np.isfinite(looks) & (_facing(rotation, translation, on) > _FACING)
        at = lens.project(placed[used])
        expected = np.stack([looks[used], np.ones(used.sum())], axis=1)
        exposure, residual, trust, scale = _exposed(_sampled(grey, at), expected)
        if exposure[0] <= 0:
            break  # the face is not there
        by_place = projection_slopes(placed[used], lens.focal_px)
        by_pose = np.concatenate([by_place @ -cross_matrices(turned[used]), by_place], axis=-1)
        steps = np.stack([_sampled(slope, at) for slope in slopes], axis=-1)[:, None] @ by_pose
        jacobian = np.concatenate([steps[:, 0], -expected], axis=1)
        weighed = jacobian * (trust * _INDEPENDENT / scale**2)[:, None]
        normal = weighed.T @ jacobian + 1e-9 * np.eye(8)
        pull = weighed.T @ residual
        normal[range(6), range(6)] += 1 / spread**2
        pull[:6] += moved / spread**2
        step = -np.linalg.solve(normal, pull)[:6]
        rotation = rotation_matrices(step[None, :3])[0] @ rotation
        translation = translation + step[3:]
        moved += step
        if np.abs(step[:3]).max() < _STILL:
            break
    return rotation, translation


@dataclass(frozen=True)
class _Piece:
    frames: Path
    ids: np.ndarray
    rotations: np.ndarray
    translations: np.ndarray
    on: Surface
    looks: np.ndarray
    lens: Lens


def _align_piece(piece: _Piece) -> tuple[np.ndarray, np.ndarray]:
    pictures = np.load(piece.frames, mmap_mode="r")
    return _align_all(
        pictures, piece.ids, piece.rotations, piece.translations, piece.on, piece.looks, piece.lens
    )


def _align_all(
    pictures: np.ndarray,
    ids: np.ndarray,
    rotations: np.ndarray,
    translations: np.ndarray,
    on: Surface,
    looks: np.ndarray,
    lens: Lens,
) -> tuple[np.ndarray, np.ndarray]:
    poses = [
        align(pictures[i], r, t, on, looks, lens)
        for i, r, t in zip(ids, rotations, translations, strict=True)
    ]
    return np.array([r for r, _ in poses]), np.array([t for _, t in poses])


def _exposed(
    values: np.ndarray, expected: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Gain and bias of a frame, and what remains: residual, trust and scale."""
    trust, scale = np.ones(len(values)), 1.0
    exposure, residual = np.zeros(2), values
    for _ in range(3):
        weighed = expected * trust[:, None]
        exposure = np.linalg.lstsq(weighed.T @ expected, weighed.T @ values, rcond=None)[0]
        residual = values - expected @ exposure
        scale = 1.4826 * float(np.median(np.abs(residual))) + 1e-3
        trust = 1 / (1 + (residual / (2 * scale)) ** 2)
    return exposure, residual, trust, scale


def _spread(translation: np.ndarray) -> np.ndarray:
    distance = float(translation[2])
    shift = _SHIFT_SPREAD * distance
    return np.array([*[_TURN_SPREAD] * 3, shift, shift, _DEPTH_SPREAD * distance])


def _blurred(picture: np.ndarray) -> np.ndarray:
    import cv2

    grey = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY).astype(np.float32)
    return cv2.GaussianBlur(grey, (0, 0), _BLUR_PX)


def _sampled(picture: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Bilinear values at continuous pixels ``[P, 2]``, whose centres are at a half."""
    import cv2

    x, y = (at.T - 0.5).astype(np.float32)
    values = cv2.remap(picture, x[None], y[None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return values[0].astype(np.float64)


def _facing(rotation: np.ndarray, translation: np.ndarray, on: Surface) -> np.ndarray:
    """Cosine between each sample's normal and the way to the camera, ``[P]``."""
    to_camera = -(on.points @ rotation.T + translation)
    to_camera /= np.linalg.norm(to_camera, axis=1, keepdims=True)
    return (to_camera * (on.normals @ rotation.T)).sum(1)
