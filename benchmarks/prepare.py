"""A video becomes a capture: seconds in all, milliseconds a frame."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.captures import work_folder
from benchmarks.harness import Bench, Counts, Result
from gstalker.config import from_overrides
from gstalker.prepare import PrepareConfig, prepare


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may be chosen."""
    parser.add_argument("--video", type=Path, required=True, metavar="FILE")
    parser.add_argument("--work", type=Path, metavar="FOLDER", help="where the capture is made")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="as for gstalker prepare")


def run(choices: argparse.Namespace, bench: Bench) -> None:
    """Prepare once, from nothing."""
    config = from_overrides(PrepareConfig, choices.overrides)
    with work_folder(choices.work) as work:
        place = work / f"prepared-{choices.video.stem}"
        begin = bench.clock()
        capture = prepare(choices.video, place, config)
        seconds = bench.clock() - begin
    for result in results_of(
        choices.video.name, seconds, capture.frame_count, capture.width, capture.height
    ):
        bench.add(result)


def results_of(name: str, seconds: float, frames: int, width: int, height: int) -> list[Result]:
    """The whole, and its share of one frame."""
    title = f"prepare {name}, {frames:,} frames of {width} x {height} px"
    counts: Counts = {"frames": frames, "pixels": width * height}
    return [
        Result("prepare_s", f"{title}, all", "s", seconds, counts=counts),
        Result(
            "prepare_frame_ms", f"{title}, a frame", "ms", seconds * 1e3 / frames, counts=counts
        ),
    ]
