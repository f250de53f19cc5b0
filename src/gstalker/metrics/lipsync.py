"""The family of SyncNet's metrics: faces found and cut out clip by clip, then held to the sound.

A clip is a run of frames in one take, a track a stretch of it with a face; the figures are means
over tracks, as in the tables of Wav2Lip and its heirs. Frames of the clip at hand wait in a
temporary file, because a face's place is smoothed over frames to come; memory holds none of them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gstalker.data.capture import SAMPLES_PER_FRAME, Capture
from gstalker.errors import BackendMissing
from gstalker.metrics import syncnet
from gstalker.metrics.bootstrap import Figures, mean_of_rows, not_available, with_ones
from gstalker.metrics.pairs import Pair, Scores, Values
from gstalker.metrics.protocol import Protocol, true_frame
from gstalker.metrics.syncnet import SyncNet, Verdict, crop, smoothed, stretches, verdict
from gstalker.metrics.temporal import follows

LEAST_FRAMES = 100
"""A track must be longer than this (``min_track`` of run_pipeline.py)."""
LEAST_FACE = 100
"""Pixels: the mean longer side of the face's box (``min_face_size``)."""
BRIDGED = 25
"""The next face may be this many frames on, the one of the track before (``num_failed_det``)."""
NAMES = ("sync_c", "sync_d", "sync_offset")
OF_TRUTH = ("sync_c_truth", "sync_d_truth")
BACKBONE = "SyncNet (syncnet_v2), S3FD crops"

FindFace = Callable[[np.ndarray], np.ndarray | None]


class SyncTruth:
    """The sound and the clips of some frames, and what SyncNet says of the true ones.

    Args:
        capture: the truth.
        ids: frames to score, in time order.
        protocol: what is compared.
        net: SyncNet; by default its authors' own.
        find_face: gives a face's box; by default S3FD.

    Raises:
        BackendMissing: the network is not here; says what to do.
    """

    def __init__(
        self,
        capture: Capture,
        ids: np.ndarray,
        protocol: Protocol,
        net: SyncNet | None = None,
        find_face: FindFace | None = None,
    ) -> None:
        self._capture = capture
        self._ids = ids
        self._protocol = protocol
        self._net = net or SyncNet.load()
        self.find_face = find_face or syncnet.S3FD()
        self.clips = list(stretches(follows(ids, capture.segments)))

    def judge(self, frames: np.ndarray, boxes: np.ndarray, first: int) -> list[Verdict | str]:
        """The verdicts on the tracks of a clip ``uint8 [F, H, W, 3]``, or why there is none.

        Args:
            frames: the clip.
            boxes: ``float64 [F, 4]``, NaN where no face was found.
            first: the place of its first frame among the scored ones.
        """
        if len(frames) <= LEAST_FRAMES:
            return [f"SyncNet's track needs more than {LEAST_FRAMES} frames in a row"]
        found = [
            self._of_track(frames[start : start + len(whole)], whole, first + start)
            for start, whole in tracks(boxes)
        ]
        none = f"no face was found in more than {LEAST_FRAMES} frames, each near the one before"
        return [v for v in found if isinstance(v, Verdict)] or found[:1] or [none]

    def _of_track(self, frames: np.ndarray, boxes: np.ndarray, first: int) -> Verdict | str:
        sides = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
        if sides.mean() <= LEAST_FACE:
            return f"SyncNet's track needs faces over {LEAST_FACE} pixels, not {sides.mean():.0f}"
        crops = np.stack([crop(f, *at) for f, at in zip(frames, smoothed(boxes), strict=True)])
        start = int(self._ids[first]) * SAMPLES_PER_FRAME
        samples = self._sound[start : start + len(frames) * SAMPLES_PER_FRAME]
        return verdict(self._net.distances(crops, samples))

    @cached_property
    def _sound(self) -> np.ndarray:
        return np.round(self._capture.audio() * 32768).clip(-32768, 32767).astype(np.int16)

    @cached_property
    def of_truth(self) -> list[Verdict | str]:
        """The verdicts on the true clips."""
        row = Clips(self, (self._capture.height, self._capture.width))
        for k, index in enumerate(self._ids):
            row.add(k, true_frame(self._capture, self._protocol, int(index)))
        return row.verdicts


class Clips:
    """Collects frames and has every clip judged at its end.

    Args:
        truth: the clips, and who judges.
        size: height and width of the frames.
    """

    def __init__(self, truth: SyncTruth, size: tuple[int, int]) -> None:
        self._truth = truth
        self._size = size
        self._clips = iter(truth.clips)
        self._clip = next(self._clips)
        self._file: Any = None
        self._boxes: list[np.ndarray] = []
        self.verdicts: list[Verdict | str] = []

    def add(self, place: int, frame: np.ndarray) -> None:
        """Take the next frame, ``uint8 [H, W, 3]``."""
        first, stop = self._clip
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the clip ends
        self._file.write(np.ascontiguousarray(frame).tobytes())
        found = self._truth.find_face(frame) if stop - first > LEAST_FRAMES else None
        self._boxes.append(np.full(4, np.nan) if found is None else np.asarray(found, float))
        if place == stop - 1:
            self._file.flush()
            frames = np.memmap(self._file, np.uint8, mode="r", shape=(stop - first, *self._size, 3))
            self.verdicts += self._truth.judge(frames, np.stack(self._boxes), first)
            self._file.close()
            self._file, self._boxes = None, []
            self._clip = next(self._clips, (stop, stop))


class SyncFamily:
    """Measures one row.

    Args:
        truth: the sound, and what is said of the true frames.
        size: height and width of the frames.
    """

    def __init__(self, truth: SyncTruth, size: tuple[int, int]) -> None:
        self._truth = truth
        self._clips = Clips(truth, size)

    def add(self, pair: Pair) -> None:
        """Look at the next frame."""
        self._clips.add(pair.place, pair.pred)

    def result(self, figures: Figures) -> tuple[Scores, Values]:
        """The figures: means over tracks, with ``n`` tracks behind them."""
        scores = _entries(NAMES, self._clips.verdicts, figures)
        return scores | _entries(OF_TRUTH, self._truth.of_truth, figures), {}


def _entries(names: tuple[str, ...], found: list[Verdict | str], figures: Figures) -> Scores:
    told = [v for v in found if isinstance(v, Verdict)]
    if not told:
        reason = next(v for v in found if isinstance(v, str))
        return {name: not_available(reason) for name in names}
    columns = np.array([(v.confidence, v.distance, v.offset) for v in told], np.float64)
    clips = Figures(np.arange(len(told)), figures.resamples, figures.seed)
    return {
        name: clips(with_ones(column), mean_of_rows)
        for name, column in zip(names, columns.T, strict=False)
    }


def tracks(boxes: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """The stretches of a clip in which there is a face, as ``run_pipeline.py`` makes them.

    A track goes from a found face to a found face; it ends where none was found for ``BRIDGED``
    frames in a row. Fewer missing boxes are filled in between their neighbours. A track of
    ``LEAST_FRAMES`` faces or fewer is none.

    Args:
        boxes: ``[F, 4]``, NaN where no face was found.

    Yields:
        The track's first frame, and its boxes ``[f, 4]``.
    """
    there = np.flatnonzero(np.isfinite(boxes).all(1))
    for found in np.split(there, np.flatnonzero(np.diff(there) > BRIDGED) + 1):
        if len(found) > LEAST_FRAMES:
            at = np.arange(found[0], found[-1] + 1)
            columns = [np.interp(at, found, column) for column in boxes[found].T]
            yield int(found[0]), np.stack(columns, axis=1)


@dataclass(frozen=True)
class _Sounding:
    """A film with its own sound, as much of a capture as clips need."""

    samples: np.ndarray
    frame_count: int

    @property
    def segments(self) -> list[tuple[int, int]]:
        """One take."""
        return [(0, self.frame_count)]

    def audio(self) -> np.ndarray:
        """``float32``, a whole number of frames."""
        total = self.frame_count * SAMPLES_PER_FRAME
        return np.pad(self.samples, (0, max(total - len(self.samples), 0)))[:total]


def judged(
    samples: np.ndarray, frame_count: int, size: tuple[int, int], protocol: Protocol
) -> Clips | str:
    """What collects a whole film and has it judged against its sound, or why it cannot be."""
    film: Any = _Sounding(samples, frame_count)
    truth = make_truth(film, np.arange(frame_count), protocol)
    return truth if isinstance(truth, str) else Clips(truth, size)


def make_truth(capture: Capture, ids: np.ndarray, protocol: Protocol) -> SyncTruth | str:
    """What SyncNet's metrics are held to, or why they cannot be had."""
    if not protocol.sync:
        return "costs much and was not asked for: sync=true"
    try:
        return SyncTruth(capture, ids, protocol)
    except BackendMissing as error:
        return " ".join(line.strip() for line in str(error).splitlines())
