"""The hash tri-plane: forward, and with the tables' gradient; table reads beside the time."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.harness import Bench, Counts
from gstalker.encode import make_encoder

CORNERS = 4


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may be chosen."""
    parser.add_argument("--backends", nargs="+", default=["auto"], help="default: auto")
    parser.add_argument("--points", nargs="+", type=int, default=[30_000], metavar="N")


def run(choices: argparse.Namespace, bench: Bench) -> None:
    """Every backend on every number of points."""
    for backend in choices.backends:
        for points in choices.points:
            encoder = make_encoder(backend)
            forward, both = works(encoder, points)
            counts = counts_of(encoder, points)
            key, title = f"encode-{backend}-{points}", f"encode ({backend}), {points:,} points"
            bench.time(f"{key}-forward_ms", f"{title}, forward", forward, counts=counts)
            bench.time(
                f"{key}-forward_backward_ms", f"{title}, forward + backward", both, counts=counts
            )


def works(encoder: Any, points: int) -> tuple[Callable[[], None], Callable[[], None]]:
    """Forward alone, and forward with the gradient of the tables."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(points, 3, generator=generator) * 2 - 1
    pull = torch.randn(points, encoder.dim, generator=generator)

    def forward() -> None:
        with torch.no_grad():
            encoder(x)

    def both() -> None:
        encoder(x).backward(pull)

    return forward, both


def counts_of(encoder: Any, points: int) -> Counts:
    """Numbers read from tables in one forward pass; the backward pass adds to as many.

    ``points x grids x 4 corners x features``, where there is one grid per plane and level. Many are
    read more than once, from a cache; what must be moved at least is positions in, features out.
    """
    grids, width = getattr(encoder, "levels", None), getattr(encoder, "features_per_level", None)
    if grids is None or width is None:
        return {"points": points, "reads": f"n/a: {type(encoder).__name__} has no grids"}
    reads = points * len(grids) * CORNERS * width
    return {"points": points, "reads": reads, "bytes_least": 4 * points * (3 + encoder.dim)}
