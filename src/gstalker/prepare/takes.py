"""Where a video jumps, and which of its pictures are damaged, told from small copies of its frames.

A jump cut between two takes of one person in one chair changes little: here it is a step in time
that is large beside the steps around it *and* moves pixels that are otherwise still. Steps that
are only nearly so are put before the landmarks, which tell a jump from a quick nod.
Tried on 100 joined takes of one man and on three single takes; the numbers are below.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

THUMB_SIDE = 48
"""Shorter side of the small copies in pixels."""
_AROUND = 3
"""Steps looked at before and after a step."""
_SURE_RATIO, _SURE_EVIDENCE = 1.6, 0.3
"""A cut for certain; evidence is ratio squared times the share of new pixels. In the trial cuts had
a ratio of at least 2.4 and evidence of at least 0.34, all other steps at most 2.05 and 0.24."""
_LIKELY_RATIO, _LIKELY_EVIDENCE = 1.25, 0.02
"""Worth asking the landmarks."""
_JUMP_LEAST = 0.04
"""The landmarks jump: by this share of the outer-eye distance they miss every step of half to one
and a half times those before and after together. So a head may turn at any speed, and a picture may
be left out, as where 30 a second were thinned to 25. In 27 copies of three speakers' takes, encoded
and paced anew, none of 295 likely steps missed by more than 0.035; of 200 likely joins of pieces of
these takes 93 missed by more than 0.04. Chosen on these; no others were held out."""
TORN = "the file is damaged: broken blocks, up to the next whole picture"
"""Why pictures are dropped that FFmpeg had to mend, and those predicted from them."""
_GREY_SHARE = 0.25
"""More mid-grey than usual on this share of the picture: a decoder that lost its reference."""
_HELD = 0.02
"""Mean change in levels up to which a picture is the one before ..."""
_HELD_SHARE = 0.12
"""... or up to this share of the usual change around it, for what was compressed after pictures had
been repeated to fill up a higher rate."""
STILL = "the picture stands still while the film goes on"
"""Why pictures are dropped in which a stalled camera or call shows no lips move to the sound."""
_STILL_LEAST = 25
"""Frames, a second; nobody is that still. Compressed so hard that a quiet face loses its grain
(H.264, crf 42), three frames in a row are."""
_STILL_SHARE = 0.1
"""Of the usual change of pictures that move: encoders go on polishing a picture that stands."""
_FLASH_LONGEST = 5
"""Frames; a longer excursion is a take of its own."""


@dataclass(frozen=True)
class Steps:
    """How a sequence of pictures moves; entry ``i`` is the step from ``i - 1`` to ``i``."""

    ratio: np.ndarray
    """``[n]``: mean change beside the largest of the steps around it."""
    new: np.ndarray
    """``[n]``: share of pixels that change and do not change around it."""


@dataclass(frozen=True)
class Takes:
    """What was found."""

    cuts: list[int]
    """First frames of all takes but the first."""
    damaged: list[tuple[int, int, str]]
    """Start, stop and reason of runs of unusable pictures."""
    asked: int
    """Steps that the landmarks were asked about."""


def find(thumbs: np.ndarray, jumps: Callable[[list[tuple[int, ...]]], list[bool]]) -> Takes:
    """Find cuts and damaged pictures.

    Args:
        thumbs: ``uint8 [F, h, w, 3]``, may be memory-mapped.
        jumps: for quadruples of neighbouring frames, whether the face jumps in their middle.
    """
    grey = grey_pictures(thumbs)
    kept = np.flatnonzero(~grey)
    flashes = _flashes(thumbs, kept)
    kept = np.setdiff1d(kept, flashes)
    still = _stalled(thumbs, kept)
    kept = np.setdiff1d(kept, still)
    # Held pictures (a slow camera, a stalled recorder) make the next step look like a jump.
    kept = kept[~held(sizes(thumbs, kept))]
    steps = measure(thumbs, kept)
    evidence = steps.ratio**2 * steps.new
    sure = (steps.ratio > _SURE_RATIO) & (evidence > _SURE_EVIDENCE)
    likely = (steps.ratio > _LIKELY_RATIO) & (evidence > _LIKELY_EVIDENCE) & ~sure
    asked = [k for k in np.flatnonzero(likely) if 2 <= k < len(kept) - 1]
    answers = jumps([tuple(int(i) for i in kept[k - 2 : k + 2]) for k in asked]) if asked else []
    places = np.union1d(
        np.flatnonzero(sure), [k for k, yes in zip(asked, answers, strict=True) if yes]
    )
    # Damaged pictures between two takes go to the later one: they were the start of its file.
    cuts = [int(kept[int(k) - 1]) + 1 for k in places]
    damaged = [(a, b, "damaged picture: grey where nothing was decoded") for a, b in runs(grey)]
    flash = "damaged picture: flashes up between two that agree"
    for frames, why in ((flashes, flash), (still, STILL)):
        flags = np.zeros(len(thumbs), bool)
        flags[frames] = True
        damaged += [(a, b, why) for a, b in runs(flags)]
    return Takes(cuts, sorted(damaged), len(asked))


def grey_pictures(thumbs: np.ndarray) -> np.ndarray:
    """``bool [F]``: much more of the picture is plain mid-grey than in the video as a whole."""
    share = np.empty(len(thumbs))
    for k, thumb in enumerate(thumbs):
        lowest, highest = thumb.min(-1).astype(int), thumb.max(-1).astype(int)
        share[k] = ((highest - lowest < 10) & (abs(lowest + highest - 256) < 32)).mean()
    return share > np.median(share) + _GREY_SHARE


def sizes(thumbs: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Mean change from each of the frames ``kept`` to the next, in levels, 0 for the first."""
    steps = [
        _difference(thumbs[a], thumbs[b]).mean() for a, b in zip(kept[:-1], kept[1:], strict=True)
    ]
    return np.array([0.0, *steps])[: len(kept)]


def held(changes: np.ndarray) -> np.ndarray:
    """Which pictures repeat the one before, ``bool [n]``, told from the mean changes ``[n]``."""
    padded = np.pad(changes[1:], _AROUND, mode="reflect") if len(changes) > _AROUND + 1 else None
    if padded is None:
        usual = np.zeros(max(len(changes) - 1, 0))
    else:
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _AROUND + 1)
        usual = np.median(windows, axis=-1)
    repeats = np.zeros(len(changes), bool)
    repeats[1:] = changes[1:] <= np.maximum(_HELD, _HELD_SHARE * usual)
    return repeats


def measure(thumbs: np.ndarray, kept: np.ndarray) -> Steps:
    """Measure the steps between consecutive ones of the frames ``kept``."""
    n = len(kept)
    ratio, new = np.zeros(n), np.zeros(n)
    window: dict[int, np.ndarray] = {}
    mean = np.zeros(n)
    for i in range(1, n + _AROUND):
        if i < n:
            window[i] = _difference(thumbs[kept[i - 1]], thumbs[kept[i]])
            mean[i] = window[i].mean()
        at = i - _AROUND
        if at < 1:
            continue
        around = [j for j in range(at - _AROUND + 1, at + _AROUND) if j != at and j in window]
        if around:
            ratio[at] = mean[at] / (mean[around].max() + 0.1)
            still = np.max([window[j] for j in around], axis=0)
            new[at] = (window[at] > 2 * still + 6).mean()
        window.pop(at - _AROUND, None)
    return Steps(ratio, new)


def jumps_between(faces: np.ndarray, eye_corners: tuple[int, int]) -> bool:
    """Whether a face jumps between the second and the third of four frames.

    Args:
        faces: ``[4, L, 2]`` points; NaN without a face.
        eye_corners: indices of the outer eye corners.
    """
    if not np.isfinite(faces[1:3]).all():
        return False
    ruler = np.linalg.norm(faces[1:3, eye_corners[0]] - faces[1:3, eye_corners[1]], axis=-1).mean()
    before, jump, after = np.nan_to_num(np.diff(faces, axis=0) / ruler)
    missed = _length(jump - before - after) - (_length(before) + _length(after)) / 2
    return bool(missed > _JUMP_LEAST)


def runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """Start and stop of every run of true entries."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _flashes(thumbs: np.ndarray, kept: np.ndarray) -> list[int]:
    """Frames of short excursions: the picture leaves and comes back to where it was."""
    n = len(kept)
    mean = sizes(thumbs, kept)
    usual = float(np.median(mean[1:])) if n > 1 else 0.0
    large = np.flatnonzero(mean > 4 * usual + 6)
    found: list[int] = []
    for leave in large:
        backs = large[(large > leave) & (large <= leave + _FLASH_LONGEST)]
        for back in backs:
            returned = _difference(thumbs[kept[leave - 1]], thumbs[kept[back]]).mean()
            if returned < 0.35 * min(mean[leave], mean[back]):
                found.extend(int(i) for i in kept[leave:back])
                break
    return found


def _stalled(thumbs: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Frames that go on showing the picture before them for a second or more."""
    mean = sizes(thumbs, kept)
    moving = mean[mean > _HELD]
    if len(moving) < _STILL_LEAST:  # a photograph: its lips are told not to move
        return kept[:0]
    stands = mean <= max(_HELD, _STILL_SHARE * float(np.median(moving)))
    stands[:1] = False
    long = [kept[a:b] for a, b in runs(stands) if b - a >= _STILL_LEAST]
    return np.concatenate([kept[:0], *long])


def _length(steps: np.ndarray) -> float:
    """Of points' steps ``[L, 2]``, that of the usual point."""
    return float(np.median(np.linalg.norm(steps, axis=-1)))


def _difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Largest change over the three colours, ``float32 [h, w]``."""
    return np.abs(a.astype(np.int16) - b.astype(np.int16)).max(-1).astype(np.float32)
