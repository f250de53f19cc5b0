"""Warm-up, repeats, and a yardstick: machines are shared and noisy, ratios are not."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from gstalker import files
from gstalker.callbacks.provenance import machine_card

YARDSTICK_SIDE = 768
"""Side of the matrices whose product is the yardstick: compute bound, some milliseconds."""


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one part."""

    name: str
    least_ms: float
    median_ms: float
    spread_ms: float
    """From the first to the third quartile."""
    ratio: float
    """Least time over the yardstick's least time in the same run."""


def measure(
    name: str,
    part: Callable[[], object],
    *,
    seconds: float = 2.0,
    yardstick_ms: float | None = None,
) -> Timing:
    """Time ``part`` for about ``seconds``, after a warm-up of three calls."""
    for _ in range(3):
        part()
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        begin = time.perf_counter()
        part()
        times.append((time.perf_counter() - begin) * 1e3)
    least = min(times)
    first, median, third = np.percentile(times, [25, 50, 75])
    ratio = least / (yardstick_ms or least)
    return Timing(
        name,
        round(least, 3),
        round(float(median), 3),
        round(float(third - first), 3),
        round(ratio, 3),
    )


def yardstick() -> Timing:
    """A float32 matrix product by torch: what this machine can do in this minute."""
    a = torch.randn(YARDSTICK_SIDE, YARDSTICK_SIDE)
    return measure(f"yardstick: {YARDSTICK_SIDE}^3 matrix product", lambda: a @ a)


def report(timings: list[Timing], path: Path | None) -> str:
    """A Markdown table; with ``path``, also a JSON file with the machine's card."""
    if path is not None:
        card = {**machine_card(), "load": os.getloadavg()}
        files.write_json(path, {"machine": card, "timings": [asdict(t) for t in timings]})
        json.loads(path.read_text())
    lines = [
        "| part | least ms | median ms | spread ms | over yardstick |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {t.name} | {t.least_ms:.2f} | {t.median_ms:.2f} | {t.spread_ms:.2f} | {t.ratio:.2f} |"
        for t in timings
    ]
    return "\n".join(lines)
