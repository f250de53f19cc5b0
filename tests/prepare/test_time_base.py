"""One clock for sound and pictures, whatever their rates, beginnings and ends."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from gstalker.prepare.audio import reading
from gstalker.prepare.source import probe
from gstalker.prepare.video import nearest_frames, pictures, whole_view

Movie = Callable[..., Path]


def capture_sound(path: Path) -> np.ndarray:
    """The sound as ``prepare`` takes it: from the first picture on, as long as the pictures."""
    source = probe(path)
    return reading.read_from(path, source.start_s, source.frame_count * 640)


def click_s(samples: np.ndarray) -> float:
    return float(np.flatnonzero(np.abs(samples) > 0.3)[0]) / 16_000


@pytest.mark.parametrize("rate_hz", [44_100, 48_000, 32_000, 16_000])
@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_a_click_stays_in_its_place_at_every_rate(movie: Movie, rate_hz: int, layout: str) -> None:
    samples = capture_sound(movie(50, rate_hz=rate_hz, layout=layout))
    assert len(samples) == 50 * 640
    assert click_s(samples) == pytest.approx(0.4, abs=0.01)  # AAC smears it over milliseconds


def test_sound_that_ends_before_the_pictures_is_silent_to_their_end(movie: Movie) -> None:
    samples = capture_sound(movie(75, sound_s=1.0))
    assert len(samples) == 75 * 640
    assert click_s(samples) == pytest.approx(0.4, abs=0.01)
    assert not samples[round(1.1 * 16_000) :].any()


def test_sound_that_begins_after_the_pictures_is_late(movie: Movie) -> None:
    assert click_s(capture_sound(movie(50, sound_from_s=0.32))) == pytest.approx(0.72, abs=0.01)


def test_pictures_that_begin_after_the_sound_are_time_zero(movie: Movie) -> None:
    path = movie(50, stamps=[k + 5 for k in range(50)])
    source = probe(path)
    heard = click_s(capture_sound(path))
    assert heard + source.start_s == pytest.approx(0.4, abs=0.01)
    assert source.frame_count == 50


def test_a_variable_rate_keeps_pictures_beside_their_sound(movie: Movie) -> None:
    # 25 a second, then every second one missing, then 25 a second again.
    stamps = [*range(20), *range(20, 40, 2), *range(40, 60)]
    path = movie(len(stamps), stamps=stamps)
    source = probe(path)
    assert source.frame_count == 60
    shown = np.array(stamps)[nearest_frames(source.times_s, range(60))]
    assert np.abs(shown - np.arange(60)).max() <= 1
    assert click_s(capture_sound(path)) == pytest.approx(0.4, abs=0.01)


@pytest.mark.parametrize(
    "fps", [24, 30, 50, 60, Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001)]
)
def test_sound_and_pictures_of_every_rate_are_together_to_the_end(
    movie: Movie, fps: Fraction
) -> None:
    filmed = round(10 * fps)
    path = movie(filmed, fps=fps, sound_from_s=9.0, sound_s=0.9)
    source = probe(path)
    count = int(filmed / fps * 25 + Fraction(1, 100))
    assert source.frame_count == count
    assert source.fps == pytest.approx(float(fps), rel=1e-4)
    assert click_s(capture_sound(path)) == pytest.approx(9.4, abs=0.01)
    # Each of the 25 a second is the filmed picture nearest to its time, the last ones as well.
    nearest = nearest_frames(source.times_s, range(count))
    assert np.abs(nearest / float(fps) - np.arange(count) / 25).max() <= 0.5 / float(fps) + 1e-3
    last = pictures(source, whole_view(source, 64), range(count - 5, count))
    numbers = [round((float(np.median(picture)) - 30) / 40) for picture in last]
    assert numbers == [int(k) % 5 for k in nearest[-5:]]


def test_moved_sound_brings_in_what_lay_beyond_the_end(movie: Movie) -> None:
    path = movie(50)
    source = probe(path)
    moved = reading.read_from(path, source.start_s + 2.5 / 25, 50 * 640)
    assert click_s(moved) == pytest.approx(0.3, abs=0.01)
    back = reading.read_from(path, source.start_s - 2.5 / 25, 50 * 640)
    assert click_s(back) == pytest.approx(0.5, abs=0.01)
    assert len(moved) == len(back) == 50 * 640
