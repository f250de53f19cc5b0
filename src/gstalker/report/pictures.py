"""True frames, ours and the error between them: stills, and a short film with its sound."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from gstalker.data.capture import FPS, RATE_HZ, SAMPLES_PER_FRAME, Capture
from gstalker.experiment.movie import MovieWriter
from gstalker.experiment.runs import RunFolder

STILLS = 6
CLIP_S = 3.0
PANEL_PX = 288
"""Longest side of one of the three pictures beside each other."""
FULL_ERROR = 0.25
"""Mean difference of the channels, of 1, at which the error map is brightest."""
_JPEG = 88


@dataclass(frozen=True)
class Still:
    """One frame worth a look."""

    index: int
    why: str


def rendered_ids(run: RunFolder, capture: Capture) -> np.ndarray:
    """Frames whose rendering the run kept, in time order."""
    found = {int(p.stem) for p in run.frames_path.glob("*.png") if p.stem.isdecimal()}
    return np.array(sorted(i for i in found if i < capture.frame_count), np.int64)


def choose(ids: np.ndarray, capture: Capture, worst: int | None = None) -> list[Still]:
    """From the mouth closed to wide open in even steps, and the worst frame if it is known."""
    by_mouth = ids[np.argsort(np.nan_to_num(capture.mouth[ids]), kind="stable")]
    places = np.linspace(0, len(by_mouth) - 1, min(STILLS, len(by_mouth))).astype(int)
    shares = np.linspace(0, 100, len(places)).round().astype(int)
    words = {0: "mouth most closed", 100: "mouth widest"}
    stills = [
        Still(int(by_mouth[place]), words.get(share, f"mouth wider than in {share}% of the frames"))
        for place, share in zip(places, shares.tolist(), strict=True)
    ]
    return [*stills, *([] if worst is None else [Still(worst, "the worst mouth by PSNR")])]


def still(run: RunFolder, capture: Capture, index: int) -> bytes:
    """True, ours and error beside each other, as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(_panels(run, capture, index)).save(buffer, "JPEG", quality=_JPEG)
    return buffer.getvalue()


def busiest(ids: np.ndarray, capture: Capture) -> np.ndarray:
    """The unbroken stretch of frames, some seconds long, in which the mouth moves most."""
    length = min(round(CLIP_S * FPS), len(ids))
    starts = np.array([start for start, _ in capture.segments])
    take = np.searchsorted(starts, ids, side="right")
    mouth = np.nan_to_num(capture.mouth[ids].astype(np.float64))
    best, most = ids[:length], -1.0
    for k in range(len(ids) - length + 1):
        whole = ids[k + length - 1] - ids[k] == length - 1 and take[k] == take[k + length - 1]
        moved = float(mouth[k : k + length].std()) if whole else -1.0
        if moved > most:
            best, most = ids[k : k + length], moved
    return best


def film(run: RunFolder, capture: Capture, ids: Sequence[int] | np.ndarray) -> bytes:
    """True, ours and error over the frames, with the true sound, as mp4."""
    sound = capture.audio().reshape(-1, SAMPLES_PER_FRAME)[np.asarray(ids)].reshape(-1)
    height, width = _panels(run, capture, int(ids[0])).shape[:2]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        with MovieWriter(path, width, height, sound, RATE_HZ) as movie:
            for index in ids:
                movie.write(_panels(run, capture, int(index)))
        return path.read_bytes()


def error_map(ours: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Mean difference of the channels as colours, ``uint8 [H, W, 3]``: black is none.

    >>> same = np.full((1, 1, 3), 9, np.uint8)
    >>> error_map(same, same).tolist()
    [[[0, 0, 4]]]
    """
    import matplotlib

    away = np.abs(ours.astype(np.float64) - true.astype(np.float64)).mean(-1) / 255
    colours = matplotlib.colormaps["inferno"](np.minimum(away / FULL_ERROR, 1.0))
    return np.round(colours[..., :3] * 255).astype(np.uint8)


def _panels(run: RunFolder, capture: Capture, index: int) -> np.ndarray:
    true = np.asarray(capture.frame(index))
    with Image.open(run.frames_path / f"{index:06d}.png") as picture:
        ours = np.asarray(picture.convert("RGB"))
    if ours.shape != true.shape:
        raise ValueError(f"frame {index} is {ours.shape}, the capture's {true.shape}")
    scale = min(1.0, PANEL_PX / max(true.shape[:2]))
    size = (max(round(true.shape[1] * scale), 1), max(round(true.shape[0] * scale), 1))
    panels = [true, ours, error_map(ours, true)]
    if scale < 1.0:
        resized = (Image.fromarray(p).resize(size, Image.Resampling.LANCZOS) for p in panels)
        panels = [np.asarray(p) for p in resized]
    return np.concatenate(panels, axis=1)
