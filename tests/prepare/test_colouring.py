"""Hair, teeth and neck of a painted head whose every pixel is known."""

from __future__ import annotations

import numpy as np
import pytest

from gstalker.face import LAYOUTS
from gstalker.prepare import colouring, parsing
from gstalker.prepare.parsing import HAIR, HEAD, MOUTH, NECK, TEETH, TORSO

pytest.importorskip("cv2")

SIZE = 240
FACE = LAYOUTS["mediapipe478"]
SKIN, BROWN, SHIRT = (205, 160, 135), (70, 50, 40), (60, 80, 140)
LIPS, TONGUE, DARK, WHITE = (170, 70, 75), (175, 95, 100), (50, 20, 20), (225, 215, 200)


def ellipse(x: float, y: float, across: float, down: float) -> np.ndarray:
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    return np.hypot((columns - x) / across, (rows - y) / down) < 1


def around(x: float, y: float, across: float, down: float, count: int) -> np.ndarray:
    """Points on an ellipse, from its top, to the right."""
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([x + across * np.sin(turn), y - down * np.cos(turn)], axis=1)


def landmarks() -> np.ndarray:
    points = np.tile([120.0, 100.0], (478, 1))
    points[list(parsing.OVAL)] = around(120, 100, 42, 56, len(parsing.OVAL))
    points[list(FACE.eye_corners)] = [[92, 88], [148, 88]]
    points[list(FACE.lips)] = around(120, 130, 18, 11, len(FACE.lips))
    points[list(FACE.inner_lips)] = around(120, 130, 14, 7, len(FACE.inner_lips))
    points[list(FACE.gap)] = [[120, 123], [120, 137]]
    points[list(colouring._BROWS)] = np.stack([np.linspace(95, 145, 10), np.full(10, 76)], axis=1)
    return points


def painted(hair: tuple[int, int, int], light: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """A picture, and the label of each of its pixels."""
    rng = np.random.default_rng(0)
    skull, face = ellipse(120, 92, 52, 68), ellipse(120, 100, 42, 56)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    neck = (np.abs(columns - 120) < 26) & (rows >= 140) & (rows < 185)
    shirt = ellipse(120, 245, 100, 70)
    truth = np.zeros((SIZE, SIZE), np.uint8)
    picture = np.full((SIZE, SIZE, 3), (90, 150, 90), float)
    for label, where, colour in (
        (NECK, neck, SKIN),
        (TORSO, shirt, SHIRT),
        (HAIR, skull & (rows < 130), hair),
        (HEAD, face, SKIN),
        (HEAD, ellipse(120, 130, 18, 11), LIPS),
        (MOUTH, ellipse(120, 130, 14, 7), DARK),
        (MOUTH, ellipse(120, 134, 9, 3), TONGUE),
        (TEETH, ellipse(120, 130, 14, 7) & (rows < 129), WHITE),
    ):
        truth[where] = label
        picture[where] = colour
    picture[neck & ~face & (rows < 170)] *= 0.8  # the chin's shadow
    picture = light * picture + rng.normal(0, 4, picture.shape)
    rough = (truth == HAIR) & (hair != SKIN)
    strands = rng.normal(0, 12, (SIZE, SIZE, 1)) * rough[..., None]
    return np.clip(picture + strands, 0, 255).astype(np.uint8), truth


def coarse(truth: np.ndarray) -> np.ndarray:
    return np.array([0, TORSO, HEAD, MOUTH, HEAD, MOUTH, TORSO], np.uint8)[truth]


def overlap(found: np.ndarray, truth: np.ndarray, label: int) -> float:
    """Intersection over union."""
    a, b = found == label, truth == label
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("light", [1.0, 0.6])
@pytest.mark.parametrize("hair", [BROWN, (190, 180, 165), (215, 185, 120)])
def test_hair_teeth_and_neck_are_where_they_were_painted(
    hair: tuple[int, int, int], light: float
) -> None:
    picture, truth = painted(hair, light)
    found = colouring.finer(coarse(truth), picture, landmarks())
    assert overlap(found, truth, HAIR) > 0.85  # a thin ring: its edge is an eighth of it
    assert overlap(found, truth, NECK) > 0.8
    assert overlap(found, truth, TEETH) > 0.8
    assert np.array_equal(coarse(found), coarse(truth))


def test_a_bald_head_has_no_hair() -> None:
    picture, truth = painted(SKIN)
    found = colouring.finer(coarse(truth), picture, landmarks())
    assert (found == HAIR).sum() < 0.02 * (truth == HAIR).sum()


def test_without_a_face_nothing_is_finer() -> None:
    picture, truth = painted(BROWN)
    labels = coarse(truth)
    assert np.array_equal(colouring.finer(labels, picture, np.full((478, 2), np.nan)), labels)
