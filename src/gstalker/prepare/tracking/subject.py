"""Whose face it is, where a video shows several: the largest and steadiest that speaks, or the one
chosen.

A first look at some frames tells who there is; while tracking, a face is the subject's if it lies
where the subject was a moment ago, or where a look has seen it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gstalker.errors import ConfigError

MOST_FACES = 4
"""That are looked for in a picture."""
_APART = 1.0
"""Faces further apart than this, in face heights, are of two people, from one look to another."""
_SIZE_RATIO = 1.8
"""Faces whose heights differ by more are of two people."""
_RARE_SHARE = 0.1
"""A person in fewer of the looks, and in one only, is a passer-by or a mistake of the detector."""
_LIPS_MOVE = 0.01
"""Deviation of the lips' gap over the looks, in face heights, from which on somebody may be the
speaker. Nine speaking faces of 3 to 9 s have 0.016 to 0.034; a poster 0.0004, and 0.003 to 0.006 in
noise and strong compression."""
_REMEMBERED = 25
"""Frames for which the last place counts."""


@dataclass(frozen=True)
class Person:
    """One face seen in some of the looks."""

    looks: np.ndarray
    """``int64 [k]``: in which."""
    boxes: np.ndarray
    """``float64 [k, 3]``: middle x, y and height of the face in pixels."""
    share: float
    """Of the looks that show any face, how many show this one."""
    lips: float = np.inf
    """Deviation of the gap between the lips, in face heights, where it was asked for."""

    @property
    def height(self) -> float:
        """Usual height in pixels."""
        return float(np.median(self.boxes[:, 2]))

    @property
    def roams(self) -> float:
        """How far it moves about its usual place, in face heights."""
        middle = np.median(self.boxes[:, :2], axis=0)
        away = np.linalg.norm(self.boxes[:, :2] - middle, axis=1)
        return float(np.median(away)) / self.height


def box(face: np.ndarray) -> np.ndarray:
    """Middle x, y and height of a face ``[L, 2]``, ``float64 [3]``."""
    low, high = face.min(0), face.max(0)
    return np.array([*((low + high) / 2), high[1] - low[1]], np.float64)


def persons(looks: Sequence[np.ndarray], gap: tuple[int, int] | None = None) -> list[Person]:
    """Who is seen, from left to right; people who are hardly ever there are left out.

    Args:
        looks: for each picture the faces found, ``[n, L, 2]`` pixels.
        gap: points of the upper and the lower lip.
    """
    found: list[list[tuple[int, np.ndarray]]] = []
    faces_of: list[list[np.ndarray]] = []
    for k, faces in enumerate(looks):
        free = list(range(len(found)))
        for face in sorted(faces, key=lambda face: -box(face)[2]):
            place = box(face)
            near = [i for i in free if _same(place, found[i][-1][1], _APART)]
            if near:
                best = min(near, key=lambda i: _distance(place, found[i][-1][1]))
                free.remove(best)
                found[best].append((k, place))
                faces_of[best].append(face)
            else:
                found.append([(k, place)])
                faces_of.append([face])
    shown = sum(len(faces) > 0 for faces in looks)
    people = [
        Person(
            np.array([k for k, _ in seen]),
            np.array([place for _, place in seen]),
            len(seen) / max(shown, 1),
            np.inf if gap is None else _lips(np.array(own), gap),
        )
        for seen, own in zip(found, faces_of, strict=True)
    ]
    often = [p for p in people if p.share >= _RARE_SHARE and (len(p.looks) > 1 or shown < 4)]
    return sorted(often or people, key=lambda p: float(np.median(p.boxes[:, 0])))


def choose(people: Sequence[Person], number: int) -> int:
    """Index of the subject.

    Args:
        people: from left to right.
        number: which one, counted from 1; 0 for the one that is largest, most often there,
            steadiest, and whose lips move: a poster's do not.

    Raises:
        ConfigError: there is none of that number.
    """
    if number > len(people) or number < 0:
        raise ConfigError(
            f"face={number} was asked for, but {len(people)} "
            f"{'face is' if len(people) == 1 else 'faces are'} seen.\n"
            f"  Use face=1 for the leftmost{f' to face={len(people)}' * (len(people) > 1)}, "
            "or face=0 to have it chosen."
        )
    if number:
        return number - 1
    worth = [p.height * p.share / (1 + p.roams) * min(p.lips / _LIPS_MOVE, 1.0) for p in people]
    return int(np.argmax(worth))


def _lips(faces: np.ndarray, gap: tuple[int, int]) -> float:
    """Deviation over the faces ``[n, L, 2]`` of the lips' distance, in face heights."""
    apart = np.linalg.norm(faces[:, gap[0]] - faces[:, gap[1]], axis=-1)
    return float(np.std(apart / np.ptp(faces[..., 1], axis=1)))


class Follower:
    """Tells the subject's face from others, frame after frame.

    Args:
        places: ``[k, 3]`` middle x, y and height of the subject's face where looks have seen it.
    """

    def __init__(self, places: np.ndarray) -> None:
        self._places = np.asarray(places, np.float64).reshape(-1, 3)
        self._last: np.ndarray | None = None
        self._age = 0

    def pick(self, faces: Sequence[np.ndarray]) -> int | None:
        """Which of a frame's faces is the subject's; none of them, perhaps."""
        self._age += 1
        boxes = [box(face) for face in faces]
        for known, reach in self._known():
            near = [
                (min(_distance(b, place) for place in known), i)
                for i, b in enumerate(boxes)
                if any(_same(b, place, reach) for place in known)
            ]
            if near:
                best = min(near)[1]
                self._last, self._age = boxes[best], 0
                return best
        return None

    def _known(self) -> list[tuple[np.ndarray, float]]:
        remembered = self._last is not None and self._age <= _REMEMBERED
        last = [(self._last[None], 0.5 * _APART)] if remembered and self._last is not None else []
        return [*last, (self._places, _APART)]


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    """Between two middles, in face heights."""
    return float(np.linalg.norm(a[:2] - b[:2]) / max(a[2], b[2], 1e-6))


def _same(a: np.ndarray, b: np.ndarray, reach: float) -> bool:
    ratio = max(a[2], b[2]) / max(min(a[2], b[2]), 1e-6)
    return _distance(a, b) < reach and ratio < _SIZE_RATIO
