"""Figures of the films in which a run speaks other people's words: the mean over films."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gstalker.metrics import sheet
from gstalker.metrics.protocol import sentence
from gstalker.report import protocols


def told_of(films: Sequence[Path]) -> list[dict[str, Any]]:
    """What lies beside the mp4s of a run; empty if one of them was not scored."""
    beside = [film.with_suffix(".json") for film in films]
    told = [sheet.read(path) for path in beside if path.is_file()]
    return told if len(told) == len(films) else []


def figures(told: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Entries as in ``scores.json``, with the films and how they were scored for a protocol.

    A figure that one film lacks has no mean: over other films it would be another figure.

    Args:
        told: what :func:`told_of` found.
    """
    protocol = " ".join(protocols.fingerprint(t) for t in told)
    rows = [t["rows"]["ours"] for t in told]
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {
        name: {**_mean([row.get(name, {}) for row in rows]), "protocol": protocol} for name in names
    }


def sentences(told: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """How the films were scored; of old versions, which did not say, nothing."""
    whole = (t["protocol"] for t in told if "split" in t["protocol"])
    return tuple(sentence({**words, "landmark_misses": {}}) for words in whole)


def _mean(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    gaps = [str(e.get("reason") or "not scored") for e in entries if e.get("mean") is None]
    if gaps:
        return {"value": "n/a", "reason": "; ".join(dict.fromkeys(gaps))}
    mean = float(np.mean([entry["mean"] for entry in entries]))
    return {"mean": mean, "n": sum(int(entry.get("n") or 0) for entry in entries)}
