"""Whether two figures may stand in one column: they may if their protocols are the same."""

from __future__ import annotations

import hashlib
import json
from typing import Any

_OF_ONE_CAPTURE = ("fingerprint", "same_frames", "offset", "frame_count", "region", "ids")
"""Keys that tell captures apart, not protocols."""
_FOUND = ("landmark_misses", "cautions", "frames_file")
"""What came of scoring, which is told of every row by itself."""


def fingerprint(scores: dict[str, Any]) -> str:
    """What defines a file's figures, as a short digest.

    Args:
        scores: what ``scores.json`` holds. It carries the digest itself; files from before that
            get one of everything that their protocol says.
    """
    told = scores.get("protocol") or {}
    given = told.get("fingerprint") or scores.get("fingerprint")
    if given:
        return str(given)
    text = json.dumps(told, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Where two protocols differ, in their own words: ``landmarks: auto, not mediapipe``.

    >>> differences({"seed": 0, "cautions": []}, {"seed": 1, "cautions": ["still eyes"]})
    ['seed: 1, not 0']
    """
    told = []
    for key in dict.fromkeys([*one, *other]):
        mine, theirs = one.get(key), other.get(key)
        if mine == theirs or key in (*_OF_ONE_CAPTURE, *_FOUND):
            continue
        if isinstance(mine, dict) and isinstance(theirs, dict):
            told += [f"{key}.{line}" for line in differences(mine, theirs)]
        else:
            told.append(f"{key}: {_short(theirs)}, not {_short(mine)}")
    return told


def _short(value: Any, most: int = 60) -> str:
    text = "absent" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."
