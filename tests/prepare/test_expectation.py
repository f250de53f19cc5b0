"""What is told before a video is prepared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gstalker.prepare.expectation import expect
from gstalker.prepare.source import Source
from gstalker.prepare.video import fitted_view, largest_view, whole_view
from gstalker.prepare.view import head_box


def filmed(width: int, height: int, seconds: float) -> Source:
    times = np.arange(round(25 * seconds)) / 25
    return Source(Path("a.mp4"), width, height, 25.0, times, plain=True)


def mebibytes(width: int, height: int, seconds: float, max_side: int, workers: int) -> float:
    film = filmed(width, height, seconds)
    return expect(film, whole_view(film, max_side), workers).memory_bytes / 2**20


@pytest.mark.parametrize(
    ("width", "height", "seconds", "max_side", "workers", "measured_mib"),
    [
        (512, 512, 10.1, 128, 1, 567),
        (128, 128, 120, 128, 1, 648),
        (512, 512, 10.1, 512, 1, 751),
        (512, 512, 5, 512, 1, 767),
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


@pytest.mark.parametrize(("seconds", "measured_s"), [(300, 241), (10.1, 22)])
def test_the_time_told_is_what_two_idle_cores_took(seconds: float, measured_s: float) -> None:
    film = filmed(512, 512, seconds)
    told = expect(film, whole_view(film, 512), 2).seconds
    assert 0.8 * measured_s <= told <= 1.25 * measured_s


@pytest.mark.parametrize("size", [(1280, 720), (1080, 1920), (512, 512), (400, 300), (3840, 2160)])
@pytest.mark.parametrize("crop", ["auto", "head", "none"])
def test_no_picture_kept_is_larger_than_told(size: tuple[int, int], crop: str) -> None:
    """Whatever the size of the face: a square cut out may be larger than the whole, shrunk."""
    film = filmed(*size, 5)
    told = largest_view(film, 512, crop)
    kept = [whole_view(film, 512)] if crop != "head" else []
    for tall in (20, 90, 200, 400) if crop == "head" or max(size) > 512 else ():
        boxes = np.array([[size[0] / 2, size[1] / 2, tall]], float)
        kept += [fitted_view(head_box(boxes, *size), 512)] if crop != "none" else []
    areas = [view.width * view.height for view in kept]
    assert max(areas) <= told.width * told.height
    assert max(areas) == told.width * told.height  # and one face is that large
