from __future__ import annotations

import numpy as np
import pytest

from gstalker.prepare import background
from gstalker.prepare.parsing import HEAD, TORSO

pytest.importorskip("cv2")

SIZE, FRAMES = 64, 80


def wall() -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE]
    return np.stack([40 + x, 60 + y, np.full_like(x, 150)], axis=-1).astype(np.uint8)


def scene(roam: float) -> tuple[np.ndarray, np.ndarray]:
    """Pictures and masks of a white square that goes to and fro before the wall."""
    rng = np.random.default_rng(0)
    pictures = np.repeat(wall()[None], FRAMES, axis=0).astype(int)
    pictures += rng.integers(-2, 3, pictures.shape)
    masks = np.zeros((FRAMES, SIZE, SIZE), np.uint8)
    for k in range(FRAMES):
        left = int(22 + roam * np.sin(k / 8))
        pictures[k, 20:, left : left + 20] = 255
        masks[k, 20:, left : left + 20] = HEAD
        masks[k, 44:, left : left + 20] = TORSO
    return pictures.clip(0, 255).astype(np.uint8), masks


def test_the_plate_is_the_wall_where_it_was_ever_seen() -> None:
    pictures, masks = scene(roam=20)
    plate, unseen = background.plate(pictures.__getitem__, masks.__getitem__, np.arange(FRAMES))
    assert unseen == 0
    # The median of 80 noisy looks, some of them rarely free.
    assert np.abs(plate.astype(int) - wall()).max() <= 2


def test_what_was_never_seen_is_continued_without_a_trace_of_the_person() -> None:
    pictures, masks = scene(roam=0)
    plate, unseen = background.plate(pictures.__getitem__, masks.__getitem__, np.arange(FRAMES))
    # The square and a margin of 2 pixels on three sides.
    assert unseen == pytest.approx(46 * 24 / SIZE**2, abs=0.02)
    assert np.abs(plate.astype(int) - wall()).max() < 25


def test_a_filled_hole_joins_its_edge() -> None:
    picture = np.full((32, 32, 3), 100.0, np.float32)
    known = np.ones((32, 32), bool)
    known[8:24, 8:24] = False
    picture[~known] = 0
    assert np.abs(background.fill_smoothly(picture, known) - 100).max() < 1e-3
    assert (background.fill_smoothly(picture, np.zeros_like(known)) == 127.5).all()


def test_the_masked_median_ignores_what_is_masked() -> None:
    values = np.array([1, 9, 3, 200, 5], np.uint8).reshape(5, 1, 1, 1).repeat(3, -1)
    valid = np.array([1, 1, 1, 0, 1], bool).reshape(5, 1, 1)
    assert background._masked_median(values, valid)[0, 0, 0] == 4.0
    assert background._masked_median(values, ~valid)[0, 0, 0] == 200.0
    assert background._masked_median(values, valid & False)[0, 0, 0] == 0.0


def takes_of(
    levels: list[int], clothes: list[int]
) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int]]]:
    """Ten frames a take, each with its own wall and clothes."""
    pictures, masks = [], []
    for level, cloth in zip(levels, clothes, strict=True):
        picture = np.full((32, 32, 3), level, np.uint8)
        mask = np.zeros((32, 32), np.uint8)
        mask[16:, 8:24] = TORSO
        picture[mask == TORSO] = cloth
        pictures += [picture] * 10
        masks += [mask] * 10
    segments = [(10 * k, 10 * k + 10) for k in range(len(levels))]
    return np.stack(pictures), np.stack(masks), segments


@pytest.mark.parametrize(
    ("levels", "clothes", "stray"),
    [
        ([100, 103, 98, 101, 180, 99, 102], [50] * 7, [(40, 50)]),
        ([100] * 7, [50, 52, 48, 51, 50, 49, 130], [(60, 70)]),
        ([100, 103, 98, 101, 106, 99, 102], [50, 55, 45, 60, 50, 50, 50], []),
        ([100, 180, 100, 180, 100, 180, 100], [50] * 7, []),  # two sessions, neither the stray
        ([100, 180], [50] * 2, []),  # too few to tell
    ],
)
def test_takes_of_another_session_are_found_if_they_are_few(
    levels: list[int], clothes: list[int], stray: list[tuple[int, int]]
) -> None:
    pictures, masks, segments = takes_of(levels, clothes)
    found = background.stray_takes(
        pictures.__getitem__, masks.__getitem__, np.arange(len(pictures)), segments
    )
    assert [(a, b) for a, b, _ in found] == stray
