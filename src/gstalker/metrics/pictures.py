"""The family of picture metrics: PSNR by region, SSIM, learned distances, flicker, sharpness.

It also tells how much of the picture is not rendered at all but filmed: pasted true pixels raise
every other figure.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from gstalker.data.capture import HEAD, TORSO
from gstalker.errors import GSTalkerError
from gstalker.metrics import image
from gstalker.metrics.bootstrap import (
    Figures,
    mean_of_rows,
    not_available,
    ratio_of_rows,
    with_ones,
)
from gstalker.metrics.distance import NETWORKS, Distance, backbone, least_side
from gstalker.metrics.pairs import Pair, Scores, Values
from gstalker.metrics.protocol import Protocol, Regions
from gstalker.metrics.temporal import temporal_error

PASTED_BLOCK = 8
"""Pixels; video codecs work in blocks like these, too."""
PASTED_LEVELS = {True: 1.0, False: 2.0}
"""A block whose grey differs by at most this many of 255 levels, in the mean, is taken for filmed:
in lossless pictures, and in those that were packed as video or jpeg. On the GRID speaker, blocks of
an honest rendering pass in 0.2 and 9 % at most, of a pasted torso in 100 and in 74, 32, 9 % (H.264
at crf 17, 20, 23): packed harder than 20, pasting is not seen."""
ROUGH_TIMES = 2.0
"""A block counts if its grey differs from its own mean by more than this many times those levels,
in the mean. With less, a dark suit that was blurred and moved by a pixel passed for filmed in half
of its blocks; now in 5 %, and packed as video in 0.1 %."""
_GREY = np.array([0.299, 0.587, 0.114], np.float32)


class Measures:
    """What is measured in every frame, decided once for all rows of a scorer.

    Args:
        protocol: says what is switched on.
        size: height and width of the frames.
    """

    def __init__(self, protocol: Protocol, size: tuple[int, int]) -> None:
        self._small = min(size)
        self.pasted_levels = PASTED_LEVELS[protocol.codec == "lossless"]
        wanted = {
            "lpips_alex": protocol.lpips,
            "lpips_vgg": protocol.lpips_vgg,
            "stlpips_alex": protocol.stlpips,
        }
        self.networks: dict[str, Distance | str] = {
            name: self._network(name, on) for name, on in wanted.items()
        }
        self.ssim = "" if self._small >= image.SSIM_WINDOW else _TOO_SMALL
        self.ms_ssim = "" if protocol.ms_ssim else _switched_off("ms_ssim")
        if protocol.ms_ssim and self._small < image.MS_SSIM_LEAST_SIDE:
            self.ms_ssim = f"the frame is smaller than {image.MS_SSIM_LEAST_SIDE} pixels"

    @property
    def backbones(self) -> dict[str, str]:
        """Learned metric to the network that judges."""
        return {k: backbone(k) for k, net in self.networks.items() if not isinstance(net, str)}

    def _network(self, name: str, wanted: bool) -> Distance | str:
        """A learned distance, or why there is none."""
        if not wanted:
            return "switched off in the protocol" if name == "lpips_alex" else _switched_off(name)
        if self._small < least_side(name):
            return f"the frame is smaller than {least_side(name)} pixels"
        try:
            network: Distance = torch.no_grad()(NETWORKS[name]())
        except GSTalkerError as error:
            return " ".join(line.strip() for line in str(error).splitlines()[:2])
        return network


_TOO_SMALL = "the frame is smaller than the metric's window"


def _switched_off(name: str) -> str:
    option = {"lpips_vgg": "lpips_vgg", "stlpips_alex": "stlpips"}.get(name, name)
    return f"costs much and was not asked for: {option}=true"


class PictureFamily:
    """Measures one row.

    Args:
        measures: what there is to measure with.
        regions: the pixels that regional metrics look at.
        count: frames to come.
    """

    def __init__(self, measures: Measures, regions: Regions, count: int) -> None:
        self._measures = measures
        self._regions = regions
        self._count = count
        self.values: Values = {}
        self._sharp = np.zeros((count, 2))
        self._error = np.zeros(count)
        self._blocks = np.zeros((count, 2, 2))
        self._before: tuple[Tensor, Tensor] | None = None

    def add(self, pair: Pair) -> None:
        """Look at the next frame."""
        k = pair.place
        pred, truth = pair.pictures
        for name, value in self._compared(pair).items():
            self.values.setdefault(name, np.full(self._count, np.nan))[k] = value
        self._sharp[k] = [float(image.sharpness(side)) for side in pair.mouths]
        self._error[k] = float((pred - truth).square().mean(dtype=torch.float64))
        self._blocks[k] = filmed_blocks(pair, self._measures.pasted_levels)
        self._before = (pred, truth)

    def _compared(self, pair: Pair) -> dict[str, float]:
        pred, truth = pair.pictures
        head, chin = self._regions.head_rows, self._regions.above_chin_rows
        measured = {
            "psnr_full": image.psnr(pred, truth),
            "psnr_head": image.psnr(pred[:head], truth[:head]),
            "psnr_above_chin": image.psnr(pred[:chin], truth[:chin]),
            "psnr_mouth": image.psnr(*pair.mouths),
        }
        if not self._measures.ssim:
            measured["ssim_full"] = image.ssim(pred, truth)
        if not self._measures.ms_ssim:
            measured["ms_ssim_full"] = image.ms_ssim(pred, truth)
        for name, network in self._measures.networks.items():
            if not isinstance(network, str):
                measured[name] = network(pred[None], truth[None])
        if pair.follows and self._before is not None:
            x0, y0, x1, y1 = pair.mouth_box
            sides = (pred, self._before[0], truth, self._before[1])
            measured["temporal_full"] = temporal_error(*sides)
            mouths = [side[y0:y1, x0:x1] for side in sides]
            measured["temporal_mouth"] = temporal_error(*mouths)
        return {name: float(value) for name, value in measured.items()}

    def result(self, figures: Figures) -> tuple[Scores, Values]:
        """The figures over all frames."""
        scores: Scores = {}
        for name, values in self.values.items():
            there = np.isfinite(values)
            scores[name] = figures(with_ones(values[there]), mean_of_rows, there)
        scores["psnr_pooled"] = figures(with_ones(self._error), _decibels)
        scores["sharpness_mouth"] = figures(self._sharp, ratio_of_rows)
        for column, name in enumerate(("pasted_torso", "pasted_head")):
            rows = self._blocks[:, column]
            found = rows[:, 1].any()
            none = not_available("no such pixels")
            scores[name] = figures(rows, ratio_of_rows) if found else none
        scores |= {name: not_available(reason) for name, reason in self._missing().items()}
        return scores, {**self.values, "squared_error": self._error}

    def _missing(self) -> dict[str, str]:
        """Metric to the reason why it was not measured."""
        missing = {n: w for n, w in self._measures.networks.items() if isinstance(w, str)}
        if self._measures.ssim:
            missing["ssim_full"] = self._measures.ssim
        if self._measures.ms_ssim:
            missing["ms_ssim_full"] = self._measures.ms_ssim
        for name in ("temporal_full", "temporal_mouth"):
            if name not in self.values:
                missing[name] = "no two neighbouring frames were scored"
        return missing


def _decibels(sums: Any) -> np.ndarray:
    """From sums of ``(1, squared error)`` to the decibels of the mean error."""
    floor = 10 ** (-image.CEILING_DB / 10)
    return np.asarray(-10 * np.log10(np.maximum(mean_of_rows(sums), floor)))


def filmed_blocks(pair: Pair, levels: float) -> np.ndarray:
    """Blocks of torso and of head that are the truth's own, and all of them, ``[2, 2]``.

    Only blocks where the truth is rough count: of a plain coat, every good rendering is the truth.
    """
    n = PASTED_BLOCK
    height, width = (side // n * n for side in pair.labels.shape)
    blocks = (height // n, n, width // n, n)
    pred, truth = (
        (side[:height, :width] @ _GREY).reshape(blocks) for side in (pair.pred, pair.truth)
    )
    near = np.abs(pred - truth).mean((1, 3)) <= levels
    rough = np.abs(truth - truth.mean((1, 3), keepdims=True)).mean((1, 3)) > ROUGH_TIMES * levels
    labels = pair.labels[:height, :width].reshape(blocks)
    inside = [(labels == TORSO).all((1, 3)) & rough, (labels >= HEAD).all((1, 3)) & rough]
    return np.array([[(near & where).sum(), where.sum()] for where in inside], np.float64)
