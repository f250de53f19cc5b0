"""BRISQUE (Mittal et al. 2012): how natural a picture looks, by itself, without a true one.

Features and model are those of ``quality``, a module of ``opencv-contrib-python``; the two files of
the model are the module's samples, which no wheel brings. NIQE cannot be had as yet: pyiqa and piq
want torchvision, scikit-video a SciPy of 2018, and the wheel of ``niqe`` lacks its parameters.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import UInt8

from gstalker import weights
from gstalker.errors import BackendMissing
from gstalker.metrics.bootstrap import Figures, mean_of_rows, not_available, with_ones
from gstalker.metrics.mean import MeanOf
from gstalker.metrics.pairs import Pair, Scores, Values

MODEL = "brisque_model_live.yml"
RANGE = "brisque_range_live.yml"
BACKBONE = f"OpenCV's BRISQUE, {MODEL}"

Judge = Callable[[np.ndarray], float]
"""From a picture ``uint8 [H, W, 3]`` to its score, 0 (natural) to 100; NaN if it is all plain."""


def load() -> Judge:
    """OpenCV's BRISQUE with the model that was fitted to the LIVE database.

    Raises:
        BackendMissing: the module or a file is missing or damaged; says what to do.
    """
    try:
        import cv2

        quality = cv2.quality
    except (ImportError, AttributeError) as error:  # opencv-python is cv2 too, without quality
        raise BackendMissing(
            f"BRISQUE needs OpenCV's module quality ({error}).\n"
            "  Install it with: pip install opencv-contrib-python"
        ) from error
    paths = [weights.named(file) for file in (MODEL, RANGE)]
    if None in paths:
        raise BackendMissing(
            f"BRISQUE needs {MODEL} and {RANGE} (modules/quality/samples of opencv/opencv_contrib)."
            f"\n  Put both into {weights.folders()[0]}."
        )
    try:
        model = quality.QualityBRISQUE.create(*map(str, paths))
    except cv2.error as error:
        raise BackendMissing(
            f"{paths[0]} and {paths[1]} are not a model of BRISQUE; copy them again."
        ) from error

    def judge(picture: np.ndarray) -> float:
        if (picture == picture[0, 0]).all():  # OpenCV would say 100 of features that are none
            return float("nan")
        return float(model.compute(np.ascontiguousarray(picture[..., ::-1]))[0])

    return judge


class Brisque(MeanOf):
    """Mean BRISQUE over pictures; smaller is better.

    Args:
        judge: what :func:`load` gives.

    >>> metric = Brisque(lambda picture: float(picture.mean()))
    >>> metric.update(np.full((4, 4, 3), 30, np.uint8))
    >>> metric.update(np.full((4, 4, 3), 40, np.uint8))
    >>> float(metric.compute())
    35.0
    """

    higher_is_better = False
    is_differentiable = False

    def __init__(self, judge: Judge) -> None:
        super().__init__()
        self.judge = judge

    def update(self, picture: UInt8[np.ndarray, "H W 3"]) -> None:
        """Add a picture; one that is all plain has no score, and does not count."""
        score = self.judge(picture)
        if np.isfinite(score):
            self.add(torch.tensor(score, dtype=torch.float64))


class BrisqueFamily:
    """Measures one row.

    Args:
        judge: what :func:`judge_or_why` gives.
    """

    def __init__(self, judge: Judge | str) -> None:
        self._judge = judge
        self._values: list[float] = []

    def add(self, pair: Pair) -> None:
        """Look at the next frame."""
        if not isinstance(self._judge, str):
            self._values.append(self._judge(pair.pred))

    def result(self, figures: Figures) -> tuple[Scores, Values]:
        """The figure over all frames that are not all plain."""
        if isinstance(self._judge, str):
            return {"brisque": not_available(self._judge)}, {}
        values = np.array(self._values)
        there = np.isfinite(values)
        entry = not_available("every frame is all plain")
        if there.any():
            entry = figures(with_ones(values[there]), mean_of_rows, there)
        return {"brisque": entry}, {"brisque": values}


def judge_or_why() -> Judge | str:
    """The judge, or why there is none."""
    try:
        return load()
    except BackendMissing as error:
        return " ".join(line.strip() for line in str(error).splitlines())
