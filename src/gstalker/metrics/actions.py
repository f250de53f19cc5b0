"""AUE: how far the action units that OpenFace sees in a rendering are from the filmed ones.

OpenFace 2.2 is a program of its own; run its FeatureExtraction on both videos and give its two csv
files. The sums are TalkingGaussian's (``auerror.py``): over units, of the mean over frames of the
squared difference of intensities (``_r``, 0 to 5). Sums, not means, and papers do not always say
over which units, so each set has its own name.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from gstalker.errors import MediaError
from gstalker.exchange import openface
from gstalker.metrics.bootstrap import Figures, mean_of_rows, not_available, with_ones
from gstalker.metrics.mean import MeanOf
from gstalker.metrics.pairs import Pair, Scores, Values
from gstalker.metrics.protocol import Protocol

LOWER = (10, 12, 14, 15, 17, 20, 23, 25, 26)
UPPER = (1, 2, 4, 5, 6, 7, 9, 45)
SETS = {"aue": (*UPPER, *LOWER), "aue_lower": LOWER, "aue_upper": UPPER}
"""Metric to the numbers of its action units."""


def action_unit_error(
    pred: Float[np.ndarray, "F U"], truth: Float[np.ndarray, "F U"]
) -> Float[np.ndarray, " F"]:
    """Squared difference of intensities, summed over units; the mean over frames is AUE.

    >>> action_unit_error(np.array([[1.0, 2.0], [0.0, 0.0]]), np.array([[0.0, 0.0], [0.0, 3.0]]))
    array([5., 9.])
    """
    return np.square(pred - truth).sum(-1)


class AUE(MeanOf):
    """Mean over frames of :func:`action_unit_error`; smaller is better.

    >>> import torch
    >>> metric = AUE()
    >>> metric.update(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 0.0]]))
    >>> metric.update(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 3.0]]))
    >>> float(metric.compute())
    7.0
    """

    higher_is_better = False
    is_differentiable = True

    def update(self, pred: Float[Tensor, "F U"], truth: Float[Tensor, "F U"]) -> None:
        """Add frames."""
        self.add((pred - truth).square().double().sum(-1))


def intensities(path: Path, units: tuple[int, ...], count: int) -> Float[np.ndarray, "F U"]:
    """Intensities of some units in each of ``count`` frames; NaN where OpenFace saw no face.

    Raises:
        MediaError: the table has not one row a frame, or lacks a unit.
    """
    table = openface.read(path)
    if len(table.rows) != count:
        raise MediaError(
            f"{path} has {len(table.rows)} rows, where {count} frames are scored.\n"
            "  Run OpenFace on a video of exactly these frames, one face in it."
        )
    columns = []
    for unit in units:
        column = table.column(f"AU{unit:02d}_r")
        if column is None:
            raise MediaError(f"{path} has no column AU{unit:02d}_r; run OpenFace with -aus.")
        columns.append(column)
    seen = table.column("success")
    values = np.stack(columns, axis=1)
    return values if seen is None else np.where(seen[:, None] > 0, values, np.nan)


class ActionFamily:
    """Measures one row, out of OpenFace's files.

    Args:
        protocol: names the two files.
        ids: the frames scored, one row of the files each.
    """

    def __init__(self, protocol: Protocol, ids: np.ndarray) -> None:
        self._files = (protocol.openface, protocol.openface_truth)
        self._count = len(ids)

    def add(self, pair: Pair) -> None:
        """OpenFace looked at the frames before."""

    def result(self, figures: Figures) -> tuple[Scores, Values]:
        """The figures over all frames in which OpenFace saw both faces."""
        if not all(self._files):
            reason = "no OpenFace output was given: openface=PRED.csv openface_truth=TRUE.csv"
            return {name: not_available(reason) for name in SETS}, {}
        scores: Scores = {}
        values: Values = {}
        for name, units in SETS.items():
            sides = [intensities(Path(path), units, self._count) for path in self._files]
            error = action_unit_error(*sides)
            seen = np.isfinite(error)
            values[name] = error
            scores[name] = (
                figures(with_ones(error[seen]), mean_of_rows, seen)
                if seen.any()
                else not_available("OpenFace saw no face in these frames")
            )
        return scores, values
