"""A head that speaks somebody else's words: what can be said of its film without a true picture.

How the mouth goes with the loudness of the sound, at which lag, and whether it goes better with
this sound than with the same sound half its length away; how much points shake from frame to frame;
what SyncNet hears. None of it says how good the picture is: for that there would have to be a true
one. Loud is not open (an *m* is loud, an *f* is not closed), so ``sound_corr_filmed`` says what the
filmed mouth reaches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from gstalker import face
from gstalker.data.capture import SAMPLES_PER_FRAME, Capture
from gstalker.errors import BackendMissing, MediaError
from gstalker.metrics import sync
from gstalker.metrics.bootstrap import Figures, blocks, mean_of_rows, not_available, with_ones
from gstalker.metrics.features import Likeness, recogniser
from gstalker.metrics.landmarks import make_detector, mouth_opening
from gstalker.metrics.lipsync import BACKBONE, judged
from gstalker.metrics.lipsync import NAMES as SYNC
from gstalker.metrics.pairs import Scores
from gstalker.metrics.protocol import FilmRecord, Protocol, block_frames
from gstalker.metrics.syncnet import Verdict
from gstalker.metrics.temporal import jitter_rows

FLOOR_DB = 40.0
"""What is further below the loudest frame is silence."""
_FEWEST_FACES = 0.5
_MOUTH = ("sound_corr", "sound_corr_elsewhere", "sound_lag")
_SHAKE = ("shake_lips", "shake_eyes")


@dataclass(frozen=True)
class Film:
    """A head driven by foreign sound."""

    frames: Iterable[np.ndarray]
    """``uint8 [H, W, 3]``, 25 a second."""
    samples: np.ndarray
    """``float32 [S]`` at 16 kHz: what it heard."""
    shown: np.ndarray
    """``int64 [n]``: frames of the capture whose pose and eyes each picture has."""
    speech: str
    """Name of the file with the sound."""
    speech_sha256: str


def loudness_db(samples: np.ndarray, count: int) -> np.ndarray:
    """Level of each frame below the loudest, ``[count]`` in dB, at least ``-FLOOR_DB``.

    >>> samples = np.repeat([1.0, 0.1, 0.0], SAMPLES_PER_FRAME)
    >>> loudness_db(samples, 3)
    array([  0., -20., -40.])
    """
    padded = np.pad(samples, (0, max(count * SAMPLES_PER_FRAME - len(samples), 0)))
    parts = padded[: count * SAMPLES_PER_FRAME].reshape(count, -1).astype(np.float64)
    power = np.square(parts).mean(1)
    level = 10 * np.log10(np.maximum(power / max(power.max(), 1e-12), 1e-12))
    return np.maximum(level, -FLOOR_DB)


def score(film: Film, capture: Capture, protocol: Protocol) -> tuple[Scores, FilmRecord]:
    """All figures of a film, and what was done.

    Args:
        film: the film and its sound.
        capture: of the head: whose poses are shown, and what its filmed mouth and face are.
        protocol: which landmarks, how far a lag is searched, whether SyncNet or a recogniser of
            faces is asked.

    Raises:
        MediaError: the film has another number of frames than ``shown``.
    """
    scores: Scores = {"sound_corr_filmed": _filmed(capture, protocol)}
    try:
        detector = make_detector(protocol.landmarks, capture)
    except BackendMissing as error:
        told = not_available(str(error).splitlines()[0])
        scores |= dict.fromkeys((*_MOUTH, *_SHAKE, "driven_faces_found"), told)
        detector = None
    points: list[np.ndarray] = []
    ears = judged(film.samples, len(film.shown), (capture.height, capture.width), protocol)
    likeness = Likeness(recogniser(protocol), "driven_identity", protocol.identity)
    if detector is not None:
        detector.begin()
    for place, index, frame in _checked(film):
        if detector is not None:
            points.append(detector(frame, index))
        if not isinstance(ears, str):
            ears.add(place, frame)
        likeness.add(frame, partial(capture.frame, index))
    misses = 0
    if detector is not None:
        detector.close()
        lips_only = getattr(detector, "lips_only", False)
        layout = face.layout(detector.layout)
        found = np.stack(points)
        misses = int((~np.isfinite(mouth_opening(found, layout))).sum())
        scores |= _of_points(found, film.samples, layout, protocol, lips_only)
    scores |= _heard(ears) | likeness.result(_figures(len(film.shown), protocol))[0]
    asked = {"driven_sync": BACKBONE} if not isinstance(ears, str) else {}
    asked |= {"driven_identity": protocol.identity} if protocol.identity else {}
    return scores, FilmRecord(
        protocol=protocol,
        capture=capture,
        ids=film.shown,
        detector="none" if detector is None else detector.name,
        backbones=asked,
        misses=misses,
        speech=film.speech,
        speech_sha256=film.speech_sha256,
        floor_db=FLOOR_DB,
    )


def _checked(film: Film) -> Iterator[tuple[int, int, np.ndarray]]:
    """Each picture with its place and the frame whose pose it shows, as many as there should be."""
    place = -1
    for place, frame in enumerate(film.frames):
        if place == len(film.shown):
            raise MediaError(f"the film has more frames than the {place} that its sound has")
        yield place, int(film.shown[place]), frame
    if place + 1 < len(film.shown):
        raise MediaError(f"the film breaks off after {place + 1} frames")


def _filmed(capture: Capture, protocol: Protocol) -> dict[str, object]:
    """How the filmed mouth goes with the loudness of its own sound, over all frames."""
    loud = loudness_db(capture.audio(), capture.frame_count)
    opening = np.asarray(capture.mouth, np.float64)
    ids = np.arange(capture.frame_count)
    block = blocks(ids, capture.segments, block_frames(protocol))
    return _correlated(opening, loud, Figures(block, protocol.resamples, protocol.seed))


def _figures(count: int, protocol: Protocol) -> Figures:
    """Of a film's frames, stretches of which are resampled."""
    block = blocks(np.arange(count), [(0, count)], block_frames(protocol))
    return Figures(block, protocol.resamples, protocol.seed)


def _of_points(
    points: np.ndarray,
    samples: np.ndarray,
    layout: face.FaceLayout,
    protocol: Protocol,
    lips_only: bool,
) -> Scores:
    count = len(points)
    ids, take = np.arange(count), [(0, count)]
    figures = _figures(count, protocol)
    opening = mouth_opening(points, layout).astype(np.float64)
    seen = np.isfinite(opening)
    scores: Scores = {"driven_faces_found": figures(with_ones(seen.astype(float)), mean_of_rows)}
    if seen.mean() < _FEWEST_FACES:
        reason = not_available(f"a face was found in only {int(seen.sum())} of {count} frames")
        return scores | dict.fromkeys((*_MOUTH, *_SHAKE), reason)
    loud = loudness_db(samples, count)
    scores["sound_corr"] = _correlated(opening, loud, figures)
    scores["sound_corr_elsewhere"] = _correlated(opening, np.roll(loud, count // 2), figures)
    if "mean" in scores["sound_corr"]:
        lags = sync.lag_rows(opening, loud, ids, take, protocol.max_lag)
        scores["sound_lag"] = figures(lags, sync.best_lag)
    else:
        scores["sound_lag"] = scores["sound_corr"]
    ruler = float(np.nanmedian(np.linalg.norm(np.subtract(*_corners(points, layout)), axis=-1)))
    parts = (("shake_lips", [*layout.lips]), ("shake_eyes", [*layout.eye_corners]))
    for name, which in parts:
        if name == "shake_eyes" and lips_only:
            scores[name] = not_available("these landmarks are found on lips only")
        else:
            scores[name] = _shaking(points[:, which] / ruler, figures)
    return scores


def _corners(points: np.ndarray, layout: face.FaceLayout) -> np.ndarray:
    return points[:, list(layout.eye_corners)].swapaxes(0, 1)


def _shaking(points: np.ndarray, figures: Figures) -> dict[str, object]:
    """Mean length of the second difference, in thousandths of an eye distance."""
    near = np.arange(len(points)) > 0
    rows = 1000 * jitter_rows(points, points, near)[:, 0]
    seen = np.isfinite(points).all((1, 2))
    seen[2:] &= seen[1:-1] & seen[:-2]
    seen[:2] = False
    if not seen.any():
        return not_available("no three frames in a row show a face")
    return figures(with_ones(rows[seen]), mean_of_rows, seen)


def _correlated(opening: np.ndarray, loud: np.ndarray, figures: Figures) -> dict[str, object]:
    seen = np.isfinite(opening)
    mine, heard = opening[seen], loud[seen]
    if len(mine) < 3 or mine.std() < 1e-6:
        return not_available("the mouth does not move")
    if heard.std() < 1e-6:
        return not_available("the sound is equally loud throughout")
    rows = sync.correlation_rows(mine - mine.mean(), heard - heard.mean())
    return figures(rows, sync.correlation, seen)


def _heard(ears: object) -> Scores:
    """SyncNet's verdict, under names of its own: nothing else of the film is like a test frame."""
    if isinstance(ears, str):
        return {f"driven_{name}": not_available(ears) for name in SYNC}
    found = ears.verdicts  # type: ignore[attr-defined]
    told = [verdict for verdict in found if isinstance(verdict, Verdict)]
    if not told:
        return {f"driven_{name}": not_available(found[0]) for name in SYNC}
    means = np.mean([(v.confidence, v.distance, v.offset) for v in told], axis=0)
    return {
        f"driven_{name}": {"mean": float(mean), "n": len(told)}
        for name, mean in zip(SYNC, means, strict=True)
    }
