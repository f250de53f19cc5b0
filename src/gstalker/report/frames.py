"""Values per frame of a trial: ``scores_frames.npz``, which lies beside its ``scores.json``."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

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
    path = trial.scores.with_name(f"{trial.scores.stem}_frames.npz")
    if not path.is_file():
        return (
            f"no values per frame: there is no {path.name} beside the scores; "
            "evaluate or score again"
        )
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return _read(arrays, trial, metric, path)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        return f"{path} cannot be read ({error})"


def _read(arrays: np.lib.npyio.NpzFile, trial: Trial, metric: str, path: Path) -> PerFrame | str:
    key = f"{trial.entry}/{metric}"
    if key not in arrays:
        return f"{metric} has no values per frame in {path.name}"
    ids, values = arrays["ids"], arrays[key].astype(np.float64)
    if ids.shape != values.shape or values.ndim != 1:
        return f"{path} is damaged: {key} has {values.shape}, the frames {ids.shape}"
    return PerFrame(ids, arrays["block"], values)
