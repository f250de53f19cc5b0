"""One rendered frame beside its true one, and what every family of metrics must offer.

``score`` goes once through the frames and shows each pair to every family; a family keeps numbers,
never pictures (but for the one frame before, where it measures change).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from gstalker.metrics.bootstrap import Figures

Scores = dict[str, dict[str, Any]]
"""Metric to ``{"mean", "stderr", "n"}``, or ``{"value": "n/a", "reason"}``."""
Values = dict[str, np.ndarray]
"""Metric to its value in each frame, ``[n]``; NaN where a frame has none."""


@dataclass(frozen=True)
class Pair:
    """A rendered frame and the truth."""

    place: int
    """Which of the scored frames."""
    index: int
    """Its id in the capture."""
    follows: bool
    """Whether the frame before, in the same take, was scored too."""
    pred: np.ndarray
    """``uint8 [H, W, 3]``."""
    truth: np.ndarray
    """``uint8 [H, W, 3]``."""
    labels: np.ndarray
    """``uint8 [H, W]`` of the truth: background 0, torso 1, head 2, mouth 3."""
    mouth_box: tuple[int, int, int, int]
    """x0, y0, x1, y1, far ends excluded."""

    @cached_property
    def pictures(self) -> tuple[Tensor, Tensor]:
        """Both as ``float32 [H, W, 3]`` in [0, 1]."""
        return _as_tensor(self.pred), _as_tensor(self.truth)

    @cached_property
    def mouths(self) -> tuple[Tensor, Tensor]:
        """Both pictures' mouth boxes."""
        x0, y0, x1, y1 = self.mouth_box
        pred, truth = self.pictures
        return pred[y0:y1, x0:x1], truth[y0:y1, x0:x1]


class Family(Protocol):
    """Some metrics that are measured together, over one row of frames."""

    def add(self, pair: Pair) -> None:
        """Look at the next frame; they come in order, every one."""

    def result(self, figures: Figures) -> tuple[Scores, Values]:
        """The figures over all frames, and the values of each."""


def _as_tensor(frame: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(frame)).float().div_(255)
