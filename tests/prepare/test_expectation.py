"""What is told before a video is prepared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gstalker.prepare.expectation import expect
from gstalker.prepare.source import Source
from gstalker.prepare.video import whole_view


def mebibytes(width: int, height: int, seconds: float, max_side: int, workers: int) -> float:
    times = np.arange(round(25 * seconds)) / 25
    filmed = Source(Path("a.mp4"), width, height, 25.0, times, plain=True)
    view = whole_view(filmed, max_side)
    return expect(filmed, view, workers).memory_bytes / 2**20


@pytest.mark.parametrize(
    ("width", "height", "seconds", "max_side", "workers", "measured_mib"),
    [
        (512, 512, 10.1, 128, 1, 567),
        (128, 128, 120, 128, 1, 648),
        (512, 512, 10.1, 512, 1, 751),
        (512, 512, 40.2, 512, 2, 1080),
        (3840, 2160, 3, 512, 1, 1194),
    ],
)
def test_the_memory_told_is_what_was_measured_or_a_little_more(
    width: int, height: int, seconds: float, max_side: int, workers: int, measured_mib: float
) -> None:
    told = mebibytes(width, height, seconds, max_side, workers)
    assert measured_mib <= told <= 1.15 * measured_mib


def test_a_longer_or_larger_video_needs_more_memory_and_a_short_one_no_processes() -> None:
    assert mebibytes(1280, 720, 300, 512, 2) > mebibytes(1280, 720, 30, 512, 2) + 150
    assert mebibytes(3840, 2160, 30, 512, 2) > mebibytes(1280, 720, 30, 512, 2) + 400
    assert mebibytes(512, 512, 5, 512, 8) == mebibytes(512, 512, 5, 512, 1)
    assert mebibytes(512, 512, 30, 512, 8) > mebibytes(512, 512, 30, 512, 2)
