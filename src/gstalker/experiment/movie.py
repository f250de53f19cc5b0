"""Frames and sound into an mp4, one frame at a time."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np

from gstalker import files
from gstalker.data.capture import FPS

_BLOCK = 1024
"""Samples per AAC frame."""


class MovieWriter:
    """Encodes H.264 and, if there is sound, AAC; memory does not grow with the length.

    Pictures of odd size lose nothing: their last row or column is repeated once, because 4:2:0
    video has even sides.

    Args:
        path: the ``.mp4``; it appears when the movie is closed without an error.
        width: of the pictures.
        height: of the pictures.
        samples: ``float32 [S]`` mono sound from the first frame on, or None.
        rate_hz: of the samples.
    """

    def __init__(
        self,
        path: Path,
        width: int,
        height: int,
        samples: np.ndarray | None = None,
        rate_hz: int = 16_000,
    ) -> None:
        self._size = (width, height)
        self._stack = contextlib.ExitStack()
        temporary = self._stack.enter_context(files.replacing(path))
        self._container: Any = self._stack.enter_context(av.open(str(temporary), "w", format="mp4"))
        self._video = self._container.add_stream("libx264", rate=FPS)
        self._video.width, self._video.height = width + width % 2, height + height % 2
        self._video.pix_fmt = "yuv420p"
        self._video.options = {"crf": "17", "preset": "veryfast"}
        self._samples = samples
        self._sound = None
        self._sent = 0
        self._frames = 0
        if samples is not None:
            self._sound = self._container.add_stream("aac", rate=rate_hz)
            self._sound.layout = "mono"
            self._sound.bit_rate = 128_000

    def write(self, picture: np.ndarray) -> None:
        """Append one picture, ``uint8 [H, W, 3]`` RGB, and the sound that goes with it."""
        width, height = self._size
        if picture.shape != (height, width, 3) or picture.dtype != np.uint8:
            raise ValueError(
                f"expected uint8 [{height}, {width}, 3], but got {picture.dtype} {picture.shape}"
            )
        padded = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24")
        frame.pts = self._frames
        frame.time_base = Fraction(1, FPS)
        self._frames += 1
        self._container.mux(self._video.encode(frame))
        if self._sound is not None:
            self._send_sound(self._frames * self._sound.rate // FPS)

    def _send_sound(self, until: int) -> None:
        assert self._samples is not None
        assert self._sound is not None
        until = min(until, len(self._samples))
        while self._sent + _BLOCK <= until or (self._sent < until == len(self._samples)):
            block = self._samples[self._sent : min(self._sent + _BLOCK, until)]
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(block[None], np.float32), format="fltp", layout="mono"
            )
            frame.sample_rate = self._sound.rate
            frame.pts = self._sent
            frame.time_base = Fraction(1, self._sound.rate)
            self._sent += len(block)
            self._container.mux(self._sound.encode(frame))

    def _flush(self) -> None:
        if self._sound is not None:
            self._send_sound(self._frames * self._sound.rate // FPS)
            self._container.mux(self._sound.encode(None))
        self._container.mux(self._video.encode(None))

    def __enter__(self) -> MovieWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._flush()
        except BaseException as failure:
            self._stack.__exit__(type(failure), failure, failure.__traceback__)
            raise
        self._stack.__exit__(kind, error, trace)


def ping_pong(first: int, stop: int) -> Iterator[int]:
    """Frame ids to and fro through ``first .. stop - 1``, without end, none twice in a row.

    >>> list(itertools.islice(ping_pong(10, 13), 7))
    [10, 11, 12, 11, 10, 11, 12]
    """
    there = range(first, stop)
    return itertools.cycle([*there, *there[-2:0:-1]])
