"""The score sheet: rows scored alike, their protocol, and the values of every frame beside them.

``scores.json`` holds the protocol, what each metric is, and the rows; ``scores_frames.npz`` beside
it holds one array per row and metric, so that two rows can be compared frame by frame later. It is
written first, and ``scores.json`` names its digest: what a program killed between the two leaves
is noticed.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gstalker import files
from gstalker.errors import GSTalkerError
from gstalker.metrics.catalogue import meanings
from gstalker.metrics.pairs import Scores, Values
from gstalker.metrics.protocol import sentence
from gstalker.metrics.score import Frames, Scorer

PASTED_SHARE = 0.25
"""More filmed blocks than this in head or torso, and the picture was not all rendered."""
STILL_EYES = 0.5
"""Eye corners that shake less than this share of the filmed ones: poses were smoothed, or they are
not the filmed ones."""
LEAST_SHARE_FOUND = 0.95
"""Faces found in fewer of the rendered frames are worth a caution."""


class Sheet:
    """Rows scored by one scorer.

    Args:
        scorer: scores them.
        poses_known: the frames were drawn here, with the capture's own poses; a still head is then
            a blurred one, and no trick.
    """

    def __init__(self, scorer: Scorer, *, poses_known: bool = False) -> None:
        self.scorer = scorer
        self.poses_known = poses_known
        self.rows: dict[str, Scores] = {}
        self.cautions: list[str] = []
        """Of what no figure shows; those of the rows are added."""
        self._values: dict[str, Values] = {}

    def add(self, name: str, frames: Frames) -> Scores:
        """Score a row; raises as :meth:`Scorer.row`."""
        row = self.scorer.row(frames)
        self.rows[name], self._values[name] = row.scores, row.values
        return row.scores

    def as_dict(self, **facts: Any) -> dict[str, Any]:
        """What ``scores.json`` holds; ``facts`` come between the protocol and the rows."""
        record = self.scorer.record().as_dict()
        misses = dict(record["landmark_misses"])  # type: ignore[call-overload]
        for name, values in self._values.items():
            if "mouth_opening" in values:
                misses[name] = int((~np.isfinite(values["mouth_opening"])).sum())
        cautions = list(self.cautions)
        for name, row in self.rows.items():
            cautions += row_cautions(name, row, poses_known=self.poses_known)
        names = list(dict.fromkeys(metric for row in self.rows.values() for metric in row))
        return {
            "protocol": {**record, "landmark_misses": misses, "cautions": cautions},
            **facts,
            "metrics": meanings(names),
            "rows": self.rows,
        }

    def write(self, path: Path, **facts: Any) -> dict[str, Any]:
        """Write the sheet to ``path`` and the frames' values beside it; returns the sheet."""
        beside = frames_path(path)
        arrays = {"ids": self.scorer.ids, "block": self.scorer.block}
        for row, values in self._values.items():
            arrays |= {f"{row}/{metric}": v.astype(np.float32) for metric, v in values.items()}
        with files.replacing(beside) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        sheet = self.as_dict(**facts)
        sheet["protocol"]["frames_file"] = beside.name
        sheet["frames_sha256"] = files.sha256(beside)
        files.write_json(path, sheet)
        return sheet


def frames_path(scores: Path) -> Path:
    """Where the values of every frame lie.

    >>> str(frames_path(Path("runs/me/scores.json")))
    'runs/me/scores_frames.npz'
    """
    return scores.with_name(f"{scores.stem}_frames.npz")


def read(path: Path) -> dict[str, Any]:
    """A ``scores.json``, whoever wrote it, in a shape that readers may rely on.

    ``rows`` and ``protocol`` are there, every figure is an object, and what it has of ``mean``,
    ``stderr`` and ``n`` are numbers.

    Raises:
        GSTalkerError: the file is not there, or is not one of ours.
    """
    told = files.read_object(path)
    told["protocol"] = told.get("protocol") or {}
    told["capture"] = told.get("capture") or {}
    try:
        for row in told["rows"].values():
            for figure in row.values():
                for key in ("mean", "stderr", "n"):
                    value = figure.get(key)
                    if value is not None and not math.isfinite(value):
                        raise ValueError(f"{key} is {value}")
        if not told["rows"]:
            raise ValueError("no rows")
        list(map(str, dict(told["protocol"]).get("cautions") or []))
        str(told["capture"].get("name"))
        if "split" in told["protocol"]:
            sentence(told["protocol"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise GSTalkerError(
            f"{path} is not a scores.json of gstalker evaluate or score ({error!r})."
        ) from error
    return told


def read_frames(scores: Path) -> tuple[np.ndarray, np.ndarray, dict[str, Values]]:
    """The values of every frame behind a ``scores.json``.

    Returns:
        Frame ids ``int64 [n]``, the block of each for the bootstrap ``int64 [n]``, and per row the
        values of its metrics ``float32 [n]``, NaN where a frame has none.

    Raises:
        GSTalkerError: they are missing, damaged, or of another evaluation.
    """
    path = frames_path(scores)
    rows: dict[str, Values] = {}
    if not path.is_file():
        raise GSTalkerError(f"there is no {path.name} beside {scores}; evaluate or score again.")
    named = files.read_object(scores).get("frames_sha256")  # files of earlier versions name none
    try:
        if named not in (None, files.sha256(path)):
            raise GSTalkerError(
                f"{path} is not of the same evaluation as {scores.name}; evaluate or score again."
            )
        with np.load(path, allow_pickle=False) as arrays:
            for name in arrays.files:
                row, slash, metric = name.rpartition("/")
                if slash:
                    rows.setdefault(row, {})[metric] = _flat(arrays[name], "f")
            ids, block = (_flat(arrays[name], "iu") for name in ("ids", "block"))
        lengths = {len(v) for row in rows.values() for v in row.values()} | {len(block)}
        if lengths != {len(ids)}:
            raise ValueError("its arrays are not all as long as ids")
        return ids, block, rows
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise GSTalkerError(
            f"{path} cannot be read ({type(error).__name__}).\n"
            "  It is written beside scores.json; evaluate or score again."
        ) from error


def _flat(array: Any, kinds: str) -> np.ndarray:
    """An array of one axis and of the kind of number that it should hold.

    Raises:
        ValueError: it is another.
    """
    if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype.kind not in kinds:
        raise ValueError("a member is no such array")
    return array


def row_cautions(
    name: str, row: Mapping[str, dict[str, Any]], *, poses_known: bool = False
) -> list[str]:
    """What a reader of a row's figures should know, as sentences without a full stop."""
    told = []
    for metric, part in (("pasted_head", "head"), ("pasted_torso", "torso")):
        share = row.get(metric, {}).get("mean", 0.0)
        if share > PASTED_SHARE:
            told.append(f"{name}: {share:.0%} of the {part} looks filmed, not rendered")
    for metric, entry in row.items():
        shaking = entry.get("mean", 1.0)
        if metric.startswith("jitter_eyes_") and shaking < STILL_EYES and not poses_known:
            told.append(
                f"{name}: the head shakes {shaking:.2f} times as much as the filmed one, as where "
                "poses are smoothed at test"
            )
    found = row.get("faces_found", {}).get("mean", 1.0)
    if found < LEAST_SHARE_FOUND:
        told.append(f"{name}: no face was found in {1 - found:.0%} of the frames")
    return told
