"""Correlations, lags and profiles against scipy and by hand."""

import numpy as np
import pytest
import torch

from gstalker.metrics import sync


@pytest.fixture
def openings():
    rng = np.random.default_rng(0)
    wave = np.convolve(rng.normal(size=640), np.hanning(9), mode="valid")
    return wave, wave + 0.5 * np.convolve(rng.normal(size=640), np.hanning(9), mode="valid")


def test_correlation_is_scipys(openings):
    stats = pytest.importorskip("scipy.stats")
    a, b = openings
    ours = sync.correlation(sync.correlation_rows(a, b).sum(0))
    assert float(ours) == pytest.approx(stats.pearsonr(a, b)[0], abs=1e-12)


def test_amplitude_is_the_ratio_of_deviations(openings):
    a, b = openings
    ours = sync.amplitude(sync.correlation_rows(a, b).sum(0))
    assert float(ours) == pytest.approx(a.std() / b.std(), rel=1e-9)


def test_a_still_mouth_has_no_correlation():
    assert np.isnan(sync.correlation(sync.correlation_rows(np.ones(9), np.arange(9.0)).sum(0)))


@pytest.mark.parametrize("late", [-3, -1, 0, 2, 4])
def test_a_mouth_late_by_whole_frames_is_found_to_be(openings, late):
    truth = openings[0]
    pred = np.roll(truth, late)
    ids = np.arange(len(truth))
    rows = sync.lag_rows(pred, truth, ids, [(0, len(truth))], 5)[10:-10]
    assert float(sync.best_lag(rows.sum(0))) == pytest.approx(late, abs=0.05)


def test_a_mouth_late_by_half_a_frame_is_found_between_frames():
    time = np.arange(400)
    truth, pred = np.sin(time / 3.0), np.sin((time - 0.5) / 3.0)
    rows = sync.lag_rows(pred, truth, time, [(0, 400)], 5)
    assert float(sync.best_lag(rows.sum(0))) == pytest.approx(0.5, abs=0.03)


def test_no_pair_crosses_a_cut_or_a_missing_frame():
    ids = np.array([0, 1, 2, 5, 6, 10, 11, 12])
    rows = sync.lag_rows(np.ones(8), np.ones(8), ids, [(0, 6), (6, 13)], 1).reshape(8, 3, 6)
    pairs = rows[:, :, 0].astype(int).tolist()
    # columns: partner one frame before, the same, one frame after
    assert pairs == [
        [0, 1, 1], [1, 1, 1], [1, 1, 0],  # frame 3 is missing
        [0, 1, 0],  # 5: 4 is missing, 6 lies beyond the cut
        [0, 1, 0],
        [0, 1, 1], [1, 1, 1], [1, 1, 0],
    ]  # fmt: skip


def test_the_lag_curve_is_numpys_correlation_of_shifted_takes(openings):
    a, b = (side[:150].reshape(2, 75) for side in openings)
    rows = sync.lag_rows(a.ravel(), b.ravel(), np.arange(150), [(0, 75), (75, 150)], 3)
    curve = sync.lag_curve(rows.sum(0))
    for column, lag in enumerate(range(-3, 4)):
        pred = a[:, max(lag, 0) : 75 + min(lag, 0)].ravel()
        truth = b[:, max(-lag, 0) : 75 + min(-lag, 0)].ravel()
        assert curve[column] == pytest.approx(np.corrcoef(pred, truth)[0, 1], abs=1e-10)


def test_the_profile_is_the_mean_training_opening_at_each_place_in_a_take():
    segments = [(0, 3), (3, 6), (6, 8)]
    opening = np.array([0.0, 1, 2, 2, 3, 10, 7, 7])
    found = sync.profile(opening, np.arange(6), segments, 2)
    assert found.tolist() == [1, 2, 6, 1, 2, 6, 1, 2]


def test_places_that_few_takes_reach_get_the_overall_mean():
    found = sync.profile(np.array([1.0, 2, 3, 5, 9]), np.arange(5), [(0, 2), (2, 5)], 2)
    assert found.tolist() == [2, 3.5, 2, 3.5, 4]


def test_too_few_takes_have_no_profile():
    assert sync.profile(np.ones(6), np.arange(6), [(0, 3), (3, 6)], 3) is None


def test_a_model_that_plays_the_profile_has_no_residual_correlation():
    rng = np.random.default_rng(5)
    course = np.sin(np.arange(60) / 4.0)
    segments = [(60 * k, 60 * k + 60) for k in range(30)]
    truth = np.tile(course, 30) + 0.6 * rng.normal(size=1800)
    train, test = np.arange(1200), np.arange(1200, 1800)
    profile = sync.profile(truth, train, segments, 5)[test]
    soundless = np.tile(course, 10) + 0.05 * rng.normal(size=600)
    plain = np.corrcoef(soundless, truth[test])[0, 1]
    left = np.corrcoef(soundless - profile, truth[test] - profile)[0, 1]
    assert plain > 0.7
    # What is left is the profile's own estimation error, common to both sides: about 0.6/sqrt(20).
    assert abs(left) < 0.35


def tensors(*arrays):
    return [torch.from_numpy(np.asarray(array, np.float64)) for array in arrays]


def test_the_correlation_of_openings_is_numpys_whatever_the_batches_and_the_gaps(openings):
    a, b = (side.copy() for side in openings)
    metric = sync.MouthCorrelation()
    a[[3, 400]], b[5] = np.nan, np.nan
    for part in (slice(0, 200), slice(200, 210), slice(210, None)):
        metric.update(*tensors(a[part], b[part]))
    seen = np.isfinite(a + b)
    assert float(metric.compute()) == pytest.approx(np.corrcoef(a[seen], b[seen])[0, 1], abs=1e-6)
    assert metric.higher_is_better is True
    metric.reset()
    metric.update(*tensors([0, 1, 2, 5], [3, 1, 4, 1]))
    # By hand: deviations (-2, -1, 0, 3) and (0.75, -1.25, 1.75, -1.25), products add up to -4;
    # squares to 14 and 6.75.
    assert float(metric.compute()) == pytest.approx(-4 / (14 * 6.75) ** 0.5, abs=1e-6)


def test_a_mouth_that_plays_the_profile_alone_has_no_residual_correlation():
    profile = np.sin(np.arange(200) / 4.0)
    at = np.arange(200)
    heard, noise = 0.1 * np.sin(at * np.pi / 10), 0.1 * np.cos(at * np.pi / 10)
    metric, plain = sync.ResidualCorrelation(), sync.MouthCorrelation()
    metric.update(*tensors(profile + noise, profile + heard, profile))
    plain.update(*tensors(profile + noise, profile + heard))
    assert float(plain.compute()) > 0.95
    assert float(metric.compute()) == pytest.approx(0, abs=1e-6)  # sine and cosine, whole periods
    metric.reset()
    metric.update(*tensors(profile + 0.3 * heard, profile + heard, profile))
    assert float(metric.compute()) == pytest.approx(1, abs=1e-6)


def test_the_lag_of_takes_is_theirs_and_takes_are_not_joined(openings):
    truth = openings[0]
    metric = sync.MouthLag(3)
    metric.update(*tensors(truth[:98], truth[2:100]))  # two frames late
    metric.update(*tensors(truth[300:398], truth[302:400]))
    assert float(metric.compute()) == pytest.approx(2, abs=0.05)
    assert metric.higher_is_better is None
    metric.reset()
    for frame in truth[:50]:
        metric.update(*tensors([frame], [frame]))
    assert metric.sums.view(7, 6)[:, 0].tolist() == [0, 0, 0, 50, 0, 0, 0]  # pairs at each lag


def test_the_lag_by_hand():
    metric = sync.MouthLag(1)
    metric.update(*tensors([0, 0, 1, 0, 0, 0], [0, 1, 0, 0, 0, 0]))
    # Five pairs at lags of a frame, six at 0. r is 1 at +1 frame, -1/4 at -1, -1/5 at 0; the
    # curve still rises at its end, so the lag is the whole frame.
    curve = sync.lag_curve(metric.sums.numpy())
    assert curve == pytest.approx([-1 / 4, -1 / 5, 1])
    assert float(metric.compute()) == 1.0
