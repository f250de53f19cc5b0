"""Sound features: 16 kHz samples become rows that run beside the video's frames.

Features are computed take by take, never across a jump cut, and in chunks of one length for the
capture and for the speech that drives it later, so that both are seen alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gstalker.errors import ConfigError
from gstalker.prepare.audio.reading import RATE_HZ, read

__all__ = [
    "KINDS",
    "LONGEST_CHUNK_S",
    "RATE_HZ",
    "SHORTEST_CHUNK_S",
    "chunk_seconds",
    "extract",
    "read",
]

FPS = 25
SAMPLES_PER_FRAME = RATE_HZ // FPS
SHORTEST_CHUNK_S, LONGEST_CHUNK_S = 3.0, 30.0
KINDS = {"mel": 4, "whisper": 2}
"""Rows per video frame of each kind."""


def chunk_seconds(segments_s: Sequence[tuple[float, float]]) -> float:
    """Length of the chunks that features are computed in: the longest take, in 3 to 30 s."""
    longest = max(stop - start for start, stop in segments_s)
    return float(min(max(longest, SHORTEST_CHUNK_S), LONGEST_CHUNK_S))


def extract(
    kind: str,
    samples: np.ndarray,
    segments_s: Sequence[tuple[float, float]] | None,
    chunk_s: float,
) -> np.ndarray:
    """Features of a whole recording.

    Args:
        kind: ``mel`` or ``whisper``.
        samples: ``float32 [S]`` in [-1, 1] at 16 kHz; ``F = ceil(S / 640)`` frames.
        segments_s: takes, start and stop in seconds; ``None``: all one take.
        chunk_s: how much is seen at once in features that look far around (Whisper).

    Returns:
        ``float32 [F * rows_per_frame, D]``.

    Raises:
        ConfigError: nobody knows ``kind``.
        BackendMissing: its weights are missing.
    """
    if kind not in KINDS:
        raise ConfigError(f"unknown sound features '{kind}'; known: {', '.join(KINDS)}.")
    frames = math.ceil(len(samples) / SAMPLES_PER_FRAME)
    samples = np.pad(
        np.asarray(samples, np.float32), (0, frames * SAMPLES_PER_FRAME - len(samples))
    )
    spans = [(0.0, frames / FPS)] if segments_s is None else segments_s
    bounds = [(round(a * FPS), round(b * FPS)) for a, b in spans]
    if [i for a, b in bounds for i in (a, b)][1:-1:2] != [a for a, _ in bounds[1:]] or (
        bounds and (bounds[0][0], bounds[-1][1]) != (0, frames)
    ):
        raise ValueError(
            f"segments {spans} do not cover the {frames} frames of the sound once, in order"
        )
    takes = [samples[a * SAMPLES_PER_FRAME : b * SAMPLES_PER_FRAME] for a, b in bounds]
    if kind == "mel":
        from gstalker.prepare.audio import mel

        return mel.features(takes)
    from gstalker.prepare.audio import whisper

    return whisper.features(takes, chunk_s)
