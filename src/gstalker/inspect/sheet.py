"""The contact sheet: a dozen frames with what prepare found drawn on them."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from gstalker import face
from gstalker.data.capture import FPS, HAIR, HEAD, MOUTH, NECK, TEETH, TORSO, Capture, coarse
from gstalker.inspect.facts import Facts

FRAMES = 12
WIDTH_PX = 400
_QUALITY = 82
_OUTLINES = {
    NECK: (124, 219, 98),
    HAIR: (191, 90, 242),
    TORSO: (92, 167, 255),
    HEAD: (255, 196, 61),
    TEETH: (255, 255, 255),
    MOUTH: (255, 84, 112),
}
"""Colour of each mask's edge, the later over the earlier."""
_POINT = (124, 255, 178)
_AXES = ((255, 84, 84), (92, 255, 92), (92, 148, 255))
"""Of the head: to its left, down, and out of the face."""
_AXIS_CM = 6.0


@dataclass(frozen=True)
class Shot:
    """One frame of the sheet."""

    index: int
    why: str
    """What it was chosen for."""


def choose(facts: Facts) -> list[Shot]:
    """The frames at the ends of what the head and face do, and others spread over time.

    Fewer than a dozen usable frames give fewer shots.
    """
    ids = np.flatnonzero(facts.usable)
    yaw, pitch, roll = facts.angles[ids].T
    ends = [
        (np.argmin(yaw), "furthest to the left"),
        (np.argmax(yaw), "furthest to the right"),
        (np.argmax(pitch), "furthest up"),
        (np.argmin(pitch), "furthest down"),
        (np.argmax(np.abs(roll)), "leans most"),
        (np.nanargmax(_known(facts.mouth[ids])), "mouth widest"),
        (np.nanargmin(_known(facts.eye[ids])), "eyes most closed"),
    ]
    if facts.misfit is not None:
        ends.append((np.nanargmax(_known(facts.misfit.frame_px[ids])), "fits worst"))
    shots = {int(ids[at]): why for at, why in reversed(ends)}
    # Fill with frames that are spread over time, until there are enough.
    for count in range(1, len(ids) + 1):
        if len(shots) >= min(FRAMES, len(ids)):
            break
        spread = ids[np.linspace(0, len(ids) - 1, count + 2).round().astype(int)[1:-1]]
        fresh = [int(i) for i in spread if int(i) not in shots]
        if len(shots) + len(fresh) >= min(FRAMES, len(ids)):
            for i in fresh[: FRAMES - len(shots)]:
                shots[i] = "in passing"
    return [Shot(i, shots[i]) for i in sorted(shots)]


def caption(shot: Shot) -> str:
    """Where in the film and why."""
    seconds = shot.index / FPS
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}  {shot.why}"


def draw(capture: Capture, index: int) -> bytes:
    """One frame as JPEG, with landmarks, outlines of the masks and the head's axes."""
    scale = WIDTH_PX / capture.width
    size = (WIDTH_PX, max(round(capture.height * scale), 1))
    picture = Image.fromarray(capture.frame(index)).resize(size, Image.Resampling.LANCZOS)
    pixels = np.asarray(picture).copy()
    parts = Image.fromarray(capture.parts(index)).resize(size, Image.Resampling.NEAREST)
    labels = np.asarray(parts)
    for label, colour in _OUTLINES.items():
        inside = (labels if label > MOUTH else coarse(labels)) == label
        if label == HEAD:
            inside |= coarse(labels) == MOUTH
        pixels[inside & ~ndimage.binary_erosion(inside, iterations=2, border_value=1)] = colour
    picture = Image.fromarray(pixels)
    pen = ImageDraw.Draw(picture)
    _points(pen, capture, index, scale)
    _axes(pen, capture, index, scale)
    return jpeg(picture)


def plate(capture: Capture) -> bytes:
    """The background as JPEG."""
    scale = WIDTH_PX / capture.width
    size = (WIDTH_PX, max(round(capture.height * scale), 1))
    return jpeg(Image.fromarray(capture.background).resize(size, Image.Resampling.LANCZOS))


def jpeg(picture: Image.Image) -> bytes:
    """A picture, small enough to carry in a page."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return buffer.getvalue()


def _points(pen: ImageDraw.ImageDraw, capture: Capture, index: int, scale: float) -> None:
    points = capture.landmarks[index] * scale
    if not np.isfinite(points).all():
        return
    layout = face.layout(capture.meta["landmarks"])
    for x, y in points:
        pen.ellipse((x - 0.5, y - 0.5, x + 0.5, y + 0.5), fill=_POINT)
    marked = [*layout.eye_corners, *layout.gap, layout.chin, *(i for p in layout.lids for i in p)]
    for x, y in points[marked]:
        pen.ellipse((x - 2, y - 2, x + 2, y + 2), fill=_POINT)


def _axes(pen: ImageDraw.ImageDraw, capture: Capture, index: int, scale: float) -> None:
    pose, K = capture.poses[index].numpy(), capture.Ks.numpy()
    tip = capture.mesh[np.argmin(capture.mesh[:, 2])]  # of the nose
    ends = tip + _AXIS_CM * np.concatenate([np.zeros((1, 3)), np.diag([1.0, 1.0, -1.0])])
    placed = ends @ pose[:3, :3].T + pose[:3, 3]
    if (placed[:, 2] <= 0).any():
        return
    pixels = (placed / placed[:, 2:] @ K.T)[:, :2] * scale
    start = tuple(float(v) for v in pixels[0])
    for end, colour in zip(pixels[1:], _AXES, strict=True):
        pen.line([start, (float(end[0]), float(end[1]))], fill=colour, width=4)


def _known(values: np.ndarray) -> np.ndarray:
    """The values, or zeros where none is a number, so that an extreme of them exists."""
    return values if np.isfinite(values).any() else np.zeros_like(values)
