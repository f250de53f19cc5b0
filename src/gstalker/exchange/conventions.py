"""One head and one camera in everybody's words: whose axes, whose unit, which direction.

Ours: head to camera, OpenCV axes (x right, y down, z into the picture) on both sides, centimetres.
The AD-NeRF family: head axes x right, y up, z out of the face of a person who looks at us, in
metres (``transforms_*.json``) or decimetres (``track_params.pt``); camera axes as in OpenGL
(x right, y up, looking along -z). Pixels are the same everywhere: continuous, a pixel's centre at
+0.5, the principal point where the file says.

Every function is exact: the round trip gives the same float32, and all four loaders put a point of
the head on the same pixel.
"""

from __future__ import annotations

import numpy as np

CM_PER_METRE = 100.0
CM_PER_DM = 10.0
NGP_SCALE = 4.0
"""RAD-NeRF, ER-NeRF and SyncTalk multiply metres by this."""

_FLIP = np.diag([1.0, -1.0, -1.0, 1.0])
"""From their axes to ours and back: y and z turn round, in the head's space and the camera's."""


def viewmats_from_transforms(transforms: np.ndarray) -> np.ndarray:
    """``transform_matrix`` entries ``[..., 4, 4]`` to our head-to-camera matrices, centimetres."""
    inverse = np.linalg.inv(np.asarray(transforms, np.float64))
    return _scaled(_FLIP @ inverse @ _FLIP, CM_PER_METRE)


def transforms_from_viewmats(viewmats: np.ndarray) -> np.ndarray:
    """Our head-to-camera matrices ``[..., 4, 4]`` to ``transform_matrix`` entries."""
    metres = _scaled(np.asarray(viewmats, np.float64), 1 / CM_PER_METRE)
    return np.linalg.inv(_FLIP @ metres @ _FLIP)


def rotations_from_euler(euler: np.ndarray) -> np.ndarray:
    """The tracker's angles (theta, phi, psi) ``[..., 3]`` in radians to matrices ``[..., 3, 3]``.

    ``R = Rx(theta) Ry(phi) Rz(psi)`` with Rx and Ry of one handedness and Rz of the other, as in
    AD-NeRF's ``euler2rot``; no library's Euler convention is the same.
    """
    (ct, cp, cs), (st, sp, ss) = (np.moveaxis(f(euler), -1, 0) for f in (np.cos, np.sin))
    zero, one = np.zeros_like(ct), np.ones_like(ct)
    rx = _matrix([[one, zero, zero], [zero, ct, st], [zero, -st, ct]])
    ry = _matrix([[cp, zero, -sp], [zero, one, zero], [sp, zero, cp]])
    rz = _matrix([[cs, -ss, zero], [ss, cs, zero], [zero, zero, one]])
    return rx @ ry @ rz


def euler_from_rotations(rotations: np.ndarray) -> np.ndarray:
    """Inverse of :func:`rotations_from_euler`, ``[..., 3, 3]`` to ``[..., 3]``."""
    r = np.asarray(rotations, np.float64)
    theta = np.arctan2(r[..., 1, 2], r[..., 2, 2])
    phi = -np.arcsin(np.clip(r[..., 0, 2], -1, 1))
    psi = np.arctan2(-r[..., 0, 1], r[..., 0, 0])
    return np.stack([theta, phi, psi], axis=-1)


def viewmats_from_track(
    euler: np.ndarray, trans: np.ndarray, cm_per_unit: float = CM_PER_DM
) -> np.ndarray:
    """``track_params.pt``'s angles and translations ``[n, 3]`` to our matrices ``[n, 4, 4]``.

    Args:
        euler: radians.
        trans: head to camera; decimetres, or metres in SyncTalk's ``bundle_adjustment.pt``.
        cm_per_unit: of ``trans``.
    """
    pose = np.broadcast_to(np.eye(4), (len(euler), 4, 4)).copy()
    pose[:, :3, :3] = rotations_from_euler(np.asarray(euler, np.float64))
    pose[:, :3, 3] = np.asarray(trans, np.float64)
    return _scaled(_FLIP @ pose @ _FLIP, cm_per_unit)


def track_from_viewmats(viewmats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Our matrices ``[n, 4, 4]`` to angles in radians and translations in decimetres."""
    pose = _FLIP @ _scaled(np.asarray(viewmats, np.float64), 1 / CM_PER_DM) @ _FLIP
    return euler_from_rotations(pose[:, :3, :3]), pose[:, :3, 3].copy()


def points_to_theirs(points: np.ndarray, cm_per_unit: float) -> np.ndarray:
    """Points of our head space ``[..., 3]`` in their axes and unit."""
    return np.asarray(points, np.float64) * [1, -1, -1] / cm_per_unit


def points_from_theirs(points: np.ndarray, cm_per_unit: float) -> np.ndarray:
    """Inverse of :func:`points_to_theirs`."""
    return np.asarray(points, np.float64) * [1, -1, -1] * cm_per_unit


# ---------------------------------------------------------------------- what their loaders make


def ngp_from_transform(transform: np.ndarray) -> np.ndarray:
    """Camera to world as RAD-NeRF, ER-NeRF and SyncTalk use it (``nerf_matrix_to_ngp``).

    World axes (y, z, x) in units of 0.25 m; camera axes OpenCV's.
    """
    turned = np.asarray(transform, np.float64)[[1, 2, 0, 3]] * [1, -1, -1, 1]
    turned[:3, 3] *= NGP_SCALE
    return turned


def colmap_from_transform(transform: np.ndarray) -> np.ndarray:
    """World to camera as TalkingGaussian and InsTaG use it: OpenCV axes, metres."""
    return np.linalg.inv(np.asarray(transform, np.float64) * [1, -1, -1, 1])


def colmap_from_track(euler: np.ndarray, trans: np.ndarray) -> np.ndarray:
    """World to camera as GaussianTalker uses it: OpenCV axes, decimetres; ``[n, 4, 4]``."""
    pose = np.broadcast_to(np.eye(4), (len(euler), 4, 4)).copy()
    pose[:, :3, :3] = rotations_from_euler(np.asarray(euler, np.float64))
    pose[:, :3, 3] = np.asarray(trans, np.float64)
    return _FLIP @ pose


def _scaled(matrices: np.ndarray, factor: float) -> np.ndarray:
    scaled = np.array(matrices, np.float64)
    scaled[..., :3, 3] *= factor
    return scaled


def _matrix(rows: list[list[np.ndarray]]) -> np.ndarray:
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
