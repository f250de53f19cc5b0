"""Figures of the films in which a run speaks other people's words: the mean over films."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gstalker.metrics import sheet


def figures(films: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Entries as in ``scores.json``, with the films and how they were scored for a protocol.

    A figure that one film lacks has no mean: over other films it would be another figure.

    Args:
        films: the mp4s; their scores lie beside them.
    """
    beside = [film.with_suffix(".json") for film in films]
    told = [sheet.read(path) for path in beside if path.is_file()]
    if not told or len(told) < len(films):
        return {}
    protocol = json.dumps([t["protocol"] for t in told], sort_keys=True)
    rows = [t["rows"]["ours"] for t in told]
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {
        name: {**_mean([row.get(name, {}) for row in rows]), "protocol": protocol} for name in names
    }


def _mean(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    gaps = [str(e.get("reason") or "not scored") for e in entries if e.get("mean") is None]
    if gaps:
        return {"value": "n/a", "reason": "; ".join(dict.fromkeys(gaps))}
    mean = float(np.mean([entry["mean"] for entry in entries]))
    return {"mean": mean, "n": sum(int(entry.get("n") or 0) for entry in entries)}
