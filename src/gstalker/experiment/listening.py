"""Foreign speech, heard as the capture's own sound was: all of it at once, or as it arrives."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from gstalker.data.capture import SAMPLES_PER_FRAME, Capture
from gstalker.data.windows import NEIGHBOURS, ROWS, AudioTrack
from gstalker.errors import CaptureError, ConfigError
from gstalker.prepare import audio as sound
from gstalker.prepare.audio import mel
from gstalker.prepare.audio.imported import read_features
from gstalker.prepare.audio.sliding import SlidingEncoder

LOOKAHEAD = 5
"""Frames of sound, 40 ms each, that may arrive after a frame's own before its window is ready."""
STREAMED = ("mel", "whisper")
"""Kinds of features that are made while the sound arrives."""
WHISPER_EVERY = 2
"""Frames of sound between two runs of Whisper's encoder, which takes about a frame's time on one
core; they count as look-ahead."""


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


def speech_track(
    samples: np.ndarray, capture: Capture, features: str, made: Path | None = None
) -> AudioTrack:
    """Features of foreign speech, made as the capture's own were.

    Args:
        samples: ``float32 [S]`` at 16 kHz; the last frame is filled up with silence.
        capture: whose features to imitate.
        features: their kind.
        made: their file, where the capture's own came from another program as well.

    Raises:
        ValueError: there are no samples.
        CaptureError: the model that heard the capture is not the one that is here, or the file is
            not of its features.
    """
    if len(samples) == 0:
        raise ValueError("expected some sound, but got 0 samples")
    frames = math.ceil(len(samples) / SAMPLES_PER_FRAME)
    if made is not None:
        rows = _made_elsewhere(made, frames, capture, features)
        return AudioTrack(rows, capture.rows_per_frame(features), [(0, frames)])
    sound.check_model(features, capture.meta["features"][features])
    chunk_s = float(capture.meta["features"][features]["chunk_s"])
    rows = sound.extract(features, samples, None, chunk_s)
    return AudioTrack(rows, capture.rows_per_frame(features), [(0, frames)])


def _made_elsewhere(path: Path, frames: int, capture: Capture, features: str) -> np.ndarray:
    told = capture.meta["features"][features]
    if "imported" not in told:
        raise CaptureError(
            f"this head hears '{features}' features that are made here; another program's would be "
            "another language to it. Leave audio_features out."
        )
    found = read_features(path, frames)
    if (found.kind, *found.rows.shape[1:]) != (features, told["dim"]):
        raise CaptureError(
            f"{path} holds {found.source}, but this head hears '{features}' with {told['dim']} "
            f"numbers a row ({told['source']}).\n  Make them with the program that made those."
        )
    return found.rows


class Ear(Protocol):
    """Sound in, frame by frame; feature rows of its newest part out."""

    per_frame: int
    """Rows per video frame."""

    def hear(self, samples: Tensor) -> None:
        """Take one more frame of sound, ``[640]``."""
        ...

    def rows(self, *, ended: bool) -> tuple[int, Tensor]:
        """The newest rows ``[R, D]`` and the number of the first of them since the beginning.

        Args:
            ended: there is no more sound to come.
        """
        ...

    def forget(self, row: int) -> None:
        """Rows before that one will not be asked for again."""
        ...


class MelEar:
    """Log-mel, each row computed once; the numbers of ``mel.features`` but for the loudness.

    How loud the sound will become is not known while it arrives, so it is measured by its loudest
    moment so far. A beginning that is much quieter than the training sound is a pause.

    Args:
        typical: ``float32 [S]``, some training sound.
    """

    per_frame = sound.KINDS["mel"]

    def __init__(self, typical: np.ndarray) -> None:
        self._loudest = float(mel.log_power(torch.from_numpy(typical)).max()) - mel.QUIET_DECADES
        self._samples = torch.empty(0)
        self._powers = torch.empty(0, mel.BANDS)
        self._first = 0
        self._skip = 0

    def hear(self, samples: Tensor) -> None:
        """Take one more frame of sound."""
        self._samples = torch.cat([self._samples, samples])
        power = mel.log_power(self._samples).T
        self._keep(power[self._skip : -1])  # the last row wants 40 samples that are still to come
        self._skip = min(len(power) - 1, 2)  # rows that lie too near the edge to be computed again
        self._samples = self._samples[(len(power) - 1 - self._skip) * mel.HOP :]

    def _keep(self, power: Tensor) -> None:
        self._powers = torch.cat([self._powers, power])
        self._loudest = max(self._loudest, float(power.max()))

    def rows(self, *, ended: bool) -> tuple[int, Tensor]:
        """The newest rows."""
        if ended:
            self._keep(mel.log_power(self._samples).T[self._skip :])
        scaled = (self._powers - self._loudest) / mel.RANGE_DECADES + 1
        return self._first, scaled.clamp_(min=0)

    def forget(self, row: int) -> None:
        """Rows before that one will not be asked for again."""
        gone = min(max(row - self._first, 0), len(self._powers))
        self._powers = self._powers[gone:]
        self._first += gone


class WhisperEar:
    """Whisper's rows of the newest seconds, all of them computed anew each time.

    Args:
        encoder: computes them.
    """

    per_frame = sound.KINDS["whisper"]

    def __init__(self, encoder: SlidingEncoder) -> None:
        self._encoder = encoder
        self._samples = torch.empty(0)
        self._first = 0

    def hear(self, samples: Tensor) -> None:
        """Take one more frame of sound."""
        row = SAMPLES_PER_FRAME // self.per_frame
        held = torch.cat([self._samples, samples])
        gone = max(len(held) // row - self._encoder.longest, 0)
        self._samples = held[gone * row :]
        self._first += gone

    def rows(self, *, ended: bool) -> tuple[int, Tensor]:
        """The newest rows."""
        return self._first, self._encoder(self._samples, ended=ended)

    def forget(self, row: int) -> None:
        """Nothing to do: what is held is bounded as it is."""


class Listener:
    """Windows of sound around frame after frame, each as soon as its look-ahead has arrived.

    What a frame is shown does not depend on how the sound was cut into pieces.

    Args:
        ear: makes the rows.
        lookahead: frames of sound that may arrive after a frame's own, at most.
        every: frames of sound between two looks at the rows, a part of ``lookahead``.
    """

    def __init__(self, ear: Ear, lookahead: int = LOOKAHEAD, every: int = 1) -> None:
        self._ear = ear
        self._ahead, self._every = lookahead - (every - 1), every
        self._frame = np.zeros(SAMPLES_PER_FRAME, np.float32)
        self._filled = self._heard = self._shown = 0

    def windows(self, chunks: Iterable[Any]) -> Iterator[Tensor]:
        """A window ``[8, 16, D]`` for every 40 ms of the sound.

        Args:
            chunks: pieces of sound of any length, one after the other; see ``checked_sound``.
        """
        for chunk in chunks:
            samples = checked_sound(chunk)
            while len(samples):
                part = samples[: SAMPLES_PER_FRAME - self._filled]
                samples = samples[len(part) :]
                self._frame[self._filled : self._filled + len(part)] = part
                self._filled += len(part)
                if self._filled == SAMPLES_PER_FRAME:
                    self._take()
                    if self._heard % self._every == 0:
                        yield from self._ready(self._heard - self._ahead, ended=False)
        if self._filled:
            self._frame[self._filled :] = 0
            self._take()
        yield from self._ready(self._heard, ended=True)

    def _take(self) -> None:
        self._ear.hear(torch.from_numpy(self._frame.copy()))
        self._heard += 1
        self._filled = 0

    def _ready(self, until: int, *, ended: bool) -> Iterator[Tensor]:
        """Windows of the frames before ``until`` that were not shown yet."""
        if self._shown >= until:
            return
        first, rows = self._ear.rows(ended=ended)
        per_frame = self._ear.per_frame
        while self._shown < until:
            frames = (self._shown + np.array(NEIGHBOURS)).clip(0, self._heard - 1)
            wanted = (frames * per_frame + per_frame // 2)[:, None]
            wanted = wanted + np.arange(-ROWS // 2, ROWS // 2) - first
            self._shown += 1
            yield rows[torch.from_numpy(wanted.clip(0, len(rows) - 1))]
        self._ear.forget((until + NEIGHBOURS[0]) * per_frame + per_frame // 2 - ROWS // 2)


class Hearing:
    """What listeners to one kind of features share; one serves any number of streams.

    Args:
        capture: whose features to imitate.
        features: their kind.
        start: a training frame; the sound from there on is taken as typical.

    Raises:
        ConfigError: no listener knows that kind.
    """

    def __init__(self, capture: Capture, features: str, start: int) -> None:
        if features not in STREAMED:
            raise ConfigError(
                f"this head hears '{features}' features, which want the whole recording; only "
                f"{' and '.join(STREAMED)} can be heard while they arrive.\n"
                "  Use Head.frames or 'gstalker drive' with the recording instead."
            )
        chunk_s = float(capture.meta["features"][features]["chunk_s"])
        first = start * SAMPLES_PER_FRAME
        self._typical = capture.audio()[first:][: round(chunk_s * sound.RATE_HZ)]
        self._encoder = SlidingEncoder(self._typical) if features == "whisper" else None

    def listener(self) -> Listener:
        """For one stream of sound."""
        if self._encoder is None:
            return Listener(MelEar(self._typical))
        return Listener(WhisperEar(self._encoder), every=WHISPER_EVERY)
