"""The kernels on 1, 2, ... threads, and how much faster each is for it."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator

import torch

from benchmarks import encode, loss, rasterize
from benchmarks.harness import Bench, Counts, repeat, time_result
from benchmarks.scenes import make_scene
from gstalker.encode import make_encoder
from gstalker.native import library
from gstalker.render import make_rasterizer


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may be chosen."""
    parser.add_argument("--gaussians", type=int, default=30_000, metavar="N")
    parser.add_argument("--size", type=int, default=512, help="side in pixels")


def run(choices: argparse.Namespace, bench: Bench) -> None:
    """Every part on every number of threads."""
    most = torch.get_num_threads()
    for name, (title, work, counts) in works(choices.gaussians, choices.size).items():
        alone = 0.0
        for n in range(1, most + 1):
            with limited(n):
                key, words = f"{name}-{n}-threads_ms", f"{title}, {n} thread{'s' * (n > 1)}"
                times = repeat(work, seconds=bench.seconds, clock=bench.clock)
            alone = alone or min(times)
            note = f"{alone / min(times):.2f} x as fast as one thread"
            bench.add(time_result(key, words, times, threads=n, counts=counts, note=note))


def works(count: int, side: int) -> dict[str, tuple[str, Callable[[], None], Counts]]:
    """What is timed, by name, with its title and its counts."""
    scene, draw, encoder = make_scene(count, side), make_rasterizer(), make_encoder()
    drawing, reading = f"rasterize, {scene.title}, forward", f"encode, {count:,} points, forward"
    forward, both = rasterize.works(draw, scene.splats, scene.camera)
    encoded, encoded_both = encode.works(encoder, count)
    drawn, read = rasterize.counts_of(draw, scene), encode.counts_of(encoder, count)
    return {
        "rasterize-forward": (drawing, forward, drawn),
        "rasterize-both": (f"{drawing} + backward", both, drawn),
        "encode-forward": (reading, encoded, read),
        "encode-both": (f"{reading} + backward", encoded_both, read),
        "loss": (
            f"L1 + SSIM, {side} px, forward + backward",
            loss.work(side),
            loss.counts_of(side),
        ),
    }


@contextlib.contextmanager
def limited(n: int) -> Iterator[None]:
    """At most ``n`` threads for what this Python thread calls, and for torch while it lasts."""
    before = torch.get_num_threads()
    with library.limited(n):
        torch.set_num_threads(n)
        try:
            yield
        finally:
            torch.set_num_threads(before)
