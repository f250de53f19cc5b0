"""The seam under a head that moves, in pictures whose seam is known."""

from __future__ import annotations

import numpy as np
import pytest

from gstalker.exchange import seam, torso

SIDE, EDGE = 128, 64
CHIN, NECK = 200, 120


def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A grey square head on a darker square neck: picture, torso and head."""
    picture = np.full((SIDE, SIDE, 3), 30, np.uint8)
    head, neck = np.zeros((2, SIDE, SIDE), bool)
    head[20:EDGE, 40:88] = True
    neck[EDGE:, 50:78] = True
    picture[head], picture[neck] = CHIN, NECK
    return picture, neck, head


def plate(level: int) -> np.ndarray:
    """The torso with ``level`` under the head."""
    _, neck, head = scene()
    behind = np.zeros((SIDE, SIDE, 4), np.uint8)
    behind[neck] = [NECK] * 3 + [255]
    behind[head, :3] = level
    return behind


@pytest.mark.parametrize(
    ("level", "edge", "joint"),
    [
        (NECK, 0, 0),  # the neck goes on: nothing to see
        (90, 30, 30),  # too dark by 30: a darker rim under the chin, and a step on the neck
        (140, 0, 20),  # nearer to the chin: only the step
    ],
)
def test_a_known_seam_is_measured(level: int, edge: float, joint: float) -> None:
    picture, neck, head = scene()
    found = seam.measure(picture, neck, head, plate(level))
    assert found is not None
    assert found.edge_levels == pytest.approx(edge)
    assert found.joint_levels == pytest.approx(joint)
    assert found.rim_levels == pytest.approx(0)
    assert found.levels == pytest.approx(max(edge, joint))


def test_the_plate_that_is_exported_leaves_no_seam_on_an_even_neck() -> None:
    picture, neck, head = scene()
    found = seam.measure(picture, neck, head, torso.cut_out(picture, neck, head))
    assert found is not None
    assert found.levels < 1


def test_a_rim_that_the_head_leaves_on_the_neck_is_measured_and_painted_over() -> None:
    """Pictures mix the colours of head and neck at the edge; the mask cuts through the mixture."""
    picture, neck, head = scene()
    picture[EDGE, 50:78] = (CHIN + NECK) // 2
    left = plate(NECK)
    left[EDGE, 50:78, :3] = (CHIN + NECK) // 2
    found = seam.measure(picture, neck, head, left)
    assert found is not None
    assert found.rim_levels == pytest.approx((CHIN - NECK) // 2)
    assert found.levels == found.rim_levels
    mended = seam.measure(picture, neck, head, torso.cut_out(picture, neck, head))
    assert mended is not None
    assert mended.levels < 1


def test_a_neck_that_darkens_as_the_family_paints_it_would_be_seen() -> None:
    """RAD-NeRF's ``0.98 ** row``: 10 % over five rows."""
    picture, neck, head = scene()
    behind = plate(NECK)
    for row in range(EDGE - 1, 20, -1):
        behind[row, :, :3] = behind[EDGE, 60, :3] * 0.98 ** (EDGE - row)
    found = seam.measure(picture, neck, head, behind)
    assert found is not None
    rise = round(max(seam.RISE_SHARES) * SIDE)
    # The margin of one pixel: the colour is looked at ``rise - 1`` rows above the edge.
    assert found.edge_levels == pytest.approx(NECK * (1 - 0.98 ** (rise - 1)), abs=1)


def test_where_head_and_torso_do_not_meet_there_is_no_figure() -> None:
    picture, neck, head = scene()
    head[50:] = False
    assert seam.measure(picture, neck, head, plate(NECK)) is None
    assert seam.usual([None]) is None
    assert "n/a" in seam.told([None])


def test_the_report_says_whether_it_is_seen() -> None:
    assert "seam 0.5 of 255 levels" in seam.told([seam.Seam(0.5, 0.1, 0.0), None])
    assert "not seen" in seam.told([seam.Seam(0.5, 0.1, 0.0)])
    assert "may be seen" in seam.told([seam.Seam(9.0, 0.1, 0.0)])
