"""MediaPipe's 478 points in VIDEO mode, started afresh for every take."""

from __future__ import annotations

import atexit
import contextlib
from typing import Any

import numpy as np

from gstalker import weights
from gstalker.data.capture import FPS, Capture
from gstalker.errors import BackendMissing
from gstalker.process import quiet

MODEL = "face_landmarker"


class MediaPipePoints:
    """MediaPipe's face landmarker; one face, its own smoothing over time within a take."""

    name = "mediapipe"
    layout = "mediapipe478"

    def __init__(self, capture: Capture) -> None:
        try:
            import mediapipe
            from mediapipe.tasks.python import BaseOptions, vision
        except ImportError as error:
            raise BackendMissing(
                "landmarks 'mediapipe' were asked for, but mediapipe is not installed.\n"
                "  Install it with: pip install 'gstalker[prepare]'"
            ) from error
        self._mediapipe, self._vision = mediapipe, vision
        self._options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(weights.find(MODEL))),
            running_mode=vision.RunningMode.VIDEO,
            num_faces=1,
        )
        self._size = np.array([capture.width, capture.height], np.float32)
        self._landmarker: Any = None
        self._first = self._last = -1
        # Its own clean-up would find half of Python gone; by then its executor already is.
        atexit.register(self._forget)

    def begin(self) -> None:
        """Start afresh: MediaPipe follows a face from frame to frame."""
        self.close()
        with quiet():
            self._landmarker = self._vision.FaceLandmarker.create_from_options(self._options)
        self._first = self._last = -1

    def __call__(self, frame: np.ndarray, index: int) -> np.ndarray:
        """Points ``float32 [478, 2]`` in pixels, NaN without a face.

        Where ``index`` goes back, as in a film whose poses go back and forth, time goes on.
        """
        if self._landmarker is None:
            self.begin()
        if self._first < 0:
            self._first = index
        picture = self._mediapipe.Image(
            image_format=self._mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(frame)
        )
        self._last = max(index - self._first, self._last + 1)
        with quiet():
            faces = self._landmarker.detect_for_video(
                picture, self._last * 1000 // FPS
            ).face_landmarks
        if not faces:
            return np.full((478, 2), np.nan, np.float32)
        return np.array([(p.x, p.y) for p in faces[0]], np.float32) * self._size

    def close(self) -> None:
        """Free the landmarker."""
        if self._landmarker is not None:
            self._landmarker.close()
            self._landmarker = None

    def _forget(self) -> None:
        with contextlib.suppress(RuntimeError):
            self.close()
