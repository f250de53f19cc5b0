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
from gstalker.experiment.paste import PasteBack
from gstalker.experiment.runs import RunFolder
from gstalker.prepare import audio as sound

log = logging.getLogger(__name__)


def drive(
    run: RunFolder | str | Path,
    speech: str | Path,
    out: str | Path,
    where: Sequence[str] = (),
    *,
    paste_back: str | Path | None = None,
) -> Path:
    """Render a trained run speaking ``speech``.

    Frames are painted on every core while those before them are encoded.

    Args:
        run: the run or its folder.
        speech: any file with sound that FFmpeg's libraries read; any length.
        out: the mp4 to write.
        where: ``key=value`` that say where things are now, as ``device=cpu``.
        paste_back: the video that the capture was prepared from: the head is shown in it, not in
            the cut-out alone.

    Returns:
        ``out``.

    Raises:
        RunError: the run is not trained or damaged.
        MediaError: the speech or the filmed video cannot be used; says why.
    """
    head = Head.open(run, where)
    samples = sound.read(Path(speech))
    out = Path(out)
    total = math.ceil(len(samples) / SAMPLES_PER_FRAME)
    pictures = head.frames(samples)
    width, height = head.width, head.height
    if paste_back is not None:
        filmed = PasteBack(head.capture, Path(paste_back), head.stretch)
        width, height = filmed.width, filmed.height
        pictures = filmed.around(head.frames(samples, **head.filmed(filmed.ids)))
    with MovieWriter(out, width, height, samples, RATE_HZ) as movie:
        for picture in tqdm(pictures, total=total, desc="drive", unit="frame"):
            movie.write(picture)
    log.info("wrote %s: %d frames, %.1f s", out, total, total / FPS)
    return out
