"""L1 and D-SSIM with the gradient; bytes beside the time."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch

from benchmarks.harness import Bench, Counts
from gstalker.losses.photometric import l1_dssim, reference_l1_dssim

CHANNELS, FLOAT_BYTES = 3, 4
LEAST_MAPS = 3
"""Both pictures are read and the gradient is written, whatever the program does."""
SWEEP_MAPS = 11
"""Two sweeps: 2 pictures read and 3 derivatives written, then 3 + 2 read and the gradient
written."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may be chosen."""
    parser.add_argument("--size", nargs="+", type=int, default=[512], help="side in pixels")
    parser.add_argument("--reference", action="store_true", help="plain torch as well")


def run(choices: argparse.Namespace, bench: Bench) -> None:
    """Every size."""
    kinds: dict[str, Callable[..., torch.Tensor]] = {"l1_dssim": l1_dssim}
    if choices.reference:
        kinds["reference_l1_dssim"] = reference_l1_dssim
    for side in choices.size:
        for name, function in kinds.items():
            title = f"{name}, {side} px, forward + backward"
            bench.time(f"{name}-{side}-ms", title, work(side, function), counts=counts_of(side))


def work(side: int, function: Callable[..., torch.Tensor] = l1_dssim) -> Callable[[], None]:
    """One loss with its gradient."""
    generator = torch.Generator().manual_seed(0)
    pred, truth = (torch.rand(1, side, side, CHANNELS, generator=generator) for _ in range(2))
    pred.requires_grad_()
    return lambda: function(pred, truth).backward()


def counts_of(side: int) -> Counts:
    """Bytes: the fewest that any program must move, and those of two sweeps.

    A map is ``side x side x 3 channels x 4 bytes``.
    """
    one = side * side * CHANNELS * FLOAT_BYTES
    return {"side": side, "bytes_least": LEAST_MAPS * one, "bytes_two_sweeps": SWEEP_MAPS * one}
