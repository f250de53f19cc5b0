"""A capture to train on and a sound to drive with, made of arithmetic.

Painting the synthetic speaker at 512 x 512 takes half a second a frame, so it is painted small and
every pixel is repeated: what a step costs does not depend on how sharp the picture is.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gstalker.data.capture import Capture
from gstalker.data.synthetic import make_synthetic_capture, synthetic_voice
from gstalker.data.writer import CaptureWriter, write_wav
from gstalker.errors import CaptureError

PAINTED = 128
"""Pixels along a side that the speaker is painted at, where that divides the size."""
SEED = 3


@contextlib.contextmanager
def work_folder(chosen: Path | None) -> Iterator[Path]:
    """The folder that ``--work`` names, or one that is gone afterwards."""
    if chosen is not None:
        chosen.mkdir(parents=True, exist_ok=True)
        yield chosen
        return
    with tempfile.TemporaryDirectory(prefix="gstalker-benchmarks-") as folder:
        yield Path(folder)


def speaking_capture(folder: Path, *, seconds: float = 3.0, size: int = 512) -> Capture:
    """The synthetic speaker at that size; taken from ``folder`` if it is there already."""
    place = folder / f"speaker-{size}-{seconds:g}"
    with contextlib.suppress(CaptureError):
        return Capture.open(place)
    if size <= PAINTED or size % PAINTED:
        return make_synthetic_capture(place, seconds=seconds, size=size, seed=SEED)
    small = make_synthetic_capture(
        folder / f"painted-{seconds:g}", seconds=seconds, size=PAINTED, seed=SEED
    )
    return enlarged(small, place, size // PAINTED)


def enlarged(capture: Capture, folder: Path, factor: int) -> Capture:
    """The same capture with every pixel repeated ``factor`` times along both sides."""

    def large(picture: np.ndarray) -> np.ndarray:
        return picture.repeat(factor, axis=0).repeat(factor, axis=1)

    count, height, width = capture.frame_count, capture.height * factor, capture.width * factor
    writer = CaptureWriter(folder)
    writer.frames((large(capture.frame(k)) for k in range(count)), count, height, width)
    writer.rows("masks", (large(capture.mask(k)) for k in range(count)), (count, height, width))
    writer.array("background", large(capture.background))
    writer.array("poses", capture.poses.numpy())
    writer.array("landmarks", capture.landmarks * factor)
    for name in ("mesh", "eye", "mouth"):
        writer.array(name, getattr(capture, name))
    for kind in capture.meta["features"]:
        writer.array(f"features/{kind}", capture.features(kind))
    writer.audio(capture.audio())
    ours = ("version", "fps", "content_id")
    meta = {name: value for name, value in capture.meta.items() if name not in ours}
    meta.update({k: meta[k] * factor for k in ("width", "height", "focal_px", "cx_px", "cy_px")})
    return writer.finish({**meta, "name": folder.name})


def speech(folder: Path, seconds: float) -> Path:
    """A file with foreign speech of that length."""
    path = folder / f"speech-{seconds:g}.wav"
    if not path.exists():
        write_wav(path, synthetic_voice(seconds, SEED + 1))
    return path
