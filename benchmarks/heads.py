"""Several heads side by side: all threads on one frame at a time, or a frame on each thread.

Drawing only. Both ways draw the same frames of the same heads, so their rates compare.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from benchmarks.harness import Bench, rate_result, repeat
from benchmarks.scenes import head_scene
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
    splats, camera = head_scene(choices.gaussians, choices.size)
    for k in choices.heads:
        heads = [(make_rasterizer(), splats, camera) for _ in range(k)]
        what = f"{k} head{'s' * (k > 1)} of {choices.gaussians:,} Gaussians, {choices.size} px"
        _rate(
            bench, f"heads-{k}-in-turn_fps", f"{what}, all threads on each frame", in_turn(heads), k
        )
        with ThreadPoolExecutor(most) as pool:
            _rate(
                bench,
                f"heads-{k}-side-by-side_fps",
                f"{what}, one frame on each of {most} threads",
                side_by_side(heads, pool),
                k,
            )


def _rate(bench: Bench, key: str, title: str, work: Callable[[], None], frames: int) -> None:
    times = repeat(work, seconds=bench.seconds, clock=bench.clock)
    bench.add(rate_result(key, title, "frames/s", [t / frames for t in times]))


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
