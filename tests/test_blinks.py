"""Blinks put into a signal are found again, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest

from gstalker import blinks

SHAPE = np.array([0.6, 0.1, 0.05, 0.4, 0.8])


def eyes(bottoms, frames=500, level=0.1, noise=0.0):
    opening = level * (1 + 0.08 * np.sin(np.arange(frames) / 40))  # gaze wanders
    for at in bottoms:
        for k, share in enumerate(SHAPE):
            if 0 <= at - 2 + k < frames:
                opening[at - 2 + k] *= share
    return opening + noise * np.random.default_rng(0).standard_normal(frames)


def find(opening, usable=None, segments=None):
    usable = np.ones(len(opening), bool) if usable is None else usable
    return blinks.find(opening, usable, segments or [(0, len(opening))])


def test_every_blink_is_found_at_its_lowest_frame():
    found = find(eyes([50, 200, 260, 430], noise=0.0005))
    assert [b.lowest for b in found.blinks] == [50, 200, 260, 430]
    assert found.per_minute == pytest.approx(4 / (500 / 25 / 60))
    assert found.open_level == pytest.approx(0.1, rel=0.1)
    assert found.closed_level == pytest.approx(0.005, abs=0.002)
    assert found.noise == pytest.approx(0.0005, rel=0.25)
    assert found.depth == pytest.approx(0.95, abs=0.02)


def test_two_blinks_in_a_row_are_two():
    assert [b.lowest for b in find(eyes([100, 106])).blinks] == [100, 106]


def test_a_blink_at_either_end_counts():
    assert [b.lowest for b in find(eyes([1, 498])).blinks] == [1, 498]


def test_a_wandering_gaze_and_a_long_look_down_are_no_blinks():
    looking = eyes([])
    looking[200:260] *= 0.5
    found = find(looking)
    assert found.blinks == ()
    assert found.closed_level is None
    assert found.contrast is None


def test_a_cut_between_narrow_and_wide_eyes_is_no_blink():
    opening = np.concatenate([np.full(60, 0.1), np.full(8, 0.05), np.full(60, 0.1)])
    assert find(opening, segments=[(0, 60), (60, 68), (68, 128)]).blinks == ()
    assert len(find(opening).blinks) == 1


def test_dropped_frames_hold_no_blinks():
    opening = eyes([50, 200])
    usable = np.ones(500, bool)
    usable[190:210] = False
    opening[195] = np.nan
    found = find(opening, usable)
    assert [b.lowest for b in found.blinks] == [50]
    assert found.seconds == 480 / 25


def test_nothing_to_look_at_is_no_blink():
    found = find(np.ones(10), np.zeros(10, bool))
    assert (found.blinks, found.per_minute, found.noise) == ((), 0.0, 0.0)


def test_the_lids_of_a_real_speaker_show_her_two_blinks(shared):
    """May closes her eyes at 0.3 and 4.0 s, seen in the film; lid gaps from the landmarks."""
    pytest.importorskip("mediapipe", reason="finding faces needs the extra 'prepare'")
    av = pytest.importorskip("av")
    from gstalker.face import LAYOUTS
    from gstalker.prepare.eyes import lid_gap
    from gstalker.prepare.tracking import landmarks

    with av.open(str(shared / "data" / "video" / "may_5s_512.mp4")) as film:
        pictures = [f.to_ndarray(format="rgb24") for f in film.decode(video=0)][:30]
    model = shared / "data" / "weights" / "face_landmarker.task"
    points = np.concatenate(list(landmarks.look_for_all(pictures, model, 1)))
    found = find(lid_gap(points, LAYOUTS["mediapipe478"]))
    assert [b.lowest for b in found.blinks] == [pytest.approx(7, abs=1)]
