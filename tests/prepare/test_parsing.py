from __future__ import annotations

import numpy as np
import pytest

from gstalker.face import LAYOUTS
from gstalker.prepare import parsing
from gstalker.prepare.parsing import BACKGROUND, HEAD, MOUTH, TORSO

pytest.importorskip("cv2")

SIZE = 200
FACE = LAYOUTS["mediapipe478"]


def face(gap_px: float = 12.0) -> np.ndarray:
    """Landmarks of a face 60 wide and 80 tall around (100, 80)."""
    points = np.tile([100.0, 80.0], (478, 1))
    around = np.linspace(0, 2 * np.pi, len(parsing.OVAL), endpoint=False)
    points[list(parsing.OVAL)] = np.stack(
        [100 + 30 * np.sin(around), 80 - 40 * np.cos(around)], axis=1
    )
    points[list(FACE.eye_corners)] = [[80, 70], [120, 70]]
    lips = np.linspace(0, 2 * np.pi, len(FACE.inner_lips), endpoint=False)
    inner = np.stack([100 - 10 * np.cos(lips), 102 + gap_px / 2 * np.sin(lips)], axis=1)
    points[list(FACE.inner_lips)] = inner
    points[list(FACE.gap)] = [[100, 102 - gap_px / 2], [100, 102 + gap_px / 2]]
    return points


def person() -> np.ndarray:
    """A head with hair and ears, a neck and shoulders."""
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    head = np.hypot((x - 100) / 38, (y - 75) / 55) < 1
    neck = (np.abs(x - 100) < 20) & (y > 90)
    shoulders = np.hypot((x - 100) / 90, (y - 200) / 55) < 1
    return (head | neck | shoulders).astype(np.float32)


def test_head_torso_and_mouth_lie_where_they_should() -> None:
    found = parsing.labels(person(), face())
    assert found[5, 5] == BACKGROUND
    assert found[25, 100] == HEAD  # hair
    assert found[80, 65] == HEAD  # an ear
    assert found[115, 100] == HEAD  # just above the chin
    assert found[128, 100] == TORSO  # the neck
    assert found[190, 40] == TORSO
    assert found[102, 100] == MOUTH


def test_the_inside_of_the_mouth_has_the_area_of_its_outline() -> None:
    found = parsing.labels(person(), face(gap_px=16.0))
    assert (found == MOUTH).sum() == pytest.approx(np.pi * 10 * 8, rel=0.15)


def test_closed_lips_show_no_mouth() -> None:
    assert not (parsing.labels(person(), face(gap_px=0.3)) == MOUTH).any()


def test_a_tilted_head_is_divided_along_its_own_jaw() -> None:
    angle = np.radians(30)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    tilted = (face() - 100) @ turn.T + 100
    found = parsing.labels(np.ones((SIZE, SIZE), np.float32), tilted)
    chin = tilted[FACE.chin]
    down = turn @ [0, 1]
    above, below = chin - 4 * down, chin + 4 * down
    assert found[int(above[1]), int(above[0])] == HEAD
    assert found[int(below[1]), int(below[0])] == TORSO


def test_crumbs_are_background() -> None:
    crumbed = person()
    crumbed[10:14, 10:14] = 1.0
    assert not parsing.labels(crumbed, face())[10:14, 10:14].any()


def test_without_a_face_there_is_only_background() -> None:
    assert not parsing.labels(person(), np.full((478, 2), np.nan)).any()


def test_another_person_in_the_picture_is_background() -> None:
    both = person()
    both[60:200, 178:200] = 1.0
    both[140:200, 150:185] = 0.0  # their shoulders do not touch
    assert parsing.labels(both, face())[100, 190] == TORSO
    assert parsing.labels(both, face(), alone=False)[100, 190] == BACKGROUND
    assert parsing.labels(both, face(), alone=False)[80, 100] == HEAD
