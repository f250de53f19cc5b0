"""Whole score sheets of pictures whose faults are known."""

import json

import numpy as np
import pytest

from gstalker import face, weights
from gstalker.data.synthetic import make_synthetic_capture
from gstalker.errors import BackendMissing, MediaError
from gstalker.metrics import score as scoring
from gstalker.metrics.catalogue import METRICS, OF_FILMS
from gstalker.metrics.protocol import Protocol, Regions, sentence, speech_frames
from gstalker.metrics.score import Scorer, score

PROTOCOL = Protocol(lpips=False, resamples=100)


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    folder = tmp_path_factory.mktemp("score") / "me"
    return make_synthetic_capture(folder, seconds=18, size=64, seed=1, takes=9)


@pytest.fixture(scope="module")
def scorer(capture):
    return Scorer(capture, np.arange(250, 450), PROTOCOL)


@pytest.fixture(scope="module")
def of_truth(capture, scorer):
    return scorer.score(capture.frame)


def test_the_truth_itself_is_perfect(of_truth):
    for name, best in {
        "psnr_full": 100.0, "psnr_head": 100.0, "psnr_mouth": 100.0, "ssim_full": 1.0,
        "lmd_synthetic": 0.0, "lmd_centred_synthetic": 0.0, "mouth_corr": 1.0,
        "mouth_corr_residual": 1.0, "mouth_corr_speech": 1.0, "mouth_lag": 0.0, "mouth_amp": 1.0,
        "sharpness_mouth": 1.0, "faces_found": 1.0,
    }.items():  # fmt: skip
        assert of_truth[name]["mean"] == pytest.approx(best, abs=1e-6), name
    assert of_truth["psnr_full"]["n"] == 200


def test_every_figure_is_there_in_order_and_fits_into_json(of_truth):
    names = [name.removesuffix("_synthetic") for name in of_truth]
    assert names == [name for name in METRICS if not name.startswith(OF_FILMS)]
    json.dumps({"rows": of_truth}, allow_nan=False)


def test_a_figure_that_cannot_be_had_says_why(of_truth):
    assert of_truth["lpips_alex"] == {"value": "n/a", "reason": "switched off in the protocol"}


def test_a_mouth_two_frames_late_is_found_late_and_worse(capture, scorer, of_truth):
    late = scorer.score(lambda i: capture.frame(max(i - 2, capture.segment_of(i)[0])))
    assert late["mouth_lag"]["mean"] == pytest.approx(2, abs=0.3)
    assert late["mouth_corr"]["mean"] < 0.8
    assert late["psnr_mouth"]["mean"] < of_truth["psnr_mouth"]["mean"] - 50


def test_regional_psnr_sees_its_region_only(capture, scorer):
    rows = scorer.regions.head_rows

    def dirty_below(i):
        frame = capture.frame(i)
        frame[rows:] ^= 0x20
        return frame

    scores = scorer.score(dirty_below)
    assert scores["psnr_head"]["mean"] == 100.0
    # 32 levels off in the rows below the chin
    expected = -10 * np.log10((32 / 255) ** 2 * (64 - rows) / 64)
    assert scores["psnr_full"]["mean"] == pytest.approx(expected, abs=1e-3)


def test_mouth_psnr_is_that_of_the_box_around_the_true_lips(capture):
    regions = Regions.of(capture)
    x0, y0, x1, y1 = regions.mouth_boxes[260]
    lips = capture.landmarks[260, 48:60]
    assert x0 <= lips[:, 0].min()
    assert lips[:, 0].max() <= x1
    assert y0 <= lips[:, 1].min()
    ruler = np.median(np.linalg.norm(capture.landmarks[:, 36] - capture.landmarks[:, 45], axis=-1))
    reach = np.array(face.MOUTH_BOX) * ruler
    assert abs((x1 - x0) - reach[0] - reach[2]) <= 0.5
    assert abs((y1 - y0) - reach[1] - reach[3]) <= 0.5


def test_the_head_ends_at_the_chin_and_the_upper_face_at_the_mouth(capture):
    regions = Regions.of(capture)
    train, _ = capture.split()
    assert regions.above_chin_rows == round(float(np.median(capture.landmarks[train, 8, 1])))
    assert regions.head_rows < np.median(capture.landmarks[train, 51, 1])


def test_pictures_without_a_mouth_have_no_mouth_figures(capture, scorer):
    scores = scorer.score(lambda _: capture.background)
    assert scores["faces_found"]["mean"] == 0
    assert scores["mouth_corr"]["reason"] == "a face was found in only 0 of 200 frames"
    assert scores["lmd_synthetic"]["value"] == "n/a"
    assert scores["psnr_full"]["mean"] > 5


def test_a_still_picture_has_no_correlation(capture):
    # One take, so the window around the true lips can be kept still as well.
    still = Scorer(capture, np.array([300, 301, 302]), PROTOCOL)
    still._lips._detector._truth = np.repeat(capture.landmarks[300:301], 450, 0)
    scores = still.score(lambda _: capture.frame(300))
    assert scores["mouth_corr"]["reason"] == "the mouth does not move"


def test_few_training_takes_have_no_residual(tmp_path):
    one = make_synthetic_capture(tmp_path / "one", seconds=4, size=32)
    scores = score(one.frame, one, one.split()[1], PROTOCOL)
    assert (
        scores["mouth_corr_residual"]["reason"]
        == "takes cannot be compared: fewer than 5 training takes"
    )


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (lambda c: [c.frame(0)] * 2, "2 frames to score, where 3"),
        (lambda c: [c.frame(0)] * 4, "more frames than the 3"),
        (lambda c: [c.frame(0)[:32]] * 3, r"uint8 \[32, 64, 3\]"),
        (lambda c: [c.frame(0).astype(np.float32)] * 3, "float32"),
    ],
)
def test_frames_that_do_not_fit_are_refused(capture, frames, message):
    with pytest.raises(MediaError, match=message):
        Scorer(capture, np.arange(3), PROTOCOL).score(frames(capture))


def test_ids_out_of_order_are_refused(capture):
    with pytest.raises(ValueError, match="rising order"):
        Scorer(capture, np.array([2, 1]), PROTOCOL)


def test_frames_are_taken_one_at_a_time(capture):
    alive = []

    class Watched(np.ndarray):
        pass

    def stream():
        import weakref

        for i in range(5):
            frame = capture.frame(i).view(Watched)
            alive.append(weakref.ref(frame))
            yield frame
            del frame
            assert sum(ref() is not None for ref in alive) <= 1

    Scorer(capture, np.arange(5), PROTOCOL).score(stream())
    assert len(alive) == 5


def test_without_lpips_weights_the_column_says_so(capture, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "folders", lambda: [tmp_path])
    scores = Scorer(capture, np.arange(3), Protocol(resamples=10)).score(capture.frame)
    assert scores["lpips_alex"]["value"] == "n/a"
    assert "lpips" in scores["lpips_alex"]["reason"]


def test_with_lpips_weights_the_truth_has_no_distance(capture, shared, monkeypatch):
    monkeypatch.setenv("GSTALKER_WEIGHTS", str(shared / "data" / "weights"))
    scorer = Scorer(capture, np.arange(3), Protocol(resamples=10))
    assert scorer.score(capture.frame)["lpips_alex"]["mean"] == pytest.approx(0, abs=1e-6)
    blank = scorer.score(lambda _: capture.background)["lpips_alex"]["mean"]
    assert blank > 0.1


def test_without_a_landmark_detector_pictures_are_scored_all_the_same(capture, monkeypatch):
    def missing(*_):
        raise BackendMissing("mediapipe is not installed.\n  Install it.")

    monkeypatch.setattr(scoring, "make_detector", missing)
    scorer = Scorer(capture, np.arange(3), PROTOCOL)
    scores = scorer.score(capture.frame)
    assert scores["psnr_full"]["mean"] == 100
    assert sentence(scorer.record().as_dict()).count("landmarks: none,") == 1
    assert scores["mouth_corr"] == {"value": "n/a", "reason": "mediapipe is not installed."}
    assert scores["faces_found"]["value"] == "n/a"


def test_speech_frames_are_the_loud_ones(capture):
    speech = speech_frames(capture, PROTOCOL)
    power = np.square(capture.audio().reshape(450, -1)).mean(1)
    assert 0.4 < speech.mean() < 0.98
    assert power[speech].min() > power[~speech].max()
