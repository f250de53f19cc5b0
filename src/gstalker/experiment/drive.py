"""New speech moves a trained head: sound in, mp4 with sound out."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from gstalker.data.capture import FPS, RATE_HZ, SAMPLES_PER_FRAME
from gstalker.experiment.head import Head
from gstalker.experiment.movie import MovieWriter
from gstalker.experiment.runs import RunFolder
from gstalker.prepare import audio as sound

log = logging.getLogger(__name__)


def drive(
    run: RunFolder | str | Path, speech: str | Path, out: str | Path, where: Sequence[str] = ()
) -> Path:
    """Render a trained run speaking ``speech``.

    Frames are painted on every core while those before them are encoded.

    Args:
        run: the run or its folder.
        speech: any file with sound that FFmpeg's libraries read; any length.
        out: the mp4 to write.
        where: ``key=value`` that say where things are now, as ``device=cpu``.

    Returns:
        ``out``.

    Raises:
        RunError: the run is not trained or damaged.
        MediaError: the speech cannot be used; says why.
    """
    head = Head.open(run, where)
    samples = sound.read(Path(speech))
    out = Path(out)
    total = math.ceil(len(samples) / SAMPLES_PER_FRAME)
    pictures = head.frames(samples)
    with MovieWriter(out, head.width, head.height, samples, RATE_HZ) as movie:
        for picture in tqdm(pictures, total=total, desc="drive", unit="frame"):
            movie.write(picture)
    log.info("wrote %s: %d frames, %.1f s", out, total, total / FPS)
    return out
