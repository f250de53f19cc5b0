"""Something before the mouth is noticed; speaking, turning and dimming are not."""

import numpy as np
import pytest

from gstalker.face import LAYOUTS
from gstalker.prepare.tracking.cover import covered

CHIN = 152
FACE = LAYOUTS["mediapipe478"]


def filmed(frames=40):
    """A grey face on a wall, 40 pixels between the eyes, wandering; and its landmarks."""
    rng = np.random.default_rng(0)
    texture = rng.uniform(50, 190, (70, 60, 1)).repeat(3, axis=2)
    pictures, points = [], np.zeros((frames, 478, 2), np.float32)
    for k in range(frames):
        x, y = 20 + k % 7, 15 + k % 5
        picture = np.full((110, 110, 3), 200.0)
        picture[y : y + 70, x : x + 60] = texture
        pictures.append(picture.astype(np.uint8))
        points[k, FACE.eye_corners[0]] = x + 10, y + 15
        points[k, FACE.eye_corners[1]] = x + 50, y + 15
        points[k, CHIN] = x + 30, y + 65
    return np.stack(pictures), points


def flags_of(pictures, points):
    return covered(pictures.__getitem__, points, np.arange(len(pictures)))


def test_a_face_that_only_moves_is_not_covered():
    assert not flags_of(*filmed()).any()


@pytest.mark.parametrize("shade", [20, 120], ids=["dark", "of the face's own colour"])
def test_a_hand_before_the_mouth_is_noticed_in_its_frames(shade):
    pictures, points = filmed()
    for k in range(10, 16):
        x, y = points[k, CHIN].astype(int)
        pictures[k, y - 35 : y + 5, x - 20 : x + 20] = shade
    assert np.flatnonzero(flags_of(pictures, points)).tolist() == list(range(10, 16))


def test_a_hand_that_lets_lips_shine_through_counts_beside_frames_where_it_does_not():
    def held(frames, thin):
        pictures, points = filmed()
        for k in frames:
            x, y = points[k, CHIN].astype(int)
            part = pictures[k, y - 35 : y + 5, x - 20 : x + 20]
            part[:] = 100 + (0.09 * (part - 100.0) if k in thin else 0)
        return flags_of(pictures, points)

    thin = (12, 13)
    assert not held(thin, thin).any()
    assert np.flatnonzero(held(range(10, 16), thin)).tolist() == list(range(10, 16))


def test_an_open_mouth_is_not_a_hand():
    pictures, points = filmed()
    for k in range(10, 16):
        x, y = points[k, CHIN].astype(int)
        pictures[k, y - 20 : y - 12, x - 8 : x + 8] = 30
    assert not flags_of(pictures, points).any()


def test_light_that_drifts_is_not_a_hand():
    pictures, points = filmed()
    dimmed = pictures * np.linspace(1, 0.9, len(pictures))[:, None, None, None]
    assert not flags_of(dimmed.astype(np.uint8), points).any()


def test_no_frames_are_no_flags():
    pictures, points = filmed(1)
    assert covered(pictures.__getitem__, points, np.zeros(0, int)).shape == (0,)


def test_a_hand_does_not_go_away_for_a_moment():
    def held(back):
        pictures, points = filmed()
        for k in [*range(6, 10), *range(back, back + 4)]:
            x, y = points[k, CHIN].astype(int)
            pictures[k, y - 35 : y + 5, x - 20 : x + 20] = 20
        return np.flatnonzero(flags_of(pictures, points)).tolist()

    assert held(13) == list(range(6, 17))
    assert held(15) == [6, 7, 8, 9, 15, 16, 17, 18]
