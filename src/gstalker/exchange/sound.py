"""The sound of a data set and the features that lie beside it, on the pictures' time base."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from gstalker.data.capture import FPS, SAMPLES_PER_FRAME
from gstalker.data.writer import CaptureWriter
from gstalker.errors import CaptureError
from gstalker.exchange import windows
from gstalker.prepare import audio

log = logging.getLogger(__name__)

EXACT_WAV = 32768 / 32767
"""``write_wav`` scales by 32767, reading by 32768: with this the samples stay themselves."""
_FEATURES_OFF, _SOUND_OFF = 2, 5
"""Frames by which feature files, and the sound, may be longer or shorter than the pictures."""


class Sound:
    """What is to be heard in one folder.

    Args:
        folder: the data set.
        count: its pictures.
        wanted: kinds of features to make; see :func:`gstalker.prepare.audio.chosen`.

    Raises:
        CaptureError: sound or features are of another length, or contradict each other.
        ConfigError: nobody knows a kind.
        BackendMissing: a kind's model is missing.
    """

    def __init__(self, folder: Path, count: int, wanted: str = "auto") -> None:
        self._count = count
        self._samples = audio.read(folder / "aud.wav")
        self._expect_length()
        self._heard: dict[str, windows.Heard] = {}
        self.files: dict[str, str] = {}
        """Where each kind of features was found."""
        for path in sorted(folder.glob("aud*.npy")):
            self._add(windows.read(path), path.name)
        self._made = [kind for kind in audio.chosen(wanted) if kind not in self._heard]
        for kind in self._made:
            audio.require(kind)

    def write(self, writer: CaptureWriter, segments: list[tuple[int, int]]) -> dict[str, Any]:
        """Write the sound, the features that are made from it, and all that came along.

        Returns:
            what ``capture.json`` says of them.
        """
        count, samples = self._count, self.samples
        writer.audio(samples * EXACT_WAV)
        segments_s = [(a / FPS, b / FPS) for a, b in segments]
        chunk_s = audio.chunk_seconds(segments_s)
        specs: dict[str, Any] = {}
        for kind in self._made:
            rows = audio.extract(kind, samples, segments_s, chunk_s)
            writer.array(f"features/{kind}", rows)
            specs[kind] = {**audio.spec(kind), "dim": rows.shape[1], "chunk_s": chunk_s}
        for name, heard in self._heard.items():
            per_frame = heard.kind.rows_per_frame
            rows, lost = windows.fitted(heard.rows, count, per_frame)
            writer.array(f"features/{name}", rows)
            specs[name] = {
                "dim": heard.kind.dim,
                "rows_per_frame": per_frame,
                "chunk_s": chunk_s,
                "source": f"{heard.kind.said}; imported, {self.files[name]}",
                "entries": heard.count,
            }
            if lost:
                log.warning("%s: %d rows of sound after the last picture are left out", name, lost)
        return specs

    @property
    def samples(self) -> np.ndarray:
        """The sound as long as the pictures, ``float32 [F * 640]``."""
        wanted = self._count * SAMPLES_PER_FRAME
        found = self._samples[:wanted]
        return np.pad(found, (0, wanted - len(found)))

    def _expect_length(self) -> None:
        frames = len(self._samples) / SAMPLES_PER_FRAME
        if abs(frames - self._count) > _SOUND_OFF:
            raise CaptureError(
                f"aud.wav lasts {frames / FPS:.2f} s, {self._count} pictures at {FPS} a second "
                f"last {self._count / FPS:.2f} s.\n"
                "  One of them is cut, or the pictures are not 25 a second (AD-NeRF keeps the "
                "video's own rate): prepare the video itself instead."
            )

    def _add(self, heard: windows.Heard, file: str) -> None:
        name = heard.kind.name
        if abs(heard.count - self._count) > _FEATURES_OFF:
            raise CaptureError(
                f"{file} has {heard.count} entries for {self._count} frames; "
                f"{_FEATURES_OFF} more or less would be rounding.\n"
                "  It is of another recording, or the pictures are not 25 a second."
            )
        known = self._heard.get(name)
        if known is not None and not np.array_equal(known.rows, heard.rows):
            raise CaptureError(
                f"{self.files[name]} and {file} both hold {name} features, but not the same."
            )
        self._heard[name], self.files[name] = heard, file
