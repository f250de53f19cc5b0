"""The benchmarks are no part of the package: they are imported from the repository's root."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.harness import Result, as_record
from benchmarks.yardstick import Yardsticks


@pytest.fixture
def sticks() -> Yardsticks:
    """A machine of round numbers."""
    return Yardsticks(
        threads=2, fma_one_gflops=100.0, fma_all_gflops=180.0, read_gb_s=40.0, triad_gb_s=50.0
    )


@pytest.fixture
def card() -> dict:
    """That machine's card."""
    return {
        "processor": "Abacus 2",
        "kernels": "avx2 0123",
        "packages": {"torch": "2.13"},
        "load": 0.25,
        "date": "2026-11-21 12:00:00+0000",
    }


@pytest.fixture
def record(sticks, card):
    """Two promises and a peak of memory, measured there."""
    results = [
        Result(
            "raster_forward_ms", "draw", "ms", 4.0, 4.0, 5.0, 1.0, 9,
            counts={"gaussians": 30_000, "side": 512},
        ),
        Result("static_it_per_s", "learn", "it/s", 40.0, 60.0, 40.0, 2.0, 99, counts={"side": 512}),
        Result("train_resident_mib", "hold", "MiB", 700.0),
    ]  # fmt: skip
    return as_record("python -m benchmarks card", card, sticks, results)
