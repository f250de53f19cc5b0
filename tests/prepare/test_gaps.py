"""Short gaps in the landmarks are bridged, long ones are not."""

import numpy as np

from gstalker.prepare.tracking.gaps import bridged

NOBODY = np.zeros(20, bool)


def walk(*missing):
    """Two points that go right by one pixel a frame, unseen in the frames ``missing``."""
    points = np.zeros((20, 2, 2), np.float32)
    points[..., 0] = np.arange(20)[:, None]
    points[list(missing)] = np.nan
    return points


def test_a_short_gap_is_filled_in_a_straight_line():
    found, gaps = bridged(walk(7, 8, 9), [(0, 20)], NOBODY, 3)
    np.testing.assert_allclose(found, walk(), atol=1e-5)
    assert gaps == [(7, 10)]


def test_a_longer_gap_stays_open():
    found, gaps = bridged(walk(7, 8, 9, 10), [(0, 20)], NOBODY, 3)
    assert np.isnan(found[7:11]).all()
    assert gaps == []


def test_a_gap_at_a_cut_or_at_an_end_stays_open():
    found, gaps = bridged(walk(0, 9, 19), [(0, 10), (10, 20)], NOBODY, 3)
    assert np.isnan(found[[0, 9, 19]]).all()
    assert gaps == []


def test_a_damaged_picture_is_not_bridged():
    damaged = NOBODY.copy()
    damaged[8] = True
    found, gaps = bridged(walk(7, 8), [(0, 20)], damaged, 3)
    assert np.isnan(found[7:9]).all()
    assert gaps == []


def test_nothing_is_bridged_with_zero():
    _, gaps = bridged(walk(7), [(0, 20)], NOBODY, 0)
    assert gaps == []
