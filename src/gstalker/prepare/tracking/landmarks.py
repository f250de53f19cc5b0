"""478 landmarks per frame, from MediaPipe's face landmarker.

It follows a face from frame to frame, so it is started afresh at every cut. Long takes are split
among processes, each piece beginning a few frames early.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gstalker.data.rows import Rows
from gstalker.errors import BackendMissing
from gstalker.prepare.tracking.subject import MOST_FACES, Follower
from gstalker.process import quiet

POINTS = 478
INSTALL = "pip install 'gstalker[prepare]'   (Debian also: apt install libegl1 libgles2 libgl1)"
ADVICE = (
    "Use a video of one person who looks roughly into the camera,\n"
    "  the head a fifth of the picture's height or more."
)
"""For videos without a face."""
_FRAME_MS = 40
_PIECE = 250
"""Frames a job: long enough to make starting the landmarker cheap."""
_WARM_UP = 12
"""Frames that a piece begins early, until the landmarker's own smoothing has settled."""


@dataclass(frozen=True)
class Piece:
    """Frames that one process looks at."""

    frames: Path
    """``frames.npy``."""
    model: Path
    begin: int
    """First frame shown to the landmarker."""
    start: int
    """First frame whose points are kept."""
    stop: int
    subject: tuple[tuple[float, float, float], ...]
    """Where looks have seen the subject's face: middle x, y and height in pixels."""
    most_faces: int
    """One where nobody else is seen, which is quicker."""


def pieces(
    frames: Path,
    model: Path,
    takes: Sequence[tuple[int, int]],
    subject: np.ndarray,
    most_faces: int,
) -> list[Piece]:
    """Split takes into jobs; none crosses a cut."""
    places = tuple((float(x), float(y), float(tall)) for x, y, tall in subject)
    jobs = []
    for first, stop in takes:
        count = max(round((stop - first) / _PIECE), 1)
        edges = np.linspace(first, stop, count + 1).round().astype(int)
        for a, b in zip(edges[:-1], edges[1:], strict=True):
            begin = max(int(a) - _WARM_UP, first)
            jobs.append(Piece(frames, model, begin, int(a), int(b), places, most_faces))
    return jobs


def track(piece: Piece) -> np.ndarray:
    """Points of the piece's frames, ``float32 [stop - start, 478, 2]`` in pixels; NaN: no face."""
    frames = Rows(piece.frames)
    found = np.full((piece.stop - piece.start, POINTS, 2), np.nan, np.float32)
    for k, (result, own) in enumerate(_followed(piece, frames)):
        if own is not None:
            found[k] = _faces(result, frames.shape[1:])[own]
    return found


def blinks(piece: Piece) -> np.ndarray:
    """How closed each eye is in the piece's frames, ``float32 [stop - start, 2]`` in [0, 1].

    MediaPipe's blendshapes ``eyeBlinkLeft`` and ``eyeBlinkRight``; NaN: no face.
    """
    frames = Rows(piece.frames)
    found = [_lids(result, own) for result, own in _followed(piece, frames, blendshapes=True)]
    return np.array(found, np.float32).reshape(-1, 2)


def _followed(
    piece: Piece, frames: Rows, *, blendshapes: bool = False
) -> Iterator[tuple[Any, int | None]]:
    """The landmarker's results for the piece's own frames, and which face is the subject's."""
    follower = Follower(np.array(piece.subject))
    with quiet():
        landmarker = _landmarker(
            piece.model, video=True, most_faces=piece.most_faces, blendshapes=blendshapes
        )
        try:
            for i in range(piece.begin, piece.stop):
                time_ms = (i - piece.begin) * _FRAME_MS
                result = landmarker.detect_for_video(_image(frames[i]), time_ms)
                own = follower.pick(list(_faces(result, frames.shape[1:])))
                if i >= piece.start:
                    yield result, own
        finally:
            landmarker.close()


def look_for_one(
    pictures: Iterator[np.ndarray] | Sequence[np.ndarray],
    model: Path,
    subject: np.ndarray,
    most_faces: int,
) -> np.ndarray:
    """The subject's points in single pictures, each looked at alone, ``float32 [n, 478, 2]``."""
    found = []
    for faces in look_for_all(pictures, model, most_faces):
        own = Follower(subject).pick(list(faces))
        found.append(np.full((POINTS, 2), np.nan, np.float32) if own is None else faces[own])
    return np.array(found, np.float32).reshape(-1, POINTS, 2)


def look_for_all(
    pictures: Iterator[np.ndarray] | Sequence[np.ndarray], model: Path, most: int = MOST_FACES
) -> Iterator[np.ndarray]:
    """All faces of single pictures, ``float32 [faces, 478, 2]`` each, in pixels."""
    with quiet():
        landmarker = _landmarker(model, video=False, most_faces=most)
    try:
        for picture in pictures:
            with quiet():
                found = landmarker.detect(_image(picture))
            yield _faces(found, picture.shape)
    finally:
        landmarker.close()


def require() -> None:
    """Raise :class:`BackendMissing` with the install line unless MediaPipe and OpenCV are here."""
    _mediapipe()


def _landmarker(model: Path, *, video: bool, most_faces: int, blendshapes: bool = False) -> Any:
    _, tasks, vision = _mediapipe()
    mode = vision.RunningMode.VIDEO if video else vision.RunningMode.IMAGE
    options = vision.FaceLandmarkerOptions(
        base_options=tasks.BaseOptions(model_asset_path=str(model)),
        running_mode=mode,
        num_faces=most_faces,
        output_face_blendshapes=blendshapes,
    )
    return vision.FaceLandmarker.create_from_options(options)


def _image(picture: np.ndarray) -> Any:
    mediapipe, _, _ = _mediapipe()
    return mediapipe.Image(
        image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(picture)
    )


def _faces(result: Any, shape: tuple[int, ...]) -> np.ndarray:
    height, width = shape[:2]
    faces = [[(p.x * width, p.y * height) for p in face] for face in result.face_landmarks]
    return np.array(faces, np.float32).reshape(-1, POINTS, 2)


def _lids(result: Any, own: int | None) -> tuple[float, float]:
    if own is None:
        return np.nan, np.nan
    scores = {shape.category_name: shape.score for shape in result.face_blendshapes[own]}
    return scores["eyeBlinkLeft"], scores["eyeBlinkRight"]


def _mediapipe() -> tuple[Any, Any, Any]:
    try:
        import cv2  # noqa: F401  MediaPipe brings it; masks and resizing need it
        import mediapipe
        from mediapipe.tasks import python as tasks
        from mediapipe.tasks.python import vision
    except (ImportError, OSError) as error:
        raise BackendMissing(
            f"finding faces needs MediaPipe, which cannot be used here ({error}).\n"
            f"  Install it with: {INSTALL}"
        ) from error
    return mediapipe, tasks, vision
