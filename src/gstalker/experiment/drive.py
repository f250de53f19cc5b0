"""New speech moves a trained head: sound in, mp4 with sound out."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tqdm import tqdm

from gstalker import config as configuration
from gstalker.data.capture import FPS, RATE_HZ, SAMPLES_PER_FRAME
from gstalker.experiment import blinking
from gstalker.experiment.head import Head
from gstalker.experiment.movie import MovieWriter
from gstalker.experiment.paste import PasteBack
from gstalker.experiment.runs import RunFolder
from gstalker.prepare import audio as sound

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DriveConfig:
    """How a driven head behaves."""

    blink: str = blinking.FILMED
    """``filmed``: as in the training stretch whose poses it takes, so lids and head agree;
    ``natural``: at random, 26 times a minute; ``period:SECONDS``; ``none``; or a ``.npy`` or
    ``.csv`` with one opening a frame, in the unit of the capture's ``eye.npy``."""
    blink_seed: int = 0
    """Of ``natural``."""
    audio_features: str = ""
    """A ``.npy`` with the features of this sound, for a head that hears features which another
    program makes: made by that very program."""


def drive(
    run: RunFolder | str | Path,
    speech: str | Path,
    out: str | Path,
    choices: Sequence[str] = (),
    *,
    paste_back: str | Path | None = None,
) -> Path:
    """Render a trained run speaking ``speech``.

    Frames are painted on every core while those before them are encoded.

    Args:
        run: the run or its folder.
        speech: any file with sound that FFmpeg's libraries read; any length.
        out: the mp4 to write.
        choices: ``key=value``: those of :class:`DriveConfig`, and those that say where things are
            now, as ``device=cpu``.
        paste_back: the video that the capture was prepared from: the head is shown in it, not in
            the cut-out alone.

    Returns:
        ``out``.

    Raises:
        RunError: the run is not trained or damaged.
        ConfigError: a choice cannot be made.
        MediaError: the speech, the filmed video or a file of openings cannot be used; says why.
        CaptureError: the sound cannot be heard as the capture's own was.
    """
    own = [c for c in choices if c.partition("=")[0] in {f.name for f in fields(DriveConfig)}]
    chosen = configuration.from_overrides(DriveConfig, own)
    head = Head.open(run, [c for c in choices if c not in own])
    samples = sound.read(Path(speech))
    out = Path(out)
    total = math.ceil(len(samples) / SAMPLES_PER_FRAME)
    looks: dict[str, Any] = {}
    width, height, filmed = head.width, head.height, None
    if paste_back is not None:
        filmed = PasteBack(head.capture, Path(paste_back), head.stretch)
        looks = head.filmed(filmed.ids)
        width, height = filmed.width, filmed.height
    eyes = blinking.eyes(head.capture, chosen.blink, chosen.blink_seed, frames=total)
    if eyes is not None:
        looks["eyes"] = eyes
    made = Path(chosen.audio_features) if chosen.audio_features else None
    pictures = head.frames(samples, **looks, made=made)
    if filmed is not None:
        pictures = filmed.around(pictures)
    with MovieWriter(out, width, height, samples, RATE_HZ) as movie:
        for picture in tqdm(pictures, total=total, desc="drive", unit="frame"):
            movie.write(picture)
    log.info("wrote %s: %d frames, %.1f s", out, total, total / FPS)
    if filmed is not None and filmed.seam_levels is not None:
        what = "painted and filmed picture are %.1f of 255 levels apart where they mix"
        log.info(what, filmed.seam_levels)
    return out
