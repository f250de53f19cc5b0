"""The sound of a data set and the features that lie beside it, on the pictures' time base."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from gstalker.data.capture import FPS, SAMPLES_PER_FRAME
from gstalker.data.writer import CaptureWriter
from gstalker.errors import CaptureError
from gstalker.prepare import audio
from gstalker.prepare.audio.imported import Imported, read_features

log = logging.getLogger(__name__)

EXACT_WAV = 32768 / 32767
"""``write_wav`` scales by 32767, reading by 32768: with this the samples stay themselves."""
_SOUND_OFF = 5
"""Frames by which the sound may be longer or shorter than the pictures."""


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
        self._found: dict[str, Imported] = {}
        for path in sorted(folder.glob("aud*.npy")):
            self._add(read_features(path, count))
        self._made = [kind for kind in audio.chosen(wanted) if kind not in self._found]
        for kind in self._made:
            audio.require(kind)

    def write(self, writer: CaptureWriter, segments: list[tuple[int, int]]) -> dict[str, Any]:
        """Write the sound, the features that are made from it, and all that came along.

        Returns:
            what ``capture.json`` says of them.
        """
        samples = self.samples
        writer.audio(samples * EXACT_WAV)
        segments_s = [(a / FPS, b / FPS) for a, b in segments]
        chunk_s = audio.chunk_seconds(segments_s)
        specs: dict[str, Any] = {}
        for kind in self._made:
            rows = audio.extract(kind, samples, segments_s, chunk_s)
            writer.array(f"features/{kind}", rows)
            specs[kind] = {**audio.spec(kind), "dim": rows.shape[1], "chunk_s": chunk_s}
        for kind, found in self._found.items():
            writer.array(f"features/{kind}", found.rows)
            specs[kind] = {**found.spec(), "dim": found.rows.shape[1], "chunk_s": chunk_s}
            if found.lost_rows:
                text = "%s: %d rows of sound after the last picture are left out"
                log.warning(text, found.file, found.lost_rows)
        return specs

    @property
    def files(self) -> dict[str, str]:
        """Where each kind of features was found."""
        return {kind: found.file for kind, found in self._found.items()}

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

    def _add(self, found: Imported) -> None:
        known = self._found.setdefault(found.kind, found)
        if not np.array_equal(known.rows, found.rows):
            raise CaptureError(
                f"{known.file} and {found.file} both hold {found.kind} features, but not the same."
            )
