"""How fast a trained head paints here, and what training it took."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import Module

from gstalker.callbacks.provenance import machine_card
from gstalker.data.capture import SAMPLES_PER_FRAME
from gstalker.experiment.head import Head
from gstalker.experiment.runs import RunFolder, train_minutes
from gstalker.methods import Performer

WARM_FRAMES = 25
FRAMES = 250
ENOUGH_S = 20.0
"""A head that takes longer than this for its frames has shown how fast it is by fewer."""


def measure(run: RunFolder, where: Sequence[str] = ()) -> dict[str, Any]:
    """Paint some seconds of the capture's own sound, and look at the clock.

    Args:
        run: a trained run.
        where: ``key=value`` that say where things are now.

    Returns:
        ``frames_per_second`` (finished pictures, not encoded), ``parameters`` of what paints and
        their ``weights_mb``, ``train_minutes``, ``peak_memory_mib`` of training, and the machine.
    """
    head = Head.open(run, where)
    count, megabytes = sizes(head.performer)
    wanted = (WARM_FRAMES + FRAMES) * SAMPLES_PER_FRAME
    samples = np.resize(head.capture.audio(), wanted)
    pictures = head.frames(samples)
    _paint(pictures, WARM_FRAMES, ENOUGH_S / 4)
    painted, seconds = _paint(pictures, FRAMES, ENOUGH_S)
    status = run.status()
    minutes = train_minutes(status)
    return {
        "frames_per_second": round(painted / seconds, 2),
        "frames": painted,
        "width": head.width,
        "height": head.height,
        "threads": torch.get_num_threads(),
        "parameters": count,
        "weights_mb": megabytes,
        "train_minutes": None if minutes is None else round(minutes, 2),
        "peak_memory_mib": status.get("peak_memory_mib"),
        "machine": machine_card(),
    }


def _paint(pictures: Iterator[np.ndarray], most: int, enough_s: float) -> tuple[int, float]:
    """Frames painted, at least one, and the seconds that they took."""
    began = time.perf_counter()
    painted = 0
    while painted < most and (painted == 0 or time.perf_counter() - began < enough_s):
        next(pictures)
        painted += 1
    return painted, time.perf_counter() - began


def sizes(performer: Performer) -> tuple[int | None, float | None]:
    """How many learned numbers paint a trained head, and their megabytes (10^6 bytes).

    Everything that the performer holds as a module is counted, each parameter once; ``None`` where
    it holds none.
    """
    modules = [part for part in (performer, *vars(performer).values()) if isinstance(part, Module)]
    found = {id(p): p for module in modules for p in module.parameters()}.values()
    if not found:
        return None, None
    size = sum(p.numel() * p.element_size() for p in found)
    return sum(p.numel() for p in found), round(size / 1e6, 6)
