"""A head that speaks as the sound arrives: how steadily, and what it loses by not knowing the rest.

The test takes are spoken twice, with their own poses and eyes: once as they arrive in pieces of
40 ms, once with the whole take known. Both are scored as a run is. ``--threads 1`` is one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from benchmarks.captures import work_folder
from benchmarks.harness import Bench, Clock, Counts, Result, rate_result
from benchmarks.quality import value_of
from benchmarks.render import chosen_head, head_arguments
from gstalker.data.capture import SAMPLES_PER_FRAME, Capture
from gstalker.experiment.head import Head
from gstalker.experiment.runs import RunFolder
from gstalker.metrics.score import Scorer

TOLD = ("psnr_mouth", "mouth_corr", "mouth_corr_residual", "mouth_lag")
STRETCH = 10
"""Pictures that are timed together: 0.4 seconds of sound."""
SKIPPED = 5
"""First pictures that do not count: what all streams share is made then."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may be chosen."""
    head_arguments(parser)


def run(choices: argparse.Namespace, bench: Bench) -> None:
    """Stream a head."""
    with work_folder(choices.work) as work:
        measure(bench, chosen_head(choices, work))


def measure(bench: Bench, run_folder: RunFolder) -> None:
    """Both ways of one run."""
    head = Head.open(run_folder)
    stretches = stretches_of(head.capture)
    scorer = Scorer(head.capture, np.concatenate(stretches))
    gaps: list[float] = []
    streamed = scorer.score(spoken(head, stretches, live=True, gaps=gaps, clock=bench.clock))
    whole = scorer.score(spoken(head, stretches, live=False, gaps=[], clock=bench.clock))
    title = f"stream {head.capture.name}, {head.width} x {head.height} px"
    threads = torch.get_num_threads()
    counts: Counts = {
        "look_ahead_ms": 1e3 * head.lookahead_s,
        **scores("streamed", streamed),
        **scores("whole", whole),
    }
    times = over_stretches(gaps)
    bench.add(rate_result("stream_fps", title, "frames/s", times, threads=threads, counts=counts))
    slowest = Result(
        "stream_slowest_fps",
        f"{title}, the slowest {STRETCH} pictures in a row",
        "frames/s",
        1 / max(times),
        repeats=len(times),
        threads=threads,
    )
    bench.add(slowest)


def over_stretches(gaps: list[float]) -> list[float]:
    """Mean seconds a picture over stretches of ten, the first few pictures left out.

    A head with Whisper's features listens once for two pictures, so single ones alternate.
    """
    counted = gaps[min(SKIPPED, len(gaps) - 1) :]
    stretch = min(STRETCH, len(counted))
    whole = len(counted) // stretch * stretch
    return np.array(counted[:whole]).reshape(-1, stretch).mean(1).tolist()


def stretches_of(capture: Capture) -> list[np.ndarray]:
    """Unbroken runs of test frames, none across a cut."""
    _, ids = capture.split()
    starts = [start for start, _ in capture.segments]
    breaks = np.flatnonzero((np.diff(ids) != 1) | np.isin(ids[1:], starts)) + 1
    return np.split(ids, breaks)


def spoken(
    head: Head, stretches: list[np.ndarray], *, live: bool, gaps: list[float], clock: Clock
) -> Iterator[np.ndarray]:
    """Pictures of all stretches; the seconds that each took are added to ``gaps``."""
    samples = head.capture.audio()
    for ids in stretches:
        sound = samples[ids[0] * SAMPLES_PER_FRAME : (ids[-1] + 1) * SAMPLES_PER_FRAME]
        looks: dict[str, Any] = head.filmed(lambda ids=ids: iter(ids))  # type: ignore[misc]
        pictures = (
            head.stream(np.split(sound, len(ids)), **looks) if live else head.frames(sound, **looks)
        )
        while True:
            began = clock()
            picture = next(pictures, None)
            if picture is None:
                break
            gaps.append(clock() - began)
            yield picture


def scores(how: str, row: dict[str, Any]) -> Counts:
    """What is told of a row of scores."""
    values = {name: value_of(row, name) for name in TOLD}
    return {f"{how}_{name}": "n/a" if value is None else value for name, value in values.items()}
