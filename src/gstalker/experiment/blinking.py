"""How a driven head blinks: as filmed, at random like a talker, by the clock, never, or as told.

All openings are in the unit of :attr:`Capture.eye`; ``Head`` wants them in deviations from the
training mean, and :func:`eyes` gives them so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, repeat
from pathlib import Path

import numpy as np

from gstalker import blinks
from gstalker.data.capture import FPS, Capture
from gstalker.errors import ConfigError, MediaError

FILMED, NATURAL, NONE, PERIOD = "filmed", "natural", "none", "period"
CHOICES = "filmed, natural, period, period:SECONDS, none, or a .npy or .csv file of openings"

RATE_PER_MINUTE = 26.0
"""Blinks of people in conversation (Bentivoglio et al. 1997, Movement Disorders 12: mean 26; 17 at
rest, 4.5 when reading)."""
PERIOD_S = 60 / RATE_PER_MINUTE
"""Between blinks by the clock, where no seconds are named."""
_SPREAD = 0.7
"""Of the logarithm of the time between blinks: it is skewed, its deviation about four fifths of its
mean (Naase et al. 2005, Optometry and Vision Science 82)."""
_LEAST_S = 0.4
"""From one blink's bottom to the next's: a blink lasts 0.1 to 0.4 s (Schiffman 2001)."""
_SHAPE = np.array([0.65, 0.05, 0.0, 0.25, 0.6, 0.85])
"""How open an eye is in the frames of a blink (40 ms each), as a share of its range: closing takes
a third of opening (VanderWerf et al. 2003, Journal of Neurophysiology 89). For captures without
blinks of their own."""
_SHAPE_BOTTOM = 2
_DEPTH_UNSEEN = 0.75
"""How far a lid closes, as a share of the open level, where the capture never shows it."""
_BEFORE, _AFTER = 4, 8
"""Frames before and after its bottom that a blink is cut out with."""


@dataclass(frozen=True)
class Lids:
    """One person's eyes."""

    open_level: float
    closed_level: float
    shape: np.ndarray
    """``[n]``: share of the range from closed to open in each frame of a blink."""
    bottom: int
    """Frame of ``shape`` in which the eye is most closed."""

    def openings(self, bottoms: Iterator[int]) -> Iterator[float]:
        """Openings frame after frame, without end, with blinks whose bottoms lie at the given
        frames, ascending; where two overlap the more closed counts.
        """
        coming = next(bottoms, None)
        begun: list[int] = []
        for frame in count():
            while coming is not None and coming - self.bottom <= frame:
                begun.append(coming)
                coming = next(bottoms, None)
            begun = [at for at in begun if frame < at - self.bottom + len(self.shape)]
            share = min((self.shape[frame - at + self.bottom] for at in begun), default=1.0)
            yield float(self.closed_level + share * (self.open_level - self.closed_level))


def lids(capture: Capture) -> Lids:
    """How this capture's eyes are when open, when closed, and on the way, from its training part.

    The blink is the mean of its own; with none of them, one of textbook shape.
    """
    usable = ~capture.dropped
    usable[capture.test_start :] = False
    found = blinks.find(capture.eye, usable, capture.segments)
    level = found.open_level
    if found.closed_level is None or found.closed_level >= level:
        return Lids(level, level * (1 - _DEPTH_UNSEEN), _SHAPE, _SHAPE_BOTTOM)
    own = [_cut_out(capture, usable, blink.lowest, level) for blink in found.blinks]
    whole = [cut for cut in own if cut is not None]
    if not whole:
        return Lids(level, found.closed_level, _SHAPE, _SHAPE_BOTTOM)
    mean = np.median(whole, axis=0)
    shape = np.clip((mean - mean.min()) / (1 - mean.min()), 0, 1)
    return Lids(level, found.closed_level, shape, int(shape.argmin()))


def openings(
    capture: Capture, choice: str, seed: int = 0, *, frames: int
) -> Iterator[float] | None:
    """Openings of the eyes for frame after frame, or ``None`` for ``filmed``.

    Args:
        capture: whose eyes.
        choice: ``filmed``, ``natural``, ``period`` or ``period:SECONDS``, ``none``, or a file.
        seed: of ``natural``; the same seed blinks at the same frames.
        frames: how many a file must hold at least.

    Raises:
        ConfigError: there is no such choice.
        MediaError: the file holds no openings.
    """
    kind, colon, value = choice.partition(":")
    if choice == FILMED:
        return None
    if choice == NATURAL:
        return lids(capture).openings(natural(seed))
    if choice == NONE:
        return repeat(lids(capture).open_level)
    if kind == PERIOD:
        every = _seconds(choice, value) if colon else PERIOD_S
        return lids(capture).openings(periodic(every))
    if Path(choice).suffix.lower() in (".npy", ".csv"):
        return iter(_read(Path(choice), frames).tolist())
    raise ConfigError(f"blink={choice} is no way to blink; choose {CHOICES}.")


def eyes(capture: Capture, choice: str, seed: int = 0, *, frames: int) -> Iterator[float] | None:
    """As :func:`openings`, in deviations from the training mean, as ``Head.frames`` takes them.

    Raises:
        ConfigError: as :func:`openings`.
        MediaError: as :func:`openings`, or the file holds fewer openings than ``frames``.
    """
    opened = openings(capture, choice, seed, frames=frames)
    if opened is None:
        return None
    train_ids, _ = capture.split()
    part = capture.eye[train_ids]
    part = part[np.isfinite(part)]
    mean, deviation = (float(part.mean()), float(part.std())) if len(part) else (0.0, 1.0)
    scale = max(deviation, 1e-6)
    return (float(np.clip((opening - mean) / scale, -4, 4)) for opening in opened)


def natural(seed: int) -> Iterator[int]:
    """Frames of blinks of somebody who talks: skewed gaps, 26 a minute on average.

    A gap is the shortest possible plus a log-normal time.
    """
    rng = np.random.default_rng([seed, 26])
    mean_s = 60 / RATE_PER_MINUTE - _LEAST_S
    # The mean of a log-normal is exp(mu + sigma^2 / 2).
    middle = np.log(mean_s) - _SPREAD**2 / 2
    at = rng.uniform(0, 60 / RATE_PER_MINUTE)
    while True:
        yield round(at * FPS)
        at += _LEAST_S + float(rng.lognormal(middle, _SPREAD))


def periodic(seconds: float) -> Iterator[int]:
    """Frames of blinks by the clock: the first after half a period."""
    for k in count():
        yield round((k + 0.5) * seconds * FPS)


def _cut_out(
    capture: Capture, usable: np.ndarray, bottom: int, open_level: float
) -> np.ndarray | None:
    """One blink as shares of the open level; ``None`` where it is not wholly in a take."""
    first, stop = bottom - _BEFORE, bottom + _AFTER + 1
    start, end = capture.segment_of(bottom)
    if first < start or stop > end or not usable[first:stop].all():
        return None
    return capture.eye[first:stop] / open_level


def _seconds(choice: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError as error:
        raise ConfigError(f"blink={choice} names no seconds; for example blink=period:3") from error
    if not _LEAST_S <= seconds < float("inf"):
        raise ConfigError(f"blink={choice}: one blink takes {_LEAST_S} s; give at least that.")
    return seconds


def _read(path: Path, frames: int) -> np.ndarray:
    try:
        if path.suffix.lower() == ".npy":
            values = np.load(path, allow_pickle=False)
        else:
            values = np.loadtxt(path, delimiter=",", ndmin=1)
    except (OSError, ValueError, EOFError) as error:
        raise MediaError(
            f"{path} cannot be read as eye openings ({error}).\n"
            "  One number a frame is wanted, in the unit of the capture's eye.npy."
        ) from error
    if values.ndim != 1 or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise MediaError(
            f"{path} must hold one number a frame (in the unit of the capture's eye.npy), "
            f"but holds {values.dtype} {list(values.shape)}."
        )
    if len(values) < frames:
        raise MediaError(f"{path} holds {len(values)} openings, but the sound has {frames} frames.")
    return values.astype(np.float64)
