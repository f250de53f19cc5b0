"""By how many frames sound and picture are apart: the lips against what is heard, lag after lag.

At every lag a ridge regression predicts how far the lips are open from 40 ms of log-mel, and is
asked about stretches that it was not fitted on. It hears no neighbouring frames, so it cannot
learn a shift away: the prediction is best where sound and lips belong together. Loudness alone
was tried as well: its peak is as wide as the swell of a sentence, and several frames off on clips
of continuous speech.

Sign: **positive is a late sound**, heard after the lips that made it; the mend moves it earlier.
A lag is only believed if it stands out of what foreign sound reaches: the same sound, shifted by
seconds. Music, another's voice or too few words have no such lag; then there is ``None``, and why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d

from gstalker.data.capture import FPS, SAMPLES_PER_FRAME
from gstalker.face import FaceLayout
from gstalker.metrics import sync
from gstalker.metrics.bootstrap import estimate as bootstrap
from gstalker.prepare.audio import mel

MAX_LAG = 12
"""Frames, 40 ms each, to either side."""
LARGE = 1.0
"""An offset of at least this many frames is worth a caution."""
SMALLEST_MEND = 0.5
"""Smaller offsets are left alone: lips of neighbouring frames are too alike to tell them."""
METHOD = (
    "ridge regression of lip gap and lip height on one frame of log-mel, cross-validated; "
    "peak of r over lags by a parabola; positive: the sound is late"
)
_COMPONENTS = 32
"""Of log-mel. On 5 s pieces 12 or 24 leave more peaks far away, and 40 no fewer."""
_PENALTY = 30.0
_BLOCK_FRAMES = 37
_FOLDS = 8
_SWELL_FRAMES = 16.0
"""Slower changes are taken away. With them, foreign sound reaches r = 0.42 on GRID."""
_FEWEST_FRAMES = 125
"""Of pieces of GRID whose lag was believed, it was wrong by more than two frames in 4 of 34 of 3 to
4 s, 3 of 101 of 5 s, 1 of 64 of 6 s and none of 342 of 7 and 8 s."""
_FAR_FRAMES = 38
"""Sound shifted by at least this much is foreign."""
_FOREIGN = 48
CLEAR = 4.0
"""How far above foreign sound a peak must be, in its deviations. On pieces of GRID with their own
sound it is 3.8 (median) at 5 s, 5.2 at 10 s and 5.8 at 20 s; with other sound, 4.1, 3.8 and 3.1 at
most."""
STEADY = 1.5
"""Most that the peak may wander, in frames, when blocks of the clip are drawn again."""


@dataclass(frozen=True)
class Sync:
    """What is known of one recording."""

    offset_frames: float | None
    """Positive: the sound is late. ``None``: it cannot be told."""
    clearness: float | None
    """How far the peak is above foreign sound, in the latter's deviations."""
    stderr_frames: float | None
    """Deviation of the peak when blocks of the clip are drawn again."""
    curve: list[tuple[int, float]]
    """Lag in frames, and the cross-validated correlation there."""
    foreign_r: float | None
    """What foreign sound reaches on average."""
    reason: str
    """Why there is no offset; empty if there is one."""

    def as_dict(self) -> dict[str, Any]:
        """As it stands in ``capture.json`` under ``sync``."""
        return {
            "offset_frames": self.offset_frames,
            "clearness": self.clearness,
            "stderr_frames": self.stderr_frames,
            "foreign_r": self.foreign_r,
            "curve": [list(point) for point in self.curve],
            "method": METHOD,
            "reason": self.reason,
        }

    def mend(self) -> float:
        """Frames by which the sound should be moved earlier; 0 if that is not known or tiny."""
        offset = self.offset_frames
        return offset if offset is not None and abs(offset) >= SMALLEST_MEND else 0.0


def cautions(offset_frames: float | None, mend: str) -> list[dict[str, str]]:
    """What to say in ``capture.json`` of an offset that was left as it is.

    Args:
        offset_frames: positive where the sound is late; ``None`` where it cannot be told.
        mend: what to do.
    """
    if offset_frames is None or abs(offset_frames) < LARGE:
        return []
    side = "late" if offset_frames > 0 else "early"
    return [{"what": f"the sound is {abs(offset_frames):.1f} frames {side}", "do": mend}]


def estimate(
    samples: np.ndarray,
    opening: np.ndarray,
    landmarks: np.ndarray,
    face: FaceLayout,
    segments: list[tuple[int, int]],
    usable: np.ndarray,
) -> Sync:
    """Find the offset between sound and picture.

    Args:
        samples: ``float32 [F * 640]`` at 16 kHz.
        opening: inner-lip gap over outer-eye distance, ``[F]``, NaN without a face.
        landmarks: ``[F, L, 2]`` in pixels, NaN without a face.
        face: what the points mean.
        segments: takes; no lag reaches across a cut.
        usable: ``bool [F]``; frames that are not damaged.
    """
    signals = np.stack([opening, _lip_height(landmarks, face)], axis=1).astype(np.float64)
    seen = usable & np.isfinite(signals).all(1)
    if seen.sum() < _FEWEST_FRAMES:
        return _unknown(f"only {seen.sum()} frames show a mouth; {_FEWEST_FRAMES} are needed")
    spread = signals[seen].std(0)
    if (spread < 1e-6).any():
        return _unknown("the mouth does not move")
    signals = (signals - signals[seen].mean(0)) / spread
    sound = _components(samples, len(opening))
    if sound is None:
        return _unknown("the sound does not change")
    course = _Course(sound, signals, seen, segments)
    lags = range(-MAX_LAG, MAX_LAG + 1)
    rows = np.stack([course.rows(lag) for lag in lags], axis=1)
    curve = np.nan_to_num(sync.lag_curve(rows.sum(0).reshape(-1)))
    foreign = np.array([course.correlation(shift) for shift in _far_shifts(len(opening))])
    return _judged(rows, curve, foreign)


def _judged(rows: np.ndarray, curve: np.ndarray, foreign: np.ndarray) -> Sync:
    """Believe the peak, or say why not."""
    blocks = rows.reshape(len(rows), -1)
    peak = bootstrap(blocks, np.arange(len(blocks)), sync.best_lag, resamples=300)
    clearness = float((curve.max() - foreign.mean()) / max(float(foreign.std()), 1e-6))
    place = int(curve.argmax())
    reason = ""
    if clearness < CLEAR:
        reason = (
            f"no lag stands out: the best reaches r = {curve.max():.2f}, foreign sound "
            f"{foreign.mean():.2f} ± {foreign.std():.2f}; music, another voice or too little speech"
        )
    elif place in (0, len(curve) - 1):
        reason = f"the best lag is the furthest that was looked at, {place - MAX_LAG:+d} frames"
    elif peak.stderr > STEADY:
        reason = f"parts of the clip disagree: the best lag wanders by {peak.stderr:.1f} frames"
    return Sync(
        offset_frames=None if reason else round(peak.mean, 2),
        clearness=round(clearness, 2),
        stderr_frames=round(peak.stderr, 2),
        curve=[(k - MAX_LAG, round(float(r), 4)) for k, r in enumerate(curve)],
        foreign_r=round(float(foreign.mean()), 4),
        reason=reason,
    )


def _unknown(reason: str) -> Sync:
    return Sync(None, None, None, [], None, reason)


def _lip_height(landmarks: np.ndarray, face: FaceLayout) -> np.ndarray:
    """Height of the outer lips over the outer-eye distance, across the line of the eyes."""
    eyes = landmarks[:, face.eye_corners[1]] - landmarks[:, face.eye_corners[0]]
    ruler = np.linalg.norm(eyes, axis=-1)
    across = np.stack([-eyes[:, 1], eyes[:, 0]], axis=-1) / np.maximum(ruler, 1e-6)[:, None]
    heights = np.einsum("fld,fd->fl", landmarks[:, list(face.lips)], across)
    return np.ptp(heights, axis=1) / np.maximum(ruler, 1e-6)


def _components(samples: np.ndarray, frames: int) -> np.ndarray | None:
    """Main components ``[F, 32]`` of the log-mel around the moment that each frame is shown."""
    power = mel.log_power(torch.from_numpy(np.ascontiguousarray(samples))).T.numpy()
    per_frame = SAMPLES_PER_FRAME // mel.HOP
    before = np.repeat(power[:1], per_frame // 2, axis=0)
    rows = np.concatenate([before, power])[: frames * per_frame]
    heard = rows.reshape(frames, per_frame, -1).mean(1, dtype=np.float64)
    heard = np.maximum((heard - heard.max()) / mel.RANGE_DECADES, -1)
    heard -= heard.mean(0)
    _, values, axes = np.linalg.svd(heard.T @ heard)
    if values[0] < 1e-9 * frames:
        return None
    found = heard @ axes[:_COMPONENTS].T
    return np.asarray(found / found.std(0).mean())


def _far_shifts(frames: int) -> np.ndarray:
    """Shifts, in frames, that make the sound foreign; the clip is taken for a ring."""
    room = np.arange(_FAR_FRAMES, frames - _FAR_FRAMES)
    if len(room) <= _FOREIGN:
        return room if len(room) else np.array([frames // 2])
    return np.unique(room[np.linspace(0, len(room) - 1, _FOREIGN).round().astype(int)])


class _Course:
    """Sound and lips of a clip, and how well one tells the other at a shift."""

    def __init__(
        self, sound: np.ndarray, lips: np.ndarray, seen: np.ndarray, segments: list[tuple[int, int]]
    ) -> None:
        sound, lips = (_quick(rows, segments) for rows in (sound, np.nan_to_num(lips)))
        sound /= max(float(sound.std(0).mean()), 1e-9)
        self._sound = np.concatenate([sound, np.ones((len(sound), 1))], axis=1)
        self._lips = lips / np.maximum(lips[seen].std(0), 1e-9)
        self._seen = seen
        self._take = np.empty(len(sound), int)
        for number, (start, stop) in enumerate(segments):
            self._take[start:stop] = number
        self._fold = _folds(segments)
        self._folds = int(self._fold.max()) + 1

    def rows(self, lag: int) -> np.ndarray:
        """Sums per fold, ``[folds, 6]``, for the sound ``lag`` frames after the lips."""
        frames = np.arange(len(self._lips))
        heard = frames + lag
        paired = (heard >= 0) & (heard < len(frames)) & self._seen
        paired[paired] &= self._take[heard[paired]] == self._take[paired]
        return self._predicted(frames[paired], heard[paired])

    def correlation(self, shift: int) -> float:
        """R for foreign sound."""
        frames = np.flatnonzero(self._seen)
        sums = self._predicted(frames, (frames + shift) % len(self._lips)).sum(0)
        return float(np.nan_to_num(sync.correlation(sums)))

    def _predicted(self, frames: np.ndarray, heard: np.ndarray) -> np.ndarray:
        """Ridge regression fitted on all folds but one, and asked about that one."""
        parts = [self._fold[frames] == k for k in range(self._folds)]
        told = [(self._sound[heard[part]], self._lips[frames[part]]) for part in parts]
        grams = np.stack([x.T @ x for x, _ in told])
        targets = np.stack([x.T @ y for x, y in told])
        penalty = _PENALTY * np.eye(grams.shape[1])
        penalty[-1, -1] = 1e-6  # the mean is free
        fits = np.linalg.solve(grams.sum(0) - grams + penalty, targets.sum(0) - targets)
        pairs = zip(told, fits, strict=True)
        return np.stack(
            [sync.correlation_rows((x @ fit).ravel(), y.ravel()).sum(0) for (x, y), fit in pairs]
        )


def _quick(rows: np.ndarray, segments: list[tuple[int, int]]) -> np.ndarray:
    """What changes within a second or so, ``[F, D]``; foreign sound has pauses as well."""
    swell = [
        gaussian_filter1d(rows[start:stop], _SWELL_FRAMES, axis=0, mode="nearest")
        for start, stop in segments
    ]
    return np.asarray(rows - np.concatenate(swell))


def _folds(segments: list[tuple[int, int]]) -> np.ndarray:
    """Which of at most eight parts each frame belongs to: whole stretches, in time order."""
    starts = [
        start + k * (stop - start) // pieces
        for start, stop in segments
        for pieces in [max(round((stop - start) / _BLOCK_FRAMES), 1)]
        for k in range(pieces)
    ]
    block = np.searchsorted(starts, np.arange(segments[-1][1]), side="right") - 1
    return block * min(_FOLDS, len(starts)) // len(starts)


def describe(found: Sync, *, fixed: bool, mend: str) -> str:
    """One line for the log.

    Args:
        found: what was estimated.
        fixed: whether the sound is moved by it.
        mend: what to type so that it is.
    """
    if found.offset_frames is None:
        return f"sound and picture: n/a ({found.reason})"
    side = "late" if found.offset_frames >= 0 else "early"
    line = (
        f"sound and picture: the sound is {abs(found.offset_frames):.1f} ± "
        f"{found.stderr_frames:.1f} frames {side} "
        f"({abs(found.offset_frames) * 1000 / FPS:.0f} ms)"
    )
    if fixed and found.mend():
        return f"{line}; moved by {-found.mend():+.2f} frames"
    if abs(found.offset_frames) >= LARGE:
        return f"{line}; to mend it: {mend}"
    return line
