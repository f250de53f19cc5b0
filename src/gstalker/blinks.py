"""Blinks in a signal of eye opening: where they are, how deep, and how far they stand out.

An opening is larger where the eye is wider; its unit does not matter. Lids also follow the gaze and
the head, slowly and by a fifth or so; a blink is a fall from how open the eye just was to under
three quarters of it and back, within half a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FPS = 25
_AROUND_S = 1.0
"""How open the eye just was: the upper fifth within this time to either side."""
_CLOSED_SHARE = 0.72
"""A blink falls below this share of it. On four speakers, open eyes in speech stay above 0.8 and
blinks reach 0.05 to 0.66."""
_RISE_SHARE = 0.12
"""Two blinks in a row are two if the eye opens by this share between them."""
_LONGEST_S = 0.8
"""Longer is a look down or a closed eye. Blinks take 0.1 to 0.4 s (Schiffman 2001, Sensation and
Perception); their tail, the slow last opening, is counted here too."""


@dataclass(frozen=True)
class Blink:
    """One blink: the frames in which the eye is less than half open, and its lowest opening."""

    start: int
    lowest: int
    stop: int
    opening: float
    """At ``lowest``, in the signal's unit."""

    @property
    def frames(self) -> int:
        """How long."""
        return self.stop - self.start


@dataclass(frozen=True)
class Blinking:
    """How somebody blinks in a stretch of film."""

    blinks: tuple[Blink, ...]
    seconds: float
    """Of film that was looked at."""
    open_level: float
    """The usual opening between blinks: the median."""
    closed_level: float | None
    """The median opening at the bottom of a blink; ``None`` without blinks."""
    noise: float
    """How much the opening trembles from frame to frame while the eye is open (white noise's
    standard deviation)."""

    @property
    def per_minute(self) -> float:
        """Blinks a minute."""
        return 60 * len(self.blinks) / self.seconds if self.seconds else 0.0

    @property
    def depth(self) -> float | None:
        """Usual depth of a blink as a share of the open level; 1 is a wholly closed eye."""
        if self.closed_level is None or self.open_level == 0:
            return None
        return 1 - self.closed_level / self.open_level

    @property
    def contrast(self) -> float | None:
        """Usual depth of a blink over the noise; under ten, blinks drown."""
        if self.closed_level is None:
            return None
        return (self.open_level - self.closed_level) / max(self.noise, 1e-9)


def find(opening: np.ndarray, usable: np.ndarray, segments: Sequence[tuple[int, int]]) -> Blinking:
    """Find the blinks.

    Args:
        opening: ``[F]``, larger where the eye is wider, not negative; may hold NaN.
        usable: ``bool [F]``, frames to look at.
        segments: start and stop of each take; no blink crosses a cut.
    """
    fine = usable & np.isfinite(opening)
    blinks: list[Blink] = []
    steps: list[np.ndarray] = []
    shut = np.zeros(len(opening), bool)
    for start, stop in runs(fine, segments):
        part = opening[start:stop].astype(np.float64)
        found = _in_one_run(part, start)
        blinks += found
        for blink in found:
            shut[max(blink.start - 1, start) : blink.stop + 3] = True
        steps.append(_second_differences(part, shut[start:stop]))
    open_part = opening[fine & ~shut] if (fine & ~shut).any() else opening[fine]
    together = np.concatenate([*steps, np.zeros(0)])
    return Blinking(
        blinks=tuple(blinks),
        seconds=float(fine.sum()) / FPS,
        open_level=float(np.median(open_part)) if len(open_part) else 0.0,
        closed_level=float(np.median([b.opening for b in blinks])) if blinks else None,
        # Second differences of white noise deviate by root six times as much.
        noise=float(1.4826 * np.median(np.abs(together)) / np.sqrt(6)) if len(together) else 0.0,
    )


def _in_one_run(part: np.ndarray, first: int) -> list[Blink]:
    from scipy import ndimage, signal  # half a second, which a head that blinks as filmed saves

    around = 2 * round(_AROUND_S * FPS) + 1
    usual = ndimage.percentile_filter(part, 80, size=around, mode="nearest")
    share = part / np.maximum(usual, 1e-9)
    # An eye at its usual opening before and after, so that a blink at either end is one too.
    padded = np.concatenate([[1.0], share, [1.0]])
    lowest, _ = signal.find_peaks(-padded, height=-_CLOSED_SHARE, prominence=_RISE_SHARE)
    blinks = []
    for at in lowest - 1:
        half_open = part >= (part[at] + usual[at]) / 2
        before, after = np.flatnonzero(half_open[:at]), np.flatnonzero(half_open[at:])
        start = int(before[-1]) + 1 if len(before) else 0
        stop = int(at + after[0]) if len(after) else len(part)
        if stop - start <= _LONGEST_S * FPS:
            blinks.append(Blink(first + start, first + int(at), first + stop, float(part[at])))
    return blinks


def _second_differences(part: np.ndarray, shut: np.ndarray) -> np.ndarray:
    if len(part) < 3:
        return np.zeros(0)
    return np.diff(part, n=2)[~(shut[:-2] | shut[1:-1] | shut[2:])]


def runs(fine: np.ndarray, segments: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Start and stop of every run of fine frames within a take."""
    runs = []
    for start, stop in segments:
        edges = np.flatnonzero(np.diff(np.concatenate([[0], fine[start:stop], [0]]).astype(int)))
        runs += [(start + int(a), start + int(b)) for a, b in edges.reshape(-1, 2)]
    return runs
