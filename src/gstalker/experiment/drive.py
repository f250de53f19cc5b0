"""New speech moves a trained head: sound in, mp4 with sound out."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from gstalker.data.capture import RATE_HZ, SAMPLES_PER_FRAME, Capture
from gstalker.data.dataset import FrameDataset
from gstalker.data.windows import AudioTrack
from gstalker.experiment.movie import MovieWriter, ping_pong
from gstalker.experiment.runs import RunFolder
from gstalker.experiment.train import make_method
from gstalker.methods import Renderer
from gstalker.prepare import audio as sound

log = logging.getLogger(__name__)


def drive(run: RunFolder | str | Path, speech: str | Path, out: str | Path) -> Path:
    """Render a trained run speaking ``speech``.

    Args:
        run: the run or its folder.
        speech: any file with sound that FFmpeg's libraries read; any length.
        out: the mp4 to write.

    Returns:
        ``out``.

    Raises:
        RunError: the run is not trained or damaged.
        MediaError: the speech cannot be used; says why.
    """
    run = run if isinstance(run, RunFolder) else RunFolder.open(run)
    config = run.config()
    capture = Capture.open(config.capture)
    method, features = make_method(config, capture)
    renderer = method.load(run.path)
    samples = sound.read(Path(speech))
    track = speech_track(samples, capture, features)
    dataset = FrameDataset(capture, features)
    out = Path(out)
    heard = samples[: track.frame_count * SAMPLES_PER_FRAME]
    with MovieWriter(out, capture.width, capture.height, heard, RATE_HZ) as movie:
        pictures = speak(renderer, dataset, track)
        for picture in tqdm(pictures, total=track.frame_count, desc="drive", unit="frame"):
            movie.write(picture)
    log.info("wrote %s: %d frames, %.1f s", out, track.frame_count, track.frame_count / 25)
    return out


def speak(renderer: Renderer, dataset: FrameDataset, track: AudioTrack) -> Iterator[np.ndarray]:
    """Pictures ``uint8 [H, W, 3]`` for every frame of the sound, the head moving as it once did."""
    first, stop = steady_stretch(dataset.capture)
    for k, index in enumerate(ping_pong(first, stop, track.frame_count)):
        picture = renderer(dataset.frame(index, track=track, sound_of=k))[0]
        yield to_uint8(picture)


def to_uint8(picture: torch.Tensor) -> np.ndarray:
    """A picture in [0, 1] as bytes, rounded."""
    return (picture.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def speech_track(samples: np.ndarray, capture: Capture, features: str) -> AudioTrack:
    """Features of foreign speech, made as the capture's own were.

    Args:
        samples: ``float32 [S]`` at 16 kHz.
        capture: whose features to imitate.
        features: their kind.
    """
    frames = max(math.ceil(len(samples) / SAMPLES_PER_FRAME), 1)
    padded = np.pad(samples, (0, frames * SAMPLES_PER_FRAME - len(samples)))
    chunk_s = float(capture.meta["features"][features]["chunk_s"])
    rows = sound.extract(features, padded, None, chunk_s)
    return AudioTrack(rows, capture.rows_per_frame(features), [(0, frames)])


def steady_stretch(capture: Capture) -> tuple[int, int]:
    """The longest stretch of training frames without a jump cut or a dropped frame."""
    train_ids, _ = capture.split()
    segment = np.empty(capture.frame_count, int)
    for k, (a, b) in enumerate(capture.segments):
        segment[a:b] = k
    breaks = np.flatnonzero((np.diff(train_ids) != 1) | (np.diff(segment[train_ids]) != 0)) + 1
    stretches = np.split(train_ids, breaks)
    longest = max(stretches, key=len)
    return int(longest[0]), int(longest[-1]) + 1
