"""Flicker and jitter, worked by hand and in plain numpy."""

import numpy as np
import pytest
import torch

from gstalker.metrics.bootstrap import ratio_of_rows
from gstalker.metrics.temporal import JitterRatio, TemporalError, follows, jitter_rows


@pytest.fixture
def video():
    rng = np.random.default_rng(0)
    return rng.random((6, 5, 4, 3)).astype(np.float32), rng.random((6, 5, 4, 3)).astype(np.float32)


def test_the_temporal_error_is_numpys_over_neighbours(video):
    pred, truth = video
    by_hand = 255 * np.abs(np.diff(pred, axis=0) - np.diff(truth, axis=0)).mean()
    metric = TemporalError()
    for part in (slice(0, 1), slice(1, 4), slice(4, 6)):
        metric.update(torch.from_numpy(pred[part]), torch.from_numpy(truth[part]))
    assert float(metric.compute()) == pytest.approx(by_hand, rel=1e-5)
    assert int(metric.count) == 5


def test_nothing_is_compared_across_a_cut(video):
    pred, truth = (torch.from_numpy(side) for side in video)
    metric = TemporalError()
    metric.update(pred[:3], truth[:3])
    metric.cut()
    metric.update(pred[3:], truth[3:])
    assert int(metric.count) == 4
    metric.reset()
    metric.update(pred[:1], truth[:1])
    assert int(metric.count) == 0


def test_a_constant_fault_does_not_flicker(video):
    truth = torch.from_numpy(video[1]) * 0.5
    metric = TemporalError()
    metric.update(truth + 0.2, truth)
    assert float(metric.compute()) == pytest.approx(0, abs=1e-4)


def test_jitter_is_the_second_difference_and_stays_within_a_take():
    rng = np.random.default_rng(1)
    pred, truth = rng.normal(size=(2, 8, 3, 2))
    near = follows(np.arange(8), [(0, 4), (4, 8)])
    bends = [
        np.mean([
            np.hypot(*(side[t] - 2 * side[t - 1] + side[t - 2])[p])
            for t in (2, 3, 6, 7)
            for p in range(3)
        ])
        for side in (pred, truth)
    ]  # fmt: skip
    found = ratio_of_rows(jitter_rows(pred, truth, near).sum(0))
    assert found == pytest.approx(bends[0] / bends[1], rel=1e-9)


def test_a_steady_motion_does_not_shake_and_a_lost_face_adds_nothing():
    steady = np.arange(6.0)[:, None, None] * np.ones((6, 2, 2))
    assert not jitter_rows(steady, steady, np.arange(6) > 0).any()
    lost = steady.copy()
    lost[3] = np.nan
    shaken = steady + np.array([0, 1.0] * 3)[:, None, None]
    rows = jitter_rows(shaken, lost, np.arange(6) > 0)
    assert (rows[3:] == 0).all()
    assert rows[2, 0] > 0


def test_a_smoothed_path_has_a_ratio_below_one():
    rng = np.random.default_rng(2)
    truth = torch.from_numpy(rng.normal(size=(40, 1, 2)).cumsum(0))
    kernel = torch.ones(1, 1, 7, dtype=torch.float64) / 7
    padded = torch.nn.functional.pad(truth.permute(1, 2, 0), (3, 3), mode="replicate")
    smooth = torch.cat([torch.conv1d(padded[:, k : k + 1], kernel) for k in (0, 1)], 1)
    metric = JitterRatio()
    metric.update(smooth.permute(2, 0, 1), truth)
    assert float(metric.compute()) < 0.4
