"""The part of the picture that their cameras can show: the lens's middle is the picture's.

No loader but two honours ``cx`` and ``cy``, and some take twice their whole part for the picture's
size. So the picture is cut, evenly and as little as possible, until its middle is the lens's.
What is left is less than half a pixel; the cameras are turned by as much.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gstalker.data.capture import Capture
from gstalker.errors import CaptureError

_LEAST_SHARE = 0.5
"""A picture that would lose more than this of a side is refused."""


@dataclass(frozen=True)
class Cut:
    """A part of the picture, even in width and height."""

    x: int
    y: int
    width: int
    height: int
    left_over: tuple[float, float]
    """Where the lens's middle lies from the part's, in pixels."""
    focal_px: float
    note: str = ""

    def of(self, picture: np.ndarray) -> np.ndarray:
        """The part of a picture ``[H, W, ...]``."""
        return picture[self.y : self.y + self.height, self.x : self.x + self.width]


def choose_cut(capture: Capture) -> Cut:
    """The largest part of the capture's picture that has the lens's middle in its own.

    Raises:
        CaptureError: it would be less than half of the picture.
    """
    meta = capture.meta
    x, width, dx = _centred(float(meta["cx_px"]), capture.width)
    y, height, dy = _centred(float(meta["cy_px"]), capture.height)
    size = f"{capture.width}x{capture.height}"
    if width < _LEAST_SHARE * capture.width or height < _LEAST_SHARE * capture.height:
        raise CaptureError(
            f"{capture.folder}: the lens's middle ({meta['cx_px']:.1f}, {meta['cy_px']:.1f}) is "
            f"far from that of the {size} picture, which these layouts demand.\n"
            "  Prepare the video with crop=none."
        )
    whole = (width, height) == (capture.width, capture.height)
    note = f"pictures are cut from {size} to {width}x{height}, about the lens's middle"
    return Cut(x, y, width, height, (dx, dy), float(meta["focal_px"]), "" if whole else note)


def turned_to_middle(viewmats: np.ndarray, mesh: np.ndarray, cut: Cut) -> tuple[np.ndarray, float]:
    """Cameras that look at the middle of the cut picture, and what that moves.

    Args:
        viewmats: ``[m, 4, 4]`` head to camera.
        mesh: ``[V, 3]`` the face, for measuring.
        cut: the part.

    Returns:
        ``[m, 4, 4]``, and the largest distance in pixels that a vertex has moved; 0 where nothing
        is left over, and then the matrices are the same.
    """
    dx, dy = cut.left_over
    if dx == dy == 0:
        return viewmats, 0.0
    a, b = np.arctan(dx / cut.focal_px), np.arctan(dy / cut.focal_px)
    about_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), np.sin(b)], [0, -np.sin(b), np.cos(b)]])
    turn = np.eye(4)
    turn[:3, :3] = about_x @ about_y
    turned = turn @ viewmats
    before = _project(viewmats, mesh, cut.focal_px) + np.array([dx, dy])
    after = _project(turned, mesh, cut.focal_px)
    return turned, float(np.linalg.norm(before - after, axis=-1).max())


def _centred(middle: float, size: int) -> tuple[int, int, float]:
    """Start and even length of the longest part about ``middle``, and what is left over."""
    half = int(min(np.floor(middle + 0.5), np.floor(size - middle + 0.5), size // 2))
    start = round(middle - half)
    start = min(max(start, 0), size - 2 * half)
    return start, 2 * half, middle - (start + half)


def _project(viewmats: np.ndarray, points: np.ndarray, focal_px: float) -> np.ndarray:
    placed = points @ viewmats[:, :3, :3].transpose(0, 2, 1) + viewmats[:, None, :3, 3]
    return focal_px * placed[..., :2] / placed[..., 2:]
