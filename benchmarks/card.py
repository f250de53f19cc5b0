"""What the README promises, in under a minute: 512 x 512 pixels, 30,000 Gaussians.

The targets were set on two cores of a Zen 4. Where this machine's yardsticks are lower, each result
is also told as it would be there: an estimate, and called one.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import loss, rasterize, render, step
from benchmarks.captures import speaking_capture, work_folder
from benchmarks.harness import Bench
from benchmarks.scenes import make_scene
from gstalker.render import make_rasterizer

GAUSSIANS, SIZE = 30_000, 512
STEPS = {"static": 200, "deform": 120}
SPEECH_S = 6.0

TARGET_GFLOPS = 235.0
"""Peak float32 rate of the machine that the targets were set on, two cores."""
TARGET_READ_GB_S = 56.0
"""Its reading of memory."""


@dataclass(frozen=True)
class Target:
    """One promise."""

    title: str
    unit: str
    required: float
    aim: float


TARGETS = {
    "raster_forward_ms": Target("rasterizer, forward", "ms", 4.5, 3.3),
    "raster_forward_backward_ms": Target("rasterizer, forward + backward", "ms", 10, 7.5),
    "l1_ssim_ms": Target("L1 + SSIM, forward + backward", "ms", 4.5, 2.5),
    "static_it_per_s": Target("static stage, whole steps", "it/s", 50, 80),
    "deform_it_per_s": Target("deformation stage, whole steps", "it/s", 22, 40),
    "drive_fps": Target("drive, to finished pictures", "frames/s", 100, 200),
    "drive_mp4_fps": Target("drive, to an mp4 with sound", "frames/s", 60, 120),
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may be chosen."""
    parser.add_argument("--gaussians", type=int, default=GAUSSIANS, metavar="N")
    parser.add_argument("--size", type=int, default=SIZE, help="side in pixels")
    parser.add_argument("--steps", type=int, help="of each stage; default: enough for a median")
    parser.add_argument("--speech", type=float, default=SPEECH_S, help="seconds of sound")
    parser.add_argument("--work", type=Path, metavar="FOLDER", help="keeps what is made on the way")


def run(choices: argparse.Namespace, bench: Bench) -> None:
    """All of it."""
    draw = make_rasterizer()
    scene = make_scene(choices.gaussians, choices.size)
    counts = rasterize.counts_of(draw, scene)
    forward, both = rasterize.works(draw, scene.splats, scene.camera)
    title = f"rasterize, {scene.title}"
    bench.time("raster_forward_ms", f"{title}, forward", forward, counts=counts)
    bench.time("raster_forward_backward_ms", f"{title}, forward + backward", both, counts=counts)
    bench.time(
        "l1_ssim_ms",
        f"L1 + SSIM, {choices.size} px, forward + backward",
        loss.work(choices.size),
        counts=loss.counts_of(choices.size),
    )
    with work_folder(choices.work) as work:
        capture = speaking_capture(work, size=choices.size)
        steps = dict.fromkeys(STEPS, choices.steps) if choices.steps else STEPS
        head = step.train_for_a_moment(capture, work, choices.gaussians, steps)
        for result in step.results_of(head, capture):
            bench.add(result)
        render.measure(bench, head, work, choices.speech)


def reaches(key: str, value: float) -> str:
    """Which of its two targets a value reaches: ``aim``, ``required`` or ``no``."""
    target = TARGETS[key]
    sign = 1 if target.unit == "ms" else -1
    if sign * value <= sign * target.aim:
        return "aim"
    return "required" if sign * value <= sign * target.required else "no"


def estimate(value: float, unit: str, yardsticks: dict[str, Any]) -> float | None:
    """The value on the target's machine, if only the peak rate counted.

    None where this machine is not slower than that one by its yardstick.
    """
    share = yardsticks["fma_all_gflops"] / TARGET_GFLOPS
    if share >= 1:
        return None
    return value * share if unit == "ms" else value / share
