"""Foreign speech, heard as the capture's own sound was: all of it at once, or as it arrives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gstalker.data.capture import SAMPLES_PER_FRAME, Capture
from gstalker.data.windows import AudioTrack
from gstalker.prepare import audio as sound


def checked_sound(samples: Any) -> np.ndarray:
    """Samples as ``float32 [S]`` in [-1, 1], louder ones clipped.

    Raises:
        ValueError: they are neither ``float32`` nor ``int16``, not one row, or not all numbers.
    """
    found = np.asarray(samples)
    if found.dtype not in (np.float32, np.int16):
        raise ValueError(f"expected sound as float32 or int16 at 16 kHz, but got {found.dtype}")
    if found.ndim != 1:
        raise ValueError(f"expected mono sound of shape [S], but got {list(found.shape)}")
    if found.dtype == np.int16:
        return found.astype(np.float32) / 32768
    if not np.isfinite(found).all():
        raise ValueError("expected finite sound, but it holds samples that are not numbers")
    return np.clip(found, -1, 1)


def speech_track(samples: np.ndarray, capture: Capture, features: str) -> AudioTrack:
    """Features of foreign speech, made as the capture's own were.

    Args:
        samples: ``float32 [S]`` at 16 kHz; the last frame is filled up with silence.
        capture: whose features to imitate.
        features: their kind.

    Raises:
        ValueError: there are no samples.
    """
    if len(samples) == 0:
        raise ValueError("expected some sound, but got 0 samples")
    frames = math.ceil(len(samples) / SAMPLES_PER_FRAME)
    chunk_s = float(capture.meta["features"][features]["chunk_s"])
    rows = sound.extract(features, samples, None, chunk_s)
    return AudioTrack(rows, capture.rows_per_frame(features), [(0, frames)])
