"""What landmark numbers mean: which points are lips, lids, eye corners and chin, per layout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gstalker.errors import CaptureError


@dataclass(frozen=True)
class FaceLayout:
    """Indices into one landmark layout."""

    lips: tuple[int, ...]
    """Outer lip contour, in order around the mouth."""
    inner_lips: tuple[int, ...]
    """Inner lip contour, in order around the mouth."""
    gap: tuple[int, int]
    """Middle of the upper and of the lower inner lip."""
    eye_corners: tuple[int, int]
    """Outer corners of the two eyes: the ruler for everything else."""
    lids: tuple[tuple[int, int], ...]
    """Upper and lower lid of each eye."""
    chin: int


_IBUG68 = FaceLayout(
    lips=tuple(range(48, 60)),
    inner_lips=tuple(range(60, 68)),
    gap=(62, 66),
    eye_corners=(36, 45),
    lids=((37, 41), (44, 46)),
    chin=8,
)

LAYOUTS = {
    "mediapipe478": FaceLayout(
        lips=(
            61,
            146,
            91,
            181,
            84,
            17,
            314,
            405,
            321,
            375,
            291,
            409,
            270,
            269,
            267,
            0,
            37,
            39,
            40,
            185,
        ),
        inner_lips=(
            78,
            95,
            88,
            178,
            87,
            14,
            317,
            402,
            318,
            324,
            308,
            415,
            310,
            311,
            312,
            13,
            82,
            81,
            80,
            191,
        ),
        gap=(13, 14),
        eye_corners=(33, 263),
        lids=((159, 145), (386, 374)),
        chin=152,
    ),
    "ibug68": _IBUG68,
    "synthetic68": _IBUG68,
}
"""MediaPipe's 478 points, and the 68 points of the iBUG annotation: as others find them, and as the
synthetic speaker's are known."""

IBUG68_OF_MEDIAPIPE478 = (
    (127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356)
    + (70, 63, 105, 66, 107, 336, 296, 334, 293, 300, 168, 197, 5, 4, 75, 97, 2, 326, 305)
    + (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380)
    + (61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91)
    + (78, 81, 13, 311, 308, 402, 14, 178)
)
"""The MediaPipe point that stands for each iBUG point, as GeneFace++ chooses them
(``index_lm68_from_lm478`` in its ``face_landmarker.py``); along the jaw the two differ by design:
iBUG marks the visible outline, MediaPipe the skin."""

MEDIAPIPE_VERTICES = 468
"""Of MediaPipe's canonical face: its landmarks but for the irises."""


def vertices_of(name: str, count: int) -> np.ndarray:
    """Vertex of a capture's mesh that each landmark of a layout is, for as many as have one.

    Args:
        name: of the layout.
        count: vertices of the mesh.
    """
    if name == "ibug68" and count == MEDIAPIPE_VERTICES:
        return np.array(IBUG68_OF_MEDIAPIPE478)
    return np.arange(min(MEDIAPIPE_VERTICES if name == "mediapipe478" else 68, count))


MOUTH_BOX = (0.44, 0.31, 0.44, 0.375)
"""Half-width left, height above, half-width right and height below the lips' centre, in outer-eye
distances: the 56 x 44 pixels that the feasibility trial used on a 64-pixel outer-eye distance."""


def layout(name: str) -> FaceLayout:
    """The layout called ``name``.

    Raises:
        CaptureError: nobody knows it.
    """
    if name not in LAYOUTS:
        raise CaptureError(f"unknown landmark layout '{name}'; known: {', '.join(LAYOUTS)}")
    return LAYOUTS[name]


def mouth_boxes(landmarks: np.ndarray, face: FaceLayout, width: int, height: int) -> np.ndarray:
    """Pixel boxes around the lips of every frame.

    Args:
        landmarks: ``[F, L, 2]`` pixels; frames without a face (NaN) take the nearest one's box.
        face: what the points mean.
        width: of the picture; boxes are clipped to it.
        height: of the picture.

    Returns:
        ``int64 [F, 4]``: x0, y0, x1, y1, the far ends excluded. All boxes that lie inside the
        picture have one size: the one for the median outer-eye distance.

    Raises:
        CaptureError: no frame has a face.
    """
    seen = _seen(landmarks)
    left, right = landmarks[seen][:, face.eye_corners[0]], landmarks[seen][:, face.eye_corners[1]]
    ruler = float(np.median(np.linalg.norm(left - right, axis=-1)))
    nearest = _nearest(seen, len(landmarks))
    centre = landmarks[nearest][:, list(face.lips)].mean(1)
    reach = np.array(MOUTH_BOX) * ruler
    size = np.maximum(np.round([reach[0] + reach[2], reach[1] + reach[3]]), 1).astype(int)
    corner = np.round(centre - reach[:2]).astype(np.int64)
    boxes = np.concatenate([corner, corner + size], axis=1)
    limit = np.array([width, height, width, height])
    boxes = np.clip(boxes, 0, limit)
    boxes[:, :2] = np.minimum(boxes[:, :2], limit[:2] - 1)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    return boxes


def face_boxes(landmarks: np.ndarray, width: int, height: int) -> np.ndarray:
    """Pixel boxes around all landmarks of every frame (AD-NeRF's face rectangle).

    Args:
        landmarks: ``[F, L, 2]`` pixels; frames without a face (NaN) take the nearest one's box.
        width: of the picture; boxes are clipped to it.
        height: of the picture.

    Returns:
        ``int64 [F, 4]``: x0, y0, x1, y1, the far ends excluded; none is empty.

    Raises:
        CaptureError: no frame has a face.
    """
    found = landmarks[_nearest(_seen(landmarks), len(landmarks))]
    limit = np.array([width, height])
    low = np.clip(np.floor(found.min(1)), 0, limit - 1)
    high = np.clip(np.ceil(found.max(1)), low + 1, limit)
    return np.concatenate([low, high], axis=1).astype(np.int64)


def _seen(landmarks: np.ndarray) -> np.ndarray:
    """Frames with a face."""
    seen = np.flatnonzero(np.isfinite(landmarks).all((1, 2)))
    if len(seen) == 0:
        raise CaptureError(
            "no frame of the capture has landmarks; prepare it again from a video with a face"
        )
    return seen


def _nearest(ids: np.ndarray, count: int) -> np.ndarray:
    """For each of ``0 .. count - 1`` the nearest of the ascending ``ids``, the lower of two."""
    after = np.searchsorted(ids, np.arange(count)).clip(0, len(ids) - 1)
    before = (after - 1).clip(0)
    frames = np.arange(count)
    nearer = np.abs(frames - ids[before]) <= np.abs(ids[after] - frames)
    return ids[np.where(nearer, before, after)]
