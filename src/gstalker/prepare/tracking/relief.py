"""How deep a face is: solved on the pictures together with the poses of some frames.

Where a face's depth is wrong, a turn of the head is taken for another: a nose too long makes turns
too small, a depth that slopes makes a shake of the head a nod. Landmarks do not tell it, for a
detector slides over a face that turns. Pictures do: depth, poses, looks and light of some frames
are adjusted at once (bundle adjustment on brightness; Gauss-Newton, the looks eliminated by their
Schur complement). Depth is a Gaussian process around the face that landmarks gave, for a whole
face deeper and turning less looks almost the same (Belhumeur and others 1999).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gstalker.prepare.tracking import looks as appearance
from gstalker.prepare.tracking.looks import Frame, Misfit, Surface
from gstalker.prepare.tracking.pose import Lens, rotation_matrices
from gstalker.prepare.tracking.smooth import mean_rotation

_KNOTS = 120
"""Places of the face whose depth is solved for."""
_BROAD, _FINE = (0.25, 5.0), (0.4, 1.0)
"""How far the depth may be off, and over what distance in the face that varies; centimetres. A
nose that cannot be sharp enough is made up for by a face that is deeper and turns less: with 1.5 cm
for 1.0, turns of synthetic heads came out 10 % too small."""
_TURN_SPREAD = np.radians(30.0)
_SHIFT_SPREAD = 0.2
"""How far the landmarks' poses may be off: an angle, a share of the distance. Generous, for they
err all alike, and their sum would outweigh the pictures."""
_MEAN_SPREAD = 0.0005
"""The same for their mean, as a share of that: it is held, or the samples would slide over the face
all together, which no picture resents."""
_LIGHT_SPREAD = 100.0
"""Grey levels; keeps what looks and light both can say from running away."""
_ROUNDS = 10
_STILL = 2e-4
"""Radians; smaller steps end the search."""


@dataclass(frozen=True)
class Relief:
    """A smooth change of a face's depth."""

    knots: np.ndarray
    """``float64 [K, 2]``: x and y, head space."""
    depths: np.ndarray
    """``float64 [K]`` centimetres."""
    along: np.ndarray
    """``float64 [3]``: the way in which the camera looks on the average, so that depth does not
    move the face in the pictures."""

    def at(self, points: np.ndarray) -> np.ndarray:
        """By how much each of ``[n, 3]`` moves, ``float64 [n, 3]``."""
        return _interpolation(points, self.knots) @ np.outer(self.depths, self.along)


def adjust(
    frame: Frame,
    ids: np.ndarray,
    rotations: np.ndarray,
    translations: np.ndarray,
    on: Surface,
    lens: Lens,
) -> tuple[Relief, np.ndarray]:
    """The face's depth, and the looks of its samples.

    Args:
        frame: picture of a frame.
        ids: the frames to solve from.
        rotations: ``[n, 3, 3]`` of these, from the landmarks.
        translations: ``[n, 3]``.
        on: samples on the face as landmarks know it.
        lens: the camera.

    Returns:
        the change of depth, and looks as ``texture`` gives them, ``float64 [P]``.
    """
    looks = appearance.texture(frame, ids, rotations, translations, on, lens)
    seen = np.isfinite(looks)
    knots = on.points[_spread_out(on.points[:, :2], _KNOTS), :2]
    by_knot = _interpolation(on.points, knots)
    along = mean_rotation(rotations)[2]
    stiffness = np.linalg.inv(_alike(knots, knots))
    depths, moved = np.zeros(len(knots)), np.zeros((len(ids), 6))
    for _ in range(_ROUNDS):
        at = on.moved(by_knot @ np.outer(depths, along))
        found = [
            appearance.misfit(appearance.sloped(frame(int(i))), r, t, at, looks, lens)
            for i, r, t in zip(ids, rotations, translations, strict=True)
        ]
        by_depth = [
            (m.by_pose[:, 3:] @ (r @ along))[:, None] * by_knot
            for m, r in zip(found, rotations, strict=True)
        ]
        spread = _pose_spread(translations)
        steps, deeper, brighter = _step(found, by_depth, spread, moved, stiffness, depths)
        rotations = rotation_matrices(steps[:, :3]) @ rotations
        translations = translations + steps[:, 3:]
        moved, depths = moved + steps, depths + deeper
        looks = looks + brighter
        looks = (looks - looks[seen].mean()) / looks[seen].std()
        if np.abs(steps[:, :3]).max() < _STILL:
            break
    return Relief(knots, depths, along), looks


def _step(
    found: list[Misfit],
    by_depth: list[np.ndarray],
    spread: np.ndarray,
    moved: np.ndarray,
    stiffness: np.ndarray,
    depths: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One step of poses ``[n, 6]``, depths ``[K]`` and looks ``[P]``."""
    n, count = len(found), len(found[0].residual)
    own = 6 + found[0].by_light.shape[1]
    size = n * own + len(depths)
    last = slice(n * own, size)
    normal, pull = np.zeros((size, size)), np.zeros(size)
    # Looks: their own normal is diagonal; ``crossed`` is what they share with all the rest.
    looks_normal, looks_pull = np.full(count, 1e-9), np.zeros(count)
    crossed = np.zeros((size, count))
    normal[last, last], pull[last] = stiffness, stiffness @ depths
    for k, (m, deep) in enumerate(zip(found, by_depth, strict=True)):
        here = slice(k * own, (k + 1) * own)
        jacobian = np.concatenate([m.by_pose, -m.by_light, deep], axis=1)
        by_looks = -_gain(m)
        weighed = jacobian * m.weight[:, None]
        square, push = weighed.T @ jacobian, weighed.T @ m.residual
        square[range(6), range(6)] += 1 / spread[k] ** 2
        push[:6] += moved[k] / spread[k] ** 2
        square[range(6, own), range(6, own)] += 1 / _LIGHT_SPREAD**2
        normal[here, here], pull[here] = square[:own, :own], push[:own]
        normal[here, last], normal[last, here] = square[:own, own:], square[own:, :own]
        normal[last, last] += square[own:, own:]
        pull[last] += push[own:]
        both = (weighed * by_looks[:, None]).T
        crossed[here] = both[:own]
        crossed[last] += both[own:]
        looks_normal += m.weight * by_looks**2
        looks_pull += m.weight * by_looks * m.residual
    mean_stiffness = 1 / (n * _MEAN_SPREAD * spread.mean(0)) ** 2
    for k in range(6):
        every = np.arange(n) * own + k
        normal[np.ix_(every, every)] += mean_stiffness[k]
        pull[every] += mean_stiffness[k] * moved[:, k].sum()
    shared = crossed / looks_normal
    step = -np.linalg.solve(normal - shared @ crossed.T, pull - shared @ looks_pull)
    brighter = -(looks_pull + crossed.T @ step) / looks_normal
    return step[: n * own].reshape(n, own)[:, :6], step[last], brighter


def _gain(m: Misfit) -> np.ndarray:
    """Grey levels by looks, ``[P]``."""
    kinds = len(m.light) // 2
    return m.by_light[:, kinds:] @ m.light[:kinds]


def _pose_spread(translations: np.ndarray) -> np.ndarray:
    """Of turns and shifts, ``[n, 6]``."""
    shift = np.repeat(_SHIFT_SPREAD * translations[:, 2:], 3, axis=1)
    return np.concatenate([np.full_like(shift, _TURN_SPREAD), shift], axis=1)


def _alike(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Covariance of the depth at places ``[n, 2]`` and ``[m, 2]``, square centimetres."""
    apart = ((a[:, None] - b[None]) ** 2).sum(-1)
    broad, fine = (cm**2 * np.exp(-apart / (2 * reach**2)) for cm, reach in (_BROAD, _FINE))
    return broad + fine + 1e-4 * (apart == 0)


def _interpolation(points: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Expected depth of ``[n, 2 or 3]`` by that of the knots, ``[n, K]``."""
    return np.linalg.solve(_alike(knots, knots), _alike(knots, points[:, :2])).T


def _spread_out(places: np.ndarray, count: int) -> np.ndarray:
    """Indices of ``count`` places, each as far as can be from those before it."""
    chosen = [int(np.linalg.norm(places - places.mean(0), axis=1).argmin())]
    away = np.full(len(places), np.inf)
    for _ in range(min(count, len(places)) - 1):
        away = np.minimum(away, ((places - places[chosen[-1]]) ** 2).sum(1))
        chosen.append(int(away.argmax()))
    return np.array(chosen)
