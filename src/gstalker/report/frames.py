"""Values per frame of a trial: ``scores_frames.npz``, which lies beside its ``scores.json``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gstalker.errors import GSTalkerError
from gstalker.metrics import sheet
from gstalker.report.sources import Trial


@dataclass(frozen=True)
class PerFrame:
    """One quantity over the scored frames."""

    ids: np.ndarray
    """``int64 [n]``, in time order."""
    block: np.ndarray
    """``int64 [n]``: frames of one number say nearly the same thing."""
    values: np.ndarray
    """``float64 [n]``; NaN where it could not be had."""


def read(trial: Trial, metric: str) -> PerFrame | str:
    """A metric's values per frame, or why there are none."""
    try:
        ids, block, rows = sheet.read_frames(trial.scores)
    except GSTalkerError as error:
        return str(error).splitlines()[0].rstrip(".")
    values = rows.get(trial.entry, {}).get(metric)
    if values is None:
        return f"{metric} has no values per frame in {sheet.frames_path(trial.scores).name}"
    return PerFrame(ids, block, values.astype(np.float64))
