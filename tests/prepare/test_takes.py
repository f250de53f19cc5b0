from __future__ import annotations

import numpy as np
import pytest

from gstalker.prepare import takes

SIDE = 48


def film(offsets: np.ndarray) -> np.ndarray:
    """A patterned head with its middle at ``offsets [F, 2]``, before a plain wall, with noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    frames = np.empty((len(offsets), SIDE, SIDE, 3))
    for picture, (at_x, at_y) in zip(frames, offsets, strict=True):
        u, v = x - 24 - at_x, y - 26 - at_y
        inside = 1 / (1 + np.exp(4 * (np.hypot(u / 9, v / 12) - 1) * 3))
        pattern = 130 + 60 * np.sin(0.7 * u) * np.cos(0.6 * v)
        for c, wall in enumerate((40, 150, 200)):
            picture[..., c] = wall + inside * (pattern - wall)
    return np.clip(frames + rng.normal(0, 1, frames.shape), 0, 255).astype(np.uint8)


def walk(count: int, start: tuple[float, float]) -> np.ndarray:
    """A head that sways to and fro by two pixels."""
    sway = 2 * np.sin(np.arange(count) / 6)
    return np.stack([start[0] + sway, np.full(count, start[1])], axis=1)


def never(asked: list[tuple[int, ...]]) -> list[bool]:
    return [False] * len(asked)


def test_a_cut_between_takes_of_one_person_is_found_where_it_is() -> None:
    frames = film(np.concatenate([walk(40, (0, 0)), walk(50, (5, 3)), walk(30, (-4, 1))]))
    assert takes.find(frames, never).cuts == [40, 90]


def test_a_head_that_moves_all_the_time_is_not_cut() -> None:
    frames = film(walk(120, (0, 0)))
    found = takes.find(frames, never)
    assert (found.cuts, found.damaged) == ([], [])


def test_grey_pictures_are_damaged_and_the_cut_is_where_they_begin() -> None:
    frames = film(np.concatenate([walk(40, (0, 0)), walk(40, (5, 3))]))
    frames[40:46] = 128
    found = takes.find(frames, never)
    assert [(a, b) for a, b, _ in found.damaged] == [(40, 46)]
    assert found.cuts == [40]


def test_a_flash_is_damage_and_not_two_cuts() -> None:
    frames = film(walk(60, (0, 0)))
    frames[30:32] = 255 - frames[30:32]
    found = takes.find(frames, never)
    assert [(a, b) for a, b, _ in found.damaged] == [(30, 32)]
    assert found.cuts == []


def test_held_pictures_of_a_slow_camera_are_not_cuts() -> None:
    frames = film(walk(20, (0, 0)))[np.repeat(np.arange(20), 8)]
    assert takes.find(frames, never).cuts == []


def stalled(count: int, polish: float = 0.0) -> np.ndarray:
    """A film of 160 frames whose frame 60 is shown for ``count`` frames more; a share trembles."""
    frames = film(walk(160, (0, 0)))
    rng = np.random.default_rng(1)
    frames[61 : 61 + count] = frames[60]
    frames[61 : 61 + count] += (rng.random((count, SIDE, SIDE, 1)) < polish).astype(np.uint8)
    return frames


@pytest.mark.parametrize("polish", [0.0, 0.05])
def test_a_picture_that_stands_still_for_seconds_is_left_out(polish: float) -> None:
    assert takes.find(stalled(40, polish), never).damaged == [(61, 101, takes.STILL)]


def test_a_picture_that_is_held_for_less_than_a_second_stays() -> None:
    assert takes.find(stalled(24), never).damaged == []


def test_of_a_photograph_nothing_is_left_out() -> None:
    found = takes.find(np.repeat(film(walk(1, (0, 0))), 80, axis=0), never)
    assert (found.cuts, found.damaged) == ([], [])


def answer(steps: list[tuple[float, float]]) -> bool:
    """Of a face that takes three steps, in shares of the outer-eye distance."""
    face = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 1.0]])
    at = np.cumsum([(0.0, 0.0), *steps], axis=0)
    return takes.jumps_between(face + at[:, None], (0, 1))


@pytest.mark.parametrize(("jump", "cut"), [(0.3, True), (0.02, False)])
def test_a_face_jumps_if_its_steps_before_and_after_do_not_lead_there(
    jump: float, cut: bool
) -> None:
    assert answer([(0.01, 0.0), (jump, 0.0), (0.01, 0.0)]) is cut


@pytest.mark.parametrize("pictures", [1, 2, 3])
def test_a_fast_head_does_not_jump_where_pictures_are_left_out(pictures: int) -> None:
    assert answer([(0.1, 0.0), (0.1 * pictures, 0.0), (0.1, 0.0)]) is False


def test_a_nod_that_begins_and_ends_with_a_picture_left_out_between_does_not_jump() -> None:
    """As in an address thinned from 29.97 pictures a second to 25."""
    assert answer([(0.0, 0.006), (0.0, 0.04), (0.0, 0.0095)]) is False


@pytest.mark.parametrize("jump", [(0.0, 0.2), (-0.1, 0.0)])
def test_a_moving_head_jumps_if_it_goes_on_elsewhere(jump: tuple[float, float]) -> None:
    assert answer([(0.1, 0.0), jump, (0.1, 0.0)]) is True


def test_a_face_that_is_seen_only_on_both_sides_of_a_jump_jumps() -> None:
    face = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 1.0]])
    faces = np.stack([face + np.nan, face, face + 0.2, face + np.nan])
    assert takes.jumps_between(faces, (0, 1)) is True


def test_without_a_face_nothing_jumps() -> None:
    assert takes.jumps_between(np.full((4, 3, 2), np.nan), (0, 1)) is False


def test_runs_are_start_and_stop() -> None:
    assert takes.runs(np.array([1, 1, 0, 0, 1, 0, 1], bool)) == [(0, 2), (4, 5), (6, 7)]
