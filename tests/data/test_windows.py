"""Windows of sound: centred, padded, and never across a cut."""

import numpy as np
import pytest
import torch

from gstalker.data.windows import NEIGHBOURS, ROWS, AudioTrack, shuffled_frames


def track(segments=((0, 10), (10, 30)), rows_per_frame=2):
    """A track whose only feature is the row's own number."""
    rows = np.arange(segments[-1][1] * rows_per_frame, dtype=np.float32)[:, None]
    return AudioTrack(rows, rows_per_frame, list(segments))


def test_the_window_of_a_frame_is_centred_on_it():
    window = track().windows(np.array([20]))[0, NEIGHBOURS.index(0), :, 0]
    assert window.tolist() == list(range(20 * 2 + 1 - ROWS // 2, 20 * 2 + 1 + ROWS // 2))


def test_neighbouring_windows_belong_to_neighbouring_frames():
    sound = track()
    windows = sound.windows(np.array([20]))[0]
    for place, offset in enumerate(NEIGHBOURS):
        alone = sound.windows(np.array([20 + offset]))[0, NEIGHBOURS.index(0)]
        torch.testing.assert_close(windows[place], alone)


@pytest.mark.parametrize("index", [8, 9, 10, 11, 29])
def test_no_window_hears_across_a_cut(index):
    first, stop = (0, 10) if index < 10 else (10, 30)
    heard = track().windows(np.array([index]))
    assert heard.min() >= first * 2
    assert heard.max() < stop * 2


def test_a_frames_own_window_can_be_had_alone():
    sound, ids = track(), np.arange(30)
    own = sound.windows(ids)[:, NEIGHBOURS.index(0)]
    assert torch.equal(sound.windows(ids, (0,))[:, 0], own)


def test_a_track_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match="expected 60 feature rows for 30 frames, but got 59"):
        AudioTrack(np.zeros((59, 3), np.float32), 2, [(0, 30)])


def test_shuffled_sound_keeps_the_place_in_the_take():
    segments = [(0, 10), (10, 20), (20, 30), (30, 40)]
    ids = np.arange(20, 40)
    other = shuffled_frames(ids, segments)
    assert ((other - ids) % 10 == 0).all()
    assert (other != ids).all()
    assert set(other) <= set(ids)


def test_shuffled_sound_of_one_take_is_half_of_it_away():
    ids = np.arange(100, 140)
    other = shuffled_frames(ids, [(0, 200)])
    assert (np.abs(other - ids) == 20).all()


def test_shuffled_sound_stays_inside_shorter_takes():
    segments = [(0, 10), (10, 13)]
    other = shuffled_frames(np.arange(13), segments)
    assert (other[:10] >= 10).all()
    assert (other[10:] < 10).all()
