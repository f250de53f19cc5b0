"""How a face looks: samples on its surface, their usual brightness, what a picture shows of them.

A head that turns under lamps that stand still is lit anew in every frame. So a frame's brightness
is the usual one times a gain plus a bias, and both vary over the face as light from afar does on a
ball (spherical harmonics to first order; Basri and Jacobs 2003). Without that, shading passes for a
turn of the head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import Delaunay

from gstalker.prepare.tracking.pose import Lens, cross_matrices, projection_slopes

Frame = Callable[[int], np.ndarray]

_SAMPLES = 2000
_LONGEST_EDGE_CM = 3.0
"""A longer edge spans a hole in the mesh."""
_FACING = 0.25
"""Cosine between a sample's normal and the view under which it is not used."""
_FEWEST = 50
"""With fewer samples in sight a frame tells nothing."""
_BLUR_PX = 1.2
"""The slope of an unblurred picture holds for less than a pixel."""
_BALL_CM = 10.0
"""Radius of a head."""
_INDEPENDENT = 0.02
"""Of the samples; neighbours see the same pixels and the same mistakes of the mesh."""


@dataclass(frozen=True)
class Surface:
    """Samples on the rigid part of the face."""

    points: np.ndarray
    """``float64 [P, 3]``, head space."""
    normals: np.ndarray
    """``float64 [P, 3]``, outwards."""

    def moved(self, by: np.ndarray) -> Surface:
        """The samples elsewhere, by ``[P, 3]``."""
        return replace(self, points=self.points + by)

    @property
    def shading(self) -> np.ndarray:
        """How light may vary over the face, ``float64 [P, 4]``: level, and a ball's normals."""
        away = (self.points - self.points.mean(0))[:, :2] / _BALL_CM
        front = np.sqrt(np.maximum(1 - (away**2).sum(1), 0))
        return np.column_stack([np.ones(len(away)), away, front - front.mean()])


@dataclass(frozen=True)
class Misfit:
    """What a frame shows beside what it should, and how that changes; see ``misfit``."""

    residual: np.ndarray
    """``float64 [P]`` grey levels: shown less expected; 0 where nothing is seen."""
    weight: np.ndarray
    """``float64 [P]``: trust over variance; 0 where nothing is seen."""
    by_pose: np.ndarray
    """``float64 [P, 6]``: grey levels per radian of turn and per centimetre of shift."""
    by_light: np.ndarray
    """``float64 [P, 8]``: expected grey levels by the light's gains and biases."""
    light: np.ndarray
    """``float64 [8]``: four gains, then four biases; see ``Surface.shading``. The first is positive
    where the face is there."""
    likeness: float
    """Share of the brightness's variance, beside the biases, that the looks explain; 0 where the
    face is not there."""


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


def sloped(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A picture in grey, blurred, and its slopes across and down, each ``float32 [H, W]``."""
    import cv2

    grey = _blurred(picture)
    across, down = (
        cv2.Sobel(grey, cv2.CV_32F, *axis, ksize=3, scale=1 / 8) for axis in ((1, 0), (0, 1))
    )
    return grey, across, down


def misfit(
    picture: tuple[np.ndarray, np.ndarray, np.ndarray],
    rotation: np.ndarray,
    translation: np.ndarray,
    on: Surface,
    looks: np.ndarray,
    lens: Lens,
) -> Misfit:
    """What a picture shows of the samples against their looks, under the light that fits best.

    Args:
        picture: as ``sloped`` gives it.
        rotation: ``[3, 3]``.
        translation: ``[3]``.
        on: samples on the face.
        looks: ``[P]`` as ``texture`` gives them.
        lens: the camera.
    """
    grey, across, down = picture
    turned = on.points @ rotation.T
    placed = turned + translation
    used = np.isfinite(looks) & (_facing(rotation, translation, on) > _FACING)
    at = lens.project(placed)
    shading = on.shading
    by_light = np.concatenate([np.nan_to_num(looks)[:, None] * shading, shading], axis=1)
    light, residual, weight = np.zeros(8), np.zeros(len(at)), np.zeros(len(at))
    likeness = 0.0
    if used.sum() >= _FEWEST:
        light, residual[used], weight[used] = _lit(_sampled(grey, at)[used], by_light[used])
        shown = residual[used] + by_light[used, :4] @ light[:4]
        likeness = max(1 - float(residual[used].var() / max(shown.var(), 1e-12)), 0.0)
    if light[0] <= 0:
        weight[:], likeness = 0.0, 0.0  # the face is not there
    slopes = np.stack([_sampled(across, at), _sampled(down, at)], axis=-1)[:, None]
    by_place = slopes @ projection_slopes(placed, lens.focal_px)
    by_turn = by_place @ -cross_matrices(turned)
    by_pose = np.concatenate([by_turn, by_place], axis=-1)[:, 0]
    return Misfit(residual, weight, by_pose, by_light, light, likeness)


def _lit(values: np.ndarray, expected: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Light of a frame, and what remains: residual and weight (Cauchy)."""
    trust, scale = np.ones(len(values)), 1.0
    light, residual = np.zeros(expected.shape[1]), values
    for _ in range(3):
        weighed = expected * trust[:, None]
        light = np.linalg.lstsq(weighed.T @ expected, weighed.T @ values, rcond=None)[0]
        residual = values - expected @ light
        scale = 1.4826 * float(np.median(np.abs(residual))) + 1e-3
        trust = 1 / (1 + (residual / (2 * scale)) ** 2)
    return light, residual, trust * _INDEPENDENT / scale**2


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
