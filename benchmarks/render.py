"""From sound to pictures: frames per second in memory, and into an mp4 with sound."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.captures import speaking_capture, speech, work_folder
from benchmarks.harness import Bench, Clock, Counts, Result, rate_result
from benchmarks.step import train_for_a_moment
from gstalker.data.capture import FPS, Capture
from gstalker.experiment.drive import drive
from gstalker.experiment.head import Head
from gstalker.experiment.runs import RunFolder
from gstalker.prepare import audio as sound
from gstalker.stages.handoff import Handoff

SKIPPED = 5
"""First pictures that do not count: setting up happens before them."""
STRETCH = 10
"""Pictures that are timed together."""
SECONDS = 8.0
"""Of speech."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may be chosen."""
    head_arguments(parser)
    parser.add_argument("--speech", type=float, default=SECONDS, help="seconds of sound")


def head_arguments(parser: argparse.ArgumentParser) -> None:
    """Whose head."""
    parser.add_argument("--head", type=Path, metavar="RUN", help="a trained run, not the synthetic")
    parser.add_argument("--gaussians", type=int, default=30_000, metavar="N", help="synthetic only")
    parser.add_argument("--size", type=int, default=512, help="side in pixels; synthetic only")
    parser.add_argument("--work", type=Path, metavar="FOLDER", help="keeps what is made on the way")


def run(choices: argparse.Namespace, bench: Bench) -> None:
    """Drive a head."""
    with work_folder(choices.work) as work:
        measure(bench, chosen_head(choices, work), work, choices.speech)


def chosen_head(choices: argparse.Namespace, work: Path) -> RunFolder:
    """The run asked for, or a synthetic one."""
    if choices.head:
        return RunFolder.open(choices.head)
    capture = speaking_capture(work, size=choices.size)
    return train_for_a_moment(capture, work, choices.gaussians, {"static": 60, "deform": 40})


def measure(bench: Bench, head: RunFolder, work: Path, seconds: float = SECONDS) -> None:
    """Pictures per second of one run."""
    capture = Capture.open(head.config().capture)
    cloud = Handoff.load(head.stage("static") / "handoff.pt").to_cloud()
    counts: Counts = {"gaussians": len(cloud), "side": max(capture.width, capture.height)}
    title = f"drive {capture.name}, {len(cloud):,} Gaussians, {capture.width} x {capture.height} px"
    wav = speech(work, seconds)
    times = frame_times(pictures(head, wav), bench.clock)
    bench.add(rate_result("drive_fps", f"{title}, to pictures", "frames/s", times, counts=counts))
    whole, short = (
        movie_seconds(head, speech(work, s), work / "driven.mp4", bench.clock)
        for s in (seconds, 1.0)
    )
    frames = round(seconds * FPS)
    mp4 = f"{title}, to an mp4 with sound, {frames} frames, start-up included"
    bench.add(rate_result("drive_mp4_fps", mp4, "frames/s", [whole / frames], counts=counts))
    start = max(short - (whole - short) / max(frames - FPS, 1) * FPS, 0.0)
    bench.add(Result("drive_start_s", f"{title}, start-up of the mp4 alone", "s", start))


def pictures(head: RunFolder, wav: Path) -> Iterator[np.ndarray]:
    """The product's way from a sound file to finished pictures; nothing else here knows it."""
    return Head.open(head).frames(sound.read(wav))


def frame_times(frames: Iterator[np.ndarray], clock: Clock) -> list[float]:
    """Seconds a picture, over stretches of ten, the first few pictures left out.

    Pictures come in bursts, as many as are painted at once; from one to the next says little.
    """
    stamps = []
    for picture in frames:
        if picture.dtype != np.uint8:
            raise ValueError(f"expected finished uint8 pictures, but got {picture.dtype}")
        stamps.append(clock())
    counted = stamps[min(SKIPPED, len(stamps) - 2) :]
    stretch = min(STRETCH, len(counted) - 1)
    return (np.diff(counted[::stretch]) / stretch).tolist()


def movie_seconds(head: RunFolder, wav: Path, out: Path, clock: Clock = time.perf_counter) -> float:
    """Seconds of the whole of ``gstalker drive`` but its start of Python."""
    begin = clock()
    drive(head, wav, out)
    return clock() - begin
