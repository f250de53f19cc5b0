"""Landmark distances by hand, and detectors against the exact lips."""

import numpy as np
import pytest
import torch

from gstalker.data.synthetic import make_synthetic_capture
from gstalker.data.synthetic_texture import PALETTE
from gstalker.errors import CaptureError, ConfigError
from gstalker.face import LAYOUTS
from gstalker.metrics import synthetic_points
from gstalker.metrics.landmarks import LMD, lip_points, lmd, make_detector, mouth_opening

SIZE = 96


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    return make_synthetic_capture(
        tmp_path_factory.mktemp("lips") / "me", seconds=6, size=SIZE, seed=2
    )


def test_lmd_by_hand():
    truth = torch.zeros(2, 2, 2)
    pred = torch.tensor([[[3.0, 4.0], [0.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]]])
    assert lmd(pred, truth).tolist() == [2.5, 1.0]
    # The first frame's mean is (1.5, 2), 2.5 from both points; the second is only displaced.
    assert lmd(pred, truth, centred=True).tolist() == [2.5, 0.0]


def test_a_frame_without_a_face_is_counted_and_left_out_of_the_mean():
    metric = LMD()
    pred = torch.zeros(3, 4, 2)
    pred[1] = torch.nan
    pred[2] += torch.tensor([0.0, 2.0])
    metric.update(pred, torch.zeros(3, 4, 2))
    assert float(metric.compute()) == 1.0
    assert int(metric.missed) == 1


def test_lmd_in_eye_distances_by_hand():
    truth = torch.zeros(2, 2, 2)
    pred = torch.tensor([[[3.0, 4.0], [0.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]]])
    metric, centred = LMD(), LMD(centred=True)
    for each in (metric, centred):
        each.update(pred, truth, torch.tensor([10.0, 4.0]))
    assert float(metric.compute()) == 0.25  # 2.5 / 10 and 1 / 4
    assert float(centred.compute()) == 0.125  # 2.5 / 10 and 0 / 4


def test_lip_points_are_the_twenty_of_the_ibug_layout():
    assert lip_points(LAYOUTS["synthetic68"]) == list(range(48, 68))
    assert len(lip_points(LAYOUTS["mediapipe478"])) == 40


def test_the_detector_knows_the_colours_that_are_painted():
    def red(name):
        r, g, _ = PALETTE[name]
        return (r - g) / r

    assert abs(red("skin") - synthetic_points._SKIN_RED) < 0.01
    assert abs(red("lips") - synthetic_points._LIP_RED) < 0.01
    assert red("teeth") < synthetic_points._TEETH_RED < red("skin")
    assert PALETTE["tongue"][0] < synthetic_points._LIP_BRIGHT < PALETTE["lips"][0]


@pytest.mark.parametrize(("blur_px", "at_least"), [(0.0, 0.96), (0.8, 0.93)])
def test_openings_found_by_colour_follow_the_true_ones_even_in_soft_pictures(
    capture, blur_px, at_least
):
    ndimage = pytest.importorskip("scipy.ndimage")
    detector = make_detector("auto", capture)
    assert detector.name == "synthetic"
    points = np.stack(
        [
            detector(ndimage.gaussian_filter(capture.frame(i), (blur_px, blur_px, 0)), i)
            for i in range(capture.frame_count)
        ]
    )
    opening = mouth_opening(points, LAYOUTS["synthetic68"])
    assert np.corrcoef(opening, capture.mouth)[0, 1] > at_least
    lips = lip_points(LAYOUTS["synthetic68"])
    distance = np.linalg.norm(points[:, lips] - capture.landmarks[:, lips], axis=-1)
    assert distance.mean() < 1.0  # pixel


def test_a_picture_without_the_speaker_has_no_lips(capture):
    points = make_detector("synthetic", capture)(capture.background, 0)
    assert np.isnan(points[48:68]).all()


def test_a_mouth_that_is_not_where_the_truth_is_does_not_borrow_the_truth(capture):
    # The closed mouth of another frame, shown at the place of the widest one, stays closed.
    wide, shut = int(capture.mouth.argmax()), int(capture.mouth.argmin())
    shift = np.round(
        capture.landmarks[wide, 48:60].mean(0) - capture.landmarks[shut, 48:60].mean(0)
    ).astype(int)
    moved = np.roll(capture.frame(shut), shift[::-1], (0, 1))
    detector = make_detector("synthetic", capture)
    found = mouth_opening(
        np.stack([detector(capture.frame(wide), wide), detector(moved, wide)]),
        LAYOUTS["synthetic68"],
    )
    assert found[1] < 0.25 * found[0]


def test_an_unknown_detector_is_refused(capture):
    with pytest.raises(ConfigError, match="mediapip"):
        make_detector("mediapip", capture)


def test_colours_of_somebody_else_are_not_known(capture):
    other = type(capture)(capture.folder, {**capture.meta, "landmarks": "mediapipe478"})
    with pytest.raises(CaptureError, match="synthetic speaker only"):
        make_detector("synthetic", other)


def test_mediapipes_time_goes_on_where_a_films_poses_go_back(capture, shared, monkeypatch):
    pytest.importorskip("mediapipe", reason="mediapipe is not installed")
    monkeypatch.setenv("GSTALKER_WEIGHTS", str(shared / "data" / "weights"))
    detector = make_detector("mediapipe", capture)
    back_and_forth, found = [0, 1, 2, 3, 2, 1, 0, 1], []
    for indices in (back_and_forth, range(8)):
        detector.begin()
        pairs = zip(back_and_forth, indices, strict=True)
        found.append(np.stack([detector(capture.frame(i), index) for i, index in pairs]))
    detector.close()
    assert np.isfinite(found[0]).all()
    np.testing.assert_array_equal(*found)


@pytest.mark.slow
def test_mediapipe_sees_the_synthetic_speakers_mouth_move(capture, shared, monkeypatch):
    pytest.importorskip("mediapipe", reason="mediapipe is not installed")
    monkeypatch.setenv("GSTALKER_WEIGHTS", str(shared / "data" / "weights"))
    detector = make_detector("mediapipe", capture)
    detector.begin()
    points = np.stack([detector(capture.frame(i), i) for i in range(capture.frame_count)])
    opening = mouth_opening(points, LAYOUTS["mediapipe478"])
    assert np.isfinite(opening).mean() > 0.95
    seen = np.isfinite(opening)
    # MediaPipe smooths over time and was made for people: 0.89 was seen.
    assert np.corrcoef(opening[seen], capture.mouth[seen])[0, 1] > 0.75
    detector.close()
