"""Rendered frames and a capture in, every figure with its uncertainty out.

It sees frames, never models, one at a time: memory holds two pictures and the landmarks. A figure
that cannot be had says why instead of being 0. The truth is looked at once per :class:`Scorer`, so
the controls of a run share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from gstalker.data.capture import Capture
from gstalker.errors import BackendMissing, MediaError
from gstalker.metrics import brisque
from gstalker.metrics.actions import ActionFamily
from gstalker.metrics.bootstrap import Figures, blocks, mean_of_rows, not_available, with_ones
from gstalker.metrics.catalogue import in_order
from gstalker.metrics.features import FeatureFamily, networks
from gstalker.metrics.landmarks import make_detector
from gstalker.metrics.lips import LipFamily, LipTruth, lip_metrics
from gstalker.metrics.lipsync import BACKBONE, NAMES, OF_TRUTH, SyncFamily, SyncTruth, make_truth
from gstalker.metrics.pairs import Family, Pair, Scores, Values
from gstalker.metrics.pictures import Measures, PictureFamily
from gstalker.metrics.protocol import Protocol, Record, Regions, block_frames, true_frame
from gstalker.metrics.temporal import follows

Frames = Iterable[np.ndarray] | Callable[[int], np.ndarray]
"""Rendered frames ``uint8 [H, W, 3]`` in the order of the ids, or a function from a frame's id."""


@dataclass(frozen=True)
class Row:
    """What was found of one row of frames."""

    scores: Scores
    values: Values
    """Of each frame."""


def score(
    frames: Frames, capture: Capture, ids: np.ndarray, protocol: Protocol | None = None
) -> Scores:
    """Score one row of frames; with several rows over one capture, keep a :class:`Scorer`."""
    return Scorer(capture, ids, protocol).score(frames)


class Scorer:
    """Scores rows of rendered frames against a capture's true ones.

    Args:
        capture: the truth.
        ids: frames to score, in time order; usually ``capture.split()[1]``.
        protocol: what the figures mean.

    Raises:
        ValueError: there are no ids, or they are not in time order.
    """

    def __init__(self, capture: Capture, ids: np.ndarray, protocol: Protocol | None = None) -> None:
        self.capture = capture
        self.ids = np.asarray(ids, np.int64)
        self.protocol = protocol or Protocol()
        if len(self.ids) == 0 or (np.diff(self.ids) <= 0).any():
            raise ValueError("expected at least one frame id, in rising order")
        self.regions = Regions.of(capture)
        self.block = blocks(self.ids, capture.segments, block_frames(self.protocol))
        """Which take or stretch each frame belongs to, ``int [n]``."""
        self._figures = Figures(self.block, self.protocol.resamples, self.protocol.seed)
        self._follows = follows(self.ids, capture.segments)
        self._measures = Measures(self.protocol, (capture.height, capture.width))
        self._networks = networks(self.protocol)
        self._brisque = brisque.judge_or_why()
        self._sync = make_truth(capture, self.ids, self.protocol)
        self._lips: LipTruth | str
        try:
            detector = make_detector(self.protocol.landmarks, capture)
            self._lips = LipTruth(capture, self.ids, self.protocol, detector, self._figures)
        except BackendMissing as error:
            self._lips = str(error).splitlines()[0]

    def score(self, frames: Frames) -> Scores:
        """All figures of one row; raises as :meth:`row`."""
        return self.row(frames).scores

    def row(self, frames: Frames) -> Row:
        """All figures of one row, and the values of each frame.

        Args:
            frames: one picture for each id.

        Raises:
            MediaError: too few, too many, or of another size than the capture's.
        """
        families = self._families()
        for k, frame in enumerate(self._checked(frames)):
            pair = self._pair(k, frame)
            for family in families:
                family.add(pair)
            del pair
        scores: Scores = {}
        values: Values = {}
        for family in families:
            found, of_frames = family.result(self._figures)
            scores |= found
            values |= of_frames
        scores |= self._open_mouthed(values)
        return Row({name: scores[name] for name in in_order(list(scores))}, values)

    def record(self) -> Record:
        """What was done, for ``scores.json``; looks at the true landmarks if no row did yet."""
        return Record(
            protocol=self.protocol,
            capture=self.capture,
            ids=self.ids,
            detector=self._lips.source if isinstance(self._lips, LipTruth) else "none",
            backbones=self._backbones(),
            misses=self._lips.misses if isinstance(self._lips, LipTruth) else 0,
        )

    def _backbones(self) -> dict[str, str]:
        """Learned metric to the network that judges."""
        found = dict(self._measures.backbones)
        if isinstance(self._sync, SyncTruth):
            found["sync"] = BACKBONE
        if not isinstance(self._networks["fid"], str):
            found["fid"] = "Inception v3, torch-fidelity"
        if self.protocol.identity:
            found["identity"] = self.protocol.identity
        if not isinstance(self._brisque, str):
            found["brisque"] = brisque.BACKBONE
        return found

    def _families(self) -> list[Family]:
        count = len(self.ids)
        families: list[Family] = [PictureFamily(self._measures, self.regions, count)]
        if isinstance(self._lips, LipTruth):
            families.append(LipFamily(self._lips))
        else:
            names = [*lip_metrics(self.protocol.landmarks), "faces_found"]
            families.append(Absent(names, self._lips))
        if isinstance(self._sync, SyncTruth):
            families.append(SyncFamily(self._sync, (self.capture.height, self.capture.width)))
        else:
            families.append(Absent([*NAMES, *OF_TRUTH], self._sync))
        families.append(FeatureFamily(self._networks, self.protocol.identity))
        families.append(brisque.BrisqueFamily(self._brisque))
        return [*families, ActionFamily(self.protocol, self.ids)]

    def _pair(self, k: int, frame: np.ndarray) -> Pair:
        index = int(self.ids[k])
        x0, y0, x1, y1 = (int(edge) for edge in self.regions.mouth_boxes[index])
        return Pair(
            place=k,
            index=index,
            follows=bool(self._follows[k]),
            pred=frame,
            truth=true_frame(self.capture, self.protocol, index),
            labels=self.capture.mask(index),
            mouth_box=(x0, y0, x1, y1),
        )

    def _open_mouthed(self, values: Values) -> Scores:
        """PSNR of the mouth in the frames whose true mouth is open."""
        if isinstance(self._lips, str):
            return {"psnr_mouth_open": not_available(self._lips)}
        opened = self._lips.opening > self.protocol.open_above
        if not opened.any():
            reason = "the mouth never opens that wide in these frames"
            return {"psnr_mouth_open": not_available(reason)}
        rows = with_ones(values["psnr_mouth"][opened])
        return {"psnr_mouth_open": self._figures(rows, mean_of_rows, opened)}

    def _checked(self, frames: Frames) -> Iterator[np.ndarray]:
        """The frames one by one, as many and as large as they should be."""
        wanted = (self.capture.height, self.capture.width, 3)
        stream = (frames(int(i)) for i in self.ids) if callable(frames) else iter(frames)
        count = 0
        for frame in stream:
            if count == len(self.ids):
                raise MediaError(f"there are more frames than the {len(self.ids)} to score")
            if frame.shape != wanted or frame.dtype != np.uint8:
                raise MediaError(
                    f"frame {count} to score is {frame.dtype} {list(frame.shape)}; the capture's "
                    f"frames are uint8 {list(wanted)}.\n  Render at the capture's size."
                )
            count += 1
            yield frame
        if count < len(self.ids):
            raise MediaError(
                f"there are {count} frames to score, where {len(self.ids)} were expected"
            )


class Absent:
    """Metrics that cannot be had, as a family.

    Args:
        names: of the metrics.
        reason: why not.
    """

    def __init__(self, names: list[str], reason: str) -> None:
        self._scores = {name: not_available(reason) for name in names}

    def add(self, pair: Pair) -> None:
        """Nothing to look at."""

    def result(self, figures: Figures) -> tuple[Scores, Values]:
        """The reason, for each."""
        return dict(self._scores), {}
