"""Several heads side by side: all threads on one frame at a time, or a frame on each thread.

Drawing only. Every head is another cloud; both ways draw the same frames of the same heads, so
their rates compare.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from benchmarks.harness import Bench, Counts, rate_result, repeat
from benchmarks.rasterize import counts_of
from benchmarks.scenes import make_scene
from gstalker.native import library
from gstalker.render import make_rasterizer, paint
from gstalker.types import Camera, Splats

Head = tuple[Any, Splats, Camera]
"""A rasterizer of its own, and what it draws."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may be chosen."""
    parser.add_argument("--heads", nargs="+", type=int, default=[1, 2, 4], metavar="K")
    parser.add_argument("--gaussians", type=int, default=30_000, metavar="N")
    parser.add_argument("--size", type=int, default=512, help="side in pixels")


def run(choices: argparse.Namespace, bench: Bench) -> None:
    """Every number of heads, both ways."""
    most = torch.get_num_threads()
    for k in choices.heads:
        scenes = [make_scene(choices.gaussians, choices.size, seed=n) for n in range(k)]
        heads = [(make_rasterizer(), scene.splats, scene.camera) for scene in scenes]
        counts = summed([counts_of(head[0], s) for head, s in zip(heads, scenes, strict=True)])
        what = f"{k} head{'s' * (k > 1)} of {choices.gaussians:,} Gaussians, {choices.size} px"
        with ThreadPoolExecutor(most) as pool:
            ways = {
                "in-turn": ("all threads on each frame", in_turn(heads)),
                "side-by-side": (f"one frame on each of {most} threads", side_by_side(heads, pool)),
            }
            for way, (words, work) in ways.items():
                times = repeat(work, seconds=bench.seconds, clock=bench.clock)
                key, each = f"heads-{k}-{way}_fps", [t / k for t in times]
                title = f"{what}, {words}"
                bench.add(rate_result(key, title, "frames/s", each, counts=counts))


def summed(every: list[Counts]) -> Counts:
    """Counts of all heads together; the picture's side and texts are those of each."""
    first = every[0]
    each = {k for k, value in first.items() if k == "side" or isinstance(value, str)}
    return {k: v if k in each else sum(c[k] for c in every) for k, v in first.items()}  # type: ignore[misc]


def in_turn(heads: list[Head]) -> Callable[[], None]:
    """One frame of each head after the other."""

    def work() -> None:
        for head in heads:
            draw(head)

    return work


def side_by_side(heads: list[Head], pool: ThreadPoolExecutor) -> Callable[[], None]:
    """One frame of each head, each on a Python thread that uses one thread itself."""

    def work() -> None:
        list(pool.map(draw_alone, heads))

    return work


@torch.no_grad()
def draw(head: Head) -> None:
    """One frame."""
    rasterizer, splats, camera = head
    paint(rasterizer, splats, camera, None)


def draw_alone(head: Head) -> None:
    """One frame on this thread only."""
    with library.limited(1):
        draw(head)
