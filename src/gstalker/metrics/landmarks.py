"""Where the lips are, in true and in rendered frames, and how far apart.

A detector is run on both sides in the same way, take by take, so its own bias cancels. Frames in
which it finds no face give NaN: they are counted, never filled in.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gstalker import plugins
from gstalker.data.capture import Capture
from gstalker.face import FaceLayout
from gstalker.metrics.mean import MeanOf

DETECTORS = {
    "mediapipe": "gstalker.metrics.mediapipe_points:MediaPipePoints",
    "synthetic": "gstalker.metrics.synthetic_points:SyntheticPoints",
}
_OF_LAYOUT = {"mediapipe478": "mediapipe", "synthetic68": "synthetic"}


@runtime_checkable
class LandmarkDetector(Protocol):
    """Seam: finds the points of a face in one frame after another."""

    name: str
    layout: str
    """Which point is what: a key of ``gstalker.face.LAYOUTS``."""

    def __init__(self, capture: Capture) -> None:
        """Get ready for frames of this capture, true or rendered."""

    def begin(self) -> None:
        """A new take starts: forget the last frame."""

    def close(self) -> None:
        """Free what is held until the next ``begin``."""

    def __call__(self, frame: np.ndarray, index: int) -> np.ndarray:
        """Points ``float32 [L, 2]`` in pixels of frame ``index``, NaN without a face."""


def make_detector(name: str, capture: Capture) -> LandmarkDetector:
    """The detector called ``name``; ``auto`` takes the one that fits the capture's own landmarks.

    Raises:
        ConfigError: there is none of that name.
        BackendMissing: it needs a package or a model file that is not here.
        CaptureError: it cannot work on this capture.
    """
    if name == "auto":
        name = _OF_LAYOUT.get(capture.meta["landmarks"], "mediapipe")
    return plugins.resolve(DETECTORS, name)(capture)


def mouth_opening(
    landmarks: Float[np.ndarray, "F L 2"], layout: FaceLayout
) -> Float[np.ndarray, " F"]:
    """Gap between the inner lips over the distance between the outer eye corners.

    >>> from gstalker.face import LAYOUTS
    >>> points = np.zeros((1, 68, 2))
    >>> points[0, [36, 45, 62, 66]] = [[0, 0], [10, 0], [5, 8], [5, 9]]
    >>> mouth_opening(points, LAYOUTS["synthetic68"])
    array([0.1])
    """
    gap = landmarks[:, layout.gap[0]] - landmarks[:, layout.gap[1]]
    ruler = landmarks[:, layout.eye_corners[0]] - landmarks[:, layout.eye_corners[1]]
    return np.linalg.norm(gap, axis=-1) / np.linalg.norm(ruler, axis=-1)


def lip_points(layout: FaceLayout) -> list[int]:
    """Indices of the outer and inner lip contours, each point once."""
    return sorted({*layout.lips, *layout.inner_lips})


def lmd(
    pred: Float[Tensor, "*F P 2"], truth: Float[Tensor, "*F P 2"], *, centred: bool = False
) -> Float[Tensor, "*F"]:
    """Landmark distance: the mean over points of their distance, in pixels, per frame.

    Args:
        pred: points of the rendered frames.
        truth: the same points of the true frames.
        centred: subtract each side's own mean first, as the field's LMD does; then a mouth of the
            right shape in the wrong place costs nothing.

    >>> square = torch.tensor([[0.0, 0.0], [4.0, 0.0]])
    >>> lmd(square + torch.tensor([3.0, 4.0]), square)
    tensor(5.)
    >>> lmd(square + torch.tensor([3.0, 4.0]), square, centred=True)
    tensor(0.)
    """
    if centred:
        pred = pred - pred.mean(-2, keepdim=True)
        truth = truth - truth.mean(-2, keepdim=True)
    return (pred - truth).norm(dim=-1).mean(-1)


class LMD(MeanOf):
    """Mean of :func:`lmd` over the frames where both sides have a face; smaller is better.

    In pixels, or in eye distances where the true distance of the outer eye corners is given.

    >>> metric = LMD()
    >>> points = torch.zeros(2, 20, 2)
    >>> points[1] = torch.nan
    >>> metric.update(points, torch.full((2, 20, 2), 1.0))
    >>> round(float(metric.compute()), 4), int(metric.missed)
    (1.4142, 1)
    """

    missed: Tensor
    higher_is_better = False
    is_differentiable = False

    def __init__(self, *, centred: bool = False) -> None:
        super().__init__()
        self.centred = centred
        self.add_state("missed", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(
        self,
        pred: Float[Tensor, "F P 2"],
        truth: Float[Tensor, "F P 2"],
        eye_distance: Float[Tensor, " F"] | None = None,
    ) -> None:
        """Add frames; a frame with a NaN point on either side is counted as missed."""
        distance = lmd(pred, truth, centred=self.centred)
        if eye_distance is not None:
            distance = distance / eye_distance
        seen = distance.isfinite()
        self.add(distance[seen])
        self.missed += (~seen).sum()
