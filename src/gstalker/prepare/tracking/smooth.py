"""Steadier poses: a Gaussian over time inside each unbroken run, and how much it helps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gstalker.prepare.tracking.pose import Lens, rotation_matrices


def smooth(
    rotations: np.ndarray,
    translations: np.ndarray,
    stretches: Sequence[tuple[int, int]],
    sigma: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Smooth poses over time, never from one stretch into another.

    Args:
        rotations: ``[F, 3, 3]``.
        translations: ``[F, 3]``.
        stretches: runs of usable frames of one take.
        sigma: standard deviation in frames; 0 leaves everything as it is.
    """
    rotations, translations = rotations.copy(), translations.copy()
    if sigma <= 0:
        return rotations, translations
    for start, stop in stretches:
        mean = mean_rotation(rotations[start:stop])
        away = rotation_vectors(mean.T @ rotations[start:stop])
        rotations[start:stop] = mean @ rotation_matrices(_gaussian(away, sigma))
        translations[start:stop] = _gaussian(translations[start:stop], sigma)
    return rotations, translations


def jitter(
    rotations: np.ndarray,
    translations: np.ndarray,
    stretches: Sequence[tuple[int, int]],
    lens: Lens,
) -> tuple[float, float]:
    """How much poses tremble: deviation of second differences over root 6, in degrees and pixels.

    White noise of deviation s per frame gives s; steady or evenly speeding movement gives 0.
    """
    turns, moves = [], []
    for start, stop in stretches:
        if stop - start < 3:
            continue
        part = rotations[start:stop]
        steps = rotation_vectors(part[:-1].transpose(0, 2, 1) @ part[1:])
        turns.append(np.diff(steps, axis=0))
        at = lens.focal_px * translations[start:stop, :2] / translations[start:stop, 2:]
        moves.append(np.diff(at, n=2, axis=0))
    if not turns:
        return 0.0, 0.0
    turn = np.sqrt((np.concatenate(turns) ** 2).mean() / 6)
    move = np.sqrt((np.concatenate(moves) ** 2).mean() / 6)
    return float(np.degrees(turn)), float(move)


def mean_rotation(rotations: np.ndarray) -> np.ndarray:
    """The rotation nearest to the mean of the matrices."""
    u, _, v = np.linalg.svd(rotations.mean(0))
    return u @ np.diag([1.0, 1.0, np.linalg.det(u @ v)]) @ v


def rotation_vectors(rotations: np.ndarray) -> np.ndarray:
    """Matrices ``[n, 3, 3]`` to axis times angle ``[n, 3]``, angles below a half turn."""
    skew = np.stack(
        [
            rotations[:, 2, 1] - rotations[:, 1, 2],
            rotations[:, 0, 2] - rotations[:, 2, 0],
            rotations[:, 1, 0] - rotations[:, 0, 1],
        ],
        axis=-1,
    )
    sine = np.linalg.norm(skew, axis=-1) / 2
    angle = np.arctan2(sine, (np.trace(rotations, axis1=1, axis2=2) - 1) / 2)
    factor = np.where(sine > 1e-9, angle / np.maximum(2 * sine, 1e-12), 0.5)
    return skew * factor[:, None]


def _gaussian(values: np.ndarray, sigma: float) -> np.ndarray:
    """Smooth ``[n, D]`` along its first axis; the ends are continued by their last value."""
    reach = int(np.ceil(4 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    padded = np.pad(values, ((reach, reach), (0, 0)), mode="edge")
    columns = [np.convolve(column, kernel, mode="valid") for column in padded.T]
    return np.stack(columns, axis=1)
