"""How fast a trained head paints here, and what training it took."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from gstalker.callbacks.provenance import machine_card
from gstalker.data.capture import SAMPLES_PER_FRAME
from gstalker.experiment.head import Head
from gstalker.experiment.runs import RunFolder

WARM_FRAMES = 25
FRAMES = 250


def measure(run: RunFolder, where: Sequence[str] = ()) -> dict[str, Any]:
    """Paint some seconds of the capture's own sound, and look at the clock.

    Args:
        run: a trained run.
        where: ``key=value`` that say where things are now.

    Returns:
        ``frames_per_second`` (finished pictures, not encoded), ``train_minutes``,
        ``peak_memory_mib`` of training, and the machine.
    """
    head = Head.open(run, where)
    wanted = (WARM_FRAMES + FRAMES) * SAMPLES_PER_FRAME
    samples = np.resize(head.capture.audio(), wanted)
    pictures = head.frames(samples)
    for _ in range(WARM_FRAMES):
        next(pictures)
    began = time.perf_counter()
    painted = sum(1 for _ in pictures)
    seconds = time.perf_counter() - began
    status = run.status()
    minutes = [v for key, v in status.items() if key.endswith("_minutes")]
    return {
        "frames_per_second": round(painted / seconds, 2),
        "frames": painted,
        "width": head.width,
        "height": head.height,
        "threads": torch.get_num_threads(),
        "train_minutes": round(sum(minutes), 2) if minutes else None,
        "peak_memory_mib": status.get("peak_memory_mib"),
        "machine": machine_card(),
    }
