"""Do the pictures of one frame show the same? What pixels say about misnumbered files.

Small grey copies are compared where by ``parsing`` surely the same thing is to be seen. Measured on
1488 frames of 96 x 96 and 600 of 288 x 288 (GRID, exported as jpg of quality 97): a composed
picture or a head is off by at most 0.3 grey levels, a torso by 0.7 and 0.24; the next frame's by
0.8 to 1.2 in the median (torso 0.8 and 0.5), any other frame's by 18 to 27. So files are held
against each other rather than against a limit: one that fits another frame twice as well as its
own is accused, and two neighbours that each fit the other's frame a quarter better. On those data
no quotient of what could be accused is below 0.9. Of exchanged neighbours 98 % and more are found
among composed pictures and heads, among the torsos of that man, who hardly moves, 53 % and 93 %
(99 % of 300 frames where they were cut from the stored jpg, as the family's own script does): where
two frames look the same to the jpg's noise nothing tells them apart, and nothing is said.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.ndimage import map_coordinates

from gstalker.errors import CaptureError
from gstalker.exchange import colours, pictures
from gstalker.exchange.checks import usual_limit

PERSON, HEAD, CLOTH = 1, 2, 4
"""Bits of :func:`surely`. The neck is no cloth: tools paint over it in their torso pictures."""
SHOWN = {
    "gt_imgs": (PERSON, "person"),
    "com_imgs": (PERSON, "person"),
    "head_imgs": (HEAD, "head"),
    "torso_imgs": (CLOTH, "torso"),
}
"""What a folder's pictures show unchanged."""
THUMB = 64
_LEAST_PIXELS = 16
"""Of a small copy; fewer are not compared."""
_LEVELS = 6.0
"""Mean grey levels by which two jpgs of one picture may differ, at 64 x 64."""
_NOISE_LEVELS = 0.25
"""Below this, two frames cannot be told apart."""
_BETTER, _BOTH_BETTER = 0.5, 0.75
"""A file is another frame's if it is off by this share there; two, if each is."""
_MOST_ODD = 40
"""Files that are held against all frames."""
_PATCH_STEP, _PATCH_HALF = 0.04, 2
"""Pixels around a landmark: 5 x 5, this share of the outer-eye distance apart."""
_FOLLOWED = tuple(range(17, 68))
"""Points with something to see around them; along the jaw the outline slides over the skin."""
_PATCH_BETTER, _PATCH_LEVELS = 0.7, 0.5
"""Measured as above, with up to 0.7 px of noise on the points: the least quotient of true
neighbours is 0.83; of exchanged ones 49 and 59 % are found at 0.7, and all whose points moved by
2 % of the outer-eye distance."""


def surely(classes: np.ndarray) -> np.ndarray:
    """Where in a 64 x 64 copy surely what is: bits, ``uint8 [64, 64]``.

    Args:
        classes: ``uint8 [H, W]`` of ``colours``.
    """
    cloth, neck = classes == colours.CLOTH, classes == colours.NECK
    person = classes != colours.NONE
    bits = np.zeros((THUMB, THUMB), np.uint8)
    for bit, mask in ((PERSON, person), (HEAD, person & ~cloth & ~neck), (CLOTH, cloth)):
        bits[pictures.small(mask.astype(np.uint8) * 255, THUMB) == 255] |= bit
    return bits


class Likeness:
    """The pictures that frames are taken from, to hold the others against.

    Args:
        folder: the data set.
        reference: folder of those pictures, ``ori_imgs`` or ``gt_imgs``.
        numbers: frames to compare, ascending.
        where: of each frame, :func:`surely`; ``uint8 [m, 64, 64]``.
        points: of each frame, ``[m, 68, 2]``.
    """

    def __init__(
        self,
        folder: Path,
        reference: str,
        numbers: np.ndarray,
        where: np.ndarray,
        points: np.ndarray,
    ) -> None:
        self._folder, self._reference = folder, reference
        self._numbers, self._where = numbers, where
        self._filmed = np.zeros_like(where)
        self._points = points
        self._exchanged: list[int] = []
        before: np.ndarray | None = None
        for k, i in enumerate(numbers):
            picture = pictures.grey(folder / reference / f"{i}.jpg")
            if (
                before is not None
                and numbers[k - 1] == i - 1
                and fit_crosswise((before, picture), points[k - 1 : k + 1])
            ):
                self._exchanged.append(k)
            self._filmed[k] = pictures.small(picture, THUMB)
            before = picture

    def check(self, place: str, suffix: str) -> None:
        """Does every picture of a folder show what its frame shows?

        Args:
            place: a key of :data:`SHOWN`.
            suffix: of its files.

        Raises:
            CaptureError: one does not; names it, and the frame whose picture it is if there is one.
        """
        bit, what = SHOWN[place]
        files = [f"{place}/{i}.{suffix}" for i in self._numbers]
        shown = np.array([pictures.small(pictures.grey(self._folder / f), THUMB) for f in files])
        where = (self._where & bit) > 0
        sizes = where.sum((1, 2))

        def off(frame: int, file: int) -> float:
            if sizes[frame] < max(_LEAST_PIXELS, 0.5 * sizes[file]):
                return np.inf
            mask = where[frame]
            a, b = self._filmed[frame][mask], shown[file][mask]
            return float(np.abs(a.astype(np.int16) - b).mean())

        own = np.array([off(k, k) for k in range(len(files))])
        own[np.isinf(own)] = 0  # too little to see: never accused
        k = misplaced(own, off)
        k = int(own.argmax()) if k is None and own.max(initial=0) > _LEVELS else k
        if k is not None:
            elsewhere = [off(frame, k) for frame in range(len(files))]
            nearest = int(np.argmin(elsewhere))
            raise CaptureError(
                f"{files[k]} does not show the {what} of {self._name(k)}: they differ by "
                f"{own[k]:.1f} grey levels there; it is nearest to {self._name(nearest)} "
                f"({elsewhere[nearest]:.1f}).\n"
                f"  One of the two is misnumbered, or parsing/{self._numbers[k]}.png is."
            )

    def check_landmarks(self) -> None:
        """Are the landmarks those of their pictures, as far as pixels tell?

        Raises:
            CaptureError: those of two neighbours were exchanged, or two lists are the same and
                their pictures are not; names them.
        """
        for k in self._exchanged:
            raise CaptureError(
                f"ori_imgs/{self._numbers[k - 1]}.lms fits {self._name(k)} better than its own "
                "picture, and the other way round: landmarks or pictures were exchanged."
            )
        first: dict[bytes, int] = {}
        for k, points in enumerate(self._points):
            same = first.setdefault(points.tobytes(), k)
            mask = (self._where[[same, k]] & HEAD).all(0)
            off = np.abs(self._filmed[same][mask].astype(np.int16) - self._filmed[k][mask])
            if mask.sum() >= _LEAST_PIXELS and off.mean() > _NOISE_LEVELS:
                a, b = (f"ori_imgs/{self._numbers[j]}.lms" for j in (same, k))
                raise CaptureError(
                    f"{a} and {b} are the same, but their pictures differ by {off.mean():.1f} "
                    "grey levels in the face: one of the two is misnumbered.\n"
                    "  Put the right file there; to do without that frame, take away its .lms and "
                    "its pose."
                )

    def _name(self, k: int) -> str:
        return f"{self._reference}/{self._numbers[k]}.jpg"


def fit_crosswise(shown: tuple[np.ndarray, np.ndarray], points: np.ndarray) -> bool:
    """Are the places around two frames' landmarks more alike when these are exchanged?

    Args:
        shown: two pictures, ``uint8 [H, W]``.
        points: their landmarks, ``[2, 68, 2]``.
    """
    ruler = float(np.linalg.norm(points[0, 36] - points[0, 45]))
    steps = np.arange(-_PATCH_HALF, _PATCH_HALF + 1) * _PATCH_STEP * ruler
    grid = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)

    def around(picture: np.ndarray, at: np.ndarray) -> np.ndarray:
        pixels = (at[list(_FOLLOWED), None] + grid).reshape(-1, 2) - 0.5
        return map_coordinates(picture, pixels.T[::-1], np.float32, order=1, mode="nearest")

    def unlike(first: np.ndarray, second: np.ndarray) -> float:
        return float(np.abs(around(shown[0], first) - around(shown[1], second)).mean())

    own, other = unlike(*points), unlike(*points[::-1])
    return other <= _PATCH_BETTER * own and own - other > _PATCH_LEVELS


def misplaced(own: np.ndarray, off: Callable[[int, int], float]) -> int | None:
    """A file that fits another frame and not its own.

    Neighbours are held against each other, outliers against all frames.

    Args:
        own: ``[m]``: how far each file is off in its own frame, grey levels.
        off: how far one is off in a frame, by the frame's and then the file's place in the list.

    Returns:
        its place in the list; ``None`` where there is none.
    """
    tellable = own > _NOISE_LEVELS
    for k in range(len(own) - 1):
        if not (tellable[k] or tellable[k + 1]):
            continue
        here, there = off(k, k + 1), off(k + 1, k)
        both = _BOTH_BETTER * min(own[k], own[k + 1])
        if tellable[k] and (there < _BETTER * own[k] or max(here, there) <= both):
            return k
        if tellable[k + 1] and here < _BETTER * own[k + 1]:
            return k + 1
    limit = usual_limit(own, 2 * _NOISE_LEVELS)
    for j in sorted(np.flatnonzero(own > limit), key=lambda j: -own[j])[:_MOST_ODD]:
        if min(off(k, int(j)) for k in range(len(own))) < _BETTER * own[j]:
            return int(j)
    return None
