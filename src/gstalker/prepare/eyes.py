"""How open the eyes are, from one of several providers, as one number a frame: larger is wider.

Compared on three clips and twenty takes of four people, lid gaps and MediaPipe's blendshapes show
the very same 62 blinks. Lid gaps fall by 55 to 90 % in them, blendshapes by 43 to 66 %, and both
stand 75 to 480 times above their noise; lid gaps cost nothing more, so they are the default.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gstalker import blinks
from gstalker.errors import ConfigError, MediaError
from gstalker.face import FaceLayout

LANDMARKS, BLENDSHAPES, CONSTANT = "landmarks", "blendshapes", "constant"
NAMES = (LANDMARKS, BLENDSHAPES, CONSTANT)
AU = "AU45_r"
"""OpenFace's intensity of a blink, 0 to 5."""
AU_SHUT = 2.0
"""Intensity of a closed eye; ER-NeRF, GaussianTalker and SyncTalk clip there too."""


def check(choice: str) -> None:
    """Refuse a choice that is no provider and no file.

    Raises:
        ConfigError: says what may be chosen.
    """
    if choice in NAMES:
        return
    path = Path(choice)
    if path.suffix.lower() != ".csv":
        raise ConfigError(
            f"eye={choice} is no provider of the eyes' opening; choose {', '.join(NAMES)}, "
            "or name OpenFace's au.csv: eye=FILE.csv"
        )
    if not path.is_file():
        raise ConfigError(f"eye={choice}: there is no such file.")


def opening(
    choice: str,
    points: np.ndarray,
    layout: FaceLayout,
    blendshapes: Callable[[], np.ndarray],
) -> np.ndarray:
    """The opening of the eyes in every frame, ``float64 [F]``; NaN where the provider saw none.

    Args:
        choice: ``landmarks``, ``blendshapes``, ``constant`` or an OpenFace csv.
        points: ``[F, L, 2]`` pixels; NaN without a face.
        layout: what the points mean.
        blendshapes: gives MediaPipe's ``eyeBlinkLeft`` and ``eyeBlinkRight``, ``[F, 2]`` in [0, 1];
            called only if they are chosen.

    Raises:
        ConfigError: there is no such provider.
        MediaError: the csv is not OpenFace's, or of another video.
    """
    check(choice)
    if choice == LANDMARKS:
        return lid_gap(points, layout)
    if choice == BLENDSHAPES:
        return 1 - blendshapes().astype(np.float64).mean(axis=1)
    if choice == CONSTANT:
        return np.ones(len(points))
    return read_openface(Path(choice), len(points))


def lid_gap(points: np.ndarray, layout: FaceLayout) -> np.ndarray:
    """Mean distance of the lids over the distance of the outer eye corners, ``[F]``."""
    corners = points[:, layout.eye_corners[0]] - points[:, layout.eye_corners[1]]
    gaps = [np.linalg.norm(points[:, a] - points[:, b], axis=-1) for a, b in layout.lids]
    return np.mean(gaps, axis=0) / np.linalg.norm(corners, axis=-1)


def read_openface(path: Path, frame_count: int) -> np.ndarray:
    """Openings from OpenFace's ``FeatureExtraction``: 1 open, 0 shut at an intensity of 2.

    Its header has a space before every name but the first; rows with ``success`` 0 become NaN.

    Args:
        path: the csv, one row per frame of the *prepared* video, that is at 25 frames a second.
        frame_count: how many rows there must be.

    Raises:
        MediaError: it cannot be read, lacks the column, has another number of rows, or knows no
            frame's eyes.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [
                {str(key).strip(): value for key, value in row.items()}
                for row in csv.DictReader(file)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MediaError(f"{path} cannot be read as csv ({error}).") from error
    if not rows or AU not in rows[0]:
        raise MediaError(
            f"{path} has no column {AU}; make it with OpenFace: FeatureExtraction -aus -f VIDEO"
        )
    if len(rows) != frame_count:
        raise MediaError(
            f"{path} has {len(rows)} rows, but the video has {frame_count} frames at 25 a second.\n"
            "  Run OpenFace on the same video, converted with: ffmpeg -i VIDEO -r 25 VIDEO25.mp4"
        )
    strength = np.array([_strength(row, path, k) for k, row in enumerate(rows)])
    if not np.isfinite(strength).any():
        raise MediaError(
            f"{path} tells no frame's eyes: success is 0 in every row.\n"
            "  Run OpenFace again, or choose eye=landmarks"
        )
    return 1 - np.clip(strength, 0, AU_SHUT) / AU_SHUT


def report(
    choice: str, eye: np.ndarray, usable: np.ndarray, segments: Sequence[tuple[int, int]]
) -> dict[str, Any]:
    """What ``capture.json`` says of the signal: who gave it, and whether blinks show in it."""
    provider = choice if choice in NAMES else "openface"
    note: dict[str, Any] = {"provider": provider}
    if provider == "openface":
        note["file"] = Path(choice).name
    if provider == CONSTANT:
        return note
    found = blinks.find(eye, usable, segments)
    return {
        **note,
        "blinks": len(found.blinks),
        "blinks_per_minute": round(found.per_minute, 2),
        "blink_depth": None if found.depth is None else round(found.depth, 4),
        "blink_contrast": None if found.contrast is None else round(found.contrast, 2),
    }


def _strength(row: dict[str, Any], path: Path, k: int) -> float:
    try:
        strength = float(row[AU])
        failed = float(row.get("success") or 1) == 0
    except (TypeError, ValueError) as error:
        raise MediaError(f"{path}: row {k + 1} holds no number under {AU}.") from error
    if not math.isfinite(strength) and not failed:
        raise MediaError(f"{path}: row {k + 1} holds no number under {AU}.")
    return math.nan if failed else strength
