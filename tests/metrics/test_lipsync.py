"""Clips for SyncNet: which frames, which faces and which sound are put together."""

import numpy as np
import pytest

from gstalker.data.synthetic import make_synthetic_capture
from gstalker.metrics import lipsync
from gstalker.metrics.bootstrap import Figures
from gstalker.metrics.lipsync import SyncFamily, SyncTruth, make_truth, tracks
from gstalker.metrics.pairs import Pair
from gstalker.metrics.protocol import Protocol

BOX = np.array([10.0, 12.0, 50.0, 56.0])


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lipsync") / "me"
    return make_synthetic_capture(folder, seconds=4, size=64, takes=2)


class Listener:
    """Remembers what it was given; says the same distances for each clip, one more each time."""

    def __init__(self):
        self.heard = []

    def distances(self, crops, samples):
        self.heard.append((crops, samples))
        curve = np.array([9.0, 3.0, 8.0]) + len(self.heard)
        return np.tile(curve, (len(crops) - 5, 1))


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(lipsync, "LEAST_FRAMES", 20)
    monkeypatch.setattr(lipsync, "LEAST_FACE", 30)


def run(capture, ids, find_face=lambda frame: BOX):
    listener = Listener()
    truth = SyncTruth(capture, ids, Protocol(), listener, find_face)
    family = SyncFamily(truth, (capture.height, capture.width))
    for k, index in enumerate(ids.tolist()):
        frame = 255 - capture.frame(index)
        family.add(Pair(k, index, k > 0, frame, frame, capture.mask(index), (0, 0, 4, 4)))
    scores, _ = family.result(Figures(np.zeros(len(ids), int), 50, 0))
    return scores, listener.heard


def test_every_take_is_a_clip_with_its_own_sound(capture, small):
    _, heard = run(capture, np.arange(10, 90))
    # Takes of 50 frames: 10 to 49 and 50 to 89; rendered ones first, then the true ones.
    assert [len(crops) for crops, _ in heard] == [40, 40, 40, 40]
    sound = np.round(capture.audio() * 32768).astype(np.int16)
    for (_, samples), start in zip(heard, (10, 50, 10, 50), strict=True):
        assert (samples == sound[start * 640 : (start + 40) * 640]).all()
    assert (heard[0][0][20] != heard[2][0][20]).any()


def test_the_figures_are_means_over_clips_beside_the_truths(capture, small):
    scores, _ = run(capture, np.arange(10, 90))
    assert scores["sync_c"]["mean"] == pytest.approx(5)
    assert scores["sync_d"]["mean"] == pytest.approx((4 + 5) / 2)
    assert scores["sync_d"]["n"] == 2
    assert scores["sync_offset"]["mean"] == 0
    assert scores["sync_d_truth"]["mean"] == pytest.approx((6 + 7) / 2)


def test_short_clips_and_small_faces_have_no_figure_but_a_reason(capture, small):
    scores, heard = run(capture, np.arange(10, 28))
    assert heard == []
    assert scores["sync_c"]["reason"] == "SyncNet's track needs more than 20 frames in a row"
    scores, _ = run(capture, np.arange(10, 40), lambda _: BOX / 2)
    assert "faces over 30 pixels, not 22" in scores["sync_d"]["reason"]
    scores, _ = run(capture, np.arange(10, 40), lambda _: None)
    assert "no face was found" in scores["sync_d_truth"]["reason"]


def test_a_face_missed_for_a_second_is_bridged_and_no_longer(monkeypatch):
    monkeypatch.setattr(lipsync, "LEAST_FRAMES", 9)
    boxes = np.arange(60.0)[:, None] * np.ones((60, 4))
    known = boxes.copy()
    boxes[10:34] = np.nan
    ((start, whole),) = tracks(boxes)
    assert start == 0
    np.testing.assert_allclose(whole, known)
    boxes[10:35] = np.nan
    (_, before), (start, after) = tracks(boxes)
    assert start == 35
    np.testing.assert_allclose(before, known[:10])
    np.testing.assert_allclose(after, known[35:])
    boxes[3] = np.nan
    assert [start for start, _ in tracks(boxes)] == [35], "nine faces are too few"
    assert list(tracks(np.full((60, 4), np.nan))) == []


def test_a_track_begins_and_ends_where_faces_do(small):
    boxes = np.arange(60.0)[:, None] * np.ones((60, 4))
    known = boxes.copy()
    boxes[[0, 1, 20, 59]] = np.nan
    ((start, whole),) = tracks(boxes)
    assert start == 2
    np.testing.assert_allclose(whole, known[2:59])


def test_a_clip_whose_first_faces_are_missed_is_judged_from_the_first_that_is_found(capture, small):
    calls = iter(range(1000))
    scores, heard = run(
        capture, np.arange(10, 50), lambda _: None if next(calls) % 40 in (0, 1, 39) else BOX
    )
    assert scores["sync_c"]["n"] == 1
    sound = np.round(capture.audio() * 32768).astype(np.int16)
    crops, samples = heard[0]
    assert len(crops) == 37
    assert (samples == sound[12 * 640 : 49 * 640]).all()


def test_it_must_be_asked_for(capture):
    assert "sync=true" in make_truth(capture, np.arange(3), Protocol())


def test_without_the_weights_the_reason_names_them(capture, tmp_path, monkeypatch):
    monkeypatch.setenv("GSTALKER_WEIGHTS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    told = make_truth(capture, np.arange(3), Protocol(sync=True))
    assert "syncnet_v2.model" in told
    assert str(tmp_path) in told
