"""Rendered frames and a capture in, every figure with its uncertainty out.

It sees frames, never models, one at a time: memory holds two pictures and the landmarks. A figure
that cannot be had says why instead of being 0. The truth is looked at once per :class:`Scorer`, so
the controls of a run share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gstalker.data.capture import Capture
from gstalker.errors import BackendMissing, GSTalkerError, MediaError
from gstalker.metrics import image
from gstalker.metrics.bootstrap import (
    Figures,
    blocks,
    mean_of_rows,
    not_available,
    ratio_of_rows,
    with_ones,
)
from gstalker.metrics.landmarks import make_detector
from gstalker.metrics.lips import LipTruth, lip_metrics
from gstalker.metrics.protocol import Protocol, Regions, block_frames

Frames = Iterable[np.ndarray] | Callable[[int], np.ndarray]
"""Rendered frames ``uint8 [H, W, 3]`` in the order of the ids, or a function from a frame's id."""
Scores = dict[str, dict[str, Any]]
"""Metric to ``{"mean", "stderr", "n"}``, or ``{"value": "n/a", "reason"}``."""

HIGHER_IS_BETTER: dict[str, bool | None] = {
    "psnr_full": True,
    "psnr_head": True,
    "psnr_above_chin": True,
    "psnr_mouth": True,
    "psnr_mouth_open": True,
    "ssim_full": True,
    "lpips_alex": False,
    "lmd": False,
    "lmd_centred": False,
    "mouth_corr": True,
    "mouth_corr_residual": True,
    "mouth_corr_speech": True,
    "mouth_lag": None,
    "mouth_amp": None,
    "sharpness_mouth": None,
    "faces_found": True,
}
"""In the order of the scores. ``None``: best at a value in the middle (0 for the lag, 1 for the
others). In the scores ``lmd`` and ``lmd_centred`` carry the detector's name behind them."""
_PICTURE = ("psnr_full", "psnr_head", "psnr_above_chin", "psnr_mouth", "ssim_full", "lpips_alex")


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
        block = blocks(self.ids, capture.segments, block_frames(self.protocol))
        self._figures = Figures(block, self.protocol.resamples, self.protocol.seed)
        self._lips: LipTruth | str
        try:
            detector = make_detector(self.protocol.landmarks, capture)
            self._lips = LipTruth(capture, self.ids, self.protocol, detector, self._figures)
        except BackendMissing as error:
            self._lips = str(error).splitlines()[0]

    def score(self, frames: Frames) -> Scores:
        """All figures of one row.

        Args:
            frames: one picture for each id.

        Raises:
            MediaError: too few, too many, or of another size than the capture's.
        """
        measured = np.full((len(self.ids), len(_PICTURE)), np.nan)
        sharp = np.zeros((len(self.ids), 2))
        points: list[np.ndarray] = []
        for k, frame in enumerate(self._checked(frames)):
            index = int(self.ids[k])
            pred, truth = _as_tensor(frame), _as_tensor(self.capture.frame(index))
            measured[k] = self._compare(pred, truth, index)
            x0, y0, x1, y1 = self.regions.mouth_boxes[index]
            sharp[k] = [float(image.sharpness(side[y0:y1, x0:x1])) for side in (pred, truth)]
            if isinstance(self._lips, LipTruth):
                points.append(self._lips.detect(frame, k))
        scores = self._picture_scores(measured)
        scores["sharpness_mouth"] = self._figures(sharp, ratio_of_rows)
        scores |= self._lip_scores(points, measured[:, _PICTURE.index("psnr_mouth")])
        if isinstance(self._lips, LipTruth):
            self._lips.close()
        return _in_order(scores)

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

    def _compare(self, pred: Tensor, truth: Tensor, index: int) -> list[float]:
        """The picture metrics of one frame, in ``_PICTURE``'s order; NaN for what cannot be."""
        head, chin = self.regions.head_rows, self.regions.above_chin_rows
        x0, y0, x1, y1 = self.regions.mouth_boxes[index]
        large = min(pred.shape[:2]) >= image.SSIM_WINDOW
        return [
            float(image.psnr(pred, truth)),
            float(image.psnr(pred[:head], truth[:head])),
            float(image.psnr(pred[:chin], truth[:chin])),
            float(image.psnr(pred[y0:y1, x0:x1], truth[y0:y1, x0:x1])),
            float(image.ssim(pred, truth)) if large else np.nan,
            np.nan if isinstance(self._lpips, str) else float(self._lpips(pred[None], truth[None])),
        ]

    @cached_property
    def _lpips(self) -> Callable[[Tensor, Tensor], Tensor] | str:
        """The learned distance, or why there is none."""
        if not self.protocol.lpips:
            return "switched off in the protocol"
        from gstalker.losses.perceptual import LEAST_SIDE, LPIPS

        if min(self.capture.height, self.capture.width) < LEAST_SIDE:
            return f"the frame is smaller than {LEAST_SIDE} pixels"
        try:
            network = LPIPS()
        except GSTalkerError as error:
            return str(error).splitlines()[0]
        return torch.no_grad()(network)

    def _picture_scores(self, measured: np.ndarray) -> Scores:
        scores: Scores = {}
        for name, values in zip(_PICTURE, measured.T, strict=True):
            if name == "lpips_alex" and isinstance(self._lpips, str):
                scores[name] = not_available(self._lpips)
            elif np.isnan(values).any():
                scores[name] = not_available("the frame is smaller than the metric's window")
            else:
                scores[name] = self._figures(with_ones(values), mean_of_rows)
        return scores

    def _lip_scores(self, points: list[np.ndarray], psnr_mouth: np.ndarray) -> Scores:
        """What needs landmarks, the choice of open-mouthed frames among it."""
        if isinstance(self._lips, str):
            names = [*lip_metrics(self.protocol.landmarks), "psnr_mouth_open", "faces_found"]
            return {name: not_available(self._lips) for name in names}
        scores = self._lips.scores(np.stack(points))
        opened = self._lips.opening > self.protocol.open_above
        scores["psnr_mouth_open"] = (
            self._figures(with_ones(psnr_mouth[opened]), mean_of_rows, opened)
            if opened.any()
            else not_available("the mouth never opens that wide in these frames")
        )
        return scores


def _as_tensor(frame: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(frame)).float().div_(255)


def _in_order(scores: Scores) -> Scores:
    """The figures in the order of ``HIGHER_IS_BETTER``, whatever detector's name they carry."""
    known = list(HIGHER_IS_BETTER)

    def place(name: str) -> int:
        return max(known.index(key) for key in known if name == key or name.startswith(f"{key}_"))

    return dict(sorted(scores.items(), key=lambda item: place(item[0])))
